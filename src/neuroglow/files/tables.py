"""Numbers as text for other programs: CSV tables, and plain values for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["csv_text", "plain"]


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table; unknown values are empty cells."""
    buffer = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(buffer, names, lineterminator="\n", restval="")
    table.writeheader()
    for row in rows:
        table.writerow({k: "" if v is None else v for k, v in plain(row).items()})
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """Convert values that JSON does not support; NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value

"""The folder of a report: report.html, scores.json, recall.csv, thresholds.csv."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroglow.errors import OutputError
from neuroglow.space.record import is_record
from neuroglow.space.unfinished import Unfinished
from neuroglow.space.writing import writing

__all__ = ["FILES", "Mode", "csv_text", "plain", "refuse_existing", "write_folder"]

Mode = Literal["new", "restart"]

FILES = ("report.html", "scores.json", "recall.csv", "thresholds.csv")


def refuse_existing(out: Path, mode: Mode) -> None:
    """Refuse to replace a report without being told to, and anything else in any case.

    Raises OutputError.
    """
    if out.suffix in (".html", ".htm", ".json", ".csv"):
        raise OutputError(
            "a report of sensitivity is a folder",
            found=out.suffix,
            where=str(out),
            cure=f"-o {out.with_suffix('')}",
        )
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    own = out.is_dir() and is_record(out / "scores.json", "sentence", "recall")
    strange = (
        sorted(p.name for p in out.iterdir() if p.name not in FILES) if own else ["other files"]
    )
    if mode == "new" or strange:
        raise OutputError(
            "an existing report is not overwritten" if not strange else "only a report is replaced",
            found="one that exists" if not strange else ", ".join(strange[:3]),
            where=str(out),
            cure="another -o" + ("" if strange else ", or --restart to replace it"),
        )


def write_folder(out: Path, texts: Mapping[str, str]) -> None:
    """Write the files (by name); the folder appears whole or not at all. Raises WriteError."""
    unfinished = Unfinished(out)
    with unfinished.claimed(), writing(out):
        unfinished.empty()  # of a run that was killed
        for name, text in texts.items():
            (unfinished.folder / name).write_text(text, encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        unfinished.folder.rename(out)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Give a table; what is not known is an empty cell."""
    buffer = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(buffer, names, lineterminator="\n", restval="")
    table.writeheader()
    for row in rows:
        table.writerow({k: "" if v is None else v for k, v in plain(row).items()})
    return buffer.getvalue()


def plain(value: Any) -> Any:
    """Turn what JSON does not know into what it does; NaN and infinity into null."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value

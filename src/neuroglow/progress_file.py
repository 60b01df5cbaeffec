"""Progress in a file: how far a command is and how it ended, for whoever started its process.

NEUROGLOW_PROGRESS names the file. It always holds one JSON object:

    {"work": "brain.tif", "done": 3e6, "total": 9e6, "unit": "voxels", "rate": 2e5, "exit": null}
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["NAMES_FILE", "ending_in_file", "is_due", "keep_progress", "read_progress"]

NAMES_FILE = "NEUROGLOW_PROGRESS"
"""The variable of the environment that names the file."""

EVERY_S = 0.3
"""Seconds between two states in the file."""


def is_due(last: float) -> bool:
    """Return whether a state is to be written; last: when the last one was (time.monotonic)."""
    return NAMES_FILE in os.environ and time.monotonic() - last >= EVERY_S


def keep_progress(state: dict[str, Any]) -> None:
    """Write a state, if a file is named; one that cannot be written does not end the work."""
    name = os.environ.get(NAMES_FILE)
    if not name:
        return
    file = Path(name)
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with suppress(OSError):
        partial.write_text(json.dumps(state | {"at": time.time()}), encoding="utf-8")
        partial.replace(file)


def read_progress(file: Path) -> dict[str, Any]:
    """Read the newest state; empty if there is none."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


@contextmanager
def ending_in_file() -> Iterator[None]:
    """Write the exit status of this process when it ends; one that is killed writes none."""
    status: Any = 1
    try:
        yield
        status = 0
    except SystemExit as end:
        status = end.code or 0
        raise
    finally:
        name = os.environ.get(NAMES_FILE)
        if name:
            keep_progress(read_progress(Path(name)) | {"exit": status})

"""Remarks on guesses about a file, or on parts left out: shown on the terminal, once per run."""

from __future__ import annotations

import logging
import threading

__all__ = ["forget_remarks", "hold_remarks", "listed", "remark", "remark_unsized", "take_remarks"]

_log = logging.getLogger("neuroglow")
_said: set[str] = set()
_held: list[str] = []
_is_worker = threading.Event()
"""Set in a worker process, whose remarks are held: its driver says them."""


def remark(message: str) -> None:
    """Log a warning, unless this run has logged the same text before."""
    if message in _said:
        return
    _said.add(message)
    if _is_worker.is_set():
        _held.append(message)
    else:
        _log.warning("%s", message)


def hold_remarks() -> None:
    """Keep remarks from now on until they are taken: several workers would say each of them."""
    _is_worker.set()


def take_remarks() -> tuple[str, ...]:
    """Take the remarks that were held."""
    held = tuple(_held)
    _held.clear()
    return held


def forget_remarks() -> None:
    """Begin a run: each remark is said again."""
    _said.clear()


def remark_unsized(names: list[str]) -> None:
    """Say of volumes that their voxel size is not stated, where lengths depend on it."""
    if names:
        remark(
            f"{listed(names)}: no voxel size is stated, so that lengths are in voxels; "
            "--voxel-size Z,Y,X gives it"
        )


def listed(names: list[str], most: int = 4) -> str:
    """Name a few of many: `a, b, c, d and 7 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")

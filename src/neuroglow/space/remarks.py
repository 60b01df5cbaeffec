"""Remarks on guesses about a file, or on parts left out: shown on the terminal, once each."""

from __future__ import annotations

import logging

__all__ = ["listed", "remark"]

_log = logging.getLogger("neuroglow")
_said: set[str] = set()


def remark(message: str) -> None:
    """Log a warning, unless this process has logged the same text before."""
    if message not in _said:
        _said.add(message)
        _log.warning("%s", message)


def listed(names: list[str], most: int = 4) -> str:
    """Name a few of many: `a, b, c, d and 7 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")

"""Reports print one screen: the result, the main numbers, and where the files are."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

__all__ = ["Printed", "counted", "duration", "first_names"]


class Printed:
    """A report that prints as its summary: in Python, in a notebook and on the command line."""

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary; the first names the result."""
        raise NotImplementedError

    def __str__(self) -> str:
        first, *rest = self.lines()
        return "\n  ".join([first, *rest])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def counted(count: int, noun: str) -> str:
    """Count in words: `1 cube`, `2 cubes`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def first_names(names: Sequence[str]) -> str:
    """Name the first five, and indicate whether there are more."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def duration(seconds: float) -> str:
    """Say a time roughly: `40 s`, `12 min`, `3.5 h`, `2.1 days`."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{0 if unit == 'min' else 1}f} {unit}"
    return f"{seconds:.0f} s"

"""Reports print one screen: what was made, what matters of it, and where it lies."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

__all__ = ["Printed", "counted", "first_names"]


class Printed:
    """A report whose text, in Python, in a notebook and on the command line, is its summary."""

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary; the first says what was made."""
        raise NotImplementedError

    def __str__(self) -> str:
        first, *rest = self.lines()
        return "\n  ".join([first, *rest])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def counted(count: int, noun: str) -> str:
    """Say how many there are: `1 cube`, `2 cubes`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def first_names(names: Sequence[str]) -> str:
    """Name the first five, and say whether there are more."""
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")

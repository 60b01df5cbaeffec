"""Groups of names, joined two at a time: lines, ends or pieces that belong together."""

from __future__ import annotations

__all__ = ["Groups"]


class Groups:
    """Names in groups; at first each is alone. A group is called by its lowest name."""

    def __init__(self) -> None:
        self._up: dict[int, int] = {}

    def top(self, name: int) -> int:
        """Return the lowest name of a group."""
        while (up := self._up.setdefault(name, name)) != name:
            self._up[name] = self._up[up]  # path compression
            name = self._up[name]
        return name

    def join(self, one: int, other: int) -> bool:
        """Join the groups of two names; return False if they are one already."""
        low, high = sorted((self.top(one), self.top(other)))
        self._up[high] = low
        return low != high

"""Density of lines around a place: chance contacts increase with it, branches do not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm
from neuroglow.skeleton.graph import Graph
from neuroglow.space.geometry import Zyx

__all__ = ["FITTED", "Densities"]

Floats = NDArray[np.float64]

LEAST = 0.02
"""Lowest density: that of a lone line."""

FITTED = 0.7
"""Lowest density of lines (voxels per thousand) among those that odds (bonds.py) were fitted to.
Below it chance contacts become rarer in proportion."""

CLOSE_VOX, CLOSE_CELLS, OWN_VOX = 8, 1, 10.0
"""The narrow box: its cells, how many on each side, and the length of an arm that does not count.
"""


class Densities:
    """Densities of lines around arms that meet: in a wide box, and in a narrow one.

    cell, around: of the wide box (see _Lengths).
    """

    def __init__(self, graph: Graph, shape: Zyx, cell: int, around: int) -> None:
        self.wide = _Lengths(graph, shape, cell, around)
        self.narrow = _Lengths(graph, shape, CLOSE_VOX, CLOSE_CELLS)

    def of(self, place: Floats, own: float, arms: Sequence[Arm]) -> list[tuple[float, float]]:
        """Return the densities (wide, narrow) around a place (zyx), for each pair of arms in order.

        own: length (voxels) of lines that do not count in the wide box; in the narrow one, the
        beginnings of both arms do not.
        """
        wide, (length, room) = _density(*self.wide.near(place), own), self.narrow.near(place)
        begins = [min(arm.length, OWN_VOX) for arm in arms]
        return [
            (wide, _density(length, room, one + other))
            for one, other in itertools.combinations(begins, 2)
        ]


def _density(length: float, room: float, own: float) -> float:
    """Return voxels of line per thousand voxels."""
    return max(1000 * (length - own) / room, LEAST)


class _Lengths:
    """Voxels of line around places, in cells of some voxels.

    around: number of cells on each side of that of the place.
    """

    def __init__(self, graph: Graph, shape: Zyx, cell: int, around: int) -> None:
        self.shape, self.cell, self.around = shape, cell, around
        cells = np.floor(graph.places / cell).astype(np.int64)
        half = graph.lengths / 2 / float(graph.unit_um.max())
        halves = np.zeros(len(graph.places))
        for ends in graph.edges.T:
            halves += np.bincount(ends, half, len(halves))
        keys, which = np.unique(cells, axis=0, return_inverse=True)
        lengths = np.bincount(which.ravel(), halves, len(keys))
        self.lengths = dict(zip(map(tuple, keys.tolist()), lengths.tolist(), strict=True))
        self.around_cell = cache(self._around)

    def near(self, place: Floats) -> tuple[float, float]:
        """Return the length around a place (zyx), and how many voxels there are."""
        z, y, x = (int(at // self.cell) for at in place.tolist())
        return self.around_cell(z, y, x)

    def _around(self, z: int, y: int, x: int) -> tuple[float, float]:
        """Return both of what is around a cell."""
        beside = itertools.product(range(-self.around, self.around + 1), repeat=3)
        length: float = sum(self.lengths.get((z + c, y + b, x + a), 0.0) for c, b, a in beside)
        room = 1
        for at, size in zip((z, y, x), self.shape, strict=True):
            low, high = max((at - self.around) * self.cell, 0), (at + self.around + 1) * self.cell
            room *= max(min(high, size) - low, 1)
        return length, float(room)

"""Density of lines around a place: chance contacts increase with it, branches do not."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm
from neuroglow.skeleton.graph import Graph
from neuroglow.space.geometry import Zyx

__all__ = ["FITTED", "Close", "Density"]

Floats = NDArray[np.float64]

LEAST = 0.02
"""Lowest density: that of a lone line."""

FITTED = 0.7
"""Lowest density of lines (voxels per thousand) among those that odds (bonds.py) were fitted to.
Below it chance contacts become rarer in proportion."""

CLOSE_VOX, CLOSE_CELLS, OWN_VOX = 8, 1, 10.0
"""The narrow box: its cells, how many on each side, and the length of an arm that does not count.
"""


class Density:
    """Voxels of line per thousand voxels around a place, in cells of some voxels.

    around: number of cells on each side of that of the place.
    """

    def __init__(self, graph: Graph, shape: Zyx, cell: int, around: int) -> None:
        self.shape, self.cell, self.around = shape, cell, around
        self.voxel = float(graph.unit_um.max())
        cells = np.floor(graph.places / cell).astype(np.int64)
        halves = np.zeros(len(graph.places))
        for ends in graph.edges.T:
            halves += np.bincount(ends, graph.lengths / 2 / self.voxel, len(halves))
        keys, which = np.unique(cells, axis=0, return_inverse=True)
        lengths = np.bincount(which.ravel(), halves, len(keys))
        self.lengths = dict(zip(map(tuple, keys.tolist()), lengths.tolist(), strict=True))

    def at(self, place: Floats, own: float) -> float:
        """Return the density around a place (zyx), without the length (voxels) of its own lines."""
        cell = np.floor(place / self.cell).astype(np.int64)
        beside = itertools.product(range(-self.around, self.around + 1), repeat=3)
        z, y, x = cell.tolist()
        length: float = sum(self.lengths.get((z + c, y + b, x + a), 0.0) for c, b, a in beside)
        low = np.maximum((cell - self.around) * self.cell, 0)
        high = np.minimum((cell + self.around + 1) * self.cell, self.shape)
        room = float(np.prod(np.maximum(high - low, 1)))
        return max(1000 * (length - own) / room, LEAST)


class Close:
    """The density of lines around two arms, within a narrow box."""

    def __init__(self, graph: Graph, shape: Zyx) -> None:
        self.density = Density(graph, shape, CLOSE_VOX, CLOSE_CELLS)

    def at(self, place: Floats, a: Arm, b: Arm) -> float:
        """Return the density around a place (zyx), without the arms."""
        return self.density.at(place, min(a.length, OWN_VOX) + min(b.length, OWN_VOX))

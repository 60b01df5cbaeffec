"""Cells of a volume: where they lie, and the background and noise of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.masks import (
    FAR,
    Correlation,
    Fills,
    find_fills,
    neighbour_correlation,
    spread_of,
    without,
)
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array

__all__ = [
    "UNREADABLE",
    "Cell",
    "CellGrid",
    "compact",
    "hull",
    "indices",
    "measure",
    "measure_cell",
    "reconcile",
    "reconcile_all",
    "sorted_values",
]

HARDLY_ANY = 64
"""A cell in which fewer than one voxel in this many is unmasked counts as unread."""


class Cell(NamedTuple):
    """Measurements of one cell, in the camera's units.

    background, noise: NaN if the cell cannot be read, or if hardly any of its voxels is unmasked:
    they are then estimated from neighbouring cells. values: values that are a mask. correlation: of
    the noise of neighbouring voxels, if some are masked.
    """

    background: float
    noise: float
    values: Fills = Fills()
    correlation: Correlation | None = None


UNREADABLE = Cell(math.nan, math.nan)
"""Result for a cell that cannot be read: it is estimated from its neighbours, so that a damaged
chunk only affects the blocks that need its voxels."""


def measure_cell(voxels: Array) -> tuple[float, float]:
    """Measure background and noise of one cell, in the camera's units; see measure."""
    return measure(voxels)[:2]


def measure(voxels: Array) -> Cell:
    """Measure one cell from its own voxels.

    The background is the median; the noise is 1.4826 times the median absolute deviation of
    the voxels below it, which bright neurites do not affect. Masked and non-finite voxels
    are left out; if hardly any others remain, both are NaN. Zeros far below
    everything else are also left out while a sixteenth of the cell remains.
    A cell without spread has noise 0: NoiseUnits sets a lower limit.
    """
    ordered = sorted_values(voxels)
    if ordered.dtype.kind == "f":
        ordered = ordered[np.isfinite(ordered)]
    if not ordered.size:
        return UNREADABLE
    values = find_fills(voxels, ordered)
    holes = ordered.size < voxels.size
    if not values.fills and not holes:
        return Cell(*_levels(ordered), values)
    masked = ~np.isfinite(voxels) if holes else np.zeros(voxels.shape, bool)
    for value in values.fills:
        masked |= voxels == value
        ordered = without(ordered, value)
    if HARDLY_ANY * ordered.size < voxels.size:
        return Cell(math.nan, math.nan, values)
    levels = spread_of(ordered) if values.fills else _levels(ordered)
    return Cell(*levels, values, neighbour_correlation(voxels, masked))


def sorted_values(voxels: Array) -> Array:
    """Sort the voxels of a cell: by counting, or in 32 bits, which NumPy sorts much faster."""
    flat, dtype = voxels.ravel(), voxels.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2:
        counts = np.bincount(flat)
        return np.repeat(np.arange(counts.size).astype(dtype), counts)
    if dtype.kind == "i" and dtype.itemsize <= 2:
        return np.asarray(np.sort(flat.astype(np.int32)).astype(dtype))
    return np.sort(flat)


def _levels(ordered: Array) -> tuple[float, float]:
    """Compute background and noise from sorted values, without zeros far below the others."""
    seen = ordered[np.searchsorted(ordered, 0, side="right") :] if ordered[0] == 0 else ordered
    if 16 * seen.size >= ordered.size:
        background, noise = spread_of(seen)
        if seen is ordered or background > FAR * noise:
            return background, noise
    return spread_of(ordered)


@dataclass(frozen=True)
class CellGrid:
    """Cells of a volume: fixed to its origin, the last of an axis up to half a cell longer."""

    shape: Zyx
    cell: int = 32

    @cached_property
    def counts(self) -> Zyx:
        """Number of cells along z, y and x."""
        z, y, x = (max(1, round(n / self.cell)) for n in self.shape)
        return z, y, x

    def box(self, index: Sequence[int]) -> Box:
        """Return the voxels of one cell."""
        start = [i * self.cell for i in index]
        stop = [
            n if i == count - 1 else (i + 1) * self.cell
            for i, n, count in zip(index, self.shape, self.counts, strict=True)
        ]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def centres(self, axis: int) -> NDArray[np.float64]:
        """Return the cells' centres along one axis, in voxel coordinates."""
        edges = np.append(np.arange(self.counts[axis]) * self.cell, self.shape[axis])
        return np.asarray((edges[:-1] + edges[1:] - 1) / 2)

    def needed_for(self, box: Box) -> Box:
        """Return the cells whose centres surround the voxels of `box`, as a box of indices."""
        lo, hi = [], []
        for axis in range(3):
            centres = self.centres(axis)
            first = int(np.searchsorted(centres, box.start[axis], side="right")) - 1
            last = int(np.searchsorted(centres, box.stop[axis] - 1, side="left"))
            lo.append(max(0, first))
            hi.append(min(self.counts[axis] - 1, last) + 1)
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))

    def touched_by(self, box: Box) -> Box:
        """Return the cells that a box touches, as a box of indices."""
        lasts = [(n - 1) // self.cell for n in box.stop]
        stop = [min(last, n - 1) + 1 for last, n in zip(lasts, self.counts, strict=True)]
        start = [min(a // self.cell, b - 1) for a, b in zip(box.start, stop, strict=True)]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def indices(cells: Box) -> Iterable[tuple[int, ...]]:
    """List the indices of a box of cells."""
    return itertools.product(*(range(a, b) for a, b in zip(cells.start, cells.stop, strict=True)))


def hull(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around boxes."""
    starts, stops = zip(*((b.start, b.stop) for b in boxes), strict=True)
    lo, hi = np.min(starts, axis=0), np.max(stops, axis=0)
    return Box((int(lo[0]), int(lo[1]), int(lo[2])), (int(hi[0]), int(hi[1]), int(hi[2])))


def compact(cells: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Part cells so that a box around each part holds few others: at the best plane, repeatedly."""

    def wasted(part: list[tuple[int, ...]]) -> int:
        sides = [max(along) - min(along) + 1 for along in zip(*part, strict=True)]
        return int(math.prod(sides)) - len(part)

    parted = [
        ([at for at in cells if at[axis] < plane], [at for at in cells if at[axis] >= plane])
        for axis in range(3)
        for plane in {at[axis] for at in cells}
    ]
    best = min((p for p in parted if all(p)), key=lambda p: sum(map(wasted, p)), default=None)
    if best is None or 4 * wasted(cells) <= len(cells):
        yield cells
    else:
        for part in best:
            yield from compact(part)


def reconcile_all(own: NDArray[np.float64], wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """Do what reconcile does for a box of cells; wide: their noise and that around, or NaN."""
    side = wide.shape[0] - own.shape[0] + 1
    around = np.lib.stride_tricks.sliding_window_view(wide, (side,) * 3).reshape(*own.shape, -1)
    known = np.sort(np.where(around > 0, around, np.nan), axis=-1)  # NaN comes last
    count = np.count_nonzero(known > 0, axis=-1)[..., np.newaxis]
    low, high = (
        np.take_along_axis(known, np.maximum(at, 0), -1)[..., 0]
        for at in ((count - 1) // 2, count // 2)
    )
    quiet = np.where(count[..., 0] > 0, (low + high) / 2, 0.0)
    return np.where(own > 0, np.maximum(np.minimum(own, quiet), own / 4), quiet)


def reconcile(own: float, near: list[float]) -> float:
    """Return the noise of a cell from its own value and its neighbours' (including itself)."""
    known = [noise for noise in near if noise > 0]
    quiet = float(median(known)) if known else 0.0
    if not own > 0:  # nothing varies in it, or it cannot be read
        return quiet
    return max(min(float(own), quiet), float(own) / 4)

"""Noise units: every volume read as signal over local noise.

    x = asinh((I - background) / noise)

Background and noise are measured on a grid of cells fixed to the volume's origin. A cell
depends on its own voxels alone, so every block of the volume computes exactly the same
values: no seams, no first pass over the data, no constants of one camera.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import ReadError
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array, Volume, check_finite

__all__ = ["CellGrid", "NoiseUnits", "measure_cell", "to_noise_units"]

Floats = NDArray[np.float32]
Levels = NDArray[np.floating[Any]]


DEEPEST = 6.0
"""How far below the background a value may read, in noise; deeper is cut."""

NEIGHBOURS = 1
"""How many cells each way take part in one cell's noise."""


def measure_cell(voxels: Array) -> tuple[float, float]:
    """Measure background and noise of one cell, in the camera's units.

    The background is the median; the noise 1.4826 times the median absolute deviation of
    the voxels below it, which bright neurites do not reach. Zeros far below everything
    else are a mask, not a measurement, and are left out while a sixteenth of the cell
    remains. A cell without spread has noise 0: NoiseUnits gives it a floor.

    Voxels that are not finite are left out too; a cell of no others is UNREADABLE.
    """
    ordered = np.sort(voxels, axis=None)
    if ordered.dtype.kind == "f":
        ordered = ordered[np.isfinite(ordered)]
    if not ordered.size:
        return UNREADABLE
    seen = ordered[np.searchsorted(ordered, 0, side="right") :] if ordered[0] == 0 else ordered
    if 16 * seen.size >= ordered.size:
        background, noise = _median_and_lower_spread(seen)
        if seen is ordered or background > DEEPEST * noise:
            return background, noise
    return _median_and_lower_spread(ordered)


def _median_and_lower_spread(ordered: Array) -> tuple[float, float]:
    """Take median and spread below it from sorted values (sorted: no second pass)."""
    background = ordered[ordered.size // 2]
    below = int(np.searchsorted(ordered, background, side="left"))
    if below == 0:
        return background.item(), 0.0  # whole numbers stay whole: 64 bits exceed a float
    return background.item(), 1.4826 * (background.item() - ordered[below // 2].item())


UNREADABLE = (float("nan"), float("nan"))
"""What a cell measures that cannot be read: it is guessed from its neighbours, so that one
damaged chunk fails the blocks that need its voxels, and no others."""


@dataclass(frozen=True)
class CellGrid:
    """Cells of a volume: fixed to its origin, the last of an axis up to half a cell longer."""

    shape: Zyx
    cell: int = 32

    @property
    def counts(self) -> Zyx:
        """Number of cells along z, y and x."""
        z, y, x = (max(1, round(n / self.cell)) for n in self.shape)
        return z, y, x

    def box(self, index: Sequence[int]) -> Box:
        """Give the voxels of one cell."""
        start = [i * self.cell for i in index]
        stop = [
            n if i == count - 1 else (i + 1) * self.cell
            for i, n, count in zip(index, self.shape, self.counts, strict=True)
        ]
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def centres(self, axis: int) -> NDArray[np.float64]:
        """Give the cells' centres along one axis, in voxel coordinates."""
        edges = np.append(np.arange(self.counts[axis]) * self.cell, self.shape[axis])
        return np.asarray((edges[:-1] + edges[1:] - 1) / 2)

    def needed_for(self, box: Box) -> Box:
        """Give the cells between whose centres the voxels of `box` lie, as a box of indices."""
        lo, hi = [], []
        for axis in range(3):
            centres = self.centres(axis)
            first = int(np.searchsorted(centres, box.start[axis], side="right")) - 1
            last = int(np.searchsorted(centres, box.stop[axis] - 1, side="left"))
            lo.append(max(0, first))
            hi.append(min(self.counts[axis] - 1, last) + 1)
        return Box((lo[0], lo[1], lo[2]), (hi[0], hi[1], hi[2]))


@dataclass
class NoiseUnits:
    """Reads boxes of one volume in noise units; remembers the cells that it has measured.

    volume: any Volume; each of its cells is read once, a layer of cells at a time.
    cell: voxels along each side of a cell.
    """

    volume: Volume
    cell: int = 32
    _measured: dict[tuple[int, ...], tuple[float, float]] = field(default_factory=dict, repr=False)

    @property
    def grid(self) -> CellGrid:
        """The cells of the volume."""
        return CellGrid(self.volume.shape, self.cell)

    def read(self, box: Box) -> Floats:
        """Read a box (zyx, float32) in noise units.

        Raises ReadError when the box cannot be read, or a voxel of it is not finite.
        """
        voxels = self.volume.read(box)
        check_finite(voxels, self.volume, box)
        return self.convert(voxels, box)

    def convert(self, voxels: Array, box: Box) -> Floats:
        """Turn voxels that were read at `box` into noise units (zyx, float32)."""
        background, noise = self.levels(box)
        signal = voxels.astype(self._subtracts)  # a float32 after, not before, the subtraction
        signal -= background
        signal /= noise
        signal = signal.astype(np.float32, copy=False)
        if voxels.size and not voxels.min():
            # a zero far below the background is a mask, not a measurement: it reads as background
            signal[(voxels == 0) & (signal < -DEEPEST)] = 0
        np.maximum(signal, -DEEPEST, out=signal)
        np.arcsinh(signal, out=signal)
        return signal

    @property
    def _subtracts(self) -> type[np.floating[Any]]:
        """The type in which voxel less background is exact: float32 has 24 bits, float64 53."""
        dtype = self.volume.dtype
        if dtype.kind in "iu" and dtype.itemsize == 8:
            return np.longdouble  # 64 bits on x86
        narrow = dtype.itemsize <= (2 if dtype.kind in "iu" else 4)
        return np.float32 if narrow else np.float64

    def levels(self, box: Box) -> tuple[Levels, Levels]:
        """Give background and noise of each voxel of a box (zyx, the camera's units).

        float32, or the wider type that the background of wider voxels needs.
        """
        cells = self.grid.needed_for(box)
        background, noise = self._combined(cells)
        return self._interpolate(background, cells, box), self._interpolate(noise, cells, box)

    def cells(self, box: Box) -> tuple[Levels, Levels]:
        """Give background and noise (the camera's units) of the cells that a box touches."""
        lasts = [(n - 1) // self.cell for n in box.stop]
        stop = [min(last, n - 1) + 1 for last, n in zip(lasts, self.grid.counts, strict=True)]
        start = [min(a // self.cell, b - 1) for a, b in zip(box.start, stop, strict=True)]
        return self._combined(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))

    def _combined(self, cells: Box) -> tuple[Levels, Levels]:
        """Combine each cell with its neighbours, so that a crowded one does not hide its own.

        Neurites in a cell inflate the noise measured there; the quietest half of the
        neighbourhood tells what the noise really is. It never falls below the rounding of
        the camera, nor to less than a quarter of what the cell itself shows.
        """
        wide = cells.grow(NEIGHBOURS).intersect(Box.of(self.grid.counts))
        self._measure(wide)
        wider = np.promote_types(self._subtracts, np.float64)
        table = np.array([self._measured[i] for i in _indices(wide)], wider)
        background, noise = np.moveaxis(table.reshape(*wide.shape, 2), -1, 0)
        combined = np.empty(cells.shape, np.float64)
        for index in _indices(cells):
            one = Box.of((1, 1, 1)).shift(index)
            at = one.relative_to(wide).start
            around = one.grow(NEIGHBOURS).intersect(wide).relative_to(wide).slices
            combined[tuple(np.subtract(index, cells.start))] = _reconcile(noise[at], noise[around])
            if np.isnan(background[at]):
                background[at] = _median_of(background[around])
        inner = cells.relative_to(wide).slices
        combined = np.maximum(combined, self._rounding(background[inner]))
        return background[inner].astype(self._subtracts), combined.astype(np.float32)

    def _rounding(self, background: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the least noise there can be: one grey level, or what its floats resolve."""
        if self.volume.dtype.kind in "iub":
            return np.ones_like(background)
        resolved = 1e-15 if self.volume.dtype == np.float64 else 1e-6
        return np.maximum(np.abs(background) * resolved, 1e-12)

    def _measure(self, cells: Box) -> None:
        """Measure the cells not seen before, one layer of cells at a time."""
        missing = [i for i in _indices(cells) if i not in self._measured]
        for _, layer in itertools.groupby(missing, key=lambda index: index[0]):
            self._measure_layer(list(layer))

    def _measure_layer(self, indices: list[tuple[int, ...]]) -> None:
        boxes = {index: self.grid.box(index) for index in indices}
        slab = _hull(boxes.values())
        try:
            voxels = self.volume.read(slab)
        except ReadError:
            if len(indices) == 1:
                self._measured[indices[0]] = UNREADABLE
            else:
                for index in indices:
                    self._measure_layer([index])
            return
        for index, box in boxes.items():
            self._measured[index] = measure_cell(voxels[box.relative_to(slab).slices])

    def _interpolate(self, values: Levels, cells: Box, box: Box) -> Levels:
        """Interpolate between cell centres, axis by axis, with the same roundings in any block."""
        for axis in range(3):
            centres = self.grid.centres(axis)
            at = np.arange(box.start[axis], box.stop[axis])
            right = np.clip(np.searchsorted(centres, at, side="right"), 1, max(1, len(centres) - 1))
            if len(centres) == 1:
                lower = upper = np.zeros_like(at)
                weight = np.zeros(len(at), values.dtype)
            else:
                lower, upper = right - 1, right
                span = centres[upper] - centres[lower]
                weight = np.clip((at - centres[lower]) / span, 0, 1).astype(values.dtype)
            last = values.shape[axis] - 1
            lower = np.clip(lower - cells.start[axis], 0, last)
            upper = np.clip(upper - cells.start[axis], 0, last)
            weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
            low, high = values.take(lower, axis), values.take(upper, axis)
            high -= low
            high *= weight
            high += low
            values = high
        return values


def to_noise_units(voxels: Array, *, cell: int = 32) -> Floats:
    """Turn a whole array (zyx) into noise units (float32)."""
    from neuroglow.space.opening import open_volume

    return NoiseUnits(open_volume(voxels), cell).read(Box.of(voxels.shape))


def _reconcile(own: float, near: NDArray[np.float64]) -> float:
    """Give the noise of a cell from what it and its neighbours (itself among them) show."""
    quiet = _median_of(near[near > 0])
    if not own > 0:  # nothing varies in it, or it cannot be read
        return quiet
    return max(min(float(own), quiet), float(own) / 4)


def _median_of(values: NDArray[np.float64]) -> float:
    """Give the median of those that are numbers, 0 where none is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else 0.0


def _indices(cells: Box) -> Iterable[tuple[int, ...]]:
    return itertools.product(*(range(a, b) for a, b in zip(cells.start, cells.stop, strict=True)))


def _hull(boxes: Iterable[Box]) -> Box:
    starts, stops = zip(*((b.start, b.stop) for b in boxes), strict=True)
    lo, hi = np.min(starts, axis=0), np.max(stops, axis=0)
    return Box((int(lo[0]), int(lo[1]), int(lo[2])), (int(hi[0]), int(hi[1]), int(hi[2])))

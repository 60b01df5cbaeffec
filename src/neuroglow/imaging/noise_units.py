"""Noise units: every volume read as signal over local noise.

    x = asinh((I - background) / noise)

Background and noise are measured on a grid of cells fixed to the volume's origin. A cell
depends only on its own voxels, so every block of the volume computes exactly the same
values: no seams, no first pass over the data, no constants of one camera.

Masked voxels (imaging/masks.py) and non-finite voxels read as background. A network
is shown noise there, similar to that of the tissue, because it would detect sheets at an abrupt
border.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import ReadError
from neuroglow.files.remarks import listed, remark
from neuroglow.imaging.cells import (
    UNREADABLE,
    Cell,
    CellGrid,
    compact,
    hull,
    indices,
    measure,
    measure_cell,
    reconcile,
    reconcile_all,
)
from neuroglow.imaging.masks import FAR, Fills, sigma_of
from neuroglow.imaging.polarity import ENOUGH, Polarity, say_of
from neuroglow.space.geometry import Box
from neuroglow.space.inverted import is_inverted
from neuroglow.space.volume import Array, ArrayVolume, Volume

__all__ = [
    "CellGrid",
    "NoiseUnits",
    "measure_cell",
    "quiet_noise_units",
    "say_holes",
    "to_noise_units",
]

Floats = NDArray[np.float32]
Levels = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]
Index = tuple[int, ...]
Between = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

DEEPEST = FAR
"""Lowest value below the background, in noise; deeper values are clipped."""

NEIGHBOURS = 1
"""Number of cells in each direction that contribute to a cell's noise."""

FARTHEST = 3
"""Number of cells in each direction used to estimate the background of an unreadable cell."""

PART = 1 << 16
"""Voxels that are converted at a time, so that the intermediate values stay in the cache."""

LAYER = 64
"""Voxels along z that are read at a time to measure cells: chunks are decoded whole."""

SEED = 20_261_128
"""Seed of the noise that a network is shown where tissue is masked."""


class _Turn:
    """Held while one thread reads, or looks. In another process it is a new one."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[_Turn], tuple[()]]:
        return _Turn, ()


@dataclass
class NoiseUnits:
    """Reads boxes of one volume in noise units; caches the cells that it has measured.

    volume: any Volume; each of its cells is read once, a layer of cells at a time.
    cell: voxels along each side of a cell. tells: says itself what it sees of the volume.

    polarity: whether structures are darker than the background; has_holes: whether voxels are
    NaN or infinite, as far as the volume was read.
    """

    volume: Volume
    cell: int = 32
    tells: bool = True
    polarity: Polarity = field(default_factory=Polarity, repr=False)
    has_holes: bool = field(default=False, repr=False)
    _measured: dict[Index, Cell] = field(default_factory=dict, repr=False)
    _levels: dict[Index, tuple[float, float]] = field(default_factory=dict, repr=False)
    _reading: _Turn = field(default_factory=_Turn, repr=False, compare=False)
    _looking: _Turn = field(default_factory=_Turn, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Let the look for dark neurites know how much there is to see."""
        if self.tells:
            self.polarity.of = math.prod(self.volume.shape)

    @cached_property
    def grid(self) -> CellGrid:
        """The cells of the volume."""
        return CellGrid(self.volume.shape, self.cell)

    def read(self, box: Box) -> Floats:
        """Read a box (zyx, float32) in noise units; masked voxels read as background, 0.

        Raises ReadError when the box cannot be read.
        """
        return self.convert(self.read_grey(box), box)

    def read_grey(self, box: Box) -> Array:
        """Read a box as it is stored; cells that lie whole in it are measured, and not read again.

        Raises ReadError when the box cannot be read.
        """
        with self._reading:
            voxels = self.volume.read(box)
            for index in indices(self.grid.touched_by(box)):
                if index not in self._measured and box.contains(cell := self.grid.box(index)):
                    self._measured[index] = measure(voxels[cell.relative_to(box).slices])
        return voxels

    def read_filled(self, box: Box) -> tuple[Floats, Floats, Bools | None]:
        """Read a box in noise units, the same for a network, and which voxels are masked.

        For a network, masked voxels are filled with noise; None: nothing is masked.
        """
        x = np.empty(box.shape, np.float32)
        shown, mask = self.convert_filled(self.read_grey(box), box, x)
        return x, shown, mask

    def convert_filled(
        self, voxels: Array, box: Box, x: Floats, *, looks: bool = True
    ) -> tuple[Floats, Bools | None]:
        """Convert voxels that were read at `box` to noise units in x; see read_filled.

        looks: for dark neurites; False for the rest of a box in which that was done.
        """
        mask = self._convert(voxels, box, x, looks=looks)
        return x if mask is None else self._filled(x, mask, box), mask

    def convert(self, voxels: Array, box: Box) -> Floats:
        """Convert voxels that were read at `box` to noise units (zyx, float32)."""
        x = np.empty(box.shape, np.float32)
        self._convert(voxels, box, x)
        return x

    def _convert(self, voxels: Array, box: Box, x: Floats, *, looks: bool = True) -> Bools | None:
        """Convert voxels to noise units in x, and return which are masked; None: none are."""
        holes = voxels.dtype.kind == "f" and not np.isfinite(voxels).all()
        if holes:
            self.has_holes = True
            voxels = np.where(np.isfinite(voxels), voxels, np.nan)
        fields = self._fields(box)
        looks, masks = looks and (holes or self.polarity.looks), self._may_be_masked(box)
        if not (looks or holes or masks):
            self._signal(voxels, box, x, fields, ends=True)
            return None
        self._signal(voxels, box, x, fields)
        mask = self._masked(voxels, x, box) if masks else None
        if holes:
            mask = np.isnan(voxels) if mask is None else mask | np.isnan(voxels)
        if mask is not None:
            x[mask] = 0
        if looks:
            self._look(x, mask)
        for one in _parts(box):
            part = one.relative_to(box).slices
            _end(x[part], voxels[part], x[part])
        return mask

    def _look(self, signal: Floats, mask: Bools | None) -> None:
        """Look for dark neurites, and say what is seen of the volume."""
        with self._looking:
            self.polarity.look(signal, mask)
        if self.tells:
            say_of([self.volume.name], self.polarity, inverted=is_inverted(self.volume))
            say_holes([self.volume.name] if self.has_holes else [])

    def _signal(
        self,
        voxels: Array,
        box: Box,
        signal: Floats,
        fields: tuple[_Field, _Field],
        *,
        ends: bool = False,
    ) -> None:
        """Write voxels less background, over noise: so many at a time as stay in the cache.

        fields: background and noise of the box. ends: writes noise units at once, see _end.
        """
        background, noise = fields
        for one in _parts(box):
            part = one.relative_to(box).slices
            exact = voxels[part].astype(self._subtracts)  # a float32 after, not before, subtracting
            exact -= background.within(part)
            exact /= noise.within(part)
            if ends:
                _end(exact.astype(np.float32, copy=False), voxels[part], signal[part])
            else:
                signal[part] = exact

    def _may_be_masked(self, box: Box) -> bool:
        """Return whether a cell that a box touches, or a neighbour, has a value like a mask."""
        around = self.grid.touched_by(box).grow(NEIGHBOURS).intersect(Box.of(self.grid.counts))
        return any(self._measured[index].values != Fills() for index in indices(around))

    def _masked(self, voxels: Array, signal: Floats, box: Box) -> Bools | None:
        """Return which voxels have a value that is a mask in their cell, or far off and next to it.

        signal: voxels minus background, over noise.
        """
        mask = None
        for index in indices(self.grid.touched_by(box)):
            own, near = self._fills_of(index)
            if own or near:
                mask = np.zeros(voxels.shape, bool) if mask is None else mask
                part = self.grid.box(index).intersect(box).relative_to(box).slices
                for value in own:
                    mask[part] |= voxels[part] == value
                for value in near:
                    mask[part] |= (voxels[part] == value) & (np.abs(signal[part]) > FAR)
        return mask if mask is not None and mask.any() else None

    def _fills_of(self, index: Index) -> tuple[set[Any], set[Any]]:
        """Return the values that are a mask in a cell, from itself and its neighbours."""
        around = self._around(index, NEIGHBOURS)
        own = self._measured[index].values
        near = {value for cell in around for value in cell.values.fills}
        mine = set(own.fills)
        if own.alone is not None and (
            own.alone in near or all(cell.values.alone == own.alone for cell in around)
        ):
            mine.add(own.alone)
        return mine, near - mine - set(own.real)

    def _around(self, index: Index, reach: int) -> list[Cell]:
        """Return a measured cell and its neighbours."""
        one = Box.of((1, 1, 1)).shift(index)
        wide = one.grow(reach).intersect(Box.of(self.grid.counts))
        return [self._measured[i] for i in indices(wide)]

    def _filled(self, x: Floats, mask: Bools, box: Box) -> Floats:
        """Fill masked voxels with noise that depends only on their position."""
        from neuroglow.imaging.fields import correlated_noise_at  # SciPy: takes long to import

        filled = x.copy()
        for index in indices(self.grid.touched_by(box)):
            place = self.grid.box(index).intersect(box)
            part = place.relative_to(box).slices
            if mask[part].any():
                noise = correlated_noise_at(place, self._blur(index), SEED)
                filled[part][mask[part]] = np.arcsinh(noise[mask[part]])
        return filled

    def _blur(self, index: Index) -> tuple[float, float, float]:
        """Return the blur (voxels, zyx) that makes white noise similar to the tissue's here."""
        known = [c.correlation for c in self._around(index, NEIGHBOURS) if c.correlation]
        own = self._measured[index].correlation
        return sigma_of(own or (np.median(known, axis=0).tolist() if known else (0.0, 0.0, 0.0)))

    @property
    def _subtracts(self) -> type[np.floating[Any]]:
        """The type in which voxel less background is exact: float32 has 24 bits, float64 53."""
        dtype = self.volume.dtype
        if dtype.kind in "iu" and dtype.itemsize == 8:
            return np.longdouble  # 64 bits on x86
        narrow = dtype.itemsize <= (2 if dtype.kind in "iu" else 4)
        return np.float32 if narrow else np.float64

    def levels(self, box: Box) -> tuple[Levels, Levels]:
        """Return background and noise of each voxel of a box (zyx, the camera's units).

        float32, or a wider type if the background of wide integers needs it.
        """
        background, noise = (field.within(Box.of(box.shape).slices) for field in self._fields(box))
        return background, noise

    def cells(self, box: Box) -> tuple[Levels, Levels]:
        """Return background and noise (the camera's units) of the cells that a box touches."""
        return self._combined(self.grid.touched_by(box))

    def _combined(self, cells: Box) -> tuple[Levels, Levels]:
        """Combine each cell with its neighbours, so that crowded cells do not hide their neurites.

        Neurites in a cell inflate the noise measured there; the quietest half of the
        neighbourhood gives a better estimate. The noise is never below the rounding of
        the camera, nor below a quarter of the cell's own value.
        A cell that cannot be read is estimated from its surroundings.
        """
        self._measure(cells.grow(NEIGHBOURS))
        background, noise = self._plain(cells) or self._one_by_one(cells)
        noise = np.maximum(noise.astype(np.float64), self._rounding(background))
        return background.astype(self._subtracts), noise.astype(np.float32)

    def _plain(self, cells: Box) -> tuple[NDArray[Any], NDArray[np.float64]] | None:
        """Return background and noise where all cells are measured and nothing looks like a mask.

        The same values as one by one, for all cells at once; None: a cell around them is not so.
        """
        wide = cells.grow(NEIGHBOURS)
        inside = wide.intersect(Box.of(self.grid.counts))
        found = [self._measured[index] for index in indices(inside)]
        if any(cell.values != Fills() for cell in found):
            return None
        wider = np.promote_types(self._subtracts, np.float64)
        background = np.array([cell.background for cell in found], wider).reshape(inside.shape)
        noise = np.full(wide.shape, np.nan)
        noise[inside.relative_to(wide).slices] = np.reshape([c.noise for c in found], inside.shape)
        if np.isnan(background).any():
            return None
        own = noise[cells.relative_to(wide).slices]
        return background[cells.relative_to(inside).slices], reconcile_all(own, noise)

    def _one_by_one(self, cells: Box) -> tuple[NDArray[Any], NDArray[Any]]:
        wider = np.promote_types(self._subtracts, np.float64)
        table = np.array([self._levels_of(i) for i in indices(cells)], wider)
        background, noise = np.moveaxis(table.reshape(*cells.shape, 2), -1, 0)
        return background, noise

    def _levels_of(self, index: Index) -> tuple[float, float]:
        """Return background and noise of a cell, its neighbours taken into account, once each."""
        if index not in self._levels:
            self._levels[index] = self._reconciled(index)
        return self._levels[index]

    def _reconciled(self, index: Index) -> tuple[float, float]:
        cell = self._measured[index]
        for reach in range(NEIGHBOURS, FARTHEST + 1):
            if reach > NEIGHBOURS:
                self._measure(Box.of((1, 1, 1)).shift(index).grow(reach))
            around = self._around(index, reach)
            masks = {value for other in around for value in other.values.fills}
            readable = [c for c in around if not (c.values.alone in masks or np.isnan(c.noise))]
            noise = [c.noise for c in readable]
            if cell in readable:
                return cell.background, reconcile(cell.noise, noise)
            if readable:
                return float(np.median([c.background for c in readable])), reconcile(0, noise)
        return (0.0 if np.isnan(cell.background) else cell.background), 0.0

    def _rounding(self, background: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the smallest possible noise: one grey level, or the float type's resolution."""
        if self.volume.dtype.kind in "iub":
            return np.ones_like(background)
        resolved = 1e-15 if self.volume.dtype == np.float64 else 1e-6
        return np.maximum(np.abs(background) * resolved, 1e-12)

    def _measure(self, cells: Box) -> None:
        """Measure the cells not seen before, a layer as thick as a chunk usually is at a time."""
        inside = cells.intersect(Box.of(self.grid.counts))
        if all(i in self._measured for i in indices(inside)):
            return
        with self._reading:
            missing = [i for i in indices(inside) if i not in self._measured]
            for _, layer in itertools.groupby(missing, key=lambda at: at[0] * self.cell // LAYER):
                for together in compact(list(layer)):
                    self._measure_together(together)

    def _measure_together(self, cells: list[Index]) -> None:
        boxes = {index: self.grid.box(index) for index in cells}
        slab = hull(boxes.values())
        try:
            voxels = self.volume.read(slab)
        except ReadError:
            if len(cells) == 1:
                self._measured[cells[0]] = UNREADABLE
            else:
                for index in cells:
                    self._measure_together([index])
            return
        for index, box in boxes.items():
            self._measured[index] = measure(voxels[box.relative_to(slab).slices])

    def _fields(self, box: Box) -> tuple[_Field, _Field]:
        """Return background and noise of a box, interpolated between cell centres."""
        cells = self.grid.needed_for(box)
        lower, _, weight = self._between(0, cells, box)
        background, noise = (
            _Field(self._planes(values, cells, box), lower, weight.astype(values.dtype))
            for values in self._combined(cells)
        )
        return background, noise

    def _planes(self, values: Levels, cells: Box, box: Box) -> Levels:
        """Interpolate between cell centres along y and x: planes at the centres along z."""
        for axis in (1, 2):
            lower, upper, weight = self._between(axis, cells, box)
            low, high = (values.take(at, axis, mode="clip") for at in (lower, upper))
            high -= low
            high *= weight.astype(values.dtype).reshape([-1 if a == axis else 1 for a in range(3)])
            high += low
            values = high
        return values

    def _between(self, axis: int, cells: Box, box: Box) -> Between:
        """Return the cells of which each voxel along an axis lies between the centres."""
        centres = self.grid.centres(axis)
        at = np.arange(box.start[axis], box.stop[axis])
        if len(centres) == 1:
            return np.zeros_like(at), np.zeros_like(at), np.zeros(len(at))
        upper = np.clip(np.searchsorted(centres, at, side="right"), 1, len(centres) - 1)
        lower = upper - 1
        weight = np.clip((at - centres[lower]) / (centres[upper] - centres[lower]), 0, 1)
        last = cells.shape[axis] - 1
        lower, upper = (np.clip(index - cells.start[axis], 0, last) for index in (lower, upper))
        return lower, upper, weight


class _Field:
    """Background or noise of a box: planes at the centres of cells along z, and between them."""

    def __init__(self, planes: Levels, lower: NDArray[np.intp], weight: Levels) -> None:
        self._planes, self._lower, self._weight = planes, lower, weight
        self._steps = np.zeros_like(planes)
        np.subtract(planes[1:], planes[:-1], out=self._steps[:-1])

    def within(self, part: tuple[slice, slice, slice]) -> Levels:
        """Return the values of a part of the box (zyx)."""
        depth, rows, columns = part
        lower, weight = self._lower[depth], self._weight[depth, np.newaxis, np.newaxis]
        at = slice(lower[0], lower[0] + 1) if len(lower) == 1 else lower  # a view, not a copy
        values = self._steps[at, rows, columns] * weight
        values += self._planes[at, rows, columns]
        return values


def to_noise_units(voxels: Array, *, cell: int = 32) -> Floats:
    """Convert a whole array (zyx) to noise units (float32)."""
    from neuroglow.formats.opening import open_volume

    return NoiseUnits(open_volume(voxels), cell).read(Box.of(voxels.shape))


def quiet_noise_units(voxels: Array) -> Floats:
    """Convert an array that we made ourselves (zyx): nothing in it is looked for or remarked on."""
    enough = Polarity(seen=ENOUGH)
    units = NoiseUnits(ArrayVolume(voxels), tells=False, polarity=enough)
    return units.read(Box.of(voxels.shape))


def say_holes(names: list[str]) -> None:
    """Say of volumes that they have voxels of NaN or infinite, which are read as masked."""
    if names:
        remark(f"voxels of NaN or infinite are read as masked in {listed(names)}")


def _parts(box: Box) -> Iterator[Box]:
    """Cut a box into parts of about PART voxels: rows of one plane, or several planes."""
    (first, top, left), (last, bottom, right) = box.start, box.stop
    rows = min(max(1, PART // max(1, right - left)), max(1, bottom - top))
    planes = max(1, PART // max(1, rows * (right - left)))
    for y in range(top, bottom, rows):
        for z in range(first, last, planes):
            yield Box((z, y, left), (min(z + planes, last), min(y + rows, bottom), right))


def _end(signal: Floats, voxels: Array, x: Floats) -> None:
    """Write a signal over noise to x as noise units; signal is overwritten."""
    if voxels.size and not voxels.min():
        # a zero far below the background is not a measurement: it reads as background
        signal[(voxels == 0) & (signal < -DEEPEST)] = 0
    if signal.size and signal.min() < -DEEPEST:  # seldom; a look costs a quarter of it
        np.maximum(signal, -DEEPEST, out=signal)
    np.arcsinh(signal, out=x)

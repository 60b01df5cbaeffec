"""Projections along the three axes, collected block by block.

The maximum over the very many planes of a thick volume looks full, and turns white. Therefore a
volume thicker than THICK planes is cut into slabs, and shown as the mean of the brightest quarter
of their maxima; its middle MIDDLE planes along each axis are projected too. Slabs have fixed
places, so that the picture does not depend on the blocks. Each block writes its own small file,
so that a run that is killed and resumed loses none; memory does not grow with the volume.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.files.writing import appearing
from neuroglow.space.geometry import Box, Zyx, tile
from neuroglow.space.volume import Array

__all__ = [
    "Image",
    "bin_size",
    "block_projections",
    "flatten",
    "has_middle",
    "merge_projections",
    "middle_projections",
    "project_boxes",
    "save_projections",
    "slab_size",
]

Floats = NDArray[np.float32]
Image = Array | Sequence[tuple[Box, Array]]

LARGEST = 1200
"""Maximum number of pixels along the longer side; larger volumes are binned by maximum."""

THICK, SLABS, BRIGHTEST = 128, 16, 4
"""Planes up to which all are projected together; slabs of a thicker volume; one in so many of them
is among the brightest."""

STRIP = 1 << 15
"""Pixels that are flattened at a time, so that they stay in the cache."""

MIDDLE = 16
"""Planes of the middle slab along each axis."""


def bin_size(shape: Sequence[int]) -> int:
    """Return the voxels per axis that share one pixel."""
    return -(-max(shape) // LARGEST)


def slab_size(shape: Sequence[int], axis: int) -> int:
    """Give the planes of a slab along an axis: all of them where the volume is thin."""
    planes, bins = shape[axis], bin_size(shape)
    return -(-planes // (SLABS * bins)) * bins if planes > THICK else -(-planes // bins) * bins


def block_projections(voxels: Array, box: Box, bins: int) -> dict[str, Array]:
    """Return maxima of a block (zyx; at `box`) along z, y and x; `bins` voxels per pixel."""
    flat = _binned(_finite(voxels), box, bins)
    return {name: flat.max(axis) for axis, name in enumerate("zyx")}


def block_slabs(voxels: Array, box: Box, shape: Sequence[int]) -> dict[str, Array]:
    """Give the maxima of a block in each slab that it reaches, first axis: slabs; in bins."""
    found = _slabs(voxels, box, shape)
    if all(np.isfinite(part).all() for part in found.values()):
        return found
    return _slabs(_finite(voxels), box, shape)


def _slabs(voxels: Array, box: Box, shape: Sequence[int]) -> dict[str, Array]:
    """Give the maxima of block_slabs; plane by plane, so that each is taken from memory once."""
    bins = bin_size(shape)
    flat = _binned(voxels, box, bins)
    z, y, x = (_starts(box, shape, axis) for axis in range(3))
    along_z, along_y, along_x = [], [], []
    for first, stop in itertools.pairwise([*z, len(flat)]):
        brightest = flat[first].copy()
        for plane in flat[first:stop]:
            np.maximum(brightest, plane, out=brightest)
            along_y.append(_maxima(plane, y, 0))
            along_x.append(_row_maxima(plane, x))
        along_z.append(brightest)
    return {
        "z": np.stack(along_z),
        "y": np.stack(along_y, axis=1),
        "x": np.moveaxis(np.stack(along_x), -1, 0),
    }


def _starts(box: Box, shape: Sequence[int], axis: int) -> NDArray[np.intp]:
    """Return where slabs begin within a block along an axis, in bins; the first at 0."""
    bins, size = bin_size(shape), slab_size(shape, axis)
    edges = np.arange(box.start[axis] // size, -(-box.stop[axis] // size)) * size // bins
    return np.maximum(edges - box.start[axis] // bins, 0)


def _maxima(voxels: Array, starts: NDArray[np.intp], axis: int) -> Array:
    """Do what np.maximum.reduceat does, which along all but the last axis is ten times slower."""
    if axis == voxels.ndim - 1:
        return np.asarray(np.maximum.reduceat(voxels, starts, axis=axis))
    slabs = np.split(voxels, starts[1:], axis)
    return np.stack([slab.max(axis) for slab in slabs], axis)


def _row_maxima(plane: Array, starts: NDArray[np.intp]) -> Array:
    """Do what _maxima does along the rows of a plane, for float32 in half the time.

    Floats that are not negative have the order of the whole numbers of the same bits. A NaN with a
    sign may be overlooked, which the maxima along the other axes show.
    """
    if plane.dtype == np.float32:
        found = np.maximum.reduceat(plane.view(np.int32), starts, axis=1)
        if found.size and found.min() >= 0:
            return np.asarray(found.view(np.float32))
    return _maxima(plane, starts, 1)


def flatten(slabs: Floats) -> Floats:
    """Give the mean of the brightest quarter of slabs (the first axis); of fewer, their maximum.

    NaN, where nothing is known, counts in no mean.
    """
    count = len(slabs) // BRIGHTEST
    if count < 2:
        return np.asarray(np.fmax.reduce(slabs, axis=0))
    flat = np.zeros(slabs.shape[1:], np.float32)
    rows = max(1, STRIP // max(1, slabs.shape[-1]))
    for start in range(0, len(flat), rows):
        part = slabs[:, start : start + rows]
        if part.any():
            flat[start : start + rows] = _mean_of_brightest(part, count)
    return flat


def _mean_of_brightest(slabs: Floats, count: int) -> Floats:
    best = np.full((count, *slabs.shape[1:]), -np.inf, np.float32)
    for slab in np.where(np.isnan(slabs), np.float32(-np.inf), slabs):
        rest = slab
        for place in best:  # each keeps the brighter of two, and passes the other on
            darker = np.minimum(place, rest)
            np.maximum(place, rest, out=place)
            rest = darker
    there = np.isfinite(best)
    total = np.where(there, best, 0).sum(axis=0)
    return np.where(there.any(axis=0), total / np.maximum(there.sum(axis=0), 1), np.nan)


def project_boxes(
    read: Callable[[Box], Array],
    shape: Zyx,
    block: int,
    look: Callable[[Array, Box], object] = lambda voxels, box: None,
) -> dict[str, Floats]:
    """Give projections of what is read by box along z, y and x, block by block, in bins.

    look: called with the voxels and the box of each block, so that they are read once.
    """
    whole = _empty(shape)
    for part in tile(Box.of(shape), (block,) * 3):
        voxels = read(part.read)
        look(voxels, part.read)
        _merge(whole, block_slabs(voxels, part.read, shape), part.read.start, shape)
    return {axis: flatten(slabs) for axis, slabs in whole.items()}


def has_middle(shape: Sequence[int]) -> bool:
    """Return whether a volume is so thick along each axis that its middle slab shows more."""
    return min(shape) >= 4 * MIDDLE


def middle_slab(shape: Sequence[int], axis: int) -> Box:
    """Return the box of the middle planes along one axis."""
    start, stop = [0, 0, 0], [int(n) for n in shape]
    start[axis] = (stop[axis] - MIDDLE) // 2
    stop[axis] = start[axis] + MIDDLE
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def middle_projections(voxels: Array, box: Box, shape: Sequence[int]) -> dict[str, Array]:
    """Project the voxels of a block that lie in the middle slab along z, y and x.

    Axes along which the block does not reach the slab are left out.
    """
    found = {}
    for axis, name in enumerate("zyx"):
        part = box.intersect(middle_slab(shape, axis))
        if part.size:
            inside = np.asarray(voxels)[part.relative_to(box).slices]
            found[name] = _binned(_finite(inside), part, bin_size(shape)).max(axis)
    return found


def save_projections(
    path: Path,
    named: Mapping[str, Image],
    box: Box,
    shape: Sequence[int],
    *,
    middle: bool = False,
    others: Mapping[str, Array] | None = None,
    floats: type[np.floating[Any]] = np.float32,
) -> None:
    """Write the projections of several images of one block: `raw_z` ..., `raw_middle_z` ...

    named: the images; of those but the first, there may be only boxes of the block and what is
    in each; the rest is 0. box: the block's place in a volume of `shape`, zyx voxels. middle: of
    its middle slab too. others: arrays that are kept with them as they are. floats: the type in
    which floats are kept.
    """
    parts, found = dict(others or {}), dict[str, Array]()
    middle = middle and has_middle(shape)
    for name, image in named.items():
        if isinstance(image, np.ndarray):
            found = _projected(image, box, shape, middle=middle)
        else:
            dtype = image[0][1].dtype if image else np.uint8
            found = {axis: np.zeros(part.shape, dtype) for axis, part in found.items()}
            for place, voxels in image:
                inside = place.shift(box.start)
                _place(found, _projected(voxels, inside, shape, middle=middle), inside, box, shape)
        parts |= {f"{name}_{axis}": _as(part, floats) for axis, part in found.items()}
    with appearing(path) as partial, partial.open("wb") as file:
        np.savez(file, **{"start": np.array(box.start), **parts})  # type: ignore[arg-type]  # numpy's stub takes the names for allow_pickle


def _as(part: Array, floats: type[np.floating[Any]]) -> Array:
    return part.astype(floats, copy=False) if part.dtype.kind == "f" else part


def _place(
    whole: Mapping[str, Array],
    part: Mapping[str, Array],
    inside: Box,
    box: Box,
    shape: Sequence[int],
) -> None:
    """Put the projections of a box inside a block into those of the block, by maximum."""
    bins = bin_size(shape)
    first, start = ([a // bins for a in one.start] for one in (box, inside))
    for name, found in part.items():
        axis, slab = "zyx".index(name[-1]), 0
        if not name.startswith("middle"):
            size = slab_size(shape, axis)
            slab = inside.start[axis] // size - box.start[axis] // size
        corner = [
            slab,
            *(b - a for i, (a, b) in enumerate(zip(first, start, strict=True)) if i != axis),
        ]
        at = tuple(slice(a, a + n) for a, n in zip(corner, found.shape, strict=True))
        np.maximum(whole[name][at], found, out=whole[name][at])


def _projected(voxels: Array, box: Box, shape: Sequence[int], *, middle: bool) -> dict[str, Array]:
    """Project one image of a block along `z`, `y`, `x`, and its middle slab: `middle_z` ..."""
    found = block_slabs(voxels, box, shape)
    if middle:
        for axis, part in middle_projections(voxels, box, shape).items():
            found[f"middle_{axis}"] = part[np.newaxis]
    return found


def merge_projections(
    files: Iterable[Path], shape: Zyx, name: str, *, levels: int = 1
) -> dict[str, Floats]:
    """Merge the blocks' projections of one image; NaN where no block reported.

    name: of the image; with `_middle` appended, of its middle slab. levels: the value that means 1
    where a block kept whole numbers.
    """
    whole = _empty(shape, middle=name.endswith("_middle"))
    for file in files:
        with np.load(file) as parts:
            found = {axis: parts[key] for axis in "zyx" if (key := f"{name}_{axis}") in parts}
            found = {axis: _shares(part, levels) for axis, part in found.items()}
            _merge(whole, found, tuple(parts["start"].tolist()), shape)
    return {axis: flatten(slabs) for axis, slabs in whole.items()}


def _shares(part: Array, levels: int) -> Floats:
    """Return whole numbers as shares of what means 1; real numbers are such already."""
    found = part.astype(np.float32)
    return found if part.dtype.kind == "f" or levels == 1 else found / np.float32(levels)


def _binned(voxels: Array, box: Box, bins: int) -> Array:
    """Give a block's maxima in bins of the whole volume."""
    flat = np.asarray(voxels)
    for axis in range(3 if bins > 1 else 0):
        edges = np.arange(box.start[axis] // bins, -(-box.stop[axis] // bins)) * bins
        flat = _maxima(flat, np.maximum(edges - box.start[axis], 0), axis)
    return flat


def _finite(voxels: Array) -> Array:
    """Replace infinite voxels, which are not known either, by the lowest of the others."""
    flat = np.asarray(voxels)
    if flat.dtype.kind == "f" and not (known := np.isfinite(flat)).all() and known.any():
        return np.where(known, flat, flat[known].min())
    return flat


def _empty(shape: Zyx, *, middle: bool = False) -> dict[str, Floats]:
    """Make slabs along each axis, or only the middle one, of which nothing is known."""
    size = [-(-n // bin_size(shape)) for n in shape]
    count = [1 if middle else -(-n // slab_size(shape, k)) for k, n in enumerate(shape)]
    return {
        name: np.full((count[k], *np.delete(size, k)), np.nan, np.float32)
        for k, name in enumerate("zyx")
    }


def _merge(
    whole: Mapping[str, Floats], found: Mapping[str, Array], start: Sequence[int], shape: Zyx
) -> None:
    """Merge the slabs of a block, which begins at `start`, into the volume's, by maximum."""
    for k, axis in enumerate("zyx"):
        if axis not in found:
            continue
        part = found[axis].astype(np.float32, copy=False)
        first = start[k] // slab_size(shape, k) if len(whole[axis]) > 1 else 0
        corner = [first, *(a // bin_size(shape) for i, a in enumerate(start) if i != k)]
        at = tuple(slice(a, a + n) for a, n in zip(corner, part.shape, strict=True))
        whole[axis][at] = np.fmax(whole[axis][at], part)

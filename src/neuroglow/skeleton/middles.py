"""Middle lines of a probability, collected block by block; the blocks do not affect them.

In a block, voxels that stand out are detected and peeled PEELS layers deep, with the margin that
this needs. Whatever is thicker is thinned at the end, for all blocks together. Memory grows with
the length of the neurites (and the cores of thick bodies), not with the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.thinning import (
    NEIGHBOURS,
    REACH,
    DenseVoxels,
    SparseVoxels,
    find_keys,
    keys_of,
    places_of,
    subfields,
    thin,
)
from neuroglow.skeleton.widened import widened
from neuroglow.space.geometry import Block, Box, Zyx, tile

__all__ = [
    "HALO",
    "Middles",
    "detected_in",
    "find_middles",
    "finish_middles",
    "middles_of_block",
]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
ReadBox = Callable[[Box], Floats]

DECIMALS = 5
"""Resolution, in voxels, to which middles are stored."""

PEELS = 5
"""Layers that are peeled in each block: neurites up to twice as thick become lines there."""

DEEP = REACH * PEELS + 1
"""Voxels around a block on which its lines depend: for peeling, and one for neighbours."""

CAVITY = 22
"""Voxels along each axis of the largest cavity that is filled."""

BESIDE, SHARE = 2, 0.6
"""A voxel is detected only from this share of the highest probability within so many voxels: what
is lower between two neurites belongs to neither."""

SHALLOW = 3
"""Voxels within which a nearest undetected one is looked for by steps."""

HALO = DEEP + CAVITY + BESIDE
"""Voxels read around a block: any cavity that reaches into DEEP is whole in there."""


@dataclass(frozen=True)
class Middles:
    """Voxels of middle lines, in the order of their keys.

    places: (n, 3) zyx in the volume. off: (n, 3) voxels from there to the middle.
    probability: (n,) of the voxel. peak: (n,) the highest around it; a faint branch begins so far
    from a bright neurite. radii: (n,) distance (um) to the nearest undetected voxel; limited to
    DEEP voxels.
    """

    places: NDArray[np.int64]
    off: Floats
    probability: Floats
    peak: Floats
    radii: Floats

    def where(self, chosen: Mask | NDArray[np.int64]) -> Middles:
        """Select some, by a mask or by indices."""
        return Middles(
            self.places[chosen],
            self.off[chosen],
            self.probability[chosen],
            self.peak[chosen],
            self.radii[chosen],
        )

    @classmethod
    def joined(cls, parts: Sequence[Middles]) -> Middles:
        """Concatenate those of several blocks."""
        none = np.empty(0, np.float32)
        places = np.empty((0, 3))
        parts = [cls(places.astype(np.int64), places.astype(np.float32), none, none, none), *parts]
        return cls(
            np.concatenate([p.places for p in parts]),
            np.concatenate([p.off for p in parts]),
            np.concatenate([p.probability for p in parts]),
            np.concatenate([p.peak for p in parts]),
            np.concatenate([p.radii for p in parts]),
        )


def find_middles(
    read: ReadBox,
    shape: Zyx,
    unit_um: Sequence[float],
    *,
    detected_from: float,
    block: int,
    tell: Callable[[Box], object] = lambda _: None,
) -> Middles:
    """Find the middle lines of all voxels that reach a probability, and stand out (detected_in).

    read: reads a box of the probability (zyx, float32, 0..1). unit_um: size of a voxel, zyx.
    detected_from: the probability. block: voxels per axis that are processed together.
    tell: called with the box of each finished block.
    """
    found = []
    for part in tile(Box.of(shape), (block,) * 3, halo=HALO):
        values = read(part.read)
        if values[part.inner.slices].max() >= detected_from:
            unit = np.asarray(unit_um, np.float64)
            found.append(middles_of_block(values, part, detected_from, unit))
        tell(part.write)
    return finish_middles(Middles.joined(found), shape)


def middles_of_block(
    values: Floats, part: Block, detected_from: float, unit_um: NDArray[np.float64]
) -> Middles:
    """Peel a block; return the remaining voxels of its inner part."""
    detected = detected_in(values, detected_from)
    part, values, detected = _near(part, HALO - BESIDE, values, detected)
    part, values, detected = _near(part, DEEP, values, _fill(detected))
    voxels = DenseVoxels(detected)
    keys = voxels.keys()
    thin(voxels, keys, subfields(voxels.places(keys) + part.read.start), iterations=PEELS)
    at = voxels.places(keys[voxels.has(keys)])
    at = at[((at >= part.inner.start) & (at < part.inner.stop)).all(axis=1)]
    radii, off = _measure(detected, at, unit_um)
    peak = _highest_around(values, at)
    return Middles(at + part.read.start, off, values[tuple(at.T)], peak, radii)


def detected_in(values: Floats, detected_from: float) -> Mask:
    """Return which voxels (zyx) reach a probability, and a SHARE of the highest BESIDE them."""
    wide = np.pad(values, BESIDE)
    flat, (_, rows, columns) = wide.ravel(), wide.shape
    at = np.flatnonzero(flat >= detected_from)
    highest = flat[at]
    for z, y, x in _ball(BESIDE).tolist():
        highest = np.maximum(highest, flat[at + (z * rows + y) * columns + x])
    detected = np.zeros(wide.shape, bool)
    detected.ravel()[at[flat[at] >= np.float32(SHARE) * highest]] = True
    return detected[(slice(BESIDE, -BESIDE),) * 3]


def _ball(radius: int) -> NDArray[np.int64]:
    """Return the offsets (k, 3) to all voxels within a radius."""
    offsets = np.indices((2 * radius + 1,) * 3).reshape(3, -1).T - radius
    return np.asarray(offsets[np.square(offsets).sum(axis=1) <= radius * radius], np.int64)


def _near(part: Block, margin: int, values: Floats, detected: Mask) -> tuple[Block, Floats, Mask]:
    """Cut off what lies farther than a margin from a block."""
    box = part.write.grow(margin).intersect(part.read)
    inside = box.relative_to(part.read).slices
    near = replace(part, read=box)
    return near, values[inside], detected[inside]


def _fill(detected: Mask) -> Mask:
    """Fill cavities: undetected voxels that are enclosed, at most CAVITY voxels along each axis.

    The nucleus of a soma is often dark, and noise leaves holes in neurites.
    """
    from scipy.ndimage import find_objects, label

    parts, _ = label(~detected)
    filled = detected.copy()
    for number, where in enumerate(find_objects(parts), start=1):
        enclosed = all(
            side.start > 0 and side.stop < size and side.stop - side.start <= CAVITY
            for side, size in zip(where, detected.shape, strict=True)
        )
        if enclosed:
            filled[where] |= parts[where] == number
    return filled


def _highest_around(values: Floats, at: NDArray[np.int64]) -> Floats:
    highest = values[tuple(at.T)]
    for offset in _ball(BESIDE + 1):
        beside = np.clip(at + offset, 0, np.array(values.shape) - 1)
        highest = np.maximum(highest, values[tuple(beside.T)])
    return np.asarray(highest)


def _measure(
    detected: Mask, at: NDArray[np.int64], unit_um: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Return the radius at detected places (um), and the offset to the middle (voxels, zyx).

    The distance transform (to the nearest undetected voxel) is read at each place and around it.
    The radius is the largest value: the half voxel to the centre of the undetected voxel makes up
    for the half by which the middle may lie off the centres. The middle is the centroid of the
    places about as far inside, because a line one voxel wide lies off the middle of an even number
    of voxels.
    """
    if not len(at):
        return np.empty(0, np.float32), np.empty((0, 3), np.float32)
    offsets = np.concatenate([np.zeros((1, 3), np.int64), NEIGHBOURS])
    around = keys_of((at[:, None] + offsets).reshape(-1, 3), detected.shape)
    keys, which = np.unique(around, return_inverse=True)
    depth = _depth(detected, places_of(keys, detected.shape), unit_um)[
        which.reshape(len(at), len(offsets))
    ]
    deepest = depth.max(axis=1)
    weight = np.maximum(depth - (deepest[:, None] - unit_um.min()), 0)
    # rounding micrometres would differ between blocks; the places must be equal in all of them
    off = np.round(weight @ offsets / weight.sum(axis=1)[:, None], DECIMALS)
    return np.asarray(deepest, np.float32), np.asarray(off, np.float32)


def _depth(detected: Mask, places: NDArray[np.int64], unit_um: NDArray[np.float64]) -> Floats:
    """Return the distance transform at places, at most DEEP; 0 if they are undetected or outside.

    Neurites are thin: nearly all places lie within SHALLOW voxels of an undetected one.
    """
    wide, offsets = np.pad(detected, SHALLOW, constant_values=True), _ball(SHALLOW)
    strides = np.array(wide.strides) // wide.itemsize
    flat, away = wide.ravel(), np.linalg.norm(offsets * unit_um, axis=1)
    order = np.argsort(away, kind="stable")
    order = order[away[order] <= SHALLOW * unit_um.min()]  # all that are as near are in the ball
    found = np.zeros(len(places))
    left = np.flatnonzero(((places >= 0) & (places < detected.shape)).all(axis=1))
    at = (places[left] + SHALLOW) @ strides
    for step, far in zip((offsets[order] @ strides).tolist(), away[order].tolist(), strict=True):
        deeper = flat[at + step]
        found[left[~deeper]] = far
        left, at = left[deeper], at[deeper]
    if len(left):
        found[left] = _deep(detected, places[left], unit_um)
    return np.asarray(found)


def _deep(detected: Mask, places: NDArray[np.int64], unit_um: NDArray[np.float64]) -> Floats:
    """Return the distance transform at detected places, at most DEEP.

    The undetected voxel nearest to a detected one touches a detected one, so only those are
    searched.
    """
    from scipy.spatial import cKDTree

    farthest = DEEP * float(unit_um.min())
    near = reduce(lambda mask, axis: widened(mask, 1, axis), range(3), detected)
    rim = np.argwhere(near & ~detected)
    if not len(rim):
        return np.full(len(places), farthest)
    away, _ = cKDTree(rim * unit_um).query(places * unit_um, distance_upper_bound=farthest)
    return np.asarray(np.minimum(away, farthest))


def finish_middles(middles: Middles, shape: Zyx) -> Middles:
    """Thin voxels that were too thick for a block, and sort all by key."""
    keys = keys_of(middles.places, shape)
    order = np.argsort(keys)
    keys = keys[order]
    voxels = SparseVoxels(keys, shape)
    thin(voxels, keys, subfields(middles.places[order]))
    _, left = find_keys(voxels.keys(), keys)
    return middles.where(order[left])

"""Deep places: where the thick parts of a mask are deepest, and whether they sprawl from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.widened import widened
from neuroglow.space.geometry import Box

__all__ = ["CORE", "LONG", "Deep", "deep_places", "filled"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

CORE = 0.6
"""Share of the largest depth down to which places belong to a body."""

LONG = 2.0
"""Farthest place of a compact body from its centre, over its radius."""

QUICK = 8
"""Voxels that are looked up in the time in which the depth of one is found, at least."""


@dataclass(frozen=True, eq=False)
class Deep:
    """A place (3, voxels) that is deepest within its own depth (um).

    sprawls: whether what is about as deep certainly goes on farther than a compact body.
    """

    at: Integers
    depth: float
    sprawls: bool


def deep_places(mask: Mask, unit: Floats, least: float, inner: Box) -> list[Deep]:
    """Return the deepest places of the thick parts of a mask, the deepest first.

    mask: zyx; cavities are filled, and outside counts as in. unit: size of a voxel (um). least:
    depth (um). inner: where they are wanted; elsewhere none is told to sprawl, and those that are
    not within their own depth of it may be left out.
    """
    from scipy.ndimage import find_objects, label

    if not mask.any():
        return []
    mask = filled(mask)
    parts, _ = label(_eroded(mask, unit, least))
    balls, margin = _Balls.of(mask, unit, least), np.ceil(least / unit).astype(np.int64) + 1
    found: list[Deep] = []
    for number, where in enumerate(find_objects(parts), start=1):
        part = _Part.of(where, mask.shape)
        if not part.is_far(inner, unit, least):
            box = part.grown(margin)
            if not mask[box.slices].all():  # larger than what is searched
                at = balls.fitting(np.argwhere(parts[where] == number) + part.low, box.size)
                found += box.deepest(mask, at, unit, least, inner) if len(at) else ()
    return sorted(found, key=lambda one: (-one.depth, one.at.tolist()))


def filled(mask: Mask) -> Mask:
    """Fill what is enclosed."""
    from scipy.ndimage import label

    parts, count = label(~mask)
    outer = np.zeros(count + 1, bool)
    for axis in range(3):
        for face in (0, -1):
            outer[np.unique(np.take(parts, face, axis=axis))] = True
    outer[0] = False
    return np.asarray(~outer[parts])


def _eroded(mask: Mask, unit: Floats, least: float) -> Mask:
    """Erode a mask by the axes of a ball; outside counts as in."""
    outside = ~mask
    near = outside.copy()
    for axis, half in enumerate(np.floor(least / unit).astype(np.int64).tolist()):
        near |= widened(outside, half, axis)
    return np.asarray(~near)


@dataclass(frozen=True, eq=False)
class _Balls:
    """Where balls of a radius fit into a mask; outside counts as in.

    flat, strides: the mask, padded by `wide` voxels. steps: to the places of a ball.
    """

    flat: Mask
    strides: Integers
    wide: Integers
    steps: Integers

    @classmethod
    def of(cls, mask: Mask, unit: Floats, radius: float) -> _Balls:
        """Prepare balls of a radius (um)."""
        wide = np.ceil(radius / unit).astype(np.int64)
        offsets = np.argwhere(np.ones(2 * wide + 1, bool)) - wide
        offsets = offsets[np.linalg.norm(offsets * unit, axis=1) < radius]
        padded = np.pad(mask, np.stack([wide, wide], axis=1), constant_values=True)
        strides = np.array(padded.strides) // padded.itemsize
        return cls(padded.ravel(), strides, wide, offsets @ strides)

    def fitting(self, at: Integers, box: int) -> Integers:
        """Keep those of some places (n, 3) that are the centre of a ball, if that is quickly told.

        box: number of voxels whose depths must be found otherwise.
        """
        if len(at) * len(self.steps) > QUICK * box:
            return at
        centres = (at + self.wide) @ self.strides
        return np.asarray(at[self.flat[centres[:, None] + self.steps].all(axis=1)])


@dataclass(frozen=True, eq=False)
class _Part:
    """The box of a connected thick part of a mask: its ends (voxels), and the mask's shape."""

    low: Integers
    high: Integers
    shape: Integers

    @classmethod
    def of(cls, where: tuple[slice, ...], shape: tuple[int, ...]) -> _Part:
        """Return the box that slices describe."""
        low, high = np.array([(side.start, side.stop) for side in where]).T
        return cls(low, high, np.array(shape))

    def grown(self, margin: Integers) -> _Part:
        """Return a larger box, within the mask."""
        high = np.minimum(self.high + margin, self.shape)
        return _Part(np.maximum(self.low - margin, 0), high, self.shape)

    def is_far(self, inner: Box, unit: Floats, least: float) -> bool:
        """Return whether no place of the part, before it is grown, is within its depth of a box.

        The ball of that depth, less what is eroded, lies in the part.
        """
        if (self.low == 0).any() or (self.high == self.shape).any():
            return False
        deepest = ((self.high - self.low) * unit).min() / 2 + least + unit.max()
        gaps = np.array([inner.start - self.high, self.low - np.array(inner.stop)])
        return bool((gaps * unit).max() > deepest)

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index."""
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))

    @property
    def size(self) -> int:
        """The number of voxels."""
        return int(np.prod(self.high - self.low))

    def deepest(
        self, mask: Mask, at: Integers, unit: Floats, least: float, inner: Box
    ) -> Iterator[Deep]:
        """Give those of some places (n, 3) that are deepest within their own depth."""
        from scipy.ndimage import distance_transform_edt
        from scipy.spatial import cKDTree

        seen = {"return_distances": False, "return_indices": True}
        nearest = distance_transform_edt(mask[self.slices], sampling=unit, **seen)
        own = at - self.low
        depths = np.linalg.norm((nearest[:, *own.T].T - own) * unit, axis=1)
        own, depths = own[depths >= least], depths[depths >= least]
        if not len(own):
            return
        near, free = cKDTree(own * unit), np.ones(len(own), np.bool_)
        for i in np.lexsort((*own.T[::-1], -depths)).tolist():
            if free[i]:
                place, depth = own[i] + self.low, float(depths[i])
                free[near.query_ball_point(own[i] * unit, 2 * depth)] = False
                wanted = ((place >= inner.start) & (place < inner.stop)).all()
                yield Deep(
                    place, depth, bool(wanted) and self._sprawls(nearest, own[i], depth, unit)
                )

    def _sprawls(self, nearest: Integers, at: Integers, depth: float, unit: Floats) -> bool:
        """Return whether what is about as deep as a place of the box leaves its surroundings.

        nearest: (3, z, y, x) places in the box nearest to each that are not in the mask.
        """
        from scipy.ndimage import label

        reach = np.floor(LONG * depth / unit).astype(np.int64) + 1
        low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, self.high - self.low)
        if (at - low < reach).all() and (high - at <= reach).all():
            return False
        sides = [np.arange(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)]
        parts = np.asarray(label(self._least_depth(nearest, sides, unit) >= CORE * depth)[0])
        own = np.argwhere(parts == parts[tuple(at - low)]) + low
        return bool(np.linalg.norm((own - at) * unit, axis=1).max() > LONG * depth)

    def _least_depth(self, nearest: Integers, sides: Sequence[Integers], unit: Floats) -> Floats:
        """Return how deep places are at least: beyond a face of the box anything may be."""
        grid, room = np.ix_(*sides), np.full((1, 1, 1), np.inf)
        square = np.zeros([len(side) for side in sides])
        for axis, side in enumerate(grid):
            square += np.square((nearest[axis][grid] - side) * unit[axis])
            if self.low[axis] > 0:
                room = np.minimum(room, (side + 1) * unit[axis])
            if self.high[axis] < self.shape[axis]:
                room = np.minimum(room, (self.high[axis] - self.low[axis] - side) * unit[axis])
        return np.asarray(np.minimum(np.sqrt(square), room))

"""Middle lines of a probability, gathered block by block, the same in any blocks.

A block is lit, and peeled PEELS layers deep, with as many voxels around it as that takes; what
is thicker is thinned at the end, all of it together. What is kept grows with the length of the
neurites (and the cores of thick bodies), not with the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from neuroglow.space.geometry import Block, Box, Zyx, tile

__all__ = ["HALO", "Middles", "find_middles"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
ReadBox = Callable[[Box], Floats]

DECIMALS = 5
"""Of a voxel, to which middles are kept."""

PEELS = 5
"""Layers that are peeled block by block: neurites twice as thick become lines there."""

HALO = REACH * PEELS + 2
"""Voxels read around a block: what peeling looks at, and a voxel more for holes and neighbours."""


@dataclass(frozen=True)
class Middles:
    """Voxels of middle lines, in the order of their keys.

    places: (n, 3) zyx in the volume. off: (n, 3) voxels from there to the middle.
    probability: (n,) of the voxel. peak: (n,) the highest around it. radii: (n,) um to the
    nearest voxel that is not lit, less half of a voxel; no more than what HALO voxels show.
    """

    places: NDArray[np.int64]
    off: Floats
    probability: Floats
    peak: Floats
    radii: Floats

    def where(self, chosen: Mask | NDArray[np.int64]) -> Middles:
        """Return those that are chosen: by a mask, or by their numbers."""
        return Middles(
            self.places[chosen],
            self.off[chosen],
            self.probability[chosen],
            self.peak[chosen],
            self.radii[chosen],
        )

    @classmethod
    def joined(cls, parts: Sequence[Middles]) -> Middles:
        """Put those of blocks together."""
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
    lit_from: float,
    block: int,
    tell: Callable[[Box], object] = lambda _: None,
) -> Middles:
    """Find the middle lines of what reaches a probability.

    read: gives a box of the probability (zyx, float32, 0..1). unit_um: of a voxel, zyx.
    lit_from: the probability. block: voxels per axis that are worked on together.
    tell: called with the box of each finished block.
    """
    found = []
    for part in tile(Box.of(shape), (block,) * 3, halo=HALO):
        values = read(part.read)
        if values[part.inner.slices].max() >= lit_from:
            found.append(_of_block(values, part, lit_from, np.asarray(unit_um, np.float64)))
        tell(part.write)
    return _finish(Middles.joined(found), shape)


def _of_block(
    values: Floats, part: Block, lit_from: float, unit_um: NDArray[np.float64]
) -> Middles:
    """Peel a block; give what is left of its inner part."""
    lit = _fill(values >= lit_from)
    voxels = DenseVoxels(lit)
    keys = voxels.keys()
    thin(voxels, keys, subfields(voxels.places(keys) + part.read.start), iterations=PEELS)
    at = voxels.places(keys[voxels.has(keys)])
    at = at[((at >= part.inner.start) & (at < part.inner.stop)).all(axis=1)]
    radii, off = _measure(lit, at, unit_um)
    peak = _highest_around(values, at)
    return Middles(at + part.read.start, off, values[tuple(at.T)], peak, radii)


def _fill(lit: Mask) -> Mask:
    """Light voxels of which all six faces are on lit ones: noise leaves such holes."""
    inside = np.ones(tuple(n - 2 for n in lit.shape), bool) if min(lit.shape) > 2 else None
    if inside is None:
        return lit
    inner = slice(1, -1)
    for axis in range(3):
        for side in (slice(0, -2), slice(2, None)):
            inside &= lit[tuple(side if a == axis else inner for a in range(3))]
    filled = lit.copy()
    filled[inner, inner, inner] |= inside
    return filled


def _highest_around(values: Floats, at: NDArray[np.int64]) -> Floats:
    highest = values[tuple(at.T)]
    for offset in NEIGHBOURS:
        beside = np.clip(at + offset, 0, np.array(values.shape) - 1)
        highest = np.maximum(highest, values[tuple(beside.T)])
    return np.asarray(highest)


def _measure(
    lit: Mask, at: NDArray[np.int64], unit_um: NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Return the radius at lit places (um), and how far off the middle they are (voxels, zyx).

    The distance transform (to the nearest dark voxel) is looked up at each place and around it:
    the radius is the largest, less half a voxel; the middle is the centroid of what is about as
    far inside, since lines one voxel wide run beside the middle of what is an even number wide.
    """
    if not len(at):
        return np.empty(0, np.float32), np.empty((0, 3), np.float32)
    offsets = np.concatenate([np.zeros((1, 3), np.int64), NEIGHBOURS])
    around = keys_of((at[:, None] + offsets).reshape(-1, 3), lit.shape)
    keys, which = np.unique(around, return_inverse=True)
    depth = _depth(lit, places_of(keys, lit.shape), unit_um)[which.reshape(len(at), len(offsets))]
    deepest = depth.max(axis=1)
    weight = np.maximum(depth - (deepest[:, None] - unit_um.min()), 0)
    # micrometres of a block are rounded as of no other: places are to be the same in all
    off = np.round(weight @ offsets / weight.sum(axis=1)[:, None], DECIMALS)
    return np.asarray(deepest - unit_um.min() / 2, np.float32), np.asarray(off, np.float32)


def _depth(lit: Mask, places: NDArray[np.int64], unit_um: NDArray[np.float64]) -> Floats:
    """Return the distance transform at places; 0 where they are dark or outside.

    The nearest dark voxel of a lit one touches a lit one, so only those are searched.
    """
    from scipy.ndimage import binary_dilation
    from scipy.spatial import cKDTree

    farthest = HALO * float(unit_um.min())
    found = np.zeros(len(places))
    inside = np.flatnonzero(((places >= 0) & (places < lit.shape)).all(axis=1))
    inside = inside[lit[tuple(places[inside].T)]]
    rim = np.argwhere(binary_dilation(lit, np.ones((3, 3, 3), bool)) & ~lit)
    found[inside] = farthest
    if len(rim):
        near = cKDTree(rim * unit_um)
        away, _ = near.query(places[inside] * unit_um, distance_upper_bound=farthest)
        found[inside] = np.minimum(away, farthest)
    return np.asarray(found)


def _finish(middles: Middles, shape: Zyx) -> Middles:
    """Thin what was too thick for a block, and order all by key."""
    keys = keys_of(middles.places, shape)
    order = np.argsort(keys)
    keys = keys[order]
    voxels = SparseVoxels(keys, shape)
    thin(voxels, keys, subfields(middles.places[order]))
    _, left = find_keys(voxels.keys(), keys)
    return middles.where(order[left])

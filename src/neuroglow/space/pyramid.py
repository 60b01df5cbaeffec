"""Coarser levels of a volume: means of 2 voxels along each axis that is finest at that level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import Array, VolumeSpec

__all__ = [
    "Level",
    "halve",
    "plan_levels",
]

COARSEST = 128
"""Maximum number of voxels of the coarsest level along each axis."""


@dataclass(frozen=True)
class Level:
    """One level: its name, its shape, and how many of the finest voxels one of its has, zyx."""

    name: str
    shape: Zyx
    factors: Zyx


def plan_levels(spec: VolumeSpec) -> list[Level]:
    """Plan the levels; an axis is halved unless its voxels are much coarser than the finest.

    Along z of an anisotropic volume, halving therefore starts when y and x have caught up.
    """
    size = np.array(spec.voxel_size_um or (1.0, 1.0, 1.0))
    levels = [Level("0", spec.shape, (1, 1, 1))]
    while max(levels[-1].shape) > COARSEST:
        last = levels[-1]
        now = size * last.factors
        steps = [
            2 if v < 1.5 * now.min() and n > 1 else 1 for v, n in zip(now, last.shape, strict=True)
        ]
        if max(steps) == 1:
            steps = [2 if n > 1 else 1 for n in last.shape]
        z, y, x = (math.ceil(n / s) for n, s in zip(last.shape, steps, strict=True))
        fz, fy, fx = (int(f * s) for f, s in zip(last.factors, steps, strict=True))
        levels.append(Level(str(len(levels)), (z, y, x), (fz, fy, fx)))
    return levels


def halve(voxels: Array, steps: tuple[int, ...]) -> Array:
    """Take means over `steps` voxels per axis (1 or 2); an odd last one is kept.

    Plane by plane, so that what lies between stays in the cache; planes of zeros remain so.
    """
    means = np.zeros(
        [-(-n // step) for n, step in zip(voxels.shape, steps, strict=True)], voxels.dtype
    )
    for at, plane in enumerate(means):
        planes = voxels[at * steps[0] : (at + 1) * steps[0]]
        if planes.any():
            plane[...] = _halved(planes, steps)[0]
    return means


def _halved(voxels: Array, steps: tuple[int, ...]) -> Array:
    means = voxels.astype(np.float32, copy=False)
    for axis, step in enumerate(steps):
        if step == 2:
            along = np.moveaxis(means, axis, 0)
            pairs = along[: len(along) // 2 * 2 : 2] + along[1::2]
            pairs *= 0.5
            rest = along[len(along) // 2 * 2 :]
            means = np.moveaxis(np.concatenate([pairs, rest]) if len(rest) else pairs, 0, axis)
    if voxels.dtype.kind in "ui":
        means = np.rint(means)
    return means

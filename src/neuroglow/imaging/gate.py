"""The gate: decides whether a tile of noise units contains anything for the network."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.box_means import box_means
from neuroglow.space.pyramid import halve

__all__ = ["coarse", "gate", "judge"]

STANDS_OUT = 5.0
"""Number of standard deviations by which the brightest box must stand out to open the gate."""

CORRELATED = 0.16
"""Standard deviation of the boxes above which the noise is not white (for white noise: 1/8)."""

BRIGHT = float(np.arcsinh(5))
"""Noise units above which voxels are looked at one by one: five times the noise."""

CONNECTED = 8
"""Number of connected bright voxels that open the gate: noise connects hardly two."""

CROWD, CROWDED = 8, 64
"""Side of a cube, in voxels, and how many of its voxels are bright where there is certainly
something: noise makes hardly five of 512 so bright."""


def gate(x: NDArray[np.float32]) -> bool:
    """Return whether anything stands out in a tile of noise units (zyx); see judge."""
    return judge(x) != "nothing"


def coarse(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip noise units (zyx), and take means over 2 voxels along each axis, as judge looks at."""
    means = np.empty([-(-n // 2) for n in x.shape], np.float32)
    for at, plane in enumerate(means):  # so few voxels stay in the cache
        plane[...] = halve(np.clip(x[2 * at : 2 * at + 2], -2, 3), (2, 2, 2))[0]
    return means


def judge(
    x: NDArray[np.float32], means: NDArray[np.float32] | None = None
) -> Literal["nothing", "something", "much"]:
    """Judge a tile of noise units (zyx); much: so bright that no closer look can close the gate.

    means: coarse(x), if it is known.

    A faint neurite is hidden among a million noisy voxels, but not among their means over
    boxes of 4 voxels per axis, spaced 2 voxels apart: noise averages out, a line less so. The
    tile passes if the brightest box stands out from the spread of all, relative to its own
    surroundings; and always if the noise of neighbouring voxels is correlated, because the
    boxes could then hide a neurite. A bright line one voxel wide fills too little of a box, and is
    found by its connected voxels.
    """
    bright = x > BRIGHT
    count = int(np.count_nonzero(bright))
    if count in (0, x.size) and (not x.size or x.max() <= x.min()):
        return "nothing"
    if count >= CROWDED and _has_crowd(bright):
        return "much"
    if _stands_out(coarse(x) if means is None else means) or (
        count >= CONNECTED and _has_line(bright)
    ):
        return "something"
    return "nothing"


def _has_crowd(bright: NDArray[np.bool_]) -> bool:
    """Return whether many bright voxels lie in one small cube."""
    z, y, x = (-(-n // CROWD) for n in bright.shape)
    whole = np.zeros((z * CROWD, y * CROWD, x * CROWD), bool)
    whole[tuple(slice(n) for n in bright.shape)] = bright
    rows = whole.view(np.uint64).reshape(z, CROWD, y, CROWD, x)  # eight voxels, a byte each
    counts = rows.sum(1).sum(2).view(np.uint8).reshape(z, y, x, CROWD)
    return bool(counts.sum(-1, dtype=np.uint16).max() >= CROWDED)


def _stands_out(means: NDArray[np.float32]) -> bool:
    """Return whether a box stands out, or the noise is correlated."""
    halved = means - box_means(means, 11)  # the first boxes hold fewer voxels: left out
    boxes = box_means(halved, 2)
    boxes = boxes[tuple(slice(1, None) if n > 1 else slice(None) for n in boxes.shape)]
    quarter, middle = _quartile_and_median(boxes.ravel())
    spread = (middle - quarter) / 0.6745
    return bool(spread > CORRELATED or boxes.max() - middle > STANDS_OUT * spread)


def _has_line(bright: NDArray[np.bool_]) -> bool:
    """Return whether voxels far above the noise touch each other, corners included."""
    from scipy import ndimage  # takes long to import, and is seldom needed

    pieces, _ = ndimage.label(bright, np.ones((3, 3, 3), bool))
    return bool(np.bincount(pieces[bright]).max() >= CONNECTED)


def _quartile_and_median(values: NDArray[np.float32]) -> tuple[float, float]:
    """Do what np.quantile does, in half the time: the quartile is found among the lower half."""
    middle, below = _at(values, (values.size - 1) / 2)
    return _at(below, (values.size - 1) / 4)[0], middle


def _at(values: NDArray[np.float32], place: float) -> tuple[float, NDArray[np.float32]]:
    """Return the value at a place in the order of values, and those up to the next one."""
    first = int(place)
    parted = np.partition(values, first)
    low, after = float(parted[first]), parted[first + 1 :]
    if not after.size:
        return low, parted
    parted[first + 1] = high = after.min()
    return low + (float(high) - low) * (place - first), parted[: first + 2]

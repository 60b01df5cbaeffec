"""The gate: decides whether a tile of noise units contains anything for the network."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.box_means import box_means

__all__ = ["coarse", "gate", "judge"]

STANDS_OUT = 5.5
"""Number of standard deviations by which the brightest box must stand out to open the gate."""

FAINT, SECOND, THIRD = 4.7, 4.2, 3.8
"""The same of the brightest box of a faint line: near it, another stands out by SECOND, or two by
THIRD. Noise has a box of FAINT in many tiles, but hardly another one next to it."""

NEAR = 8
"""Boxes along each axis, spaced 2 voxels apart, within which others are near."""

CORRELATED = 0.16
"""Standard deviation of the boxes above which the noise is not white (for white noise: 1/8)."""

BRIGHT = float(np.arcsinh(5))
"""Noise units above which voxels are looked at one by one: five times the noise."""

CONNECTED = 8
"""Number of connected bright voxels that open the gate: noise connects hardly two."""

AROUND = 10
"""Boxes along each axis, spaced 2 voxels apart, from whose mean a box must stand out."""

CROWD, CROWDED = 8, 64
"""Side of a cube, in voxels, and how many of its voxels are bright where there is certainly
something: noise makes hardly five of 512 so bright."""


def gate(x: NDArray[np.float32]) -> bool:
    """Return whether anything stands out in a tile of noise units (zyx); see judge."""
    return judge(x) != "nothing"


def coarse(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Clip noise units (zyx), and take means over 2 voxels along each axis, as judge looks at."""
    means = np.empty([-(-n // 2) for n in x.shape], np.float32)
    clipped = np.empty((2, *x.shape[1:]), np.float32)
    for at, plane in enumerate(means):  # so few voxels stay in the cache
        planes = x[2 * at : 2 * at + 2]
        np.clip(planes, -2, 3, out=clipped[: len(planes)])
        plane[...] = _paired(_paired(_paired(clipped[: len(planes)], 0), 1), 2)[0]
    return means


def _paired(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Take means over 2 values along an axis; an odd last one is kept."""
    even = values.shape[axis] // 2 * 2
    first, second, rest = (
        (slice(None),) * axis + (part,)
        for part in (slice(0, even, 2), slice(1, even, 2), slice(even, None))
    )
    pairs = values[first] + values[second]
    pairs *= 0.5
    return pairs if even == values.shape[axis] else np.concatenate([pairs, values[rest]], axis)


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
    if not x.size or x.max() <= BRIGHT:  # mostly so, and soon known
        bright, count = np.zeros(0, bool), 0
    else:
        bright = x > BRIGHT
        count = int(np.count_nonzero(bright))
    if count == x.size and (not count or x.max() <= x.min()):
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
    """Return whether a box stands out from what is around it, or the noise is correlated."""
    boxes = _boxes(means)
    boxes = boxes - _around(boxes)
    quarter, middle = _quartile_and_median(boxes.ravel())
    spread = (middle - quarter) / 0.6745
    highest = boxes.max() - middle
    return bool(
        spread > CORRELATED
        or highest > STANDS_OUT * spread
        or (highest > FAINT * spread and _has_others((boxes - middle) / spread))
    )


def _has_others(boxes: NDArray[np.float32]) -> bool:
    """Return whether others stand out near the brightest box, but those that overlap it."""
    top = np.unravel_index(boxes.argmax(), boxes.shape)
    near = boxes[tuple(slice(max(0, at - NEAR), at + NEAR + 1) for at in top)]
    peaks = []
    for _ in range(3):
        at = np.unravel_index(near.argmax(), near.shape)
        peaks.append(near[at])
        near[tuple(slice(max(0, n - 1), n + 2) for n in at)] = 0
    return bool(peaks[1] > SECOND or peaks[2] > THIRD)


def _boxes(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over 2 means along each axis that has several, each next to each.

    As one line, in which sums that cross the end of a row are not used.
    """
    means = np.ascontiguousarray(means)
    sums, count = means.reshape(-1), 1
    for step, n in zip(means.strides, means.shape, strict=True):
        if n > 1:
            sums, count = sums[: -step // 4] + sums[step // 4 :], 2 * count
    sums *= np.float32(1 / count)
    shape = [max(1, n - 1) for n in means.shape]
    return np.lib.stride_tricks.as_strided(sums, shape, means.strides, writeable=False)


def _around(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean over AROUND boxes along each axis around each, in steps of two."""
    smooth = box_means(boxes[::2, ::2, ::2], AROUND // 2)
    for axis in (2, 1, 0):
        smooth = smooth.repeat(2, axis)
    return smooth[tuple(slice(n) for n in boxes.shape)]


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

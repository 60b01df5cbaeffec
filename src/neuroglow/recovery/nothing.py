"""The same volume with nothing in it that runs on: shuffled, mirrored, or what lies beside lines.

Shuffled, grain, puncta and noise stay as they are; what ran on from block to block runs on no
more. Mirrored about the background, noise stays noise. And in the volume as it is, what is
detected as a short or thick thing, and no line, is most likely none. Whatever is detected as a
neurite there is false.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["beside", "line_like", "mirrored", "shuffled"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE = 10.0
"""Finest voxels an axis of the blocks that change places."""

LONG, THICK, NEAR = 24.0, 3.0, 3.0
"""Finest voxels: how long at least, and of what radius at most, something detected is that is
taken for a neurite; how far around it what is detected is still its own."""

ENOUGH = 24
"""Places without a neurite, at least; else those with the least of one are taken."""


def line_like(detected: Mask, stretch: NDArray[np.float64]) -> Mask:
    """Give what is detected, runs on over LONG finest voxels and is not THICK (zyx).

    That is what a neurite looks like; a spot, a nucleus or a wall does not.
    stretch: zyx, size of a voxel over that of the finest axis.
    """
    whole = ndimage.binary_opening(detected, _ball(THICK, stretch))
    thick = ndimage.binary_dilation(whole, _ball(2.0, stretch))
    parts, count = ndimage.label(detected & ~thick, np.ones((3, 3, 3)))
    long = np.zeros(count + 1, bool)
    for number, window in enumerate(ndimage.find_objects(parts), 1):
        sides = [(s.stop - s.start) * w for s, w in zip(window, stretch, strict=True)]
        long[number] = max(sides) >= LONG
    return np.asarray(long[parts])


def beside(lines: Mask, stretch: NDArray[np.float64]) -> Mask:
    """Give the voxels that are not within NEAR finest voxels of a line."""
    return np.asarray(~ndimage.binary_dilation(lines, _ball(NEAR, stretch)))


def _ball(radius: float, stretch: NDArray[np.float64]) -> Mask:
    """Give a ball of so many finest voxels as a structuring element of the volume's voxels."""
    reach = (radius / stretch).astype(int)
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    square = sum(np.square(axis * w) for axis, w in zip(axes, stretch, strict=True))
    return np.asarray(square <= radius**2)


def shuffled(
    rng: Generator, signal: Floats, neurites: Mask, stretch: NDArray[np.float64]
) -> Floats:
    """Fill a block with pieces of itself that hold no neurite, from anywhere in it, mirrored.

    signal: zyx, over noise; neurites: what is left out. Pieces are turned in plane too where y
    and x have the same voxel size.
    """
    size = [min(n, max(3, round(SIDE / w))) for n, w in zip(signal.shape, stretch, strict=True)]
    places = _places(neurites, size)
    square = size[1] == size[2]
    made = np.empty_like(signal)
    for corner in np.ndindex(*(-(-n // s) for n, s in zip(signal.shape, size, strict=True))):
        at = places[int(rng.integers(len(places)))]
        piece = signal[tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))]
        if square:
            piece = np.rot90(piece, int(rng.integers(4)), (1, 2))
        piece = piece[tuple(slice(None, None, int(s)) for s in rng.choice((-1, 1), 3))]
        to = tuple(
            slice(c * s, min(n, c * s + s))
            for c, s, n in zip(corner, size, signal.shape, strict=True)
        )
        made[to] = piece[tuple(slice(0, s.stop - s.start) for s in to)]
    return made


def _places(neurites: Mask, size: list[int]) -> NDArray[np.int64]:
    """Give the corners from which a piece holds no neurite, or the least of one."""
    held = neurites.astype(np.float64).cumsum(0).cumsum(1).cumsum(2)
    held = np.pad(held, ((1, 0), (1, 0), (1, 0)))
    for axis, s in enumerate(size):
        ends = np.arange(s, held.shape[axis])
        held = held.take(ends, axis) - held.take(ends - s, axis)
    most = max(
        0.5,
        float(
            np.partition(held, min(ENOUGH, held.size - 1), axis=None)[min(ENOUGH, held.size - 1)]
        ),
    )
    return np.argwhere(held <= most)


def mirrored(signal: Floats) -> Floats:
    """Turn bright into dark: noise stays noise, and a neurite becomes a shadow."""
    return -signal

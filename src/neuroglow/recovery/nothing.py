"""Volumes without neurites, made from the volume itself, in which every detection is false.

Shuffled: pieces of the volume change places. Grain, puncta and noise stay as they are, but no
neurite continues from one block to the next. Mirrored about the background: noise stays noise,
and neurites become shadows. In the unchanged volume, a short or thick detection away from every
detected line is most likely false, too.
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
"""Side, in finest voxels, of the blocks that change places."""

LONG, THICK, NEAR = 24.0, 3.0, 3.0
"""In finest voxels: minimum length and maximum radius of a detection that is taken for a
neurite; distance around it within which detected voxels still belong to it."""

ENOUGH = 24
"""Minimum number of places without a neurite; otherwise those with the fewest are taken."""


def line_like(detected: Mask, stretch: NDArray[np.float64]) -> Mask:
    """Return detections (zyx) that extend over LONG finest voxels and are not THICK.

    Neurites look like that; spots, nuclei and walls do not.
    stretch: zyx, size of a voxel relative to the finest axis.
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
    """Return the voxels farther than NEAR finest voxels from every line."""
    return np.asarray(~ndimage.binary_dilation(lines, _ball(NEAR, stretch)))


def _ball(radius: float, stretch: NDArray[np.float64]) -> Mask:
    """Return a ball (radius in finest voxels) as a structuring element in the volume's voxels."""
    reach = (radius / stretch).astype(int)
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    square = sum(np.square(axis * w) for axis, w in zip(axes, stretch, strict=True))
    return np.asarray(square <= radius**2)


def shuffled(
    rng: Generator, signal: Floats, neurites: Mask, stretch: NDArray[np.float64]
) -> Floats:
    """Fill a block with mirrored pieces of itself that contain no neurite.

    signal: zyx, in units of the noise; neurites: voxels to leave out. Pieces are also rotated in
    plane if y and x have the same voxel size.
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
    """Return the corners of pieces that contain no neurite, or the fewest neurite voxels."""
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

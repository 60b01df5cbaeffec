"""Indicators of one cube from its labels: in grey levels as in DB-Enhance, and in noise units.

Pure functions on arrays (zyx). A label contains BACKGROUND, NEURITE and IGNORE, or is True on
neurites; ignored voxels count as neither. Source of the first three:
DHPR_Image_Selection.py of DB-Enhance (MIT licence), reproduced exactly except for the seed and
for cubes on which the original fails.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neuroglow.labels.labels import BACKGROUND, NEURITE
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array

__all__ = ["Indicators", "Label", "analysed_box", "analysed_range", "in_noise_units", "reference"]

Label = NDArray[np.uint8] | NDArray[np.bool_]

LEAST_RANGE = 200
DENSE_VOXELS = 50_000
SAMPLE = 80_000
ABOVE_BACKGROUND = 60.0
NOISE_LIMIT = 6.5
LOW_SNR = 2.0
"""DB-Enhance's constants; 60 and 6.5 are grey levels of its camera."""

LOW_UNITS = float(np.arcsinh(2 * LOW_SNR))
"""The same bound in noise units: (I - background) / noise / 2 below 2."""


class Indicators(NamedTuple):
    """The three indicators of a cube, and its mean background.

    signal_density: 0..1. noise_variance: a standard deviation, in spite of its name, in grey
    levels or in noise units. low_snr_ratio: 0..1; 0 without a labelled voxel, since nothing
    is dim. background_mean: in the unit of the noise; 0 without a background voxel.
    """

    signal_density: float
    noise_variance: float
    low_snr_ratio: float
    background_mean: float


def reference(image: Array, label: Label, rng: Generator) -> Indicators:
    """Compute DB-Enhance's indicators: inside the labelled range, in grey levels.

    image, label: zyx. rng: samples the background, where it has
    more than 80,000 voxels. Without a labelled voxel the whole cube is analysed.
    """
    neurite = label == NEURITE
    inside = analysed_box(neurite).slices
    image, neurite = image[inside], neurite[inside]
    background = image[label[inside] == BACKGROUND].astype(np.float64)
    if background.size > SAMPLE:
        background = rng.permutation(background)[:SAMPLE]
    mean = noise = 0.0
    if background.size:
        background = background[background <= background.mean() + ABOVE_BACKGROUND]
        mean, noise = float(background.mean()), float(background.std())
    snr = (image[neurite].astype(np.float64) - mean) / (min(noise, NOISE_LIMIT) + 1e-5) / 2
    density = min(1.0, int(neurite.sum()) / DENSE_VOXELS)
    return Indicators(density, noise, _share(snr < LOW_SNR), mean)


def in_noise_units(x: Array, label: Label) -> Indicators:
    """Compute the same for a cube in noise units (zyx, asinh), without constants of one camera.

    The density is the neurites' share of the voxels that are not ignored; the noise is the
    spread of the background below its median, which is 1 if noise units fit; each voxel's SNR is
    relative to the local noise.
    """
    neurite = label == NEURITE
    background = np.sinh(x[label == BACKGROUND].astype(np.float64))
    density = int(neurite.sum()) / max(1, int(neurite.sum()) + background.size)
    middle = float(np.median(background)) if background.size else 0.0
    below = background[background <= middle]
    noise = 1.4826 * float(np.median(middle - below)) if below.size else 0.0
    return Indicators(density, noise, _share(x[neurite] < LOW_UNITS), middle)


def analysed_box(label: NDArray[np.bool_]) -> Box:
    """Return the box that is analysed: the labelled range, widened; everything without a label."""
    if not label.any():
        return Box.of(label.shape)
    ranges = []
    for axis, size in enumerate(label.shape):
        others = tuple(a for a in range(3) if a != axis)
        at = np.flatnonzero(label.any(axis=others))
        ranges.append(analysed_range(int(at[0]), int(at[-1]), size))
    (z0, z1), (y0, y1), (x0, x1) = ranges
    return Box((z0, y0, x0), (z1, y1, x1))


def analysed_range(lo: int, hi: int, size: int, limit: int = LEAST_RANGE) -> tuple[int, int]:
    """Return the analysed range of one axis (half-open), of which lo..hi are labelled.

    As in DB-Enhance, the last labelled plane is left out if the range is `limit` or more.
    """
    if hi - lo + 1 >= limit:
        return lo, hi
    centre = (lo + hi) / 2
    return int(max(0, centre - limit / 2)), int(min(size, centre + limit / 2))


def _share(mask: Array) -> float:
    return float(mask.mean()) if mask.size else 0.0

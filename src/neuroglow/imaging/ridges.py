"""Ridges without a network: the filter of Sato et al. 1998, fast enough for whole blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

__all__ = ["REACH", "SIGMAS", "ridges"]

Floats = NDArray[np.float32]

SIGMAS, REACH = (1, 2), 10
"""The filter's scales, and its reach: four times the wider one, plus the second difference."""

TRUNCATE = 5.0


def ridges(x: Floats, sigmas: Sequence[float] = SIGMAS) -> Floats:
    """Return the response of each voxel (zyx) to bright lines, over all scales: 0 or more.

    The same as skimage.filters.sato(x, sigmas, black_ridges=False), within rounding: Gaussian
    derivatives are truncated at TRUNCATE instead of a hundred deviations, and the eigenvalues of
    all voxels are computed at once (Smith 1961).
    """
    best = np.zeros(x.shape, np.float32)
    for sigma in sigmas:
        first, second = _two_largest(_hessian(-x, sigma))
        both = np.maximum(first, 0) * np.maximum(second, 0)
        np.maximum(best, np.float32(sigma**2) * np.sqrt(both), out=best)
    return best


def _hessian(x: Floats, sigma: float) -> list[Floats]:
    """Return the second derivatives of a smoothed volume: zz, zy, zx, yy, yx, xx."""

    def derived(values: Floats, axis: int) -> Floats:
        order = [int(a == axis) for a in range(3)]
        scale = sigma / np.sqrt(2)  # twice, which smooths by sigma in all
        return np.asarray(gaussian_filter(values, scale, order, truncate=TRUNCATE), np.float32)

    slopes = [derived(x, axis) for axis in range(3)]
    pairs = combinations_with_replacement(range(3), 2)
    return [derived(slopes[a], b) for a, b in pairs]


def _two_largest(hessian: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return the two largest eigenvalues of symmetric 3 x 3 matrices, the larger first."""
    zz, zy, zx, yy, yx, xx = hessian
    mean: Floats = (zz + yy + xx) / np.float32(3)
    zz, yy, xx = zz - mean, yy - mean, xx - mean
    off = zy * zy + zx * zx + yx * yx
    spread = np.sqrt((zz * zz + yy * yy + xx * xx + 2 * off) / 6)
    determinant = zz * (yy * xx - yx * yx) - zy * (zy * xx - yx * zx) + zx * (zy * yx - yy * zx)
    cosine = determinant / np.maximum(2 * spread**3, np.float32(1e-30))
    angle = np.arccos(np.clip(cosine, -1, 1)) / 3
    largest = 2 * spread * np.cos(angle)
    least = 2 * spread * np.cos(angle + np.float32(2 * np.pi / 3))
    return mean + largest, mean - largest - least

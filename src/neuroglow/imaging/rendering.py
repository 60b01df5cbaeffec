"""Neurites as light: points distributed over voxels, weighted to a known peak, blurred."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging.neurites import Neurite, Points
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE
from neuroglow.space.geometry import Zyx

__all__ = ["FOOT", "label", "render", "splat"]

Floats = NDArray[np.float32]

HALF_PEAK, FOOT = 0.5, 0.2
"""A neurite is labelled down to half of its blurred peak, and ignored down to a fifth."""

CALIBRES_VOX = (0.4, 1.0, 1.8, 3.0)
"""Radii that are rendered together: each neurite takes the nearest."""


def render(
    neurites: Sequence[Neurite], shape: Zyx, sigma_vox: Sequence[float]
) -> tuple[Floats, Floats]:
    """Render neurites as blurred lines.

    Returns (signal, extent), both zyx float32: `signal` has each neurite's own SNR at its
    peak; in `extent` every peak is 1, which shows where the neurites are.
    """
    signal, extent = np.zeros((2, *shape), np.float32)
    nearest = [
        int(np.abs(np.log(n.radius_vox / np.array(CALIBRES_VOX))).argmin()) for n in neurites
    ]
    for calibre, radius in enumerate(CALIBRES_VOX):
        chosen = [n for n, k in zip(neurites, nearest, strict=True) if k == calibre]
        if not chosen:
            continue
        sigma = np.sqrt(np.square(sigma_vox) + (0.6 * radius) ** 2)
        points, weight, snr = (
            np.concatenate(part) for part in zip(*(line(n, sigma) for n in chosen), strict=True)
        )
        for grid, values in ((signal, weight * snr), (extent, weight)):
            shared = splat(points, values, shape)
            np.add(
                grid,
                ndimage.gaussian_filter(shared, sigma, mode="constant", truncate=3),
                out=grid,
            )
    return signal, extent


def line(neurite: Neurite, sigma: Points) -> tuple[Points, Points, Points]:
    """Return points along a neurite with the weights that make its blurred peak 1.

    A straight line of weight w per voxel, direction u, blurred by the Gaussian of
    covariance S, peaks at w / (2 pi sqrt(det S * u' S^-1 u)).
    """
    points = neurite.points
    if len(points) < 2:
        return points, np.zeros(len(points)), neurite.snr
    steps = np.gradient(points, axis=0)
    length = np.linalg.norm(steps, axis=1)
    along = steps / (length[:, None] + 1e-9)
    spread = np.prod(sigma) * np.sqrt(np.sum(np.square(along / sigma), axis=1))
    return points, 2 * np.pi * spread * length, neurite.snr


def splat(points: Points, values: Points, shape: Zyx) -> Floats:
    """Distribute each point's value over the eight voxels around it."""
    grid = np.zeros(shape, np.float32)
    base = np.floor(points).astype(int)
    share = points - base
    for corner in np.ndindex(2, 2, 2):
        at = base + corner
        weight = values * np.prod(np.where(corner, share, 1 - share), axis=1)
        inside = ((at >= 0) & (at < shape)).all(axis=1)
        np.add.at(grid, tuple(at[inside].T), weight[inside])
    return grid


def label(target: Floats, extent: Floats) -> NDArray[np.uint8]:
    """Label a voxel neurite down to half of the peak, and ignore it below that down to a fifth."""
    values = np.full(target.shape, BACKGROUND, np.uint8)
    values[extent > FOOT] = IGNORE
    values[extent > HALF_PEAK] = NEURITE
    values[(values == NEURITE) & (target < 0.5)] = IGNORE
    return values

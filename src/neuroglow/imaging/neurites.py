"""Neurites as lines: their course, their calibre, their brightness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.space.geometry import Zyx

__all__ = ["Neurite", "Points", "beads", "centreline", "log_uniform", "unit", "walk"]

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Neurite:
    """One unbranched path.

    points: (n, 3) zyx in voxels, about one voxel apart.
    radius_vox: calibre before blur.
    snr: (n,) peak of the blurred neurite along it.
    parent: index of the neurite from which it branches, and of the point there; or None.
    kind: as in an SWC file: 2 axon, 3 basal, 4 apical dendrite.
    """

    points: Points
    radius_vox: float
    snr: NDArray[np.float64]
    parent: tuple[int, int] | None = None
    kind: int = 2


def centreline(neurites: Sequence[Neurite], shape: Zyx) -> NDArray[np.bool_]:
    """Mark the voxels (zyx) through which the neurites' middle lines pass."""
    mask = np.zeros(shape, bool)
    for neurite in neurites:
        at = np.rint(neurite.points).astype(int)
        mask[tuple(at[((at >= 0) & (at < shape)).all(axis=1)].T)] = True
    return mask


def walk(
    rng: Generator,
    start: Points,
    heading: Points,
    turn: float,
    shape: Zyx,
    *,
    steps: int | None = None,
) -> Points:
    """Walk from a point, one voxel per step, in a drifting direction, until outside."""
    steps = steps or int(1.5 * max(shape))
    drift = ndimage.gaussian_filter1d(rng.standard_normal((steps, 3)), 4, axis=0) * 3.8
    headings = heading + np.cumsum(turn * drift, axis=0)
    headings /= np.linalg.norm(headings, axis=1, keepdims=True) + 1e-9
    points = np.concatenate([start[None], start + np.cumsum(headings, axis=0)])
    far = (points < -8).any(1) | (points > np.add(shape, 8)).any(1)
    return points[: int(np.argmax(far)) if far.any() else None][: max(1, steps)]


def beads(rng: Generator, count: int, *, share: float = 0.5) -> NDArray[np.float64]:
    """Draw the brightness along a neurite: slow changes, varicosities, dim stretches; about 1."""
    slow = ndimage.gaussian_filter1d(rng.standard_normal(count), 12, mode="nearest") * 4.5
    bumps = np.zeros(count)
    if rng.random() < share:
        bumps[rng.random(count) < rng.uniform(0.02, 0.12)] = rng.uniform(0.5, 3)
        bumps = ndimage.gaussian_filter1d(bumps, 1.0) * 2.5
    return np.asarray(np.exp(np.clip(0.25 * slow, -1, 0.7)) + bumps)


def unit(vector: Points) -> Points:
    """Return a vector of length 1."""
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-12))


def log_uniform(rng: Generator, bounds: tuple[float, float]) -> float:
    """Draw a number whose logarithm is uniform between those of two bounds."""
    return float(np.exp(rng.uniform(*np.log(bounds))))

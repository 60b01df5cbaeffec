"""Neurites grown by rule: curved, branching, beaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.phantom.settings import PhantomSettings
from neuroglow.space.geometry import Zyx
from neuroglow.space.swc import Tree

__all__ = ["Neurite", "beads", "centreline", "grow", "log_uniform", "to_tree", "unit", "walk"]

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
    """Mark the voxels (zyx) that the neurites' middle lines pass."""
    mask = np.zeros(shape, bool)
    for neurite in neurites:
        at = np.rint(neurite.points).astype(int)
        mask[tuple(at[((at >= 0) & (at < shape)).all(axis=1)].T)] = True
    return mask


def to_tree(neurites: Sequence[Neurite]) -> Tree:
    """Join neurites to trees, in voxels: each branch starts at a node of its parent."""
    first = np.cumsum([0, *(len(n.points) for n in neurites)])
    parents = []
    for start, neurite in zip(first, neurites, strict=False):
        own = np.arange(start - 1, start + len(neurite.points) - 1)
        own[0] = first[neurite.parent[0]] + neurite.parent[1] if neurite.parent else -1
        parents.append(own)
    return Tree(
        points=np.concatenate([n.points for n in neurites]),
        radii=np.concatenate([np.full(len(n.points), n.radius_vox) for n in neurites]),
        kinds=np.concatenate([np.full(len(n.points), n.kind, np.int64) for n in neurites]),
        parents=np.concatenate(parents),
    )


def grow(rng: Generator, settings: PhantomSettings) -> list[Neurite]:
    """Grow neurites through the volume, then branches from them."""
    count = int(rng.integers(settings.neurites[0], settings.neurites[1] + 1))
    low, high = np.log(settings.snr)
    neurites: list[Neurite] = []
    for _ in range(count):
        start = rng.uniform(-0.1, 1.1, 3) * settings.shape
        heading = unit(rng.standard_normal(3))
        turn = rng.uniform(*settings.tortuosity)
        there = walk(rng, start, heading, turn, settings.shape)
        back = walk(rng, start, -heading, turn, settings.shape)
        points = np.concatenate([back[:0:-1], there])
        radius = log_uniform(rng, settings.radius_vox)
        peak = float(np.exp(rng.uniform(low, high)))
        stem = Neurite(points, radius, peak * beads(rng, len(points)))
        if len(points) > 1:  # else it began too far outside
            neurites.append(stem)
            _branch(rng, settings, neurites, turn)
    return neurites


def _branch(
    rng: Generator, settings: PhantomSettings, neurites: list[Neurite], turn: float
) -> None:
    """Add the branches of the newest neurite."""
    index = len(neurites) - 1
    stem = neurites[index]
    for _ in range(rng.poisson(settings.branches) if len(stem.points) > 8 else 0):
        at = int(rng.integers(2, len(stem.points) - 2))
        along = unit(stem.points[at + 1] - stem.points[at - 1])
        heading = unit(along + rng.uniform(0.5, 1.5) * unit(rng.standard_normal(3)))
        points = walk(rng, stem.points[at], heading, turn, settings.shape)
        points = points[: int(rng.integers(8, 120))]
        snr = stem.snr[at] * rng.uniform(0.5, 1) * beads(rng, len(points))
        if len(points) > 1:
            neurites.append(Neurite(points, 0.8 * stem.radius_vox, snr, (index, at)))


def walk(
    rng: Generator,
    start: Points,
    heading: Points,
    turn: float,
    shape: Zyx,
    *,
    steps: int | None = None,
) -> Points:
    """Walk from a point, a voxel a step, in a direction that drifts, until outside."""
    steps = steps or int(1.5 * max(shape))
    drift = ndimage.gaussian_filter1d(rng.standard_normal((steps, 3)), 4, axis=0) * 3.8
    headings = heading + np.cumsum(turn * drift, axis=0)
    headings /= np.linalg.norm(headings, axis=1, keepdims=True) + 1e-9
    points = np.concatenate([start[None], start + np.cumsum(headings, axis=0)])
    far = (points < -8).any(1) | (points > np.add(shape, 8)).any(1)
    return points[: int(np.argmax(far)) if far.any() else None][: max(1, steps)]


def beads(rng: Generator, count: int, *, share: float = 0.5) -> NDArray[np.float64]:
    """Draw brightness along a neurite: slow changes, varicosities, dim stretches; about 1."""
    slow = ndimage.gaussian_filter1d(rng.standard_normal(count), 12, mode="nearest") * 4.5
    bumps = np.zeros(count)
    if rng.random() < share:
        bumps[rng.random(count) < rng.uniform(0.02, 0.12)] = rng.uniform(0.5, 3)
        bumps = ndimage.gaussian_filter1d(bumps, 1.0) * 2.5
    return np.asarray(np.exp(np.clip(0.25 * slow, -1, 0.7)) + bumps)


def unit(vector: Points) -> Points:
    """Give a vector of length 1."""
    return np.asarray(vector / (np.linalg.norm(vector) + 1e-12))


def log_uniform(rng: Generator, bounds: tuple[float, float]) -> float:
    """Draw a number whose logarithm is uniform between those of two bounds."""
    return float(np.exp(rng.uniform(*np.log(bounds))))

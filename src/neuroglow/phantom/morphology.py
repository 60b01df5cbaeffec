"""Neurites grown by rule: curved, branching, beaded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from neuroglow.imaging.neurites import Neurite, beads, log_uniform, unit, walk
from neuroglow.phantom.settings import PhantomSettings
from neuroglow.trees.swc import Tree

__all__ = ["grow", "to_tree"]


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

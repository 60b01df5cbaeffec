"""Trace each method with the same tracer, so that only their scores are compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from neuroglow.evaluate.sources import ScoreSource
from neuroglow.metrics.counts import ScoreCounts
from neuroglow.skeleton.middles import find_middles
from neuroglow.skeleton.tracer import Rules, Views, trace_lines
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.swc import Tree, join_trees

__all__ = ["AsProbability", "trace_source"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class AsProbability:
    """A score converted to a probability: the share of neurites among voxels at its level.

    Shares never decrease with the score: isotonic regression against this very truth, which
    favours methods that have no probability of their own.
    """

    source: ScoreSource
    counts: ScoreCounts

    @property
    def shares(self) -> Floats:
        """The probability of each level."""
        neurites, total = self.counts.neurites, self.counts.neurites + self.counts.background
        share = neurites / np.maximum(total, 1)
        fitted = isotonic_regression(share, weights=np.maximum(total, 1e-6))
        return np.asarray(np.clip(fitted.x, 0, 1), np.float32)

    def of_threshold(self, threshold: float) -> float:
        """Return the probability of the lowest detected level; above 0, which would detect all."""
        shares = self.shares
        first = min(self.counts.levels.first_detected(threshold), len(shares) - 1)
        return max(float(shares[first]), 1e-3)

    def read(self, box: Box) -> Floats:
        """Read a box (zyx) of probabilities."""
        return self.shares[self.counts.levels.index(self.source.read(box))]


def trace_source(
    source: ScoreSource | AsProbability,
    threshold: float,
    shape: Zyx,
    unit_um: VoxelSize,
    block: int,
) -> Tree:
    """Trace a method's score with the tracer's default rules; trees in micrometres, as one."""
    rules = Rules.usual(threshold, unit_um)
    find = partial(find_middles, block=block)
    trees, _ = trace_lines(Views(source.read, source.read), shape, unit_um, rules, find=find)
    return join_trees(trees)

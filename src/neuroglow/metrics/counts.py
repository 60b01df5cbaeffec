"""Voxels counted by their score: from the counts follow all scores of voxels, at any threshold.

Counts of blocks, and of volumes, add up: the memory is that of the counts, whatever the volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.voxels import scores_of_counts

__all__ = ["BINS", "Levels", "ScoreCounts"]

Array = NDArray[Any]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BINS = 15
"""Bins of a reliability curve, as in Guo et al. 2017."""


@dataclass(frozen=True)
class Levels:
    """Evenly spaced scores; a score counts as the nearest of them, one outside as the last.

    So scores are told apart by `(high - low) / (count - 1)`: exactly, where they are the
    whole numbers of a type.
    """

    low: float
    high: float
    count: int

    @property
    def values(self) -> Floats:
        """The levels, ascending."""
        return np.linspace(self.low, self.high, self.count)

    @property
    def step(self) -> float:
        """The distance of two levels: what is told apart."""
        return (self.high - self.low) / (self.count - 1)

    def index(self, score: Array) -> Integers:
        """Give the nearest level of each score."""
        place = (np.asarray(score, np.float64) - self.low) / self.step
        return np.clip(np.rint(place), 0, self.count - 1).astype(np.int64)

    def first_lit(self, threshold: float) -> int:
        """Give the lowest level that reaches a threshold."""
        return int(np.ceil((threshold - self.low) / self.step - 1e-6))

    def lit(self, score: Array, threshold: float) -> NDArray[np.bool_]:
        """Tell which scores count as reaching a threshold."""
        return np.asarray(self.index(score) >= self.first_lit(threshold))


@dataclass(frozen=True)
class ScoreCounts:
    """How many voxels of neurites, and of background, have each level of score."""

    levels: Levels
    neurites: Integers
    background: Integers

    @classmethod
    def nothing(cls, levels: Levels) -> ScoreCounts:
        """Give counts of no voxel."""
        empty = np.zeros(levels.count, np.int64)
        return cls(levels, empty, empty)

    @classmethod
    def of(cls, levels: Levels, neurites: Array, background: Array) -> ScoreCounts:
        """Count the scores of neurites and of background (any shape); leave out what is ignored."""
        bins = (
            np.bincount(levels.index(scores).ravel(), minlength=levels.count)
            for scores in (neurites, background)
        )
        return cls(levels, *bins)

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        """Count both together."""
        return ScoreCounts(
            self.levels, self.neurites + other.neurites, self.background + other.background
        )

    @property
    def average_precision(self) -> float:
        """Precision integrated over recall, ties together, as metrics.average_precision.

        NaN without a neurite.
        """
        hits, wrong = np.cumsum(self.neurites[::-1]), np.cumsum(self.background[::-1])
        if not hits[-1]:
            return float("nan")
        precision = hits / np.maximum(hits + wrong, 1)
        return float(np.sum(np.diff(hits / hits[-1], prepend=0.0) * precision))

    def scores(self, threshold: float) -> dict[str, float]:
        """Give confusion_scores of what reaches a threshold."""
        first = min(max(0, self.levels.first_lit(threshold)), self.levels.count)
        hits, wrong = int(self.neurites[first:].sum()), int(self.background[first:].sum())
        missed, empty = int(self.neurites[:first].sum()), int(self.background[:first].sum())
        return scores_of_counts(hits, wrong, missed, empty)

    def best_threshold(self) -> float:
        """Give the threshold of the highest Dice; the middle of several; NaN without a neurite."""
        hits, wrong = (np.cumsum(n[::-1])[::-1] for n in (self.neurites, self.background))
        if not hits[0]:
            return float("nan")
        dice = 2 * hits / (hits + wrong + hits[0])
        best = np.flatnonzero(dice == dice.max())
        return float(self.levels.values[best[len(best) // 2]])

    def reliability(self) -> list[dict[str, float]]:
        """Give how often a probability is right, in BINS bins of equal width: not the empty ones.

        probability: mean of the bin; share: of its voxels that are neurites; voxels: how many.
        """
        values, total = self.levels.values, self.neurites + self.background
        place = np.clip(np.floor(values * BINS), 0, BINS - 1).astype(int)
        count, hits, mean = (
            np.bincount(place, weight, BINS) for weight in (total, self.neurites, values * total)
        )
        return [
            {
                "probability": float(mean[b] / count[b]),
                "share": float(hits[b] / count[b]),
                "voxels": int(count[b]),
            }
            for b in np.flatnonzero(count)
        ]

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean of |probability - share|, each voxel alike.

        Naeini et al. 2015; Guo et al. 2017, equation 3.
        """
        rows = self.reliability()
        total = sum(row["voxels"] for row in rows)
        off = sum(row["voxels"] * abs(row["probability"] - row["share"]) for row in rows)
        return off / total if total else float("nan")

    def curve(self, points: int = 200) -> list[tuple[float, float, float]]:
        """Give (threshold, precision, recall), at no more thresholds than `points`."""
        hits, wrong = (np.cumsum(n[::-1])[::-1] for n in (self.neurites, self.background))
        seen = np.flatnonzero(np.diff(hits + wrong, append=0))
        if not hits[0] or not seen.size:
            return []
        some = seen[np.unique(np.linspace(0, len(seen) - 1, points).astype(int))]
        values = self.levels.values
        return [
            (float(values[i]), float(hits[i] / (hits[i] + wrong[i])), float(hits[i] / hits[0]))
            for i in some
        ]

"""Voxels counted by their score; all voxel scores, at any threshold, follow from the counts.

Counts of blocks and of volumes can be added, so memory does not depend on the volume's size.
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
    """Evenly spaced scores; a score counts as the nearest level, and is clipped to the range.

    Scores closer than `(high - low) / (count - 1)` are not distinguished. Integer scores are
    counted exactly when every integer of the type has a level.
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
        """The distance between two levels: the resolution of the scores."""
        return (self.high - self.low) / (self.count - 1)

    def index(self, score: Array) -> Integers:
        """Return the nearest level of each score."""
        place = (np.asarray(score, np.float64) - self.low) / self.step
        return np.clip(np.rint(place), 0, self.count - 1).astype(np.int64)

    def first_detected(self, threshold: float) -> int:
        """Return the lowest level that reaches a threshold."""
        return int(np.ceil((threshold - self.low) / self.step - 1e-6))

    def detected(self, score: Array, threshold: float) -> NDArray[np.bool_]:
        """Return which scores count as reaching a threshold."""
        return np.asarray(self.index(score) >= self.first_detected(threshold))


@dataclass(frozen=True)
class ScoreCounts:
    """The number of neurite voxels and of background voxels at each score level."""

    levels: Levels
    neurites: Integers
    background: Integers

    @classmethod
    def nothing(cls, levels: Levels) -> ScoreCounts:
        """Return counts of zero voxels."""
        empty = np.zeros(levels.count, np.int64)
        return cls(levels, empty, empty)

    @classmethod
    def of(cls, levels: Levels, neurites: Array, background: Array) -> ScoreCounts:
        """Count the scores of neurites and of background (any shape), without ignored voxels."""
        bins = (
            np.bincount(levels.index(scores).ravel(), minlength=levels.count)
            for scores in (neurites, background)
        )
        return cls(levels, *bins)

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        """Add both counts."""
        return ScoreCounts(
            self.levels, self.neurites + other.neurites, self.background + other.background
        )

    @property
    def average_precision(self) -> float:
        """Integrate precision over recall; tied scores are taken together.

        Same definition as metrics.average_precision; NaN without a neurite.
        """
        hits, wrong = np.cumsum(self.neurites[::-1]), np.cumsum(self.background[::-1])
        if not hits[-1]:
            return float("nan")
        precision = hits / np.maximum(hits + wrong, 1)
        return float(np.sum(np.diff(hits / hits[-1], prepend=0.0) * precision))

    def scores(self, threshold: float) -> dict[str, float]:
        """Return confusion_scores of the voxels that reach a threshold."""
        first = min(max(0, self.levels.first_detected(threshold)), self.levels.count)
        hits, wrong = int(self.neurites[first:].sum()), int(self.background[first:].sum())
        missed, empty = int(self.neurites[:first].sum()), int(self.background[:first].sum())
        return scores_of_counts(hits, wrong, missed, empty)

    def best_threshold(self) -> float:
        """Return the threshold with the highest Dice (the middle of ties); NaN without neurites."""
        hits, wrong = (np.cumsum(n[::-1])[::-1] for n in (self.neurites, self.background))
        if not hits[0]:
            return float("nan")
        dice = 2 * hits / (hits + wrong + hits[0])
        best = np.flatnonzero(dice == dice.max())
        return float(self.levels.values[best[len(best) // 2]])

    def reliability(self) -> list[dict[str, float]]:
        """Return how often a probability is right, in BINS bins of equal width without empty ones.

        probability: mean in the bin; share: fraction of its voxels that are neurites; voxels:
        count.
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
        """Expected calibration error: mean of |probability - share| over all voxels.

        Naeini et al. 2015; Guo et al. 2017, equation 3.
        """
        rows = self.reliability()
        total = sum(row["voxels"] for row in rows)
        off = sum(row["voxels"] * abs(row["probability"] - row["share"]) for row in rows)
        return off / total if total else float("nan")

    def curve(self, points: int = 200) -> list[tuple[float, float, float]]:
        """Return (threshold, precision, recall) at up to `points` thresholds."""
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

"""Validation: whole cubes through the network, block by block, and their scores.

Probabilities are counted in BINS bins, for neurites and for background; ignored voxels are
not counted. All scores follow from the counts, so those of cubes can be added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neuroglow.labels.labels import BACKGROUND, NEURITE
from neuroglow.metrics.counts import Levels, ScoreCounts
from neuroglow.space.geometry import Box, tile
from neuroglow.train.pool import PooledCube

if TYPE_CHECKING:
    from neuroglow.network.engine import Engine

__all__ = ["CubeScore", "Validation", "count", "predict_cube", "validate"]

Floats = NDArray[np.float32]
Counts = NDArray[np.int64]

BINS = 1000
LEVELS = Levels(0, 1, BINS + 1)
BLOCKS, BLOCK_BYTES = (128, 96, 64, 32), 1_000_000_000
"""Side in voxels of the blocks in which a cube is predicted: the largest that fits the memory."""


@dataclass(frozen=True)
class CubeScore:
    """Counts of one cube (or of several together), by bins of probability.

    neurites, background: (BINS + 1,); bin i is of probabilities nearest to i / BINS.
    entropy: sum of the binary cross-entropy over both.
    """

    name: str
    neurites: Counts
    background: Counts
    entropy: float

    @property
    def average_precision(self) -> float:
        """Precision integrated over recall (metrics.average_precision).

        NaN without a neurite, and without background, where it would be 1 for any prediction.
        """
        both = bool(self.neurites.sum() and self.background.sum())
        return self._counts.average_precision if both else float("nan")

    @property
    def loss(self) -> float:
        """Mean binary cross-entropy; NaN if no voxel counts."""
        voxels = int(self.neurites.sum() + self.background.sum())
        return self.entropy / voxels if voxels else float("nan")

    def dice(self, threshold: float) -> float:
        """Dice of voxels that reach a threshold; NaN without a neurite."""
        return self._at(threshold, "dice")

    def recall(self, threshold: float) -> float:
        """Share of the neurite voxels that reach a threshold; NaN without a neurite."""
        return self._at(threshold, "recall")

    def _at(self, threshold: float, score: str) -> float:
        some = bool(self.neurites.sum())
        return self._counts.scores(threshold)[score] if some else float("nan")

    def best_threshold(self) -> float:
        """Return the threshold with the highest Dice; the middle of several."""
        best = self._counts.best_threshold()
        return 0.5 if np.isnan(best) else best

    @property
    def _counts(self) -> ScoreCounts:
        return ScoreCounts(LEVELS, self.neurites, self.background)


@dataclass(frozen=True)
class Validation:
    """Scores of all validation cubes: means over cubes, the threshold from all together."""

    cubes: tuple[CubeScore, ...]

    @property
    def together(self) -> CubeScore:
        """All cubes' counts."""
        return CubeScore(
            "all",
            np.sum([c.neurites for c in self.cubes], axis=0),
            np.sum([c.background for c in self.cubes], axis=0),
            sum(c.entropy for c in self.cubes),
        )

    def row(self) -> dict[str, float]:
        """Return the figures that are logged."""
        threshold = self.together.best_threshold()
        return {
            "average_precision": _mean(c.average_precision for c in self.cubes),
            "dice": _mean(c.dice(threshold) for c in self.cubes),
            "recall": _mean(c.recall(threshold) for c in self.cubes),
            "threshold": threshold,
            "loss": _mean(c.loss for c in self.cubes),
        }

    def extremes(self) -> list[tuple[str, str]]:
        """Name the worst and the best cube by average precision: (what it is, name)."""
        known = [c for c in self.cubes if not np.isnan(c.average_precision)]
        ranked = sorted(known, key=lambda c: c.average_precision)
        if len(ranked) < 2:
            return [("the only cube", c.name) for c in ranked]
        return [("worst", ranked[0].name), ("best", ranked[-1].name)]


def _mean(values: Iterable[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def validate(
    runner: Engine,
    cubes: Sequence[PooledCube],
    halo: int,
    *,
    show: Callable[[PooledCube, Floats], object],
) -> list[CubeScore]:
    """Score a network on whole cubes; show is called with each cube and its
    probability before it is scored."""
    scores = []
    for cube in cubes:
        probability = predict_cube(runner, cube, halo)
        show(cube, probability)
        scores.append(count(cube.name, probability, cube.label()))
    return scores


def predict_cube(runner: Engine, cube: PooledCube, halo: int) -> Floats:
    """Predict a whole cube (zyx, 0..1) as `neuroglow predict` does: in blocks with a halo."""
    image = cube.image()
    probability = np.empty(cube.shape, np.float32)
    side = _block_side(runner, halo)
    for block in tile(Box.of(cube.shape), (side, side, side), halo=halo, align=runner.stride):
        x = image[block.read.slices].astype(np.float32)
        probability[block.write.slices] = runner.probability(x, inner=block.inner)
    return probability


def _block_side(runner: Engine, halo: int) -> int:
    each = runner.bytes_per_voxel
    bytes_of = {s: each.read * (s + 2 * halo) ** 3 + each.written * s**3 for s in BLOCKS}
    return next((side for side in BLOCKS if bytes_of[side] <= BLOCK_BYTES), BLOCKS[-1])


def count(name: str, probability: Floats, label: NDArray[np.uint8]) -> CubeScore:
    """Count the probabilities of neurites and of background, without ignored voxels."""
    found = probability[label == NEURITE]
    other = probability[label == BACKGROUND]
    clipped = np.float32(1e-6)
    entropy = -np.log(np.maximum(found, clipped)).sum(dtype=np.float64)
    entropy -= np.log(np.maximum(1 - other, clipped)).sum(dtype=np.float64)
    counts = ScoreCounts.of(LEVELS, found, other)
    return CubeScore(name, counts.neurites, counts.background, float(entropy))

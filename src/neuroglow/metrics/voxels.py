"""Scores of the voxels of a probability map (or any score) against a truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = [
    "Detection",
    "average_precision",
    "ball",
    "best_detection",
    "confusion_scores",
    "detection",
    "length_at_precision",
    "scores_of_counts",
    "spread",
    "threshold_for_share",
]

Array = NDArray[Any]
Mask = NDArray[np.bool_]


class Detection(NamedTuple):
    """Precision and recall with a tolerance, and F1."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean; 0 where both are 0."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def average_precision(score: Array, truth: Array) -> float:
    """Integrate precision over recall: sum of (R_n - R_(n-1)) P_n; tied scores are taken together.

    score, truth: 1D, one entry per counted voxel; truth is True on neurites. The same
    definition as scikit-learn's average_precision_score. NaN without a positive.
    """
    order = np.argsort(-np.asarray(score, np.float64), kind="stable")
    hits = np.cumsum(np.asarray(truth, bool)[order])
    if not hits.size or not hits[-1]:
        return float("nan")
    ranked = np.asarray(score)[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    precision = hits[last] / (last + 1)
    recall = hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def ball(radius: float, axes: int = 3) -> Mask:
    """Return a ball (or a disc) as a structuring element, distances in voxels."""
    reach = int(radius)
    grid = np.ogrid[(slice(-reach, reach + 1),) * axes]
    square = sum(np.square(g) for g in grid)
    return np.asarray(square <= radius**2)


def spread(score: Array, radius: float, axes: int = 3) -> Array:
    """Return, for each voxel, the highest score within `radius` voxels."""
    return np.asarray(ndimage.maximum_filter(score, footprint=ball(radius, axes)))


def detection(
    detected: Mask, truth: Mask, *, tolerance: float = 2, ignore: Mask | None = None
) -> Detection:
    """Score detected voxels against true ones within a tolerance, in 2D or 3D.

    Recall is the share of true voxels within `tolerance` of a detected voxel; precision is the
    share of detected voxels within `tolerance` of a true one. Ignored voxels count as neither.
    """
    element = ball(tolerance, truth.ndim)
    if ignore is not None:
        detected, truth = detected & ~ignore, truth & ~ignore
    near_detected = ndimage.binary_dilation(detected, element)
    near_truth = ndimage.binary_dilation(truth, element)
    return Detection(_share(near_truth[detected]), _share(near_detected[truth]))


def best_detection(
    score: Array, truth: Mask, thresholds: Sequence[float], *, tolerance: float = 2
) -> tuple[float, Detection]:
    """Find the threshold with the highest F1; return it with its scores."""
    tried = [(t, detection(score > t, truth, tolerance=tolerance)) for t in thresholds]
    return max(tried, key=lambda pair: pair[1].f1)


def confusion_scores(detected: Mask, truth: Mask) -> dict[str, float]:
    """Score voxels as DB-Enhance does (utils/eval_metric.py), without a tolerance.

    dice, recall, precision: of the neurites. iou: mean over neurites and background.
    acc: share of correctly classified voxels.
    """
    detected, truth = np.asarray(detected, bool), np.asarray(truth, bool)
    hits, wrong = int((detected & truth).sum()), int((detected & ~truth).sum())
    return scores_of_counts(
        hits, wrong, int((~detected & truth).sum()), int((~detected & ~truth).sum())
    )


def scores_of_counts(hits: int, wrong: int, missed: int, empty: int) -> dict[str, float]:
    """Return confusion_scores from counts: true and false positives, false and true negatives.

    As in DB-Enhance, 0 / 0 is 0.
    """
    tiny = 1e-20
    neurite = hits / (hits + wrong + missed + tiny)
    background = empty / (empty + wrong + missed + tiny)
    return {
        "dice": 2 * hits / (2 * hits + wrong + missed + tiny),
        "recall": hits / (hits + missed + tiny),
        "precision": hits / (hits + wrong + tiny),
        "iou": (neurite + background) / 2,
        "acc": (hits + empty) / (hits + wrong + missed + empty + tiny),
    }


def length_at_precision(
    score: Array, truth: Mask, centreline: Mask, *, precision: float, tolerance: float = 2
) -> tuple[float, float]:
    """Find the recall of length at a given precision: (recall, threshold).

    score: any map; truth: voxels of neurites; centreline: voxels of their middle lines.
    Recall is the share of centreline voxels within `tolerance` of a detected voxel, at the lowest
    threshold at which at least `precision` of the detected voxels (a hundred or more) lie within
    `tolerance` of a true one; (0, infinity) if no threshold reaches that.
    """
    near = ndimage.binary_dilation(truth, ball(tolerance, truth.ndim))
    values, order = np.sort(score, axis=None)[::-1], np.argsort(score, axis=None)[::-1]
    last = np.append(np.flatnonzero(values[1:] != values[:-1]), values.size - 1)  # ties together
    right = np.cumsum(near.ravel()[order])[last] / (last + 1)
    enough = last[(right >= precision) & (last + 1 >= min(100, values.size))]
    if not enough.size:
        return 0.0, float("inf")
    threshold = float(values[enough[-1]])
    found = ndimage.binary_dilation(score >= threshold, ball(tolerance, truth.ndim))
    return _share(found[centreline]), threshold


def threshold_for_share(score: Array, share: float, *, radius: float = 2) -> float:
    """Find the threshold at which `share` of all voxels lie within `radius` of a detected voxel."""
    return float(np.quantile(spread(score, radius), 1 - share))


def _share(mask: Array) -> float:
    return float(mask.mean()) if mask.size else 0.0

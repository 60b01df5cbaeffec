"""The scores of one method on one volume, as flat rows: name -> number, NaN where none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.counts import ScoreCounts
from neuroglow.metrics.signal import CellSignal, uniformity
from neuroglow.metrics.skeletons import Line, length_scores, within
from neuroglow.metrics.somata import node_scores
from neuroglow.metrics.trees import VISIBLE, Strand, tree_scores
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree

__all__ = ["judge_points", "line_row", "node_row", "signal_row", "tree_row", "voxel_row"]

Mask = NDArray[np.bool_]
NAN = float("nan")


def voxel_row(counts: ScoreCounts, threshold: float) -> dict[str, float]:
    """Score voxels at a threshold, as DB-Enhance does; and over all thresholds.

    Without a neurite in the truth, only accuracy is meaningful.
    """
    scores = counts.scores(threshold)
    some = bool(counts.neurites.sum())
    graded = some and counts.levels.count > 2
    named = {"dice": "dice", "iou": "iou", "recall": "recall", "precision": "precision"}
    return {
        **{name: scores[key] if some else NAN for name, key in named.items()},
        "accuracy": scores["acc"],
        "average_precision": counts.average_precision if graded else NAN,
        "best_threshold": counts.best_threshold() if graded else NAN,
        "calibration_error": counts.calibration_error if graded else NAN,
    }


def line_row(
    truth: Line, found: Line, counted: Mask, *, tolerances: Sequence[float], unit: Sequence[float]
) -> dict[str, float]:
    """Score middle lines within each tolerance."""
    return {
        f"skeleton_{name}_{tolerance:g}": value
        for tolerance in tolerances
        for name, value in length_scores(
            truth, found, tolerance, unit=unit, counted=counted
        ).items()
    }


def tree_row(
    truth: Strand, found: Strand, counted: Mask, *, box: Box | None, unit: Sequence[float]
) -> dict[str, float]:
    """Score trees within VISIBLE units.

    tree_recovered: share of the true length. tree_false: false length over true length.
    """
    line = truth.line
    scores = length_scores(line, found.line, VISIBLE, unit=unit, counted=counted)
    lengths = {
        "tree_recovered": scores["recall"],
        "tree_false": scores["false"] / line.length if line.length else NAN,
        "tree_false_um": scores["false"],
    }
    more = tree_scores(truth, found, tolerance=VISIBLE, unit=unit, box=box)
    return lengths | {f"tree_{name}": value for name, value in more.items()}


def node_row(
    truth: Tree, found: Tree, unit_um: Sequence[float], *, box: Box | None
) -> dict[str, float]:
    """Score the somata and radii of trees."""
    scores = node_scores(truth, found, unit_um, box=box)
    return {f"tree_{name}": value for name, value in scores.items()}


def signal_row(cells: Sequence[Mapping[str, CellSignal]]) -> dict[str, float]:
    """Return SNR, CNR and uniformity of each image: SNR and CNR as medians over cells."""
    row: dict[str, float] = {}
    for name in cells[0] if cells else ():
        ones = [cell[name] for cell in cells]
        row |= {
            f"snr_{name}": float(np.median([c.snr for c in ones])),
            f"cnr_{name}": float(np.median([c.cnr for c in ones])),
            f"uniformity_{name}": uniformity(ones),
        }
    return row


def judge_points(
    truth: Line, found: Line, counted: Mask, *, tolerance: float, unit: Sequence[float]
) -> dict[str, NDArray[np.float64]]:
    """Sort points (voxels, zyx) for a picture: true and found, true and missed, false."""
    hit = within(truth.points, found, tolerance, unit)
    false = counted & ~within(found.points, truth, tolerance, unit)
    return {
        "true": truth.points[hit],
        "missed": truth.points[~hit],
        "false": found.points[false],
    }

"""Scores of voxels, skeletons, trees and signal: pure functions on arrays and trees.

The voxel scores are also available here, under their own names.
"""

from __future__ import annotations

from neuroglow.metrics.voxels import (
    Detection,
    average_precision,
    ball,
    best_detection,
    confusion_scores,
    detection,
    length_at_precision,
    spread,
    threshold_for_share,
)

__all__ = [
    "Detection",
    "average_precision",
    "ball",
    "best_detection",
    "confusion_scores",
    "detection",
    "length_at_precision",
    "spread",
    "threshold_for_share",
]

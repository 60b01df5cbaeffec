"""Two tracings compared: which stretches only one of them has, and how alike they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.skeletons import within
from neuroglow.metrics.trees import VISIBLE, to_strand, tree_scores
from neuroglow.trees.swc import Tree

__all__ = ["Difference", "compare_trees"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """Nodes that only one or only the other tracing has, with the length of each, and scores.

    only_one, only_other: (n,) True for a node that is farther than `tolerance` from the other.
    scores: of `other` compared with `one` as the truth, as in tree_scores.
    """

    only_one: Mask
    only_other: Mask
    length_one: float
    length_other: float
    tolerance: float
    scores: dict[str, float]


def compare_trees(one: Tree, other: Tree, *, tolerance: float = VISIBLE) -> Difference:
    """Compare two tracings in the same unit; tolerance in it."""
    unit = (1.0, 1.0, 1.0)
    strands = to_strand(one, unit), to_strand(other, unit)
    far = [~within(a.points, b.line, tolerance, unit) for a, b in (strands, strands[::-1])]
    lengths = [float(s.line.lengths[f].sum()) for s, f in zip(strands, far, strict=True)]
    both = len(one.points) and len(other.points)
    scores = tree_scores(*strands, tolerance=tolerance) if both else {}
    marked = far[0][: len(one.points)], far[1][: len(other.points)]
    return Difference(marked[0], marked[1], lengths[0], lengths[1], tolerance, scores)

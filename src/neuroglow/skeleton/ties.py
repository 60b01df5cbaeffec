"""Ties: how probable it is that two arms that meet are one neurite, from all that is known there.

A meeting (meetings.py) finds which arms may belong together. How sure that is depends on more: on
what else is near, on side branches that were removed, and on the rivals of both arms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from neuroglow.skeleton.arms import Arm, likeness, pair_traits

__all__ = ["TieKind", "tie_kind", "tie_probability", "tie_traits"]

TieKind = Literal["left", "passed", "bent"]
"""What is between two arms: a branch point that is left, a crossing that was parted, or another
former branch point."""

ODDS: Mapping[TieKind, tuple[float, ...]] = {
    "left": (
        *(-0.31, 1.29, -0.53, 0.06, -1.07, -0.59, -0.46, -1.61, 0.27),
        *(-0.93, 0.41, -0.76, -0.18, -2.08, -0.04, 0.99, 0.62),
        *(-0.12, -0.81, -0.18, -0.94, 0.33),
    ),
    "passed": (
        *(0.83, 0.51, -0.43, -0.15, -1.26, -21.04, -0.33, -0.9, 0.03),
        *(-1.09, 0.94, -0.76, -0.22, -0.83, 0.17, 0.9, 0.77),
        *(0.09, -1.11, -0.28, -0.36, 0.07),
    ),
    "bent": (
        *(1.53, 0.87, -0.93, 0.75, -1.13, -2.17, -0.95, 0.88, 0.08),
        *(-2.5, 3.42, -1.11, -1.68, -1.95, -0.23, 0.51, 0.34),
        *(-0.06, -0.9, -0.72, 0.0, 0.0),
    ),
}
"""Coefficients of the traits, fitted by benchmarks/tree_odds.py."""

FITTED = 0.7
"""Lowest density of lines (voxels per thousand) among those that the odds were fitted to. Below it
chance contacts of two ends become rarer in proportion: a lone line has hardly any."""

RIVAL = 0.99
"""Highest probability of a rival that counts."""

LEAST = 1e-6
"""Lowest probability of an error."""


def tie_traits(
    a: Arm, b: Arm, others: Sequence[Arm], density: float, close: float
) -> tuple[float, ...]:
    """Describe two arms that may be one neurite.

    - what a pair of arms is described by (arms.py)
    - density of lines (log), within a wide and a narrow box
    - log length (plus 1) of the longest side branch that was removed there
    - the best rival: likeness of either arm to a third one; without one, the log odds that either
      goes on otherwise in the crossing that was parted
    - whether the shorter arm ends freely
    """
    shorter = min(a, b, key=lambda arm: arm.length)
    return (
        *pair_traits(a, b),
        math.log(density),
        math.log(close),
        math.log(1 + max(a.pruned, b.pruned)),
        _rival(a, b, others),
        float(shorter.free),
    )


def _rival(a: Arm, b: Arm, others: Sequence[Arm]) -> float:
    if others:
        return max(likeness(arm, other) for arm in (a, b) for other in others)
    rival = min(max(a.rival, b.rival), RIVAL)
    return math.log(rival / (1 - rival)) if rival else 0.0


def tie_kind(a: Arm, b: Arm, others: Sequence[Arm]) -> TieKind:
    """Return what is between two arms."""
    if others:
        return "left"
    return "passed" if max(a.rival, b.rival) else "bent"


def tie_probability(a: Arm, b: Arm, others: Sequence[Arm], density: float, close: float) -> float:
    """Return the probability that two arms are one neurite."""
    kind = tie_kind(a, b, others)
    traits = tie_traits(a, b, others, density, close)
    total = sum(weight * trait for weight, trait in zip(ODDS[kind], traits, strict=True))
    if kind == "bent":
        total += math.log(FITTED / min(density, FITTED))
    return min(max(1 / (1 + math.exp(-total)), LEAST), 1 - LEAST)

"""Bonds: the log odds that two arms which meet are one neurite.

They are found by boosted decision trees, whose table (bonds.json) benchmarks/tree_odds.py fits to
phantoms: for crossings, and for ties (where a branch point is left, or was); each without and with
the light of the raw image.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm, likeness, pair_traits, sideways, straightness

__all__ = ["Bonds", "Boosted", "Where", "bond_traits", "bonds_of", "is_bright", "straight_bonds"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Where = Literal["crossing", "tie"]
Bonds = Mapping[tuple[int, int], float]
"""Log odds of each pair of arms."""

ALONE = -2.0
"""Likeness to a rival, without one."""

MOST_RIVAL, NO_RIVAL = 0.99, -9.0
"""Highest probability of a rival that counts; log odds where no crossing was parted."""

MOST = 9.0
"""Largest log odds."""

STEEP = 40.0
"""Log odds for each unit of the cosine of a bend, where nothing but that is known."""


@dataclass(frozen=True, eq=False)
class Boosted:
    """Decision trees of three levels, whose values are summed.

    traits, limits: (k, 7) the trait that a node looks at, and the value up to which the way is
    left; the nodes of a tree in the order of its levels. values: (k, 8) log odds of its leaves.
    start: log odds before any tree.
    """

    traits: Integers
    limits: Floats
    values: Floats
    start: float

    def odds(self, rows: Floats) -> Floats:
        """Return the log odds of some rows of traits (n, t)."""
        trees = np.arange(len(self.traits))
        node = np.zeros((len(rows), len(trees)), np.int64)
        for _ in range(3):
            seen = rows[np.arange(len(rows))[:, None], self.traits[trees, node]]
            node = 2 * node + 1 + (seen > self.limits[trees, node])
        total = self.start + self.values[trees, node - 7].sum(axis=1)
        return np.asarray(np.clip(total, -MOST, MOST))


@cache
def _boosted(name: str) -> Boosted:
    """Read a table."""
    held = json.loads(files("neuroglow.skeleton").joinpath("bonds.json").read_text("utf-8"))[name]
    rows = np.array(held["trees"], np.float64)
    return Boosted(rows[:, :7].astype(np.int64), rows[:, 7:14], rows[:, 14:], held["start"])


def is_bright(arms: Sequence[Arm]) -> bool:
    """Return whether the light of all arms is known."""
    return not any(math.isnan(arm.light) for arm in arms)


def bonds_of(where: Where, arms: Sequence[Arm], densities: Sequence[Sequence[float]]) -> Bonds:
    """Return the log odds of each pair of arms.

    densities: of the lines around, wide and narrow, for each pair in order.
    """
    table = _boosted(f"{where}, bright" if is_bright(arms) else where)
    odds = table.odds(bond_traits(arms, densities)).tolist()
    pairs = itertools.combinations(range(len(arms)), 2)
    return dict(zip(pairs, odds, strict=True))


def straight_bonds(arms: Sequence[Arm], angle: float, apart: float = math.inf) -> Bonds:
    """Return log odds by how straight each pair is: 0 for a bend of some degrees.

    apart: distance from which two arms lie next to each other, and are not straight.
    """
    least = math.cos(math.radians(angle))
    odds = {
        (i, j): STEEP * (straightness(arms[i], arms[j]) - least)
        if sideways(arms[i], arms[j]) < apart
        else -MOST
        for i, j in itertools.combinations(range(len(arms)), 2)
    }
    return {pair: min(max(one, -MOST), MOST) for pair, one in odds.items()}


def bond_traits(arms: Sequence[Arm], densities: Sequence[Sequence[float]]) -> Floats:
    """Describe each pair of arms (pairs, traits).

    - how they continue each other (pair_traits); log densities of lines, wide and narrow
    - number of arms; log length (plus 2) of the longer one
    - likeness; of either arm to its best rival, the better and the worse
    - log length (plus 1) of the longest side branch that was removed; log odds that either goes on
      otherwise in a crossing that was parted; whether the shorter, and the longer, ends freely
    - difference and mean of their lights; 0 if not known
    """
    count = len(arms)
    like = np.full((count, count), ALONE)
    pairs = list(itertools.combinations(range(count), 2))
    for i, j in pairs:
        like[i, j] = like[j, i] = likeness(arms[i], arms[j])
    rows = []
    for (i, j), around in zip(pairs, densities, strict=True):
        others = [k for k in range(count) if k not in {i, j}]
        rival = [max((float(like[k, other]) for other in others), default=ALONE) for k in (i, j)]
        rows.append(
            [
                *pair_traits(arms[i], arms[j]),
                *(math.log(density) for density in around),
                float(count),
                math.log(max(arms[i].length, arms[j].length) + 2),
                *(float(like[i, j]), max(rival), min(rival)),
                *_held(arms[i], arms[j]),
            ]
        )
    return np.array(rows).reshape(len(pairs), -1)


def _held(a: Arm, b: Arm) -> list[float]:
    """Describe what else is known of two arms."""
    shorter, longer = sorted((a, b), key=lambda arm: arm.length)
    rival = min(max(a.rival, b.rival), MOST_RIVAL)
    odds = math.log(rival / (1 - rival)) if rival else NO_RIVAL
    light = [abs(a.light - b.light), (a.light + b.light) / 2] if is_bright([a, b]) else [0.0, 0.0]
    pruned = math.log(1 + max(a.pruned, b.pruned))
    return [pruned, odds, float(shorter.free), float(longer.free), *light]

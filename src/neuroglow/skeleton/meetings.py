"""Where lines meet: which arms are one neurite. All arms of a meeting are decided on together.

A partition of the arms is a set of groups: one arm ends there, two continue each other, more are
a branch, of which the two straightest are the trunk. Its log odds are the sum over groups of the
traits of arms (arms.py), times coefficients that were fitted to phantoms (benchmarks/tree_odds.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm, end_traits, likeness, pair_traits, side_traits
from neuroglow.skeleton.groups import Groups

__all__ = [
    "BENT",
    "BRANCHED",
    "CROSSED",
    "SHARED",
    "Decision",
    "Group",
    "Meeting",
    "Odds",
    "Partition",
]

Floats = NDArray[np.float64]
Group = tuple[int, ...]
Partition = tuple[Group, ...]

WIDTH = 60
"""Number of partitions that are kept while arms are added one by one: all, up to five arms."""

MANY, LARGEST, UNLIKELY = 6, 4, -2.0
"""With more arms than this, no group has more than LARGEST, or is less likely (log odds)."""

FORBIDDEN = -1000.0
"""Log odds of what must not be."""


@dataclass(frozen=True)
class Odds:
    """Coefficients of the traits of pairs, side branches, and ends, with the log density last.

    more: for each further side branch of the same trunk.
    """

    pair: tuple[float, ...]
    side: tuple[float, ...]
    end: tuple[float, ...]
    more: float = 0.0


CROSSED = Odds(
    pair=(
        *(-0.12, 1.57, -0.73, 0.5, -2.15, -12.75, -0.79, -2.75, 0.27),
        *(-1.19, 1.97, 0.28, -1.6, -2.97, -0.2, 0.4, -0.03, 0.0),
    ),
    side=(2.09, 0.8, -1.14, -0.57, 0.12, -7.01, -0.46, -0.56),
    end=(-0.2, -0.45),
    more=1.62,
)
"""Where branch points are close together, before any are parted. All four are fitted by
benchmarks/tree_odds.py, to 2592, 220, 7937 and 1694 meetings."""

SHARED = Odds(
    pair=(
        *(1.11, 0.61, -0.14, 0.03, -2.0, -22.02, -2.16, -3.07, 0.26),
        *(-1.37, 1.22, -0.21, -2.32, -0.62, -0.29, 0.28, -0.81, 0.0),
    ),
    side=(-0.05, -0.26, -0.59, -0.13, -0.45, -4.59, -0.1, -0.25),
    end=(-0.23, -0.41),
    more=3.43,
)
"""Where branch points that are left are farther apart."""

BENT = Odds(
    pair=(
        *(0.19, 0.71, -1.33, 0.26, -1.78, -14.31, -0.6, 0.26, 0.21),
        *(-2.1, 1.68, -1.28, -1.93, -1.25, -0.19, 0.81, 0.62, -0.56),
    ),
    side=(0.0,) * 8,
    end=(-0.12, -0.37),
)
"""Where a line had a branch point."""

BRANCHED = Odds(
    pair=(
        *(-0.95, 0.86, 0.07, 0.1, -2.07, -9.79, -0.34, -1.96, -0.05),
        *(-1.4, 1.08, -1.39, -1.39, -2.01, 0.02, 0.59, -0.29, 0.0),
    ),
    side=(-0.51, 0.18, -0.06, -0.52, 0.73, -5.74, 0.0, -0.71),
    end=(-0.24, -0.51),
    more=0.37,
)
"""Where a branch point is left."""


@dataclass(frozen=True)
class Decision:
    """Whether a piece belongs to a neuron: the place (um, zyx), the probability, and what was done.

    joined: whether it was joined; otherwise it belongs to another tree.
    """

    place: Floats
    probability: float
    joined: bool


class Meeting:
    """Arms that meet in one place, and the density of lines around it.

    angle: degrees by which two arms may bend and still continue each other, with no third one.
    """

    def __init__(
        self, arms: Sequence[Arm], density: float, odds: Odds, angle: float = 180.0
    ) -> None:
        self.arms, self.odds = arms, odds
        self.density = math.log(density)
        self.least = math.cos(math.radians(angle))
        self.score = cache(self._score)
        self._straight = cache(self._straightness)
        self._pair = cache(self._pair_odds)
        self._side = cache(self._side_odds)

    def traits(self, group: Group) -> tuple[list[float], list[list[float]], list[float]]:
        """Return the traits of a group: of its trunk, of each side branch, or of its end."""
        if len(group) == 1:
            return [], [], end_traits(self.arms[group[0]])
        trunk = self._trunk(group)
        sides = [self._side_traits(i, trunk) for i in group if i not in trunk]
        return self._pair_traits(trunk), sides, []

    def _trunk(self, group: Group) -> Group:
        """Return the two arms of a group that continue each other best."""
        return max(itertools.combinations(group, 2), key=self._straight)

    def _straightness(self, pair: Group) -> float:
        return likeness(self.arms[pair[0]], self.arms[pair[1]])

    def _pair_traits(self, pair: Group) -> list[float]:
        return [*pair_traits(self.arms[pair[0]], self.arms[pair[1]]), self.density]

    def _side_traits(self, side: int, pair: Group) -> list[float]:
        a, b = (self.arms[i] for i in pair)
        return [*side_traits(self.arms[side], a, b), self.density]

    def _pair_odds(self, pair: Group) -> float:
        return _sum(self.odds.pair, self._pair_traits(pair))

    def _side_odds(self, side: int, pair: Group) -> float:
        return _sum(self.odds.side, self._side_traits(side, pair))

    def _score(self, group: Group) -> float:
        """Return the log odds of a group."""
        if len(group) == 1:
            return _sum(self.odds.end, end_traits(self.arms[group[0]]))
        trunk = self._trunk(group)
        if len(group) == 2 and self._straight(trunk) < self.least:
            return FORBIDDEN
        sides = sum(self._side(i, trunk) for i in group if i not in trunk)
        return self._pair(trunk) + sides + self.odds.more * max(len(group) - 3, 0)

    @cached_property
    def partitions(self) -> list[tuple[float, Partition]]:
        """Return the likeliest partitions with their probabilities, the likeliest first."""
        order = sorted(range(len(self.arms)), key=lambda i: (-self.arms[i].length, i))
        found: list[tuple[float, Partition]] = [(0.0, ())]
        for arm in order:
            grown = {}
            for odds, groups in found:
                grown[(*groups, (arm,))] = odds + self.score((arm,))
                for at, group in enumerate(groups):
                    if self._may_join(arm, group):
                        larger = tuple(sorted((*group, arm)))
                        more = self.score(larger) - self.score(group)
                        grown[(*groups[:at], larger, *groups[at + 1 :])] = odds + more
            ranked = sorted(grown.items(), key=lambda one: (-one[1], one[0]))[:WIDTH]
            found = [(odds, groups) for groups, odds in ranked]
        shares = np.exp(np.array([odds for odds, _ in found]) - found[0][0])
        shares /= shares.sum()
        return [(share, groups) for share, (_, groups) in zip(shares.tolist(), found, strict=True)]

    @property
    def unbranched(self) -> float:
        """The probability that no group has more than two arms."""
        return sum(share for share, groups in self.partitions if max(map(len, groups)) < 3)

    def _may_join(self, arm: int, group: Group) -> bool:
        if len(self.arms) <= MANY:
            return True
        return len(group) < LARGEST and max(self._gain(arm, other) for other in group) > UNLIKELY

    def _gain(self, one: int, other: int) -> float:
        pair = min(one, other), max(one, other)
        return self.score(pair) - self.score((one,)) - self.score((other,))

    def ties(self) -> list[tuple[int, int, float]]:
        """Link all arms to likely neighbours: pairs, with their probability to be one neurite."""
        pairs = list(itertools.combinations(range(len(self.arms)), 2))
        together = dict.fromkeys(pairs, 0.0)
        for share, groups in self.partitions:
            for pair in itertools.chain(*(itertools.combinations(g, 2) for g in groups)):
                together[pair] += share
        linked = Groups()
        ordered = sorted(pairs, key=lambda pair: (-together[pair], pair))
        return [(i, j, together[i, j]) for i, j in ordered if linked.join(i, j)]


def _sum(odds: Sequence[float], traits: Sequence[float]) -> float:
    return sum(b * t for b, t in zip(odds, traits, strict=True))

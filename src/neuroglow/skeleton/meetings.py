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

RIVAL = 0.01
"""Lowest probability of a rival: there is one."""

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
        *(-0.08, 1.59, -0.78, 0.52, -2.15, -12.92, -0.68, -2.84, 0.26),
        *(-1.25, 1.98, 0.23, -1.65, -3.0, -0.19, 0.42, -0.03, 0.0),
    ),
    side=(2.13, 0.82, -1.16, -0.6, 0.14, -6.96, -0.47, -0.56),
    end=(-0.2, -0.42),
    more=1.62,
)
"""Where branch points are close together, before any are parted. All three are fitted by
benchmarks/tree_odds.py."""

SHARED = Odds(
    pair=(
        *(0.96, 0.57, -0.23, 0.09, -2.07, -21.7, -1.83, -3.4, 0.24),
        *(-1.01, 1.12, -0.31, -1.63, -0.75, -0.24, 0.28, -0.77, 0.0),
    ),
    side=(0.08, -0.42, -0.48, -0.22, -0.4, -4.77, -0.03, -0.27),
    end=(-0.22, -0.44),
    more=3.55,
)
"""Where branch points that are left are farther apart."""

BRANCHED = Odds(
    pair=(
        *(-1.1, 1.2, -0.41, 0.14, -1.61, -4.92, 0.0, -2.43, -0.16),
        *(-1.78, 0.99, -1.23, -1.47, -1.91, -0.01, 0.83, -0.01, 0.0),
    ),
    side=(-1.26, 0.15, 0.18, -0.35, 0.77, -5.44, 0.0, -0.68),
    end=(-0.21, -0.49),
    more=0.21,
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

    @cached_property
    def together(self) -> dict[tuple[int, int], float]:
        """The probability of each pair of arms to be one neurite."""
        together = dict.fromkeys(itertools.combinations(range(len(self.arms)), 2), 0.0)
        for share, groups in self.partitions:
            for pair in itertools.chain(*(itertools.combinations(g, 2) for g in groups)):
                together[pair] += share
        return together

    def rival(self, one: int, other: int) -> float:
        """Return the highest probability that either of two arms is one with a third arm."""
        own = {one, other}
        return max(RIVAL, *(p for pair, p in self.together.items() if len(own & {*pair}) == 1))

    def ties(self) -> list[tuple[int, int, float]]:
        """Link all arms to likely neighbours: pairs, with their probability to be one neurite."""
        linked = Groups()
        ordered = sorted(self.together.items(), key=lambda one: (-one[1], one[0]))
        return [(i, j, share) for (i, j), share in ordered if linked.join(i, j)]


def _sum(odds: Sequence[float], traits: Sequence[float]) -> float:
    return sum(b * t for b, t in zip(odds, traits, strict=True))

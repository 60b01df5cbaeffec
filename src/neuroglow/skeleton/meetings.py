"""Where lines meet: which arms are one neurite. All arms of a meeting are decided on together.

A partition of the arms is a set of groups: one arm ends there, two continue each other, more are
a branch. Its log odds are the sum of those of all pairs that it joins (bonds.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm
from neuroglow.skeleton.bonds import Bonds
from neuroglow.skeleton.groups import Groups

__all__ = ["Decision", "Group", "Meeting", "Partition", "links_of"]

Floats = NDArray[np.float64]
Group = tuple[int, ...]
Partition = tuple[Group, ...]

WIDTH = 60
"""Number of partitions that are kept while arms are added one by one: all, up to five arms."""

MANY, LARGEST, UNLIKELY = 6, 4, -2.0
"""With more arms than this, no group has more than LARGEST, or is less likely (log odds)."""

SHARE = 0.6
"""Weight of the log odds of a pair in those of a partition: pairs of a group are not independent.
"""

END = -1.0
"""Log odds of an arm that ends there: what is joined is decided on again by the partition, what is
cut is not."""

RIVAL = 0.01
"""Lowest probability of a rival: there is one."""

FORBIDDEN = -1000.0
"""Log odds of what must not be."""


@dataclass(frozen=True)
class Decision:
    """Whether a piece belongs to a neuron: the place (um, zyx), the probability, and what was done.

    joined: whether it was joined; otherwise it belongs to another tree.
    """

    place: Floats
    probability: float
    joined: bool


class Meeting:
    """Arms that meet in one place, and the log odds of each pair.

    angle: degrees by which two arms may bend and still continue each other, with no third one.
    """

    def __init__(self, arms: Sequence[Arm], bonds: Bonds, angle: float = 180.0) -> None:
        self.arms, self.bonds = arms, bonds
        self.least = math.cos(math.radians(angle))
        self.score = cache(self._score)

    def _score(self, group: Group) -> float:
        """Return the log odds of a group."""
        if len(group) == 1:
            return END
        if len(group) == 2:
            a, b = (self.arms[i] for i in group)
            if -float(a.ways[1] @ b.ways[1]) < self.least:
                return FORBIDDEN
        return SHARE * sum(self.bonds[pair] for pair in itertools.combinations(group, 2))

    @cached_property
    def partitions(self) -> list[tuple[float, Partition]]:
        """Return the likeliest partitions with their probabilities, the likeliest first."""
        order = sorted(range(len(self.arms)), key=lambda i: (-self.arms[i].length, i))
        found: list[tuple[float, Partition]] = [(0.0, ())]
        for arm in order:
            grown = {}
            for odds, groups in found:
                grown[(*groups, (arm,))] = odds + END
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
        bonds = (self.bonds[min(arm, other), max(arm, other)] for other in group)
        return len(group) < LARGEST and max(bonds) > UNLIKELY

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


def links_of(likely: Bonds) -> list[tuple[int, int, float]]:
    """Link all arms to likely neighbours: pairs, with what makes them likely; the likeliest first.

    likely: of each pair.
    """
    linked = Groups()
    ordered = sorted(likely.items(), key=lambda one: (-one[1], one[0]))
    return [(i, j, share) for (i, j), share in ordered if linked.join(i, j)]

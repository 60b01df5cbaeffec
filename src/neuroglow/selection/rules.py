"""The rules by which cubes are selected: each ranks cubes, best first, with a reason.

Pure functions of a Table; ties are broken by a hash of seed and name, so that the result does
not depend on the order of files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import SettingsError

__all__ = ["RULES", "ChosenCube", "Table", "check_rule", "dhpr", "interleave", "order_by"]

Floats = NDArray[np.float64]

FOREGROUND_SHARE = 2 / 3
"""Number of draws in foreground_random weighted by foreground (as in nnU-Net and nnActive)."""

LARGEST = 4096
"""Maximum number of cubes that `diverse` compares pairwise; of a larger pool, the hardest."""

HARD_SHARE = 0.5
"""`diverse` chooses among the hardest half, or among twice the requested number of cubes."""

NEAR = 0.35
"""Distance (root mean square of indicators in quantiles) up to which two cubes are alike."""


@dataclass(frozen=True)
class ChosenCube:
    """One cube: its row in the table, and the reason for its rank."""

    row: int
    reason: str


@dataclass(frozen=True)
class Table:
    """The data on cubes that rules use.

    density, noise, low_snr: the three indicators, with labels or without. foreground: voxels.
    others: further indicators by name. entropy: of a model's probability, if known.
    """

    names: Sequence[str]
    density: Floats
    noise: Floats
    low_snr: Floats
    foreground: Floats
    others: Mapping[str, Floats]
    entropy: Floats | None = None

    def part(self, rows: NDArray[np.int64]) -> Table:
        """Return some rows as a table of their own."""
        return Table(
            [self.names[i] for i in rows],
            self.density[rows],
            self.noise[rows],
            self.low_snr[rows],
            self.foreground[rows],
            {name: values[rows] for name, values in self.others.items()},
            None if self.entropy is None else self.entropy[rows],
        )


Rule = Callable[[Table, int, int], list[ChosenCube]]
"""(table, count, seed) -> at most `count` choices, best first."""


def dhpr(table: Table, count: int, seed: int) -> list[ChosenCube]:
    """Order cubes as DB-Enhance does: noisier than the median, then by density + low-SNR ratio.

    Source: DHPR_Image_Selection.py. Cubes at or below the median of the noise are never
    chosen. Ties stand in the table's order.
    """
    median = float(np.median(table.noise))
    noisy = np.flatnonzero(table.noise > median)
    score = table.density[noisy] + table.low_snr[noisy]
    ranked = noisy[np.argsort(-score, kind="stable")][:count]
    return [
        ChosenCube(
            int(i),
            f"noise {table.noise[i]:.4g} above the median {median:.4g}; density "
            f"{table.density[i]:.3f} + low-SNR ratio {table.low_snr[i]:.3f} is rank {rank} "
            f"of {len(noisy)}",
        )
        for rank, i in enumerate(ranked, start=1)
    ]


def random(table: Table, count: int, seed: int) -> list[ChosenCube]:
    """Draw cubes at random."""
    keys = _keys(table.names, seed)
    return [ChosenCube(int(i), f"drawn at random (seed {seed})") for i in np.argsort(keys)[:count]]


def foreground_random(table: Table, count: int, seed: int) -> list[ChosenCube]:
    """Draw two of three cubes with probability proportional to foreground, the third from all.

    Weighted draws without replacement by exponential keys (Efraimidis and Spirakis, 2006).
    """
    plain = _keys(table.names, seed)
    with np.errstate(divide="ignore"):
        weighted = -np.log(_keys(table.names, seed + 1)) / np.maximum(table.foreground, 0)
    by_weight, by_chance = list(np.argsort(weighted)), list(np.argsort(plain))
    chosen: dict[int, str] = {}
    while len(chosen) < min(count, len(table.names)):
        heavy = len(chosen) % 3 < 3 * FOREGROUND_SHARE
        queue = by_weight if heavy else by_chance
        row = next(int(i) for i in queue if int(i) not in chosen)
        why = f"drawn by foreground, {table.foreground[row]:.0f} voxels"
        chosen[row] = f"{why if heavy else 'drawn from all cubes'} (seed {seed})"
    return [ChosenCube(row, why) for row, why in chosen.items()]


def entropy(table: Table, count: int, seed: int) -> list[ChosenCube]:
    """Order cubes by a model's entropy, the most uncertain first."""
    if table.entropy is None or np.isnan(table.entropy).any():
        raise SettingsError(
            "the rule entropy needs a model's entropy of each cube",
            found="none in the survey",
            where="--rule",
            cure="neuroglow survey --model NAME, or another rule",
        )
    order = np.lexsort((_keys(table.names, seed), -table.entropy))
    return [
        ChosenCube(
            int(i), f"entropy {table.entropy[i]:.4g} bits per voxel, rank {rank} of {len(order)}"
        )
        for rank, i in enumerate(order[:count], start=1)
    ]


def diverse(table: Table, count: int, seed: int) -> list[ChosenCube]:
    """Take hard cubes that represent many others: hardness first, then coverage.

    Hardness is the mean quantile of low-SNR ratio, density and noise. Among the hardest half,
    each choice adds the most coverage: the sum, over cubes weighted by hardness, of the similarity
    to the nearest chosen one in the space of all indicators' quantiles (facility location,
    chosen greedily: Nemhauser et al., 1978).
    """
    hardness = _hardness(table)
    keys = _keys(table.names, seed)
    size = min(len(keys), max(2 * count, int(np.ceil(HARD_SHARE * len(keys)))))
    size = max(count, min(size, LARGEST, int((hardness > 0).sum())))
    pool = np.lexsort((keys, -np.round(hardness, 12)))[:size]
    near = _nearness(quantiles([*_three(table), *table.others.values()])[pool])
    order = _cover(near, hardness[pool], keys[pool], count)
    stands_for = np.bincount(np.argmax(near[:, order], axis=1), minlength=len(order))
    return [
        ChosenCube(
            int(pool[i]),
            f"hardness {hardness[pool[i]]:.2f} of 1 (low-SNR ratio {table.low_snr[pool[i]]:.2f}, "
            f"density {table.density[pool[i]]:.3f}, noise {table.noise[pool[i]]:.4g}); "
            f"represents {stands} of the {len(pool)} hardest",
        )
        for i, stands in zip(order, stands_for, strict=True)
    ]


RULES: Mapping[str, Rule] = {
    "dhpr": dhpr,
    "random": random,
    "foreground-random": foreground_random,
    "diverse": diverse,
    "entropy": entropy,
}


def order_by(rule: str, table: Table, count: int, seed: int) -> list[ChosenCube]:
    """Rank a table by a rule; raises SettingsError for an unknown rule."""
    check_rule(rule)
    return RULES[rule](table, count, seed) if table.names else []


def check_rule(rule: str) -> None:
    """Refuse an unknown rule."""
    if rule not in RULES:
        raise SettingsError(
            f"a rule is {', '.join(RULES)}", found=repr(rule), where="--rule", cure="--rule diverse"
        )


def interleave(
    groups: Mapping[str, Sequence[ChosenCube]], sizes: Mapping[str, int]
) -> list[ChosenCube]:
    """Merge the rankings of several groups so that every start of the list has its share of each.

    sizes: number of cubes of each group, which determine the shares.
    """
    places = [
        ((k + 0.5) / sizes[name], name, choice)
        for name, choices in groups.items()
        for k, choice in enumerate(choices)
    ]
    return [choice for _, _, choice in sorted(places, key=lambda p: (p[0], p[1]))]


def _cover(near: Floats, weight: Floats, keys: Floats, count: int) -> list[int]:
    """Greedily choose the items that cover the most uncovered weight."""
    covered = np.zeros(len(near))
    order: list[int] = []
    while len(order) < min(count, len(near)):
        gain = weight @ np.maximum(near - covered[:, None], 0)
        gain[order] = -1
        best = int(np.lexsort((keys, -weight, -np.round(gain, 9)))[0])
        order.append(best)
        covered = np.maximum(covered, near[:, best])
    return order


def _three(table: Table) -> tuple[Floats, Floats, Floats]:
    return table.low_snr, table.density, table.noise


def _hardness(table: Table) -> Floats:
    """Return each cube's mean quantile of the three indicators; 0 for one without foreground."""
    mean = quantiles(_three(table)).mean(axis=1)
    return np.where(table.foreground > 0, mean, 0.0)


def quantiles(columns: Sequence[Floats]) -> Floats:
    """Turn each column into quantiles 0..1, ties equal; a missing value is in the middle."""
    table = []
    for column in columns:
        known = np.sort(column[~np.isnan(column)])
        lower, upper = (np.searchsorted(known, column, side=side) for side in ("left", "right"))
        middle = (lower + upper) / 2 / max(1, len(known))
        table.append(np.where(np.isnan(column), 0.5, middle))
    return np.stack(table, axis=1)


def _nearness(points: Floats) -> Floats:
    """Return the similarity of each two points, 0..1."""
    square = np.square(points).sum(axis=1)
    apart = np.maximum(square[:, None] + square[None] - 2 * points @ points.T, 0)
    near = np.exp(-apart / points.shape[1] / (2 * NEAR**2))
    np.fill_diagonal(near, 1.0)
    return np.asarray(near)


def _keys(names: Sequence[str], seed: int) -> Floats:
    """Draw a number 0..1 for each name, from seed and name only."""
    digests = (hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8] for name in names)
    return np.array([(int.from_bytes(d, "big") + 1) / (2**64 + 1) for d in digests])

"""Fit the tracer's odds that lines which meet are one neurite (skeleton/meetings.py).

    python benchmarks/tree_odds.py [--seeds 21 22 23 24 25 26] [--regions ...] [--keep FOLDER]

On cubes as in benchmarks/trees.py, of other seeds, lines are drawn from the bundled model's
probability and from the true labels, and each arm at a meeting belongs to the true tree that most
of its nodes are nearest to. The odds make the true partition of the arms most likely, among all
partitions (conditional likelihood, with a small penalty): first at crossings, then, with these in
use, where the partition decides; last, the odds of each of its ties (skeleton/ties.py). Printed:
the constants; and, for each, how many meetings or ties, the share of true partitions that are the
likeliest, and that of pairs of arms decided right.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from tree_losses import lines_of
from trees import SIZE, UNIT, kept, true_trees

from neuroglow.labels.labels import NEURITE
from neuroglow.metrics import trees
from neuroglow.skeleton import crossings, partition, tracer
from neuroglow.skeleton.arms import Arm
from neuroglow.skeleton.bridges import Bricks, bridge_gaps
from neuroglow.skeleton.density import Density
from neuroglow.skeleton.graph import Graph, pieces_of
from neuroglow.skeleton.meetings import Meeting, Odds, Partition
from neuroglow.skeleton.ties import TieKind, tie_kind, tie_traits
from neuroglow.space.geometry import Box

MOST = 6
"""Largest number of arms of a meeting that is fitted."""

NEAR, NODES = 3.0, slice(3, 25)
"""Voxels within which a node belongs to a true tree, and the nodes of an arm that count."""

PENALTY = 0.5
SHAPE = (SIZE,) * 3
PAIR, SIDE, END, TIE = 18, 8, 2, 22
NONE = Odds((0.0,) * PAIR, (0.0,) * SIDE, (0.0,) * END)


@cache
def partitions(count: int) -> list[Partition]:
    """List all partitions of some arms."""
    if not count:
        return [()]
    found: list[Partition] = []
    for groups in partitions(count - 1):
        found.append((*groups, (count - 1,)))
        for at, group in enumerate(groups):
            found.append((*groups[:at], (*group, count - 1), *groups[at + 1 :]))
    return found


class Truth:
    """The true tree of each arm."""

    def __init__(self, cube: Mapping[str, np.ndarray]) -> None:
        strand = trees.to_strand(true_trees(cube), UNIT)
        self.strand = trees.cut_to_box(strand, Box.of(cube["label"].shape))
        self.near = cKDTree(self.strand.points)

    def of(self, graph: Graph, arm: Arm) -> int:
        """Return the number of a true tree, or one of its own for an arm that is none."""
        chosen = arm.nodes[NODES] if len(arm.nodes) > NODES.start else arm.nodes[-1:]
        away, at = self.near.query(graph.places[chosen])
        owners = self.strand.trees[at[away < NEAR]]
        return Counter(owners.tolist()).most_common(1)[0][0] if len(owners) else -1 - id(arm)


Sample = tuple[np.ndarray, int, Sequence[Partition]]
"""Of a meeting: the traits of all partitions, the number of the true one, the partitions."""


def sample(arms: Sequence[Arm], density: float, owners: Sequence[int]) -> Sample:
    """Describe all partitions of the arms of a meeting."""
    meeting, every = Meeting(arms, density, NONE), partitions(len(arms))
    groups = {group: traits_of(meeting, group) for groups in every for group in groups}
    values = np.array([sum(groups[group] for group in found) for found in every])
    true = {frozenset(i for i, o in enumerate(owners) if o == owner) for owner in owners}
    number = next(i for i, found in enumerate(every) if set(map(frozenset, found)) == true)
    return values, number, every


def traits_of(meeting: Meeting, group: tuple[int, ...]) -> np.ndarray:
    """Return the traits of a group in a row: pair, sides, further sides, end."""
    pair, sides, end = meeting.traits(group)
    row = np.zeros(PAIR + SIDE + 1 + END)
    row[:PAIR] = pair or 0
    row[PAIR : PAIR + SIDE] = np.sum(sides, axis=0) if sides else 0
    row[PAIR + SIDE] = max(len(sides) - 1, 0)
    row[-END:] = end or 0
    return row


def fitted(samples: Sequence[Sample]) -> np.ndarray:
    """Fit the coefficients to samples.

    Where there may be side branches, the density tells of these only.
    """
    scale = np.sqrt(np.mean([np.square(values).mean(axis=0) for values, _, _ in samples], axis=0))
    scale[scale == 0] = np.inf
    if len(scale) > TIE:
        scale[PAIR - 1] = np.inf
    rows = np.concatenate([values / scale for values, _, _ in samples])
    first = np.cumsum([0, *(len(values) for values, _, _ in samples)])
    true = first[:-1] + [number for _, number, _ in samples]
    meeting = np.repeat(np.arange(len(samples)), np.diff(first))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        odds = rows @ weights
        odds -= np.maximum.reduceat(odds, first[:-1])[meeting]
        shares = np.exp(odds)
        total = np.add.reduceat(shares, first[:-1])
        slope = (shares / total[meeting]) @ rows - rows[true].sum(axis=0) + 2 * PENALTY * weights
        value = np.log(total).sum() - odds[true].sum() + PENALTY * weights @ weights
        return float(value), slope

    return minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x / scale


def right(samples: Sequence[Sample], weights: np.ndarray) -> tuple[float, float]:
    """Return the shares of partitions and of pairs that are right."""
    whole, pairs = [], []
    for values, number, every in samples:
        best = int(np.argmax(values @ weights))
        whole.append(best == number)
        count = sum(map(len, every[0]))
        here, there = (labels(every[i], count) for i in (best, number))
        same = (here[:, None] == here) == (there[:, None] == there)
        pairs.append(same[np.triu_indices(count, 1)])
    return float(np.mean(whole)), float(np.mean(np.concatenate(pairs)))


def labels(groups: Partition, count: int) -> np.ndarray:
    """Return the number of the group of each arm."""
    found = np.zeros(count, int)
    for number, group in enumerate(groups):
        found[list(group)] = number
    return found


def odds_of(weights: np.ndarray) -> Odds:
    """Return coefficients as the tracer takes them."""
    row = [round(float(w), 2) + 0.0 for w in weights]
    ends = PAIR + SIDE
    return Odds(tuple(row[:PAIR]), tuple(row[PAIR:ends]), tuple(row[-END:]), row[ends])


def drawn(cube: Mapping[str, np.ndarray]) -> Iterator[tuple[np.ndarray, Graph]]:
    """Give the voxels of both kinds, and their lines."""
    for values in (cube["probability"], (cube["label"] == NEURITE).astype(np.float32)):
        yield values, lines_of(values, tracer.Rules.usual(0.5, UNIT)).in_order()


def at_crossings(
    graph: Graph, density: Density, truth: Truth, turn: crossings.Round
) -> Iterator[Sample]:
    """Describe the crossings of a graph."""
    for one in crossings.find_crossings(graph, density, turn):
        if len(one.arms) <= MOST:
            yield sample(one.arms, one.density, [truth.of(graph, arm) for arm in one.arms])


def before_partition(graph: Graph, values: np.ndarray) -> Graph:
    """Do what the tracer does after the parting of crossings, up to the partition."""
    rules = tracer.Rules.usual(0.5, UNIT)

    def read(box: Box) -> np.ndarray:
        return values[box.slices]

    forest = tracer.cleaned(graph.as_forest(), rules, read, SHAPE)
    joined = bridge_gaps(forest, Bricks(read, SHAPE).read, SHAPE, rules.gap)
    return tracer.tidied(joined, rules)


@dataclass(frozen=True)
class Junction:
    """Where the partition decides: arms, their true trees, and the densities of lines."""

    arms: Sequence[Arm]
    owners: Sequence[int]
    density: float
    close: Callable[[Arm, Arm], float]

    def ties(self, odds: Odds) -> Iterator[tuple[TieKind, Sample]]:
        """Describe the ties of the arms, each as two partitions: apart and joined."""
        for i, j, _ in Meeting(self.arms, self.density, odds).ties():
            a, b = self.arms[i], self.arms[j]
            others = [arm for arm in self.arms if arm not in {a, b}]
            traits = tie_traits(a, b, others, self.density, self.close(a, b))
            same = int(self.owners[i] == self.owners[j])
            yield tie_kind(a, b, others), (np.stack([np.zeros(TIE), traits]), same, partitions(2))


def junctions(graph: Graph, truth: Truth) -> Iterator[Junction]:
    """Describe where the partition decides."""
    whole = pieces_of(graph)
    parts = [partition._parts(graph, piece) for piece in whole]
    wide = Density(graph, SHAPE, partition.CELL_VOX, partition.CELLS)
    close = partition.Close(graph, SHAPE)
    for node, found, length in partition._meetings(graph, whole, parts):
        arms = [arm for _, arm in found]
        place = graph.places[node]
        yield Junction(
            arms,
            [truth.of(graph, arm) for arm in arms],
            wide.at(place, length),
            partial(close.at, place),
        )


def told(name: str, samples: Sequence[Sample]) -> Odds:
    """Fit and print a constant."""
    weights = fitted(samples)
    odds = odds_of(weights)
    print(f"{name} = {odds}")
    shares = ", ".join(f"{share:.3f}" for share in right(samples, weights))
    print(f"# {len(samples)} meetings; right: {shares}", flush=True)
    return odds


def main() -> None:
    """Read the command line, fit, print the constants."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23, 24, 25, 26])
    parser.add_argument("--regions", nargs="+", default=["sparse", "cells", "plexus"])
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    cubes = [
        (Truth(cube), values, graph, Density(graph, SHAPE, crossings.CELL_VOX, crossings.CELLS))
        for region in asked.regions
        for seed in asked.seeds
        for cube in [kept(asked.keep, region, seed, SIZE, asked.model)]
        for values, graph in drawn(cube)
    ]
    angle = tracer.Rules.usual(0.5, UNIT).crossing
    turns: dict[str, crossings.Round] = {"CROSSED": "close", "SHARED": "along"}
    for name, turn in turns.items():
        odds = told(name, [s for t, _, g, d in cubes for s in at_crossings(g, d, t, turn)])
        cubes = [(t, v, crossings.part_once(g, d, turn, odds, angle)[0], d) for t, v, g, d in cubes]
    found = [one for t, v, g, _ in cubes for one in junctions(before_partition(g, v), t)]
    fit = [one for one in found if 2 < len(one.arms) <= MOST]
    odds = told("BRANCHED", [sample(one.arms, one.density, one.owners) for one in fit])
    ties: dict[TieKind, list[Sample]] = defaultdict(list)
    for one in found:
        for kind, tie in one.ties(odds):
            ties[kind].append(tie)
    for kind, samples in ties.items():
        weights = fitted(samples)
        print(f'"{kind}": {tuple(round(float(weight), 2) + 0.0 for weight in weights)}')
        print(f"# {len(samples)} ties; right: {right(samples, weights)[0]:.3f}", flush=True)


if __name__ == "__main__":
    main()

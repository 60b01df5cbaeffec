"""Partition: at each branch point, whether its pieces are one neuron or neurons that touch.

Where two neurites touch, their middle lines have a branch point too. The probability that pieces
are of one neuron is estimated from their directions, calibres, brightness and lengths, and from the
density of lines around: chance contacts increase with it, branches do not. All decisions are then
made together, the most probable first: pieces are joined if that increases the expected run length,
in which a tree that merges two neurons counts 0. So a piece is joined to a long tree only where
that is nearly certain. A short piece is joined to its likeliest neighbour, but what is joined
through it must be as certain as both steps together.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm, arm_of
from neuroglow.skeleton.bonds import Bonds, bonds_of
from neuroglow.skeleton.density import FITTED, Densities
from neuroglow.skeleton.graph import Graph, Piece, pieces_of
from neuroglow.skeleton.groups import Groups
from neuroglow.skeleton.meetings import Decision, links_of
from neuroglow.space.geometry import Zyx

__all__ = [
    "Decision",
    "Junction",
    "Junctions",
    "among",
    "cut_edges",
    "decide",
    "find_junctions",
    "junctions_of",
    "partition",
    "parts_of",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

ASIDE_VOX = 6.0
"""Voxels from one such place to the next, and to the ends of a piece."""

FLOOR = 0.7
"""Lowest probability with which a tree counts that was joined by many decisions: their errors are
not independent, and a lone line has many places where it may have bent."""

SLIGHT_VOX = 10.0
"""Length below which a piece is joined to its likeliest neighbour: it does little harm."""

CELL_VOX, CELLS = 32, 2
"""The density is measured in cells, in this number of cells on each side of a branch point."""

LEAST = 1e-6
"""Lowest probability of an error."""


@dataclass(frozen=True)
class Junction:
    """Where parts of pieces meet: the node, their numbers and arms.

    densities: of lines around, wide and narrow, for each pair of arms in order.
    """

    node: int
    parts: Sequence[int]
    arms: Sequence[Arm]
    densities: Sequence[tuple[float, float]]

    @property
    def bonds(self) -> Bonds:
        """The log odds of each pair of arms to be one neuron."""
        odds = bonds_of("tie", self.arms, self.densities)
        if max(arm.rival for arm in self.arms):
            return odds
        rarer = math.log(FITTED / min(self.densities[0][0], FITTED))
        return {pair: one + rarer for pair, one in odds.items()}

    def ties(self) -> Iterator[_Tie]:
        """Estimate which parts are one neuron: each with its likeliest neighbour."""
        for i, j, odds in links_of(self.bonds):
            low, high = sorted((self.parts[i], self.parts[j]))
            probability = min(max(1 / (1 + math.exp(-odds)), LEAST), 1 - LEAST)
            yield _Tie((low, high), self.node, probability)


@dataclass(frozen=True)
class _Tie:
    """Two pieces that may be one neuron: their numbers, and the node at which they meet."""

    pieces: tuple[int, int]
    node: int
    probability: float


@dataclass(frozen=True)
class Junctions:
    """Pieces, and the places at which two of them may be one neuron; nodes by their names.

    ends: (n, 4) of each piece its first two nodes and its last two, in order. lengths: (n,) um.
    ties: (k, 2) pieces. nodes, odds, places: (k,), where they meet, the probability that they are
    one neuron, and the place (um, zyx). somata: (s,).
    """

    ends: Integers
    lengths: Floats
    ties: Integers
    nodes: Integers
    odds: Floats
    places: Floats
    somata: Integers

    @classmethod
    def joined(cls, parts: Sequence[Junctions]) -> Junctions:
        """Join those of several parts of a volume; a piece may be in more than one of them."""
        starts = np.cumsum([0, *(len(p.lengths) for p in parts)])[:-1]
        ends = np.concatenate([p.ends for p in parts])
        _, first, which = np.unique(ends[:, :2], axis=0, return_index=True, return_inverse=True)
        ties = np.concatenate([p.ties + start for p, start in zip(parts, starts, strict=True)])
        return cls(
            ends[first],
            np.concatenate([p.lengths for p in parts])[first],
            which.ravel()[ties],
            np.concatenate([p.nodes for p in parts]),
            np.concatenate([p.odds for p in parts]),
            np.concatenate([p.places for p in parts]),
            np.unique(np.concatenate([p.somata for p in parts])),
        )


def partition(graph: Graph, shape: Zyx) -> tuple[Graph, list[Decision]]:
    """Cut a forest, in order, at branch points where a piece is probably of another neuron.

    A bridge that is cut is removed whole; somata are not cut. Returns the decisions as well.
    """
    junctions = Junctions.joined([find_junctions(graph, shape)])
    gone, decisions = decide(junctions, float(graph.unit_um.max()))
    return cut_edges(graph, gone), decisions


def find_junctions(graph: Graph, shape: Zyx, own: Mask | None = None) -> Junctions:
    """Estimate, where pieces of a forest meet, whether they are one neuron.

    graph: in order. own: (n,) the nodes at which this is done; the pieces that begin or end there.
    """
    whole = pieces_of(graph)
    parts = [parts_of(graph, piece) for piece in whole]
    pieces = list(itertools.chain(*parts))
    own = np.ones(len(graph.places), bool) if own is None else own
    found = junctions_of(graph, shape, own, whole, parts)
    ties = [tie for junction in found for tie in junction.ties()]
    nodes = np.array([tie.node for tie in ties], np.int64)
    ends = np.array([piece.nodes[[0, 1, -2, -1]] for piece in pieces], np.int64).reshape(-1, 4)
    near = own[ends[:, [0, 3]]].any(axis=1)
    return Junctions(
        graph.names[ends[near]],
        np.array([piece.length_um for piece in pieces])[near],
        (np.cumsum(near) - 1)[np.array([tie.pieces for tie in ties], np.int64).reshape(-1, 2)],
        graph.names[nodes],
        np.array([tie.probability for tie in ties]),
        graph.points_of(nodes),
        graph.names[graph.somata & own],
    )


def decide(found: Junctions, voxel_um: float) -> tuple[Integers, list[Decision]]:
    """Decide on all ties together: the edges (n, 2; names) to cut, and the decisions.

    voxel_um: the longest side of a voxel.
    """
    group = _Neurons(found.lengths.tolist(), SLIGHT_VOX * voxel_um)
    for own in _at_somata(found):
        for one, other in itertools.pairwise(own):
            group.join(one, other)
    decisions = []
    for i in np.lexsort((*np.sort(found.ties, axis=1).T[::-1], found.nodes, -found.odds)).tolist():
        (one, other), odds = found.ties[i].tolist(), float(found.odds[i])
        joined = group.gains(one, other, odds)
        if joined:
            group.join(one, other, odds)
        decisions.append(Decision(found.places[i], odds, joined))
    return _gone(found, group), decisions


def _at_somata(found: Junctions) -> list[list[int]]:
    """List the pieces of each soma."""
    at: dict[int, list[int]] = {name: [] for name in found.somata.tolist()}
    outer = found.ends[:, [0, 3]]
    for number in np.flatnonzero(np.isin(outer, found.somata).any(axis=1)).tolist():
        for name in set(outer[number].tolist()) & at.keys():
            at[name].append(number)
    return list(at.values())


class _Neurons(Groups):
    """Pieces that are joined to neurons: the length of each, and the probability that it is one.

    sure: for each piece, the probability that it belongs to the neuron it was joined to, where it
    was too short to count: what is joined to it depends on that.
    """

    def __init__(self, lengths: Sequence[float], slight: float) -> None:
        super().__init__()
        self.lengths, self.slight = list(lengths), slight
        self.odds = [1.0] * len(self.lengths)
        self.sure = [1.0] * len(self.lengths)
        self.short = {i: [i] for i, length in enumerate(self.lengths) if length < slight}

    def gains(self, one: int, other: int, probability: float) -> bool:
        """Return whether joining increases the expected run length."""
        (a, first), (b, second) = self._of(one), self._of(other)
        run = first * second * self._through(one, other, probability) * (a + b) ** 2
        return min(a, b) < self.slight or run > first * a * a + second * b * b

    def _of(self, piece: int) -> tuple[float, float]:
        top = self.top(piece)
        return self.lengths[top], self.odds[top]

    def _through(self, one: int, other: int, probability: float) -> float:
        """Return the probability that what two pieces belong to is one."""
        return probability * self.sure[one] * self.sure[other]

    def join(self, one: int, other: int, probability: float = 1.0) -> bool:
        """Join the neurons of two pieces; return False if they are one already."""
        low, high = sorted((self.top(one), self.top(other)))
        through = self._through(one, other, probability)
        joined = super().join(low, high)
        if joined:
            first, second = self.odds[low], self.odds[high]
            slight = min(self.lengths[low], self.lengths[high]) < self.slight
            odds = min(first, second) if slight else first * second * through
            self._take(low, high, through)
            self.odds[low] = max(odds, FLOOR)
            self.lengths[low] += self.lengths[high]
        return joined

    def _take(self, low: int, high: int, through: float) -> None:
        """Remember how sure the pieces of a short neuron are that another one takes."""
        groups = [self.short.pop(low, []), self.short.pop(high, [])]
        if all(groups) and self.lengths[low] + self.lengths[high] < self.slight:
            self.short[low] = [*groups[0], *groups[1]]
        elif not all(groups):
            for piece in itertools.chain(*groups):
                self.sure[piece] *= through


def parts_of(graph: Graph, piece: Piece) -> list[Piece]:
    """Cut a piece where it had branch points; those that are close together count once.

    Those near its ends do not count; near a soma, as far away as it is thick.
    """
    points = graph.points_of(piece.nodes)
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    aside = ASIDE_VOX * float(graph.unit_um.max())
    ends = list(piece.ends)
    first, last = aside + np.where(graph.somata[ends], 2 * graph.radii[ends], 0)
    inner = np.flatnonzero(graph.joints[piece.nodes] & (along > first) & (along < along[-1] - last))
    groups = np.split(inner, np.flatnonzero(np.diff(along[inner]) > aside) + 1)
    at = [int(group[len(group) // 2]) for group in groups if len(group)]
    cuts = itertools.pairwise([0, *at, len(along) - 1])
    return [Piece(piece.nodes[a : b + 1], float(along[b] - along[a])) for a, b in cuts]


def junctions_of(
    graph: Graph, shape: Zyx, own: Mask, whole: Sequence[Piece], parts: Sequence[Sequence[Piece]]
) -> Iterator[Junction]:
    """List where parts of pieces meet. own: (n,) at which nodes. parts: of each piece."""
    densities = Densities(graph, shape, CELL_VOX, CELLS)
    for node, found, length in _meetings(graph, whole, parts):
        if not own[node]:
            continue
        numbers, arms = [number for number, _ in found], [arm for _, arm in found]
        yield Junction(node, numbers, arms, densities.of(graph.places[node], length, arms))


def _meetings(
    graph: Graph, whole: Sequence[Piece], parts: Sequence[Sequence[Piece]]
) -> Iterator[tuple[int, list[tuple[int, Arm]], float]]:
    """List the node, the parts with their arms, and the length there.

    That is the length, in voxels, that does not count as density.
    """
    degrees, voxel = graph.degrees, float(graph.unit_um.max())
    farthest = CELL_VOX * CELLS
    branches: dict[int, list[tuple[int, Arm]]] = defaultdict(list)
    lengths: dict[int, float] = defaultdict(float)
    first = 0
    for piece, own in zip(whole, parts, strict=True):
        numbers = range(first, first + len(own))
        ends = [bool(degrees[node] == 1) for node in piece.ends]
        at = 0
        for number, part in zip(numbers[:-1], own[:-1], strict=True):
            at += len(part.nodes) - 1
            sides = [
                (number, arm_of(graph, piece.nodes[at::-1], free=ends[0])),
                (number + 1, arm_of(graph, piece.nodes[at:], free=ends[1])),
            ]
            yield int(piece.nodes[at]), sides, min(piece.length_um / voxel, 2 * farthest)
        for nodes, number, free in (
            (piece.nodes, numbers[0], ends[1]),
            (piece.nodes[::-1], numbers[-1], ends[0]),
        ):
            node = int(nodes[0])
            if degrees[node] > 2 and not graph.somata[node]:
                branches[node].append((number, arm_of(graph, nodes, free=free)))
                lengths[node] += min(piece.length_um / voxel, farthest)
        first += len(own)
    for node, found in sorted(branches.items()):
        yield node, found, lengths[node]


def _gone(found: Junctions, group: _Neurons) -> Integers:
    """Separate the pieces of different neurons: the longest one keeps the branch point."""
    keeper: dict[int, int] = {}
    outer = found.ends[:, [0, 3]]
    for number, ends in enumerate(outer.tolist()):
        for node in ends:
            best = keeper.setdefault(node, group.top(number))
            keeper[node] = max(best, group.top(number), key=lambda g: (group.lengths[g], -g))
    gone = [
        edge
        for number, (a, b, c, d) in enumerate(found.ends.tolist())
        for edge in ((a, b), (d, c))
        if group.top(number) != keeper[edge[0]]
    ]
    return np.unique(np.sort(np.array(gone, np.int64).reshape(-1, 2), axis=1), axis=0)


def cut_edges(graph: Graph, gone: Integers) -> Graph:
    """Remove edges (n, 2; names) with their whole bridges, and nodes left alone, but somata."""
    kept = ~among(graph.names[graph.edges], gone)
    cut = np.unique(graph.bridges[~kept])
    return graph.with_edges(kept & ~np.isin(graph.bridges, cut[cut > 0])).without_lone_nodes()


def among(edges: Integers, some: Integers) -> Mask:
    """Return which edges (n, 2; names) are among some others."""
    pairs = np.concatenate([np.sort(some, axis=1), np.sort(edges, axis=1)])
    _, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.ravel()
    return np.isin(which[len(some) :], which[: len(some)])

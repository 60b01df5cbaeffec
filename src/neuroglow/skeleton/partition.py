"""Partition: at each branch point, whether its pieces are one neuron or neurons that touch.

Where two neurites touch, their middle lines have a branch point too. The probability that pieces
are of one neuron is estimated from their directions, calibres, brightness and lengths, and from the
density of lines around: chance contacts increase with it, branches do not. All decisions are then
made together, the most probable first: pieces are joined if that increases the expected run length,
in which a tree that merges two neurons counts 0. So a piece is joined to a long tree only where
that is nearly certain.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.crossings import Arm, arm_of, likeness
from neuroglow.skeleton.graph import Graph, Piece, pieces_of
from neuroglow.skeleton.groups import Groups
from neuroglow.space.geometry import Zyx

__all__ = [
    "Decision",
    "Junctions",
    "among",
    "cut_edges",
    "decide",
    "find_junctions",
    "partition",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

STRAIGHT = (-2.9, 2.2, 0.7)
"""Log odds that the two straightest pieces are one neurite, if not all are one neuron: constant,
per likeness, per logarithm of the length of the shorter one (voxels, plus 2)."""

BRANCH = (-4.35, 0.9, 0.3, 0.86, 1.68)
"""Log odds that all are one neuron, at one voxel of line per thousand: constant, per logarithm of
the length of the shorter straight piece and of the side, per likeness of the side and of the
straight pieces. Both were fitted to 242 branch points of phantoms (docs/lab-notebook/trace.md)."""

BENT = (1.9, 1.9)
"""Log odds that a line is one neurite where it had a branch point before loops were cut and spurs
removed, at one voxel of line per thousand: constant, per likeness of its two sides. Fitted to 3886
such places in other phantoms, at three voxels per thousand."""

ASIDE_VOX = 6.0
"""Voxels from one such place to the next, and to the ends of a piece."""

BEND = 75.0
"""Degrees from which a likeness is negative."""

SLIGHT_VOX = 10.0
"""Length below which a piece is joined to its likeliest neighbour: it does little harm."""

CELL_VOX, CELLS = 32, 2
"""The density is measured in cells, in this number of cells on each side of a branch point."""


@dataclass(frozen=True)
class Decision:
    """Whether a piece belongs to a neuron: the place (um, zyx), the probability, and what was done.

    joined: whether it was joined; otherwise it belongs to another tree.
    """

    place: Floats
    probability: float
    joined: bool


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
    parts = [_parts(graph, piece) for piece in whole]
    pieces = list(itertools.chain(*parts))
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    density = _Density(graph, shape)
    own = np.ones(len(graph.places), bool) if own is None else own
    found = [*_ties(graph, whole, starts, density), *_bends(graph, whole, parts, density)]
    ties = [tie for tie in found if own[tie.node]]
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
    slight = SLIGHT_VOX * voxel_um
    group = _Neurons(found.lengths.tolist())
    for own in _at_somata(found):
        for one, other in itertools.pairwise(own):
            group.join(one, other)
    decisions = []
    for i in np.lexsort((*np.sort(found.ties, axis=1).T[::-1], found.nodes, -found.odds)).tolist():
        (one, other), odds = found.ties[i].tolist(), float(found.odds[i])
        joined = group.gains(one, other, odds, slight)
        if joined:
            group.join(one, other)
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
    """Pieces that are joined to neurons, with the length of each."""

    def __init__(self, lengths: Sequence[float]) -> None:
        super().__init__()
        self.lengths = list(lengths)

    def gains(self, one: int, other: int, probability: float, slight: float) -> bool:
        """Return whether joining increases the expected run length."""
        a, b = (self.lengths[self.top(piece)] for piece in (one, other))
        return min(a, b) < slight or probability * (a + b) ** 2 > a * a + b * b

    def join(self, one: int, other: int) -> bool:
        """Join the neurons of two pieces; return False if they are one already."""
        low, high = sorted((self.top(one), self.top(other)))
        joined = super().join(low, high)
        if joined:
            self.lengths[low] += self.lengths[high]
        return joined


def _parts(graph: Graph, piece: Piece) -> list[Piece]:
    """Cut a piece where it had branch points; those that are close together count once."""
    points = graph.points_of(piece.nodes)
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    aside = ASIDE_VOX * float(graph.unit_um.max())
    inner = np.flatnonzero(
        graph.joints[piece.nodes] & (along > aside) & (along < along[-1] - aside)
    )
    groups = np.split(inner, np.flatnonzero(np.diff(along[inner]) > aside) + 1)
    at = [int(group[len(group) // 2]) for group in groups if len(group)]
    ends = itertools.pairwise([0, *at, len(along) - 1])
    return [Piece(piece.nodes[a : b + 1], float(along[b] - along[a])) for a, b in ends]


def _bends(
    graph: Graph, whole: Sequence[Piece], parts: Sequence[Sequence[Piece]], density: _Density
) -> Iterator[_Tie]:
    """Estimate whether the parts of a piece are one neuron."""
    farthest, start = CELL_VOX * CELLS * float(graph.unit_um.max()), 0
    for piece, own in zip(whole, parts, strict=True):
        at = 0
        for number, part in enumerate(own[:-1], start=start):
            at += len(part.nodes) - 1
            back, on = arm_of(graph, piece.nodes[at::-1]), arm_of(graph, piece.nodes[at:])
            like = likeness(back, on, BEND)
            around = density.at(int(piece.nodes[at]), min(piece.length_um, 2 * farthest))
            share = _share(BENT[0] + BENT[1] * like - math.log(around))
            yield _Tie((number, number + 1), int(piece.nodes[at]), share)
        start += len(own)


def _ties(
    graph: Graph, whole: Sequence[Piece], starts: Sequence[int], density: _Density
) -> Iterator[_Tie]:
    """Estimate, at each branch point, which pieces are one neuron; starts: of their parts."""
    degrees = graph.degrees
    voxel = float(graph.unit_um.max())
    meeting: dict[int, list[tuple[int, Arm]]] = defaultdict(list)
    lengths: dict[int, float] = {}
    for piece, (first, after) in zip(whole, itertools.pairwise(starts), strict=True):
        for nodes, number in ((piece.nodes, first), (piece.nodes[::-1], after - 1)):
            node = int(nodes[0])
            lengths[number] = piece.length_um / voxel
            if degrees[node] > 2 and not graph.somata[node]:
                meeting[node].append((number, arm_of(graph, nodes)))
    for node, found in sorted(meeting.items()):
        own = sum(min(lengths[number], CELL_VOX * CELLS) for number, _ in found)
        yield from _ties_at(node, found, lengths, density.at(node, own * voxel))


def _ties_at(
    node: int, found: list[tuple[int, Arm]], lengths: Mapping[int, float], density: float
) -> Iterator[_Tie]:
    """Estimate which pieces are one neuron at one branch point."""
    pairs = itertools.combinations(found, 2)
    (one, first), (other, second) = max(
        pairs, key=lambda pair: (likeness(pair[0][1], pair[1][1], BEND), pair[0][0], pair[1][0])
    )
    straight = likeness(first, second, BEND)
    shorter = math.log(min(lengths[one], lengths[other]) + 2)
    alone = _share(STRAIGHT[0] + STRAIGHT[1] * straight + STRAIGHT[2] * shorter)
    none = 1.0
    for number, arm in found:
        if number in (one, other):
            continue
        mains = {one: likeness(arm, first, BEND), other: likeness(arm, second, BEND)}
        onto = max(mains, key=lambda name: (mains[name], name))
        terms = (1.0, shorter, math.log(lengths[number] + 2), mains[onto], straight)
        odds = sum(b * t for b, t in zip(BRANCH, terms, strict=True)) - math.log(density)
        branch = _share(odds)
        none *= 1 - branch
        yield _Tie((number, onto), node, branch)
    yield _Tie((one, other), node, 1 - none * (1 - alone))


def _share(odds: float) -> float:
    """Return the probability of log odds."""
    return 1 / (1 + math.exp(-odds))


class _Density:
    """Voxels of line per thousand voxels around a place."""

    def __init__(self, graph: Graph, shape: Zyx) -> None:
        self.graph, self.shape = graph, shape
        self.voxel = float(graph.unit_um.max())
        self.cells = np.floor(graph.places / CELL_VOX).astype(np.int64)
        halves = np.zeros(len(graph.places))
        for ends in graph.edges.T:
            halves += np.bincount(ends, graph.lengths / 2 / self.voxel, len(halves))
        keys, which = np.unique(self.cells, axis=0, return_inverse=True)
        lengths = np.bincount(which.ravel(), halves, len(keys))
        self.lengths = dict(zip(map(tuple, keys.tolist()), lengths.tolist(), strict=True))

    def at(self, node: int, own_um: float) -> float:
        """Return the density around a node, without the length of its own pieces."""
        cell = self.cells[node]
        around = itertools.product(range(-CELLS, CELLS + 1), repeat=3)
        length: float = sum(self.lengths.get(tuple((cell + s).tolist()), 0.0) for s in around)
        low = np.maximum((cell - CELLS) * CELL_VOX, 0)
        high = np.minimum((cell + CELLS + 1) * CELL_VOX, self.shape)
        room = float(np.prod(np.maximum(high - low, 1)))
        return max(1000 * (length - own_um / self.voxel) / room, 0.02)


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
    parted = graph.with_edges(kept & ~np.isin(graph.bridges, cut[cut > 0]))
    return parted.where((parted.degrees > 0) | graph.somata)


def among(edges: Integers, some: Integers) -> Mask:
    """Return which edges (n, 2; names) are among some others."""
    pairs = np.concatenate([np.sort(some, axis=1), np.sort(edges, axis=1)])
    _, which = np.unique(pairs, axis=0, return_inverse=True)
    which = which.ravel()
    return np.isin(which[len(some) :], which[: len(some)])

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
from neuroglow.space.geometry import Zyx

__all__ = ["Decision", "partition"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

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


def partition(graph: Graph, shape: Zyx) -> tuple[Graph, list[Decision]]:
    """Cut a forest at branch points where a piece is probably of another neuron.

    A bridge that is cut is removed whole; somata are not cut. Returns the decisions as well.
    """
    decisions = []
    whole = pieces_of(graph)
    parts = [_parts(graph, piece) for piece in whole]
    pieces = list(itertools.chain(*parts))
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    density = _Density(graph, shape)
    ties = [*_ties(graph, whole, starts, density), *_bends(graph, whole, parts, density)]
    lengths = [piece.length_um for piece in pieces]
    slight = SLIGHT_VOX * float(graph.unit_um.max())
    group = _Groups(lengths)
    for node in np.flatnonzero(graph.somata).tolist():
        own = [i for i, piece in enumerate(pieces) if node in piece.ends]
        for one, other in itertools.pairwise(own):
            group.join(one, other)
    for tie in sorted(ties, key=lambda t: (-t.probability, t.node, t.pieces)):
        joined = group.gains(tie, slight)
        if joined:
            group.join(*tie.pieces)
        decisions.append(Decision(graph.points_of([tie.node])[0], tie.probability, joined))
    return _cut(graph, pieces, group), decisions


class _Groups:
    """Pieces that are joined to neurons, with the length of each."""

    def __init__(self, lengths: Sequence[float]) -> None:
        self.top_of = list(range(len(lengths)))
        self.lengths = list(lengths)

    def top(self, name: int) -> int:
        """Return the name of the neuron of a piece."""
        while self.top_of[name] != name:
            self.top_of[name] = self.top_of[self.top_of[name]]  # path compression
            name = self.top_of[name]
        return name

    def gains(self, tie: _Tie, slight: float) -> bool:
        """Return whether joining increases the expected run length."""
        a, b = (self.lengths[self.top(piece)] for piece in tie.pieces)
        return min(a, b) < slight or tie.probability * (a + b) ** 2 > a * a + b * b

    def join(self, one: int, other: int) -> None:
        """Join the neurons of two pieces."""
        low, high = sorted((self.top(one), self.top(other)))
        if low != high:
            self.top_of[high] = low
            self.lengths[low] += self.lengths[high]


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


def _cut(graph: Graph, pieces: Sequence[Piece], group: _Groups) -> Graph:
    """Separate the pieces of different neurons: the longest one keeps the branch point."""
    keeper: dict[int, int] = {}
    for number, piece in enumerate(pieces):
        for node in piece.ends:
            best = keeper.setdefault(node, group.top(number))
            keeper[node] = max(best, group.top(number), key=lambda g: (group.lengths[g], -g))
    gone = set()
    for number, piece in enumerate(pieces):
        for nodes in (piece.nodes, piece.nodes[::-1]):
            if group.top(number) != keeper[int(nodes[0])]:
                gone.add(tuple(sorted(nodes[:2].tolist())))
    kept = np.array([tuple(sorted(edge)) not in gone for edge in graph.edges.tolist()], bool)
    cut = np.unique(graph.bridges[~kept])
    parted = graph.with_edges(kept & ~np.isin(graph.bridges, cut[cut > 0]))
    return parted.where((parted.degrees > 0) | graph.somata)

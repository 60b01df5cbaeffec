"""Separate crossing fibres, if directions show which pieces belong together."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph, Piece, names_after, pieces_of

__all__ = ["Arm", "arm_of", "likeness", "part_crossings"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

AWAY_UM = 10.0
"""Length of a piece from which its direction is measured (at least ten voxels)."""

REACHES_VOX = 6, 12
"""Voxels, beyond the neurite's thickness, within which two branch points are one crossing: simple
crossings are parted first, then fibres that run along each other for longer."""

APART_VOX = 3.0
"""Voxels from which the way from one piece to another tells whether they continue each other."""

UNLIKE = 0.15
"""Weight of differences of calibre (log ratio) and of probability, compared with the bend."""

FREE = 8
"""Number of shared nodes up to which each fibre gets a straight line of its own."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A piece that leaves a crossing: its nodes, and its number of nodes inside.

    begin, direction: where it leaves (zyx, in units of the coarsest voxel), and a unit vector.
    radius_vox, probability: medians along its beginning.
    """

    nodes: Integers
    inside: int
    begin: Floats
    direction: Floats
    radius_vox: float
    probability: float

    def edges_inside(self) -> Iterator[tuple[int, int]]:
        """Return the edges inside the crossing."""
        return itertools.pairwise(self.nodes[: self.inside + 1].tolist())


def part_crossings(graph: Graph, *, angle: float) -> Graph:
    """Let crossing fibres pass through each other.

    angle: degrees by which two pieces may bend and still be one fibre. Branch points closer than
    the neurite's thickness plus a margin are one crossing. Its pieces, four or more, are
    paired so that they bend least. With two or more pairs, each pair is a fibre; other pieces
    end there. Shared nodes are copied for each fibre, on a straight line. Neurites do not cross in
    a soma.
    """
    for reach in REACHES_VOX:
        graph = _part(graph, angle, reach * float(graph.unit_um.max()))
    return graph


def _part(graph: Graph, angle: float, reach: float) -> Graph:
    """Part the crossings whose branch points are this close together."""
    pieces = pieces_of(graph)
    kept = np.ones(len(graph.edges), bool)
    copies: list[Graph] = []
    edges: list[tuple[int, int]] = []
    count = len(graph.places)
    edge_of = {tuple(sorted(e)): i for i, e in enumerate(graph.edges.tolist())}
    for inner, arms in _crossings(graph, pieces, reach):
        pairs = _pair_off(arms, angle)
        if not pairs:
            continue
        ways = [_way(inner, a, b) for a, b in pairs]
        for piece in inner:
            for one in itertools.pairwise(piece.nodes.tolist()):
                kept[edge_of[tuple(sorted(one))]] = False
        for (a, b), way in zip(pairs, ways, strict=True):
            for one in itertools.chain(a.edges_inside(), b.edges_inside()):
                kept[edge_of[tuple(sorted(one))]] = False
            start, stop = int(a.nodes[a.inside]), int(b.nodes[b.inside])
            line = np.linspace(graph.places[start], graph.places[stop], len(way) + 2)[1:-1]
            ends = graph.names[[start, stop]].tolist()
            names = names_after(np.arange(len(way)), *ends)
            copies.append(graph.copied(way, line if len(way) <= FREE else None, names))
            chain = [start, *range(count, count + len(way)), stop]
            edges += list(itertools.pairwise(chain))
            count += len(way)
    if not copies:
        return graph
    parted = graph.with_edges(kept).grown(
        copies, np.array(edges, np.int64), np.zeros(len(edges), np.int64)
    )
    return parted.where(parted.degrees > 0)


def _crossings(
    graph: Graph, pieces: list[Piece], reach: float
) -> list[tuple[list[Piece], list[Arm]]]:
    """Group branch points that short pieces join; return these pieces, and the outgoing ones."""
    degrees = graph.degrees
    group = {int(node): int(node) for node in np.flatnonzero((degrees > 2) & ~graph.somata)}

    def top(node: int) -> int:
        while group[node] != node:
            node = group[node]
        return node

    def is_inner(piece: Piece) -> bool:
        a, b = piece.ends
        return (
            a in group
            and b in group
            and piece.length_um <= reach + 2 * max(graph.radii[a], graph.radii[b])
        )

    for piece in filter(is_inner, pieces):
        low, high = sorted(map(top, piece.ends))
        group[high] = low
    inner: dict[int, list[Piece]] = defaultdict(list)
    arms: dict[int, list[Arm]] = defaultdict(list)
    for piece in pieces:
        if is_inner(piece):
            inner[top(piece.ends[0])].append(piece)
            continue
        for nodes in (piece.nodes, piece.nodes[::-1]):
            if int(nodes[0]) in group:
                arms[top(int(nodes[0]))].append(arm_of(graph, nodes))
    return [(inner[name], found) for name, found in sorted(arms.items()) if len(found) >= 4]


def arm_of(graph: Graph, nodes: Integers) -> Arm:
    """Return a piece that leaves a crossing, with its direction a short distance away from it."""
    points = graph.points_of(nodes)
    far = max(AWAY_UM, 10 * float(graph.unit_um.max()))
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    begin = min(float(graph.radii[nodes[0]]) + float(graph.unit_um.max()), along[-1] / 2)
    first = int(np.searchsorted(along, begin))
    last = max(first + 1, int(np.searchsorted(along, far)))
    way = points[min(last, len(points) - 1)] - points[min(first, len(points) - 2)]
    middle = nodes[min(first, len(nodes) - 1) : last + 1]
    return Arm(
        nodes,
        min(max(first, 1), len(nodes) - 1),
        points[min(first, len(points) - 2)] / graph.unit_um.max(),
        way / max(float(np.linalg.norm(way)), 1e-9),
        float(np.median(graph.radii[middle]) / graph.unit_um.max()),
        float(np.median(graph.probability[middle])),
    )


def likeness(a: Arm, b: Arm, angle: float) -> float:
    """Return how well two arms continue each other; 0 or less if they do not.

    It is the cosine of the bend, less that of `angle` (degrees), less their differences in calibre
    and probability. Where they are apart, the bends towards the way between them count as well.
    """
    straight = -float(a.direction @ b.direction)
    across = b.begin - a.begin
    far = float(np.linalg.norm(across))
    if far > APART_VOX:
        turns = straight, float(a.direction @ across) / -far, float(b.direction @ across) / far
        straight = min(straight, sum(turns) / 3)
    calibre = abs(math.log(max(a.radius_vox, 0.5) / max(b.radius_vox, 0.5)))
    unlike = UNLIKE * (calibre + abs(a.probability - b.probability))
    return straight - math.cos(math.radians(angle)) - unlike


def _pair_off(arms: list[Arm], angle: float) -> list[tuple[Arm, Arm]]:
    """Pair arms that continue each other, so that they bend least; unmatched arms are left.

    None if fewer than two pairs are found.
    """
    from networkx import Graph as Choices
    from networkx import max_weight_matching

    ends = [tuple(sorted((int(a.nodes[0]), int(a.nodes[-1])))) for a in arms]
    if len(set(ends)) < len(ends):
        return []
    choices = Choices()
    for (i, a), (j, b) in itertools.combinations(enumerate(arms), 2):
        weight = likeness(a, b, angle)
        if weight > 0:
            choices.add_edge(i, j, weight=weight)
    pairs = sorted(tuple(sorted(pair)) for pair in max_weight_matching(choices))
    return [(arms[i], arms[j]) for i, j in pairs] if len(pairs) > 1 else []


def _way(inner: list[Piece], a: Arm, b: Arm) -> Integers:
    """Return the nodes inside the crossing, from one arm to another."""
    start, goal = int(a.nodes[0]), int(b.nodes[0])
    before: dict[int, list[int]] = {start: [start]}
    waiting = [start]
    while waiting and goal not in before:
        here = waiting.pop(0)
        for piece in inner:
            for nodes in (piece.nodes.tolist(), piece.nodes[::-1].tolist()):
                if nodes[0] == here and nodes[-1] not in before:
                    before[nodes[-1]] = before[here] + nodes[1:]
                    waiting.append(nodes[-1])
    ends = [arm.nodes[1 : arm.inside].tolist() for arm in (a, b)]
    return np.array([*ends[0][::-1], *before[goal], *ends[1]], np.int64)

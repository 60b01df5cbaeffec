"""Crossings: where branch points are close together, which lines are one neurite."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.arms import Arm, arm_of
from neuroglow.skeleton.bonds import bonds_of, straight_bonds
from neuroglow.skeleton.density import FITTED, Densities
from neuroglow.skeleton.graph import Graph, Piece, names_after, pieces_of
from neuroglow.skeleton.groups import Groups
from neuroglow.skeleton.meetings import Decision, Meeting, Partition, links_of
from neuroglow.space.geometry import Zyx

__all__ = ["Crossing", "find_crossings", "part_crossings"]

Integers = NDArray[np.int64]

Round = Literal["close", "along"]

REACH_VOX: Mapping[Round, float] = {"close": 3.0, "along": 12.0}
"""Voxels, beyond the neurite's thickness, within which two branch points are one crossing: first
those that are close, then those of neurites that run along each other."""

LEAST: Mapping[Round, int] = {"close": 3, "along": 4}
"""Smallest number of arms that are decided on."""

SURE: Mapping[Round, float] = {"close": 0.0, "along": 0.9}
"""Probability that nothing branches there from which a crossing is parted."""

CELL_VOX, CELLS = 16, 1
"""The density is measured in cells, in this number of cells on each side of a crossing."""

LONE_ANGLE = 30.0
"""Bend, in degrees, that lines may have at a crossing without others around: it is parted only if
all its lines go on straight."""

EMPTY, APART = 0.1, 2.8
"""Density of lines up to which there are no others, and voxels from which two lines there that lie
next to each other are opposite branches."""

FREE = 8
"""Number of shared nodes up to which each fibre gets a straight line of its own."""


@dataclass(frozen=True)
class Crossing:
    """Branch points that are close together: the pieces between them, and the arms that leave.

    node: the first of the branch points. densities: of lines around, wide and narrow, for each
    pair of arms in order.
    """

    node: int
    inner: Sequence[Piece]
    arms: Sequence[Arm]
    densities: Sequence[tuple[float, float]]

    @property
    def lone(self) -> bool:
        """Whether there are hardly any other lines around."""
        return self.densities[0][0] < FITTED

    def meeting(self, angle: float) -> Meeting:
        """Return what is decided on. angle: degrees by which a fibre may bend."""
        if self.lone:
            straight = min(angle, LONE_ANGLE)
            apart = APART if self.densities[0][0] <= EMPTY else math.inf
            return Meeting(self.arms, straight_bonds(self.arms, straight, apart), straight)
        return Meeting(self.arms, bonds_of("crossing", self.arms, self.densities), angle)

    def ways(self, start: int) -> dict[int, list[int]]:
        """Return the nodes from one branch point to each of the others, through the crossing."""
        beside: dict[int, list[list[int]]] = defaultdict(list)
        for piece in self.inner:
            for nodes in (piece.nodes.tolist(), piece.nodes[::-1].tolist()):
                beside[nodes[0]].append(nodes)
        found, waiting = {start: [start]}, [start]
        for here in waiting:
            for nodes in beside[here]:
                if nodes[-1] not in found:
                    found[nodes[-1]] = found[here] + nodes[1:]
                    waiting.append(nodes[-1])
        return found


def part_crossings(
    graph: Graph,
    shape: Zyx,
    *,
    angle: float,
    tell: Callable[[float], object] = lambda _: None,
) -> tuple[Graph, list[Decision]]:
    """Let neurites that cross or touch pass through each other.

    graph: in order. angle: degrees by which two pieces may bend and still be one fibre. Branch
    points closer than the neurite's thickness plus a margin are one crossing. Its pieces are parted
    as is likeliest of all together: some continue each other, some are branches, others end there.
    Shared nodes are copied for each neurite. Neurites do not cross in a soma. Returns what was cut
    apart as well; what was joined is decided on again by the partition. tell: called with the share
    that is done.
    """
    graph, close = _part_once(graph, shape, "close", angle)
    tell(0.5)
    graph, along = _part_once(graph, shape, "along", angle)
    tell(1)
    return graph, close + along


def _part_once(graph: Graph, shape: Zyx, turn: Round, angle: float) -> tuple[Graph, list[Decision]]:
    """Part the crossings of one round; in order."""
    parted, cuts = _Parted(graph), []
    for crossing in find_crossings(graph, shape, turn):
        meeting = crossing.meeting(angle)
        groups = meeting.partitions[0][1]
        paired = all(len(group) == 2 for group in groups)
        if meeting.unbranched < SURE[turn] or (crossing.lone and not paired):
            continue
        parted.part(crossing, groups, meeting)
        of = {arm: group for group in groups for arm in group}
        (place,) = graph.points_of([crossing.node])
        links = links_of(meeting.together)
        cuts += [Decision(place, p, joined=False) for i, j, p in links if of[i] != of[j]]
    return parted.graph().in_order(), cuts


def find_crossings(graph: Graph, shape: Zyx, turn: Round = "close") -> Iterator[Crossing]:
    """Group branch points that short pieces join; those of a soma are its own."""
    pieces, degrees = pieces_of(graph), graph.degrees
    branches = (degrees > 2) | graph.somata
    near = REACH_VOX[turn] * float(graph.unit_um.max())
    groups = Groups()

    def is_inner(piece: Piece) -> bool:
        ends = list(piece.ends)
        return bool(branches[ends].all()) and piece.length_um <= near + 2 * graph.radii[ends].max()

    short = [is_inner(piece) for piece in pieces]
    for piece in itertools.compress(pieces, short):
        groups.join(*piece.ends)
    inner: dict[int, list[Piece]] = defaultdict(list)
    outer: dict[int, list[Integers]] = defaultdict(list)
    for piece, within in zip(pieces, short, strict=True):
        if within:
            inner[groups.top(piece.ends[0])].append(piece)
            continue
        for nodes in (piece.nodes, piece.nodes[::-1]):
            if branches[nodes[0]]:
                outer[groups.top(int(nodes[0]))].append(nodes)
    bodies = {groups.top(node) for node in np.flatnonzero(graph.somata).tolist()}
    densities = Densities(graph, shape, CELL_VOX, CELLS)
    for name, found in sorted(outer.items()):
        if len(found) < LEAST[turn] or name in bodies:
            continue
        arms = [arm_of(graph, nodes, free=bool(degrees[nodes[-1]] == 1)) for nodes in found]
        own = sum(min(arm.length, CELL_VOX * (CELLS + 1)) for arm in arms)
        around = densities.of(graph.places[name], own, arms)
        yield Crossing(name, inner[name], arms, around)


class _Parted:
    """A graph whose crossings are parted one by one."""

    def __init__(self, graph: Graph) -> None:
        self.whole = graph
        self.kept = np.ones(len(graph.edges), bool)
        self.edge_of = {tuple(sorted(e)): i for i, e in enumerate(graph.edges.tolist())}
        self.copies: list[Graph] = []
        self.edges: list[tuple[int, int]] = []
        self.count = len(graph.places)

    def part(self, crossing: Crossing, groups: Partition, meeting: Meeting) -> None:
        """Give each group of arms a copy of what they share in a crossing."""
        if len(groups) == 1:
            return
        for piece in crossing.inner:
            self._remove(piece.nodes)
        for group in groups:
            arms = [crossing.arms[i] for i in group]
            if len(arms) == 2:
                self._continue(crossing, arms[0], arms[1], meeting.rival(group[0], group[1]))
            else:
                self._branch(crossing, arms)

    def graph(self) -> Graph:
        """Return the graph, without nodes that are left alone, but somata."""
        if not self.kept.all():
            edges = np.array(self.edges, np.int64).reshape(-1, 2)
            bare = self.whole.with_edges(self.kept)
            grown = bare.grown(self.copies, edges, np.zeros(len(edges), np.int64))
            return grown.without_lone_nodes()
        return self.whole

    def _remove(self, nodes: Integers) -> None:
        for one in itertools.pairwise(nodes.tolist()):
            self.kept[self.edge_of[tuple(sorted(one))]] = False

    def _copy(self, copied: Graph, edges: Sequence[tuple[int, int]]) -> None:
        self.copies.append(copied)
        self.edges += edges
        self.count += len(copied.places)

    def _continue(self, crossing: Crossing, a: Arm, b: Arm, rival: float) -> None:
        """Make one fibre of two arms; a line of its own, if it is short, is straight."""
        if a.nodes[0] == b.nodes[-1] and b.nodes[0] == a.nodes[-1]:
            return  # a loop
        graph, ends = self.whole, (int(a.nodes[a.inside]), int(b.nodes[b.inside]))
        between = crossing.ways(int(a.nodes[0]))[int(b.nodes[0])]
        before, after = (arm.nodes[1 : arm.inside].tolist() for arm in (a, b))
        way = np.array([*before[::-1], *between, *after], np.int64)
        line = np.linspace(graph.places[ends[0]], graph.places[ends[1]], len(way) + 2)[1:-1]
        names = names_after(np.arange(len(way)), *graph.names[list(ends)].tolist())
        copied = graph.copied(way, line if len(way) <= FREE else None, names)
        middle = np.arange(len(way)) == len(way) // 2
        pruned = np.where(middle, graph.pruned[way].max(), 0)
        for arm in (a, b):
            self._remove(arm.nodes[: arm.inside + 1])
        chain = [ends[0], *range(self.count, self.count + len(way)), ends[1]]
        copied = replace(copied, joints=middle, pruned=pruned, rivals=np.where(middle, rival, 0))
        self._copy(copied, list(itertools.pairwise(chain)))

    def _branch(self, crossing: Crossing, arms: Sequence[Arm]) -> None:
        """Join several arms by a copy of what is between them; one arm ends before it."""
        for arm in arms:
            self._remove(arm.nodes[:2])
        if len(arms) == 1:
            return
        graph = self.whole
        ways = crossing.ways(int(arms[0].nodes[0]))
        steps = [itertools.pairwise(ways[int(arm.nodes[0])]) for arm in arms]
        edges = list(dict.fromkeys(itertools.chain(*steps)))
        nodes = np.unique([int(arms[0].nodes[0]), *itertools.chain(*edges)])
        fresh = {node: self.count + i for i, node in enumerate(nodes.tolist())}
        outer = sorted(int(graph.names[arm.nodes[1]]) for arm in arms)
        copied = graph.copied(nodes, None, names_after(graph.names[nodes], *outer))
        new = [(fresh[a], fresh[b]) for a, b in edges]
        new += [(fresh[int(arm.nodes[0])], int(arm.nodes[1])) for arm in arms]
        self._copy(replace(copied, joints=graph.joints[nodes], rivals=graph.rivals[nodes]), new)

"""Bridges: gaps between ends, closed along the least-cost path through the probability.

A bridge is limited by its length, by its turn relative to the directions of the ends, and by the
mean evidence along it. Each has a number, so that a person can check it.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph, length_along, names_after
from neuroglow.skeleton.groups import Groups
from neuroglow.skeleton.middles import ReadBox
from neuroglow.skeleton.tips import tip_directions
from neuroglow.space.geometry import Box, Zyx

__all__ = [
    "Bounds",
    "Bricks",
    "Bridge",
    "bridge_gaps",
    "bridges_from",
    "choose_bridges",
    "grid_detour",
    "join_bridges",
    "tips_of",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MARGIN, ROOM = 3, 0.25
"""Margin around both ends in which paths are searched: a number of voxels, plus a share of
their distance."""

FLOOR = 0.03
"""Minimum evidence of a voxel: a path becomes at most 1 / FLOOR times longer to avoid it."""

SIDE = 0.5
"""Share of the longest bridge up to which one may end on the side of a neurite."""

BLIND = 0.8
"""Share of the longest bridge up to which one to a soma needs no evidence: a model may suppress
what is next to a soma."""

CHOICES = 6
"""Number of nearest other parts that are tried from an end."""


@dataclass(frozen=True)
class Bounds:
    """Limits of a bridge.

    length_um: its length. angle: degrees from the direction of either end. evidence: the mean along
    it, over voxels below `detected`, because a middle line ends before the detected voxels do.
    """

    length_um: float
    angle: float
    evidence: float
    detected: float


@dataclass(frozen=True)
class Bridge:
    """A path between a tip and another node, both by their names; parts: to which they belong.

    facing: whether the other is a tip too. places, evidence, radii: of the voxels in between.
    """

    tip: int
    other: int
    parts: tuple[int, int]
    facing: bool
    cost: float
    places: Integers
    evidence: Floats
    radii: Floats


@dataclass
class Bricks:
    """A volume that is read in small boxes at any place; caches the last bricks."""

    read_box: ReadBox
    shape: Zyx
    side: int = 64
    most: int = 27
    _kept: OrderedDict[Zyx, NDArray[np.float32]] = field(default_factory=OrderedDict)

    def read(self, box: Box) -> NDArray[np.float32]:
        """Read a box."""
        values = np.empty(box.shape, np.float32)
        low = np.array(box.start) // self.side
        high = -(-np.array(box.stop) // self.side)
        for index in np.ndindex(*(high - low).tolist()):
            z, y, x = (low + index).tolist()
            brick, held = self._brick((z, y, x))
            part = brick.intersect(box)
            values[part.relative_to(box).slices] = held[part.relative_to(brick).slices]
        return values

    def _brick(self, at: Zyx) -> tuple[Box, NDArray[np.float32]]:
        corner = (at[0] * self.side, at[1] * self.side, at[2] * self.side)
        box = Box.of((self.side,) * 3).shift(corner).intersect(Box.of(self.shape))
        if at not in self._kept:
            self._kept[at] = self.read_box(box)
            if len(self._kept) > self.most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(at)
        return box, self._kept[at]


def bridge_gaps(
    graph: Graph,
    read: ReadBox,
    shape: Zyx,
    bounds: Bounds,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> Graph:
    """Join parts of a forest whose ends point at each other, cheapest bridges first.

    read: reads a box of the evidence (zyx, float32, 0..1): the probability, or more. Each tip gets
    at most one bridge, to another tip or to the side of a neurite, and never within its own
    part. tell: called with the number of finished tips, and their total.
    """
    tips = tips_of(graph)
    if not bounds.length_um or len(tips) < 2:
        return graph
    found = bridges_from(graph, graph.components(), tips, read, shape, bounds, tell)
    return join_bridges(graph, dict(enumerate(choose_bridges(found), start=1)))


def tips_of(graph: Graph) -> Integers:
    """Return the nodes from which bridges may start."""
    return np.flatnonzero((graph.degrees == 1) & ~graph.somata)


def bridges_from(  # noqa: PLR0917  # what a search needs
    graph: Graph,
    part: Integers,
    tips: Integers,
    read: ReadBox,
    shape: Zyx,
    bounds: Bounds,
    tell: Callable[[int, int], object] = lambda done, total: None,
) -> list[Bridge]:
    """Find all allowed bridges that start at some tips. part: (n,) to which each node belongs."""
    search = _Search(graph, bounds, part)
    found: list[Bridge] = []
    order = np.lexsort((graph.places[tips] // 64).T)
    for done, tip in enumerate(tips[order].tolist(), start=1):
        found += search.bridges_from(tip, read, shape)
        tell(done, len(tips))
    return found


class _Search:
    """Candidate targets of bridges from a tip."""

    def __init__(self, graph: Graph, bounds: Bounds, part: Integers) -> None:
        from scipy.spatial import cKDTree

        self.graph, self.bounds, self.points, self.part = graph, bounds, graph.points, part
        self.near = cKDTree(self.points)
        self.directions = tip_directions(graph)
        self.straight = float(np.cos(np.radians(bounds.angle)))
        self.detour = grid_detour(graph.unit_um)
        self.somata = np.flatnonzero(graph.somata)

    def bridges_from(self, tip: int, read: ReadBox, shape: Zyx) -> list[Bridge]:
        """Return the allowed bridges from one tip, searched in its own volume of paths."""
        goals = self._goals(tip)
        if not goals:
            return []
        targets = [self.graph.places[tip], *(self._end(tip, goal) for goal in goals)]
        ends = np.rint(targets).astype(np.int64)
        box = _around(ends, shape)
        evidence = read(box).astype(np.float64)
        costs = 1.0 / np.maximum(evidence, FLOOR)
        from skimage.graph import MCP_Geometric

        way = MCP_Geometric(costs, sampling=tuple(self.graph.unit_um.tolist()))
        local = [tuple(e) for e in (ends - box.start).tolist()]
        total, _ = way.find_costs([local[0]], local[1:])
        found = []
        for goal, at in zip(goals, local[1:], strict=True):
            path = np.array(way.traceback(at), np.int64)
            between = path[1:-1]
            values = evidence[tuple(between.T)]
            dark = values[values < self.bounds.detected]
            length = length_along((path + box.start) * self.graph.unit_um)
            blind = self.detour * BLIND * self.bounds.length_um
            close = self.graph.somata[goal] and length <= blind
            if length <= self.detour * self.bounds.length_um and (
                close or not len(dark) or dark.mean() >= self.bounds.evidence
            ):
                cost, places = float(total[at]), between + box.start
                found.append(self._bridge(tip, goal, cost, places, values))
        return found

    def _bridge(self, tip: int, goal: int, cost: float, places: Integers, values: Floats) -> Bridge:
        names, parts = self.graph.names[[tip, goal]], self.part[[tip, goal]]
        # the radius changes linearly from one end to the other
        first, last = self.graph.radii[[tip, tip if self.graph.somata[goal] else goal]].tolist()
        radii = np.linspace(first, last, len(places) + 2)[1:-1]
        (a, b), (one, other) = names.tolist(), parts.tolist()
        return Bridge(a, b, (one, other), goal in self.directions, cost, places, values, radii)

    def _end(self, tip: int, goal: int) -> Floats:
        """Return where a bridge ends (voxels): at a node, or on the surface of a soma."""
        if not self.graph.somata[goal]:
            return np.asarray(self.graph.places[goal])
        way = self.points[tip] - self.points[goal]
        share = min(1.0, self.graph.radii[goal] / max(float(np.linalg.norm(way)), 1e-9))
        return np.asarray((self.points[goal] + share * way) / self.graph.unit_um)

    def _goals(self, tip: int) -> list[int]:
        """Choose nodes of other parts that the tip points at: the nearest of each, tips first.

        A soma is as near as its surface, and faces any tip.
        """
        within = self.near.query_ball_point(self.points[tip], self.bounds.length_um)
        near = np.union1d(np.array(within, np.int64), self.somata)
        near = near[self.part[near] != self.part[tip]]
        ways = self.points[near] - self.points[tip]
        away = np.linalg.norm(ways, axis=1)
        ways /= np.maximum(away, 1e-9)[:, None]
        away = np.maximum(away - np.where(self.graph.somata[near], self.graph.radii[near], 0), 0)
        ahead = (ways @ self.directions[tip] >= self.straight) & (away <= self.bounds.length_um)
        facing = np.array(self.graph.somata[near])
        for i in np.flatnonzero(ahead):
            other = self.directions.get(int(near[i]))
            facing[i] |= other is not None and -(ways[i] @ other) >= self.straight
        # a tip that faces this one is better evidence than a neurite's side: it may be farther away
        allowed = ahead & (facing | (away <= SIDE * self.bounds.length_um))
        rank = np.where(facing, away * SIDE, away)
        chosen: dict[int, int] = {}
        for i in np.lexsort((near, rank)):
            if allowed[i]:
                chosen.setdefault(int(self.part[near[i]]), int(near[i]))
        return list(chosen.values())[:CHOICES]


def grid_detour(unit_um: Floats) -> float:
    """Return how many times longer a path over the grid may be than the straight line it follows.

    A path goes along an axis, then along the diagonals of two and of three axes: its length is a
    linear function of the line's sides in each order of the axes, and the norm of that is the bound
    (1.13 for cubic voxels).
    """
    worst = 1.0
    for order in itertools.permutations(range(3)):
        sides = unit_um[list(order)]
        steps = np.sqrt(np.cumsum(np.square(sides)))  # along one axis, two axes, three axes
        worst = max(worst, float(np.linalg.norm(np.diff(steps, prepend=0) / sides)))
    return worst


def _around(ends: Integers, shape: Zyx) -> Box:
    margin = MARGIN + int(ROOM * np.ptp(ends, axis=0).max())
    low = np.maximum(ends.min(axis=0) - margin, 0).tolist()
    high = np.minimum(ends.max(axis=0) + margin + 1, shape).tolist()
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def choose_bridges(found: Sequence[Bridge]) -> list[Bridge]:
    """Accept bridges, cheapest first, that join two parts and start at a tip without a bridge."""
    groups = Groups()
    used: set[int] = set()
    chosen = []
    for bridge in sorted(found, key=lambda b: (b.cost, b.tip, b.other)):
        if bridge.tip in used or bridge.other in used or not groups.join(*bridge.parts):
            continue
        used |= {bridge.tip, bridge.other} if bridge.facing else {bridge.tip}
        chosen.append(bridge)
    return chosen


def join_bridges(graph: Graph, bridges: Mapping[int, Bridge]) -> Graph:
    """Add the nodes and edges of bridges (by their numbers) to a graph in order."""
    copies, edges, numbers = [], [], []
    count = len(graph.places)
    for number, bridge in bridges.items():
        size = len(bridge.places)
        none = np.empty(0, np.int64)
        copies.append(
            Graph(
                bridge.places.astype(np.float64),
                graph.unit_um,
                bridge.evidence,
                bridge.radii,
                none.reshape(0, 2),
                none,
                np.zeros(size, bool),
                np.zeros(size, bool),
                names_after(np.arange(size), bridge.tip, bridge.other),
                lights=np.full(size, graph.lights[np.searchsorted(graph.names, bridge.tip)]),
            )
        )
        tip, other = np.searchsorted(graph.names, [bridge.tip, bridge.other]).tolist()
        chain = np.array([tip, *range(count, count + size), other])
        edges.append(np.stack([chain[:-1], chain[1:]], axis=1))
        numbers.append(np.full(size + 1, number))
        count += size
    if not edges:
        return graph
    return graph.grown(copies, np.concatenate(edges), np.concatenate(numbers)).in_order()

"""Somata: bodies much thicker than the neurites that leave them; each becomes one node.

They are found where middle lines are thick, and as bodies in the image or in a faint probability
(bodies.py), because a model of neurites suppresses somata.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.bodies import Body
from neuroglow.skeleton.graph import Graph, length_along, names_after, neighbour_table
from neuroglow.skeleton.local_change import changed_around
from neuroglow.skeleton.spurs import prune_spurs
from neuroglow.skeleton.tips import run_direction

__all__ = ["SMALL", "gather_somata", "part_somata"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Links = tuple[Sequence[int], Sequence[int]]

SMALL = 0.6
"""Share of the radius of a soma from which a body is one if its neurites are much thinner."""

TIMES = 2.0
"""Radius of a small soma, over the radius of the neurites that leave it."""

THICKEST = 0.8
"""Quantile of the radii of the nodes around a body: most of a thick neurite's hairs are thin."""

LEAVING_VOX = 8.0
"""Voxels beyond a body in which the radius of the neurites that leave it is measured."""

RIM_VOX = 8.0
"""Voxels beyond those in which nothing changes, but neighbours are seen."""

AT_VOX = 1.5
"""Voxels from the surface of a body up to which a line has reached it."""

ASIDE, ALONG = 0.6, 0.25
"""Cosine of the angle, to the way from the centre, below which a line that leaves a body may be of
a fibre that passes by; below the second it is, even if its other side is not seen."""

TOWARDS, ARRIVING_VOX, BEFORE_VOX = 0.85, 6.0, 8.0
"""A line runs to a body if that cosine is at least this, over so many voxels, and if it ends no
farther than so many from the surface: a model may suppress what is next to a soma."""

HAIR_VOX = 3.5
"""Side branches up to this length do not count there."""

STRAIGHT = 0.75
"""Cosine of the bend of a fibre that passes by."""


@dataclass(frozen=True, eq=False)
class _Arm:
    """A line that leaves a body: its first node outside, where that lies, its direction (um).

    part: a number of what is connected inside. aside: cosine of the angle between the line and the
    way from the centre. length: up to which it was followed (um).
    """

    part: int
    outside: int
    start: Floats
    way: Floats
    aside: float
    length: float

    def continues(self, other: _Arm) -> bool:
        """Return whether another arm is the other side of a straight fibre."""
        across = other.start - self.start
        across = across / max(float(np.linalg.norm(across)), 1e-9)
        turns = -self.way @ other.way, -self.way @ across, other.way @ across
        return bool(min(turns) >= STRAIGHT)


def gather_somata(graph: Graph, soma_um: float, bodies: Sequence[Body] = ()) -> Graph:
    """Make each soma one node, joined to the neurites that leave it; in order.

    soma_um: radius from which a body is a soma, whatever leaves it; 0 for no somata. Where lines
    are thick, a body of at least SMALL that radius is a soma if it is TIMES thicker than the
    neurites that leave it. bodies: found otherwise, all of them somata. A fibre that only touches
    one of them passes by.
    """
    if not soma_um or not len(graph.places):
        return graph
    graph = _with_bodies(graph, bodies)
    return _with_thick(graph.in_order(), soma_um, bodies)


def _with_bodies(graph: Graph, bodies: Sequence[Body]) -> Graph:
    """Put bodies into a graph, one after the other, each in the part of it around the body."""
    beyond = (AT_VOX + LEAVING_VOX + RIM_VOX) * float(graph.unit_um.max())
    centres = np.array([body.centre for body in bodies]).reshape(-1, 3)
    radii = np.array([body.reach + beyond for body in bodies])

    def change(part: Graph, numbers: Sequence[int]) -> Graph:
        return reduce(_with_body, (bodies[number] for number in numbers), part)

    return changed_around(graph, centres, radii, change)


def _with_body(graph: Graph, body: Body) -> Graph:
    """Put a body into a graph as a node, in place of what is inside, joined to what reaches it."""
    if body.lines and body.lines > _arriving(graph, body):
        return graph
    voxel = float(graph.unit_um.max())
    far = body.reach + AT_VOX * voxel
    near = np.flatnonzero((np.abs(graph.points - body.centre) <= far).all(axis=1) & ~graph.somata)
    reached = np.zeros(len(graph.places), bool)
    reached[near[body.depths(graph.points_of(near)) >= -AT_VOX * voxel]] = True
    new = len(graph.places)
    arms = _arms(graph, body, reached)
    pairs = _passing(arms)
    passing = {arm for pair in pairs for arm in pair}
    edges = [(one.outside, other.outside) for one, other in pairs if one.part == other.part]
    edges += [(new, a.outside) for a in arms if a not in passing and a.aside >= ALONG]
    ends = np.sort(np.array(edges, np.int64).reshape(-1, 2), axis=1)
    ends = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0)
    soma = _soma(graph, body, reached)
    grown = graph.grown([soma], ends, np.zeros(len(ends), np.int64))
    return grown.where(~np.append(reached, False))


def _soma(graph: Graph, body: Body, inside: Mask) -> Graph:
    """Return the node of a body; its probability is the mean of the nodes inside."""
    place = body.centre / graph.unit_um
    z, y, x = np.rint(place).astype(np.int64).tolist()
    seen = graph.probability[inside]
    return Graph(
        places=place[None],
        unit_um=graph.unit_um,
        probability=np.array([seen.mean() if len(seen) else 0.0]),
        radii=np.array([body.radius]),
        edges=np.empty((0, 2), np.int64),
        bridges=np.empty(0, np.int64),
        somata=np.ones(1, bool),
        joints=np.zeros(1, bool),
        names=names_after(np.array([z]), y, x),
    )


def _arms(graph: Graph, body: Body, reached: Mask) -> list[_Arm]:
    """List the lines that leave a body. reached: (n,) the nodes that it replaces."""
    leaving = np.flatnonzero(reached[graph.edges].sum(axis=1) == 1)
    if not len(leaving):
        return []
    links = neighbour_table(graph)
    within = np.asarray(reached[graph.edges].all(axis=1))
    part = graph.with_edges(within).components()
    found = []
    for ends in graph.edges[leaving]:
        inside, outside = ends[np.argsort(~reached[ends])].tolist()
        run = _run(graph, [inside, outside], links, reached)
        found.append(_arm(graph, body, run, 1, int(part[inside])))
    return found


def _arm(graph: Graph, body: Body, run: list[int], first: int, part: int) -> _Arm:
    """Describe a line that leaves a body along a run of nodes; the first outside is given."""
    line = graph.points_of(run)
    way, out = run_direction(line[::-1]), line[first] - body.centre
    aside = float(way @ out) / max(float(np.linalg.norm(out)), 1e-9)
    return _Arm(part, run[first], line[first], way, aside, length_along(line))


def _arriving(graph: Graph, body: Body) -> int:
    """Count the lines that run to a body: those that reach it, and those that end before it."""
    voxel = float(graph.unit_um.max())
    around = body.reach + (AT_VOX + LEAVING_VOX + RIM_VOX) * voxel
    graph = graph.where(np.linalg.norm(graph.points - body.centre, axis=1) <= around)
    graph = prune_spurs(graph, length_um=HAIR_VOX * voxel, probability=0)
    depths, links = body.depths(graph.points), neighbour_table(graph)
    reached = (depths >= -AT_VOX * voxel) & ~graph.somata
    tips = np.flatnonzero((graph.degrees == 1) & ~reached & (depths >= -BEFORE_VOX * voxel))
    first, flat = links
    runs = [_run(graph, [tip, flat[first[tip]]], links, reached) for tip in tips.tolist()]
    lines = [*_arms(graph, body, reached), *(_arm(graph, body, run, 0, -1) for run in runs)]
    return sum(a.aside >= TOWARDS and a.length >= ARRIVING_VOX * voxel for a in lines)


def _run(graph: Graph, run: list[int], links: Links, reached: Mask) -> list[int]:
    """Follow a line, from two of its nodes, as far as LEAVING_VOX or the next branch point."""
    (first, flat), length = links, 0.0
    while length < LEAVING_VOX * float(graph.unit_um.max()):
        beside = flat[first[run[-1]] : first[run[-1] + 1]]
        after = [node for node in beside if node != run[-2] and not reached[node]]
        if len(beside) != 2 or not after or graph.somata[run[-1]] or after[0] in run:
            break
        run.append(after[0])
        length += length_along(graph.points_of(run[-2:]))
    return run


def _passing(arms: Sequence[_Arm]) -> list[tuple[_Arm, _Arm]]:
    """Pair the two sides of fibres that pass by a body, the straightest first."""
    aside = [arm for arm in arms if arm.aside < ASIDE]
    pairs = itertools.combinations(aside, 2)
    straight = [(one, other) for one, other in pairs if one.continues(other)]
    straight.sort(key=lambda p: (float(p[0].way @ p[1].way), p[0].outside, p[1].outside))
    found: list[tuple[_Arm, _Arm]] = []
    for one, other in straight:
        if not any(one in pair or other in pair for pair in found):
            found.append((one, other))
    return found


def _with_thick(graph: Graph, soma_um: float, bodies: Sequence[Body]) -> Graph:
    """Make each thick body of a graph, in order, one node: its thickest, or that of a body."""
    thick = (graph.radii >= SMALL * soma_um) & ~graph.somata
    if not thick.any():
        return graph
    from scipy.spatial import cKDTree

    points, radii = graph.points, graph.radii
    leaving = LEAVING_VOX * float(graph.unit_um.max())
    near, links = cKDTree(points), neighbour_table(graph)
    nodes = np.flatnonzero(thick)
    taken = np.full(len(thick), -1, np.int64)
    known = _known(graph, nodes, bodies)
    for node in nodes[np.lexsort((nodes, -radii[nodes]))].tolist():
        if taken[node] >= 0:
            continue
        inside = set(near.query_ball_point(points[node], radii[node]))
        owner = known.get(node, node)
        if owner == node and radii[node] < soma_um:
            around = near.query_ball_point(points[node], radii[node] + leaving)
            if not _stands_out(radii, node, inside, _flood(node, links, set(around) | inside)):
                continue
        thick_as = SMALL * max(soma_um, radii[node])
        body = _flood(node, links, inside, partial(_at_least, radii, thick_as))
        taken[[n for n in body if taken[n] < 0 and not graph.somata[n]]] = owner
    return _contracted(graph, taken)


def _known(graph: Graph, nodes: Integers, bodies: Sequence[Body]) -> dict[int, int]:
    """Return the somata to which thick nodes belong that overlap with bodies, if these are one."""
    found: dict[int, int] = {}
    somata = np.flatnonzero(graph.somata)
    points, radii = graph.points_of(nodes), graph.radii[nodes]
    for body in bodies:
        away = np.linalg.norm(graph.points_of(somata) - body.centre, axis=1)
        if away.min(initial=np.inf) > AT_VOX * graph.unit_um.min():
            continue
        soma = int(somata[np.argmin(away)])
        near = np.linalg.norm(points - body.centre, axis=1) <= body.reach + radii
        overlap = body.depths(points[near]) >= -radii[near]
        found |= dict.fromkeys(nodes[near][overlap].tolist(), soma)
    return found


def _stands_out(radii: Floats, node: int, inside: set[int], around: set[int]) -> bool:
    """Return whether a body is much thicker than the neurites that leave it."""
    leaving = sorted(around - inside)
    return bool(leaving) and bool(radii[node] >= TIMES * np.quantile(radii[leaving], THICKEST))


def _at_least(values: Floats, least: float, node: int) -> bool:
    return bool(values[node] >= least)


def _flood(
    start: int, links: Links, inside: set[int], thick: Callable[[int], bool] = lambda _: False
) -> set[int]:
    """Return the nodes connected to one through others that are inside or thick."""
    first, flat = links
    found, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for other in flat[first[node] : first[node + 1]]:
            if other not in found and (other in inside or thick(other)):
                found.add(other)
                waiting.append(other)
    return found


def _contracted(graph: Graph, taken: Integers) -> Graph:
    """Replace nodes by the somata that contain them."""
    owner = np.where(taken >= 0, taken, np.arange(len(taken)))
    edges = owner[graph.edges]
    edges, first = np.unique(np.sort(edges, axis=1), axis=0, return_index=True)
    whole = edges[:, 0] != edges[:, 1]
    bridges = graph.bridges[first[whole]]
    somata = graph.somata | (taken == np.arange(len(taken)))
    joined = replace(graph, edges=edges[whole], bridges=bridges, somata=somata)
    return joined.where(owner == np.arange(len(owner)))


def part_somata(graph: Graph) -> Graph:
    """Cut trees with several somata where their territories meet; bridges are removed whole."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    somata = np.flatnonzero(graph.somata)
    if len(somata) < 2:
        return graph
    count = len(graph.places)
    links = coo_array((graph.lengths + 1e-9, graph.edges.T), shape=(count, count)).tocsr()
    _, _, nearest = dijkstra(
        links, directed=False, indices=somata, min_only=True, return_predecessors=True
    )
    a, b = nearest[graph.edges].T
    kept = (a == b) | (a < 0) | (b < 0)
    cut = np.unique(graph.bridges[~kept])
    parted = graph.with_edges(kept & ~np.isin(graph.bridges, cut[cut > 0]))
    return parted.where((parted.degrees > 0) | (graph.degrees == 0) | graph.somata)

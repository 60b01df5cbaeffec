"""Somata: bodies much thicker than the neurites that leave them; each becomes one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph, neighbour_table

__all__ = ["gather_somata", "part_somata"]

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


def gather_somata(graph: Graph, soma_um: float) -> Graph:
    """Make each soma one node, its thickest, joined to the neurites that leave it.

    soma_um: radius from which a body is a soma, whatever leaves it; 0 for no somata. A body of at
    least SMALL that radius is a soma if it is TIMES thicker than the neurites that leave it.
    """
    thick = graph.radii >= SMALL * soma_um if soma_um else np.zeros(len(graph.radii), bool)
    if not thick.any():
        return graph
    from scipy.spatial import cKDTree

    points, radii = graph.points, graph.radii
    near, links = cKDTree(points), neighbour_table(graph)
    nodes = np.flatnonzero(thick)
    taken = np.full(len(thick), -1, np.int64)
    for node in nodes[np.lexsort((nodes, -radii[nodes]))].tolist():
        if taken[node] >= 0:
            continue
        inside = set(near.query_ball_point(points[node], radii[node]))
        if radii[node] < soma_um and not _stands_out(graph, node, inside, links):
            continue
        body = _flood(node, links, inside, radii >= SMALL * max(soma_um, radii[node]))
        taken[[n for n in body if taken[n] < 0]] = node
    return _contracted(graph, taken)


def _stands_out(graph: Graph, node: int, inside: set[int], links: Links) -> bool:
    """Return whether a body is much thicker than the neurites that leave it."""
    reach = graph.radii[node] + LEAVING_VOX * float(graph.unit_um.max())
    away = np.linalg.norm(graph.points - graph.points[node], axis=1)
    leaving = _flood(node, links, inside, away <= reach) - inside
    if not leaving:
        return False
    return bool(graph.radii[node] >= TIMES * np.quantile(graph.radii[sorted(leaving)], THICKEST))


def _flood(start: int, links: Links, inside: set[int], thick: Mask) -> set[int]:
    """Return the nodes connected to one through others that are inside or thick."""
    first, flat = links
    found, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for other in flat[first[node] : first[node + 1]]:
            if other not in found and (other in inside or thick[other]):
                found.add(other)
                waiting.append(other)
    return found


def _contracted(graph: Graph, taken: Integers) -> Graph:
    """Replace nodes by the somata that contain them."""
    owner = np.where(taken >= 0, taken, np.arange(len(taken)))
    edges = owner[graph.edges]
    edges, first = np.unique(np.sort(edges, axis=1), axis=0, return_index=True)
    whole = edges[:, 0] != edges[:, 1]
    bridges, somata = graph.bridges[first[whole]], taken == np.arange(len(taken))
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

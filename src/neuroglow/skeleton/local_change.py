"""Changes of small parts of a graph, each at the cost of the part and not of the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import PER_NODE, Graph

__all__ = ["changed_around"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Change = Callable[[Graph, Sequence[int]], Graph]


def changed_around(graph: Graph, centres: Floats, radii: Floats, change: Change) -> Graph:
    """Change a graph within balls; those that overlap are changed together.

    centres: (k, 3) and radii: (k,), um. change: given the nodes in some balls, and the numbers of
    these; may drop and append nodes and edges, but must leave the nodes next to the surface.
    """
    from scipy.spatial import cKDTree

    if not len(graph.places) or not len(centres):
        return graph
    points, edges_of = cKDTree(graph.points), _Edges(graph)
    kept = np.ones(len(graph.places), bool)
    whole = np.ones(len(graph.edges), bool)
    added: list[Graph] = []
    edges, bridges = [np.empty((0, 2), np.int64)], [np.empty(0, np.int64)]
    count = len(graph.places)
    for group in _overlapping(centres, radii):
        near = points.query_ball_point(centres[group], radii[group])
        nodes = np.unique(np.concatenate([np.array(some, np.int64) for some in near]))
        within = edges_of.among(nodes)
        part = change(_part(graph, nodes, within), group)
        own = part.names < len(nodes)
        number = np.where(own, 0, count + np.cumsum(~own) - 1)
        number[own] = nodes[part.names[own]]
        kept[nodes], whole[within] = False, False
        kept[number[own]] = True
        added.append(part.where(~own).with_edges(np.zeros(0, bool)))
        count += len(added[-1].places)
        edges.append(number[part.edges])
        bridges.append(part.bridges)
    grown = graph.with_edges(whole).grown(added, np.concatenate(edges), np.concatenate(bridges))
    return grown.where(np.append(kept, np.ones(count - len(kept), bool)))


class _Edges:
    """The edges of a graph by their nodes."""

    def __init__(self, graph: Graph) -> None:
        ends = graph.edges.ravel()
        self._edges, self._order = graph.edges, np.argsort(ends, kind="stable")
        self._first = np.searchsorted(ends[self._order], np.arange(len(graph.places) + 1))

    def among(self, nodes: Integers) -> Integers:
        """Return the edges between nodes (in order)."""
        spans = zip(self._first[nodes].tolist(), self._first[nodes + 1].tolist(), strict=True)
        at = [self._order[start:stop] for start, stop in spans]
        some = np.unique(np.concatenate([np.empty(0, np.int64), *at]) // 2)
        return np.asarray(some[np.isin(self._edges[some], nodes).all(axis=1)])


def _part(graph: Graph, nodes: Integers, edges: Integers) -> Graph:
    """Return some nodes (in order), named by their place among them, and some edges."""
    arrays = {name: getattr(graph, name)[nodes] for name in PER_NODE}
    arrays |= {"names": np.arange(len(nodes))}
    ends = np.searchsorted(nodes, graph.edges[edges])
    return replace(graph, **arrays, edges=ends, bridges=graph.bridges[edges])


def _overlapping(centres: Floats, radii: Floats) -> Iterator[list[int]]:
    """Return the numbers of balls in groups: those of two groups do not overlap."""
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    tree = cKDTree(centres)
    close = tree.sparse_distance_matrix(tree, 2 * float(radii.max()), output_type="coo_matrix")
    close.data[:] = close.data <= radii[close.row] + radii[close.col]
    close.eliminate_zeros()
    _, group = connected_components(close, directed=False)
    for number in range(int(group.max()) + 1):
        yield np.flatnonzero(group == number).tolist()

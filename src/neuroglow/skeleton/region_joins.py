"""What crosses the faces of regions: connected parts, and loops.

Each region is reduced to what reaches its faces; only this is held for all regions together.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph, pieces_of
from neuroglow.skeleton.groups import Groups
from neuroglow.skeleton.regions import Part, Regions

__all__ = ["Labels", "find_loops", "join_labels", "keep_reaching"]

Integers = NDArray[np.int64]
Change = Callable[[Part], Part]


@dataclass(frozen=True)
class Labels:
    """Names of connected parts, of which each is the lowest name of its nodes.

    low: (k,) in order, of those within a region that reach its faces; top: (k,) their names.
    torn: edges at faces that only one of both sides has.
    """

    low: Integers
    top: Integers
    torn: int = 0

    def of(self, part: Part) -> Integers:
        """Return the name of the connected part of each node."""
        local = _local(part)
        if not len(self.low):
            return local
        at = np.minimum(np.searchsorted(self.low, local), len(self.low) - 1)
        return np.where(self.low[at] == local, self.top[at], local)


def _local(part: Part) -> Integers:
    """Name the connected parts within a region."""
    number = part.inner().components()
    lowest = np.full(number.max(initial=-1) + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, number, part.nodes.names)
    return np.asarray(lowest[number])


def join_labels(regions: Regions, step: str, change: Change = lambda part: part) -> Labels:
    """Join connected parts across the faces of regions. change: what is done to each part first."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    near, far, labels = [], [], []
    for part in map(change, regions.parts(step)):
        own, other = _across(part)
        at = np.searchsorted(part.nodes.names, own)
        near.append(own)
        far.append(other)
        labels.append(_local(part)[at])
    none = np.empty(0, np.int64)
    names, others, found = (np.concatenate([none, *some]) for some in (near, far, labels))
    low = np.unique(found)
    if not len(low):
        return Labels(low, low)
    torn = len(names) - 2 * _met(names, others)
    order = np.argsort(names, kind="stable")
    at = order[np.minimum(np.searchsorted(names, others, sorter=order), len(names) - 1)]
    both = names[at] == others
    a, b = np.searchsorted(low, found[both]), np.searchsorted(low, found[at[both]])
    links = coo_array((np.ones(len(a)), (a, b)), shape=(len(low), len(low)))
    number = connected_components(links, directed=False)[1]
    top = np.full(number.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(top, number, low)
    return Labels(low, top[number], torn)


def _met(names: Integers, others: Integers) -> int:
    """Count the edges across faces that both sides have."""
    pairs = np.sort(np.stack([names, others], axis=1), axis=1)
    _, counts = np.unique(pairs, axis=0, return_counts=True)
    return int((counts == 2).sum())


def _across(part: Part) -> tuple[Integers, Integers]:
    """Return the nodes from which edges cross the faces of a region, and those they lead to."""
    some = part.with_edges(part.crossing)
    own = some.sides == part.index
    return some.ends[own], some.ends[~own]


def keep_reaching(regions: Regions, step: str, kept: str, peak: float) -> None:
    """Keep, for the nodes of each region, 0 if their connected part reaches `peak`, else -1."""
    labels = join_labels(regions, step)
    names = np.unique(labels.top)
    highest = np.zeros(len(names))
    for part in regions.parts(step):
        own = labels.of(part)
        known = np.isin(own, names)
        values = regions.kept(step, part.index, "peak")
        np.maximum.at(highest, np.searchsorted(names, own[known]), values[known])
    for part in regions.parts(step):
        own, which = np.unique(labels.of(part), return_inverse=True)
        best = np.zeros(len(own))
        np.maximum.at(best, which, regions.kept(step, part.index, "peak"))
        known = np.isin(own, names)
        best[known] = highest[np.searchsorted(names, own[known])]
        regions.keep(kept, part.index, values=np.where(best[which] >= peak, 0, -1))


Link = tuple[float, int, int, int, int]
"""The dearest edge of a way between two nodes: its cost, its ends, and the two nodes (names)."""


def find_loops(regions: Regions, step: str) -> Integers:
    """Return the edges (n, 2; names) that must be cut so that no loop crosses regions.

    As Graph.as_forest does: of each loop the dearest edge. No region has a loop within itself.
    """
    links: list[Link] = []
    for part in regions.parts(step):
        links += _ways(part)
        links += _crossing_links(part)
    groups = Groups()
    gone = [
        (low, high) for _, low, high, one, other in sorted(links) if not groups.join(one, other)
    ]
    return np.array(gone, np.int64).reshape(-1, 2)


def _crossing_links(part: Part) -> Iterator[Link]:
    """Return the edges to other regions whose lower node lies in this one."""
    some = part.with_edges(part.crossing)
    first = some.ends.argmin(axis=1)
    own = some.sides[np.arange(len(first)), first] == part.index
    ends = np.sort(some.ends[own], axis=1)
    for cost, (a, b) in zip(some.costs[own].tolist(), ends.tolist(), strict=True):
        yield cost, a, b, a, b


def _ways(part: Part) -> list[Link]:
    """Return the ways through a region, without dead ends."""
    graph = part.inner()
    faces = np.isin(graph.names, _across(part)[0])
    cut = replace(graph, somata=faces)  # pieces end there
    pieces = [piece.nodes for piece in pieces_of(cut)]
    while True:
        ends = Counter(itertools.chain(*(nodes[[0, -1]].tolist() for nodes in pieces)))
        through = [n for n in pieces if all(ends[e] > 1 or faces[e] for e in n[[0, -1]].tolist())]
        if len(through) == len(pieces):
            return [_dearest(graph, nodes) for nodes in pieces]
        pieces = through


def _dearest(graph: Graph, nodes: Integers) -> Link:
    """Return the dearest edge of a piece."""
    names = graph.names[nodes]
    ends = np.sort(np.stack([names[:-1], names[1:]], axis=1), axis=1)
    pairs = np.stack([nodes[:-1], nodes[1:]], axis=1)
    costs = replace(graph, edges=pairs, bridges=pairs[:, 0]).costs
    last = np.lexsort((ends[:, 1], ends[:, 0], costs))[-1]
    (low, high), (first, *_, final) = ends[last].tolist(), names.tolist()
    return float(costs[last]), low, high, first, final

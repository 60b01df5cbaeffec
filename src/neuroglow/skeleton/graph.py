"""Middle lines as a graph: nodes with a place, edges between them, pieces between branch points."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.middles import Middles
from neuroglow.skeleton.thinning import NEIGHBOURS, find_keys, key_steps, keys_of
from neuroglow.space.geometry import Zyx

__all__ = [
    "PER_NODE",
    "Graph",
    "Piece",
    "graph_of",
    "length_along",
    "lines_of",
    "names_after",
    "neighbour_table",
    "pieces_of",
    "reaching",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

NO_LENGTH = 1e-6
"""Length in finest voxels of an edge between two nodes at the same place."""


PER_NODE = (
    *("places", "probability", "radii", "somata", "joints", "names", "pruned", "rivals", "lights"),
)
"""The arrays of a graph that have a value for each node."""


@dataclass(frozen=True)
class Graph:
    """Nodes and edges.

    places: (n, 3) zyx in voxels. unit_um: size of a voxel. probability, radii (um): (n,).
    edges: (m, 2) nodes. bridges: (m,) number of the bridge that an edge belongs to, otherwise 0.
    somata: (n,) which nodes are somata, each with all that lies inside it. joints: (n,) which
    nodes were branch points before anything was removed. names: (n,) of the nodes, the same
    whichever part of a volume they were found in; they give nodes their order (in_order).
    pruned: (n,) length (um) of the longest side branch that was removed there. rivals: (n,) where
    a crossing was parted, the probability that one of the lines goes on otherwise. lights: (n,)
    log brightness in the raw image (light.py); NaN without one.
    """

    places: Floats
    unit_um: Floats
    probability: Floats
    radii: Floats
    edges: Integers
    bridges: Integers
    somata: Mask
    joints: Mask
    names: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    pruned: Floats = field(default_factory=lambda: np.empty(0))
    rivals: Floats = field(default_factory=lambda: np.empty(0))
    lights: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        count = len(self.places)
        usual = {
            "names": np.arange(count),
            "pruned": np.zeros(count),
            "rivals": np.zeros(count),
            "lights": np.full(count, np.nan),
        }
        for name, values in usual.items():
            if len(getattr(self, name)) != count:
                object.__setattr__(self, name, values)

    @property
    def points(self) -> Floats:
        """The nodes in micrometres."""
        return np.asarray(self.places * self.unit_um)

    def points_of(self, nodes: Sequence[int] | Integers) -> Floats:
        """Return some nodes in micrometres."""
        return np.asarray(self.places[nodes] * self.unit_um)

    @property
    def degrees(self) -> Integers:
        """Number of edges at each node."""
        return np.bincount(self.edges.ravel(), minlength=len(self.places))

    @property
    def lengths(self) -> Floats:
        """Length of each edge in micrometres."""
        points = self.points
        return np.asarray(
            np.linalg.norm(points[self.edges[:, 0]] - points[self.edges[:, 1]], axis=1)
        )

    def components(self) -> Integers:
        """Return, for each node, the number of its connected part."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self.places)
        if not count:
            return np.empty(0, np.int64)
        links = coo_array((np.ones(len(self.edges)), self.edges.T), shape=(count, count))
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def without_lone_nodes(self) -> Graph:
        """Leave out nodes without edges, but somata."""
        return self.where((self.degrees > 0) | self.somata)

    def where(self, chosen: Mask) -> Graph:
        """Keep the chosen nodes (n,) and the edges between them."""
        place = np.cumsum(chosen) - 1
        whole = chosen[self.edges].all(axis=1)
        return replace(
            self,
            **{name: getattr(self, name)[chosen] for name in PER_NODE},
            edges=place[self.edges[whole]],
            bridges=self.bridges[whole],
        )

    def in_order(self) -> Graph:
        """Order nodes by their names, and edges by their nodes."""
        order = np.argsort(self.names, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        edges = np.sort(place[self.edges], axis=1)
        sequence = np.lexsort((edges[:, 1], edges[:, 0]))
        return replace(
            self,
            **{name: getattr(self, name)[order] for name in PER_NODE},
            edges=edges[sequence],
            bridges=self.bridges[sequence],
        )

    def with_edges(self, chosen: Mask) -> Graph:
        """Keep the chosen edges (m,) and all nodes."""
        return replace(self, edges=self.edges[chosen], bridges=self.bridges[chosen])

    def grown(self, copied: Sequence[Graph], edges: Integers, bridge: Integers) -> Graph:
        """Append the nodes and edges of other graphs."""
        parts = [self, *copied]
        return replace(
            self,
            **{n: np.concatenate([getattr(g, n) for g in parts]) for n in PER_NODE},
            edges=np.concatenate([self.edges, edges.reshape(-1, 2)]),
            bridges=np.concatenate([self.bridges, bridge]),
        )

    def copied(
        self, chosen: Integers, places: Floats | None = None, names: Integers | None = None
    ) -> Graph:
        """Copy some nodes, without edges, optionally to other places and under other names."""
        return replace(
            self,
            places=self.places[chosen] if places is None else places,
            probability=self.probability[chosen],
            radii=self.radii[chosen],
            edges=np.empty((0, 2), np.int64),
            bridges=np.empty(0, np.int64),
            somata=np.zeros(len(chosen), bool),
            joints=np.zeros(len(chosen), bool),
            names=self.names[chosen] if names is None else names,
            pruned=self.pruned[chosen],
            rivals=np.zeros(len(chosen)),
            lights=self.lights[chosen],
        )

    @property
    def costs(self) -> Floats:
        """What each edge costs to keep: of a loop the dearest is cut, never at a soma."""
        faint = 1.0 - self.probability[self.edges].min(axis=1)
        # two nodes may share a middle, and scipy treats a weight of zero as no edge
        least = NO_LENGTH * self.unit_um.min()
        lengths = np.where(self.somata[self.edges].any(axis=1), 0, self.lengths)
        return np.asarray(np.maximum(lengths, least) * (0.1 + faint))

    def as_forest(self) -> Graph:
        """Cut each loop where its probability is lowest, never at a soma: a spanning forest."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import minimum_spanning_tree

        count = len(self.places)
        if not len(self.edges):
            return self
        # no two weights are equal, so that a part of a volume is cut where the whole is
        ends = np.sort(self.edges, axis=1)
        weights = np.empty(len(ends))
        weights[np.lexsort((ends[:, 1], ends[:, 0], self.costs))] = np.arange(1, len(ends) + 1)
        links = coo_array((weights, self.edges.T), shape=(count, count))
        kept = minimum_spanning_tree(links.tocsr()).tocoo()
        wanted = np.sort(np.stack([kept.row, kept.col], axis=1).astype(np.int64), axis=1)
        key, own = (np.asarray(np.sort(e, axis=1) @ [count, 1]) for e in (wanted, self.edges))
        _, first = np.unique(own, return_index=True)
        once = np.zeros(len(own), bool)
        once[first] = True
        return self.with_edges(np.isin(own, key) & once)


@dataclass(frozen=True)
class Piece:
    """An unbranched run of nodes, from one end or branch point to the next.

    nodes: (k,), in the order of the line. length_um: its length.
    """

    nodes: Integers
    length_um: float

    @property
    def ends(self) -> tuple[int, int]:
        """The first and last node."""
        return int(self.nodes[0]), int(self.nodes[-1])


def graph_of(middles: Middles, shape: Zyx, unit_um: Sequence[float], *, peak: float) -> Graph:
    """Join neighbouring voxels of middle lines; drop parts that never reach `peak`.

    A diagonal step is dropped if shorter steps connect the same voxels, so that a corner has no
    loop.
    """
    return reaching(lines_of(middles, shape, unit_um), middles.peak, peak)


def lines_of(middles: Middles, shape: Zyx, unit_um: Sequence[float]) -> Graph:
    """Join neighbouring voxels of middle lines, as graph_of does, and drop none."""
    keys = keys_of(middles.places, shape)
    steps = key_steps(np.add(shape, 2))
    beside = [find_keys(keys, keys + step) for step in steps]
    edges = []
    for i, offset in enumerate(NEIGHBOURS):
        if tuple(offset) < (0, 0, 0):
            continue
        at, found = beside[i]
        for shorter in _on_the_way(offset):
            found = found & ~beside[shorter][1]
        edges.append(np.stack([np.flatnonzero(found), at[found]], axis=1))
    joined = np.concatenate([np.empty((0, 2), np.int64), *edges])
    # the middle near an end is farther inside: ends are not moved
    ends = np.bincount(joined.ravel(), minlength=len(keys)) < 2
    off = np.where(ends[:, None], 0, middles.off)
    return Graph(
        np.asarray(middles.places + off, np.float64),
        np.asarray(unit_um, np.float64),
        middles.probability.astype(np.float64),
        middles.radii.astype(np.float64),
        joined,
        np.zeros(len(joined), np.int64),
        np.zeros(len(keys), bool),
        np.bincount(joined.ravel(), minlength=len(keys)) > 2,
        keys,
    )


def names_after(names: Integers, *more: int) -> Integers:
    """Name new nodes after the nodes they are made for: behind all voxels, hardly ever equal."""
    mixed = np.asarray(names).astype(np.uint64)
    for one in more:
        mixed = (mixed ^ np.uint64(one)) + np.uint64(0x9E3779B97F4A7C15)  # splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(2)) | np.uint64(1 << 62)).astype(np.int64)


def reaching(graph: Graph, values: NDArray[np.floating], peak: float) -> Graph:
    """Drop connected parts in which no node's value (n,) reaches `peak`."""
    part = graph.components()
    highest = np.zeros(len(graph.places))
    np.maximum.at(highest, part, values)
    return graph.where(highest[part] >= peak)


def _on_the_way(offset: Integers) -> list[int]:
    """Return the neighbours through which a diagonal step could go instead."""
    return [
        i
        for i, other in enumerate(NEIGHBOURS)
        if (other != offset).any() and ((other == 0) | (other == offset)).all()
    ]


def pieces_of(graph: Graph) -> list[Piece]:
    """Cut a graph at its ends, branch points and somata; closed loops are dropped."""
    degrees = graph.degrees
    through = ((degrees == 2) & ~graph.somata).tolist()
    first, flat = neighbour_table(graph)
    runs: list[int] = []
    stops = [0]
    for start in np.flatnonzero((degrees > 0) & ((degrees != 2) | graph.somata)).tolist():
        for after in flat[first[start] : first[start + 1]]:
            run = [start, after]
            while through[run[-1]]:
                a, b = flat[first[run[-1]] : first[run[-1]] + 2]
                run.append(b if a == run[-2] else a)
            if start < run[-1] or (start == run[-1] and run[1] <= run[-2]):
                runs += run
                stops.append(len(runs))
    if not runs:
        return []
    nodes = np.array(runs, np.int64)
    steps = np.linalg.norm(np.diff(graph.points_of(nodes), axis=0, append=0), axis=1)
    steps[np.array(stops[1:]) - 1] = 0  # from the end of a piece to the next piece
    lengths = np.add.reduceat(steps, stops[:-1]).tolist()
    ends = itertools.pairwise(stops)
    return [Piece(nodes[a:b], length) for (a, b), length in zip(ends, lengths, strict=True)]


def length_along(points: Floats) -> float:
    """Return the length of a line through points (k, 3)."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def neighbour_table(graph: Graph) -> tuple[list[int], list[int]]:
    """Return each node's neighbours: start indices in a list, and the list."""
    both = np.concatenate([graph.edges, graph.edges[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    first = np.searchsorted(both[:, 0], np.arange(len(graph.places) + 1))
    return first.tolist(), both[:, 1].tolist()

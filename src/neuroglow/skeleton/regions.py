"""Regions of a volume, and the part of a graph that belongs to each, kept in files.

A node belongs to the region in which it lies; an edge is kept with both of its nodes. So a step of
the tracer can be done region by region: the parts around a region are gathered with a margin, the
step is done, and what belongs to the region is kept. Memory holds one region and its margin.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.files.writing import writing
from neuroglow.skeleton.graph import PER_NODE, Graph
from neuroglow.space.geometry import Block, Blocks, Box, Zyx, tile

__all__ = ["Part", "Regions", "graph_from"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

EDGES = ("ends", "sides", "bridges", "costs")


@dataclass(frozen=True)
class Part:
    """The nodes of one region, in order, and all edges that one of them has.

    nodes: without edges. ends: (m, 2) names. sides: (m, 2) the regions of the ends. bridges, costs:
    (m,), as in Graph.
    """

    index: int
    nodes: Graph
    ends: Integers
    sides: Integers
    bridges: Integers
    costs: Floats

    @property
    def crossing(self) -> Mask:
        """Which edges lead to other regions."""
        return np.asarray((self.sides != self.index).any(axis=1))

    def with_edges(self, chosen: Mask) -> Part:
        """Keep the chosen edges (m,)."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in EDGES})

    def inner(self) -> Graph:
        """Return the graph within the region."""
        own = self.with_edges(~self.crossing)
        return graph_from([self.nodes], own.ends, own.bridges)

    @cached_property
    def somata(self) -> set[int]:
        """The names of the somata."""
        return set(self.nodes.names[self.nodes.somata].tolist())

    @cached_property
    def neighbours(self) -> Callable[[int], list[tuple[int, int]]]:
        """Return, for a node of this part by its name, its neighbours and their regions."""
        both = np.concatenate([self.ends, self.ends[:, ::-1]])
        order = np.argsort(both[:, 0], kind="stable")
        first, other = both[order].T
        side = np.concatenate([self.sides[:, 1], self.sides[:, 0]])[order]

        def of(name: int) -> list[tuple[int, int]]:
            a, b = np.searchsorted(first, [name, name + 1]).tolist()
            return list(zip(other[a:b].tolist(), side[a:b].tolist(), strict=True))

        return of


@dataclass(frozen=True)
class Regions:
    """Regions of `side` voxels along each axis, and a folder with a folder for each step."""

    shape: Zyx
    side: int
    folder: Path

    @property
    def blocks(self) -> Blocks:
        """The regions as blocks of a run."""
        return tile(Box.of(self.shape), (self.side,) * 3)

    def owners(self, places: Floats) -> Integers:
        """Return the regions in which places (n, 3) lie."""
        at = _voxels(places, self.shape) // self.side
        return np.asarray(np.ravel_multi_index(tuple(at.T), self.blocks.grid), np.int64)

    def file(self, step: str, index: int) -> Path:
        """Name the file of a step and a region."""
        return self.folder / step / f"{index:08d}.npz"

    def around(self, block: Block, margin: Sequence[int]) -> Box:
        """Return a region with a margin (voxels zyx), within the volume."""
        z, y, x = (max(0, a - m) for a, m in zip(block.write.start, margin, strict=True))
        c, b, a = (
            min(n, s + m) for n, s, m in zip(self.shape, block.write.stop, margin, strict=True)
        )
        return Box((z, y, x), (c, b, a))

    def touching(self, box: Box) -> Iterator[int]:
        """Return the regions that a box touches."""
        low = np.array(box.start) // self.side
        high = -(-np.array(box.stop) // self.side)
        for at in itertools.product(*map(range, low.tolist(), high.tolist())):
            yield int(np.ravel_multi_index(at, self.blocks.grid))

    def save(self, step: str, index: int, graph: Graph, **more: NDArray[Any]) -> None:
        """Keep what belongs to a region of a graph in order, with further values of its nodes."""
        owners = self.owners(graph.places)
        own = owners == index
        kept = own[graph.edges].any(axis=1)
        held: dict[str, Any] = {
            **{name: getattr(graph, name)[own] for name in PER_NODE},
            "unit_um": graph.unit_um,
            "ends": graph.names[graph.edges[kept]],
            "sides": owners[graph.edges[kept]],
            "bridges": graph.bridges[kept],
            "costs": graph.costs[kept],
        }
        self.keep(step, index, **held, **{name: values[own] for name, values in more.items()})

    def part(self, step: str, index: int) -> Part | None:
        """Read the part of a region, if there is any."""
        if not self.file(step, index).exists():
            return None
        with np.load(self.file(step, index)) as kept:
            none = np.empty((0, 2), np.int64)
            nodes = Graph(
                **{n: kept[n] for n in ("unit_um", *PER_NODE)}, edges=none, bridges=none[:, 0]
            )
            return Part(index, nodes, *(kept[n] for n in EDGES))

    def parts(self, step: str) -> Iterator[Part]:
        """Read all parts, one after the other."""
        for index in range(len(self.blocks)):
            part = self.part(step, index)
            if part is not None:
                yield part

    def keep(self, step: str, index: int, **values: Any) -> None:
        """Keep arrays for a region."""
        file = self.file(step, index)
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **values)

    def kept(self, step: str, index: int, name: str = "values") -> Integers:
        """Read an array that was kept for a region."""
        with np.load(self.file(step, index)) as kept:
            return np.asarray(kept[name])

    def gather(self, step: str, box: Box, values: str = "") -> tuple[Graph, Integers]:
        """Read the graph in a box, in order, with values of its nodes that were kept.

        values: a step for which they were kept; nodes with a value below 0 are left out.
        """
        nodes, ends, bridges, found = [], [], [], []
        for index in self.touching(box):
            part = self.part(step, index)
            if part is None:
                continue
            own = self.kept(values, index) if values else np.zeros(len(part.nodes.places), np.int64)
            at = _voxels(part.nodes.places, self.shape)
            inside = ((at >= box.start) & (at < box.stop)).all(axis=1) & (own >= 0)
            nodes.append(part.nodes.where(inside))
            found.append(own[inside])
            near = np.isin(part.ends, nodes[-1].names).any(axis=1)
            ends.append(part.ends[near])
            bridges.append(part.bridges[near])
        if not nodes:
            return EMPTY, np.empty(0, np.int64)
        graph = graph_from(nodes, np.concatenate(ends), np.concatenate(bridges))
        order = np.argsort(np.concatenate([n.names for n in nodes]), kind="stable")
        return graph, np.concatenate(found)[order]

    def follow(self, step: str, graph: Graph, box: Box) -> Graph:
        """Add to a graph, which was gathered in a box, the rest of the pieces that leave the box.

        The nodes at their far ends get all their neighbours, so that they are what they are.
        """
        parts: dict[int, Part] = {}
        at: dict[int, int] = {}
        ends: list[tuple[int, int]] = []
        complete = set(graph.names.tolist())
        waiting = self._leaving(step, box, graph)
        while waiting:
            name, index = waiting.pop()
            at[name] = index
            if name in complete:
                continue
            complete.add(name)
            if index not in parts:
                parts[index] = self._sure(step, index)
            beside = parts[index].neighbours(name)
            at.update(beside)
            ends += [(name, other) for other, _ in beside]
            if len(beside) == 2 and name not in parts[index].somata:
                waiting += [one for one in beside if one[0] not in complete]
        return self._with(step, graph, at, ends)

    def _leaving(self, step: str, box: Box, graph: Graph) -> list[tuple[int, int]]:
        """List the nodes outside a box to which edges lead, with their regions."""
        found: set[tuple[int, int]] = set()
        for index in self.touching(box):
            part = self.part(step, index)
            if part is not None:
                inside = np.isin(part.ends, graph.names)
                out = inside.any(axis=1) & ~inside.all(axis=1)
                far = ~inside[out]
                pairs = zip(
                    part.ends[out][far].tolist(), part.sides[out][far].tolist(), strict=True
                )
                found.update(pairs)
        return sorted(found)

    def _sure(self, step: str, index: int) -> Part:
        part = self.part(step, index)
        if part is None:
            raise AssertionError(f"an edge leads to region {index}, which is empty")
        return part

    def _with(
        self, step: str, graph: Graph, at: dict[int, int], ends: list[tuple[int, int]]
    ) -> Graph:
        """Add nodes, by their names and regions, and edges between names to a graph."""
        names = np.array(sorted(at), np.int64)
        names = names[~np.isin(names, graph.names)]
        if not len(names):
            return graph
        sides = np.array([at[name] for name in names.tolist()])
        nodes = [graph]
        for index in np.unique(sides).tolist():
            part = self._sure(step, index)
            nodes.append(part.nodes.where(np.isin(part.nodes.names, names[sides == index])))
        known = graph.names[graph.edges]
        more = np.array(ends, np.int64).reshape(-1, 2)
        bare = [replace(n, edges=n.edges[:0], bridges=n.bridges[:0]) for n in nodes]
        numbers = np.concatenate([graph.bridges, np.zeros(len(more), np.int64)])
        return graph_from(bare, np.concatenate([known, more]), numbers)


EMPTY = Graph(
    np.empty((0, 3)),
    np.ones(3),
    np.empty(0),
    np.empty(0),
    np.empty((0, 2), np.int64),
    np.empty(0, np.int64),
    np.empty(0, bool),
    np.empty(0, bool),
)


def _voxels(places: Floats, shape: Zyx) -> Integers:
    """Return the voxels in which places (n, 3) lie, within the volume."""
    return np.clip(np.floor(places).astype(np.int64), 0, np.subtract(shape, 1))


def graph_from(nodes: Sequence[Graph], ends: Integers, bridges: Integers) -> Graph:
    """Make a graph, in order, of nodes without edges, and edges between their names.

    Edges to other names are left out; those that are there twice count once.
    """
    fresh = nodes[0].grown(nodes[1:], np.empty((0, 2), np.int64), np.empty(0, np.int64))
    order = np.argsort(fresh.names, kind="stable")
    ordered = fresh.names[order]
    pairs, first = np.unique(np.sort(ends, axis=1), axis=0, return_index=True)
    at = np.searchsorted(ordered, pairs)
    known = (ordered[np.minimum(at, len(ordered) - 1)] == pairs) if len(ordered) else at < 0
    whole = known.all(axis=1)
    edges, numbers = order[at[whole]], bridges[first[whole]]
    return replace(fresh, edges=edges, bridges=numbers).in_order()

"""Whole trees from the parts of all regions, so many at a time as fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph
from neuroglow.skeleton.partition import among
from neuroglow.skeleton.region_joins import Labels, join_labels
from neuroglow.skeleton.regions import Part, Regions, graph_from

__all__ = ["Cut", "whole_parts"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """What a partition cuts in each part: edges (n, 2; names), and bridges as a whole."""

    edges: Integers
    bridges: Integers

    @classmethod
    def of(cls, regions: Regions, step: str, edges: Integers) -> Cut:
        """Cut edges, with the bridges that they belong to."""
        none = [np.empty(0, np.int64)]
        cut = [part.bridges[among(part.ends, edges)] for part in regions.parts(step)]
        bridges = np.unique(np.concatenate(none + cut))
        return cls(edges, bridges[bridges > 0])

    def __call__(self, part: Part) -> Part:
        """Cut, and drop nodes that are left alone, but somata."""
        kept = part.with_edges(~among(part.ends, self.edges) & ~np.isin(part.bridges, self.bridges))
        nodes = part.nodes
        held = np.isin(nodes.names, kept.ends) | nodes.somata
        return replace(kept, nodes=nodes.where(held))


def whole_parts(regions: Regions, step: str, cut: Cut | None, most: int) -> Iterator[Graph]:
    """Return whole connected parts of the graph, several at a time, of at most `most` nodes.

    A part that has more is returned alone.
    """
    change = cut or _unchanged
    labels = join_labels(regions, step, change)
    counted = [
        (part.index, *np.unique(labels.of(part), return_counts=True))
        for part in map(change, regions.parts(step))
        if len(part.nodes.places)
    ]
    for low, high in _spans(counted, most):
        found = []
        for index, own, _ in counted:
            part = regions.part(step, index) if own[0] <= high and own[-1] >= low else None
            if part is not None:
                found.append(_some(change(part), labels, low, high))
        nodes, ends, bridges = zip(*found, strict=True)
        yield graph_from(nodes, np.concatenate(ends), np.concatenate(bridges))


def _unchanged(part: Part) -> Part:
    return part


def _spans(counted: Sequence[tuple[int, Integers, Integers]], most: int) -> list[tuple[int, int]]:
    """Cut the names of connected parts into spans: the first and the last name of each."""
    if not counted:
        return []
    names, which = np.unique(np.concatenate([own for _, own, _ in counted]), return_inverse=True)
    sizes = np.bincount(which.ravel(), np.concatenate([sizes for *_, sizes in counted]))
    spans, start, held = [], 0, 0
    for at, size in enumerate(sizes.tolist()):
        if held and held + size > most:
            spans.append((int(names[start]), int(names[at - 1])))
            start, held = at, 0
        held += size
    return [*spans, (int(names[start]), int(names[-1]))]


def _some(part: Part, labels: Labels, low: int, high: int) -> tuple[Graph, Integers, Integers]:
    """Return the nodes, edges and bridges of the connected parts whose names are in a span."""
    own = labels.of(part)
    nodes = part.nodes.where((own >= low) & (own <= high))
    near = np.isin(part.ends, nodes.names).any(axis=1)
    return nodes, part.ends[near], part.bridges[near]

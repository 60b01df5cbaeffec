"""Spurs: short side branches that thinning produces on rough surfaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuroglow.skeleton.graph import Graph, Piece, pieces_of

__all__ = ["drop_faint", "drop_short", "prune_spurs"]

FAINT_TIMES = 2.0
"""Factor by which a spur may be longer if its mean probability is below the threshold."""

FAINT_LONG = 2.7
"""Factor by which a part that may be faint is longer: no more than the margin around a region."""


def prune_spurs(graph: Graph, *, length_um: float, probability: float) -> Graph:
    """Remove side branches that end within a given length of the neurite that they leave.

    A spur is a piece with a free end, shorter than `length_um` beyond the radius at its branch
    point, or than FAINT_TIMES that if its mean probability is below `probability`. If all
    pieces of a branch point are spurs, the two longest stay.
    """
    while True:
        gone = _spurs(graph, length_um, probability)
        if not gone:
            return graph
        graph = _remembered(graph, gone)
        kept = np.ones(len(graph.places), bool)
        kept[np.concatenate([piece.nodes for piece in gone])] = False
        kept |= (graph.degrees > 2) | graph.somata  # branch points and somata stay
        graph = graph.where(kept)


def _remembered(graph: Graph, gone: Sequence[Piece]) -> Graph:
    """Keep the lengths of side branches that will be removed, where they leave."""
    pruned, degrees = graph.pruned.copy(), graph.degrees
    for piece in gone:
        base = max(piece.ends, key=lambda node: degrees[node])
        pruned[base] = max(pruned[base], piece.length_um)
    return replace(graph, pruned=pruned)


def _spurs(graph: Graph, length_um: float, probability: float) -> list[Piece]:
    """List the spurs of one round: at a branch point the shortest, while two pieces stay."""
    degrees = graph.degrees
    at_branch: dict[int, list[Piece]] = defaultdict(list)
    for piece in pieces_of(graph):
        tip, other = sorted(piece.ends, key=lambda node: degrees[node])
        if degrees[tip] != 1 or graph.somata[tip] or degrees[other] < 3:
            continue
        mean = graph.probability[piece.nodes].mean()
        allowed = length_um * (FAINT_TIMES if mean < probability else 1) + graph.radii[other]
        if piece.length_um < allowed:
            at_branch[other].append(piece)
    return [
        piece
        for branch, spurs in at_branch.items()
        for piece in sorted(spurs, key=lambda p: (p.length_um, p.ends))[: degrees[branch] - 2]
    ]


def drop_short(graph: Graph, length_um: float, *, but_somata: bool = False) -> Graph:
    """Drop connected parts shorter than a length. but_somata: not those that have a soma."""
    part = graph.components()
    if not len(part):
        return graph
    total = np.bincount(part[graph.edges[:, 0]], graph.lengths, minlength=part.max() + 1)
    if but_somata:
        total[part[graph.somata]] = np.inf
    return graph.where(total[part] >= length_um)


def drop_faint(graph: Graph, length_um: float, probability: float) -> Graph:
    """Drop connected parts that reach a probability over less than a length.

    Those of FAINT_LONG that length stay: chance does not make them.
    """
    part = graph.components()
    if not len(part):
        return graph
    near, lengths, count = part[graph.edges[:, 0]], graph.lengths, int(part.max()) + 1
    clear = graph.probability[graph.edges].min(axis=1) >= probability
    total = np.bincount(near, lengths, count)
    seen = np.bincount(near[clear], lengths[clear], count)
    return graph.where(((seen >= length_um) | (total >= FAINT_LONG * length_um))[part])

"""The tracer: a probability, read by box -> trees.

middle lines -> graph -> somata -> spurs -> crossings -> forest -> bridges -> partition -> trees
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.bodies import Body
from neuroglow.skeleton.bridges import Bounds, Bricks, bridge_gaps
from neuroglow.skeleton.crossings import part_crossings
from neuroglow.skeleton.defaults import (
    CROSSING_ANGLE,
    GAP_ANGLE,
    GAP_PROBABILITY,
    LOW_SHARE,
    SMOOTH_VOX,
    SOMA_UM,
    Lines,
    default_lengths,
)
from neuroglow.skeleton.graph import Graph, graph_of
from neuroglow.skeleton.light import with_light
from neuroglow.skeleton.middles import Middles, ReadBox
from neuroglow.skeleton.partition import Decision, partition
from neuroglow.skeleton.somata import gather_somata, part_somata
from neuroglow.skeleton.spurs import drop_faint, drop_short, prune_spurs
from neuroglow.skeleton.teasar import teasar_graph
from neuroglow.skeleton.tips import reach_ends, reach_faces
from neuroglow.skeleton.trees import grow_trees, smooth_lines, tree_length
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.swc import Tree

__all__ = [
    "FindMiddles",
    "Rules",
    "Views",
    "cleaned",
    "grown",
    "tidied",
    "trace_lines",
    "untangled",
]

FindMiddles = Callable[..., Middles]
FindBodies = Callable[[NDArray[np.float64]], Sequence[Body]]

PART = 0.45
"""Share of the shortest length that a piece must have which was cut off a longer tree."""


@dataclass(frozen=True)
class Views:
    """What is seen of a volume: boxes (zyx, float32, 0..1), and bodies.

    read: the probability. evidence: that for bridges. bodies: finds those near places (n, 3;
    voxels). glow: the raw image less its background, over its noise; none without one.
    """

    read: ReadBox
    evidence: ReadBox
    bodies: FindBodies = lambda _: ()
    glow: ReadBox | None = None


@dataclass(frozen=True)
class Rules:
    """Rules by which lines become trees; lengths in micrometres, angles in degrees.

    peak, low: hysteresis: the probability that a neurite must reach, and down to which it is
    followed. spur: side branches up to this length are removed. crossing: largest bend of a fibre
    at a crossing; 0 separates none. gap: limits of a bridge. soma: radius of a soma, 0 for none.
    least: shorter trees are dropped. step: between nodes. smooth: voxels. lines: method for middle
    lines: thinning, or the package kimimaro.
    """

    peak: float
    low: float
    spur: float
    crossing: float
    gap: Bounds
    soma: float
    least: float
    step: float
    smooth: float
    lines: Lines = "thinning"

    @classmethod
    def usual(cls, peak: float, unit_um: VoxelSize) -> Rules:
        """Return the default rules for a threshold."""
        low, lengths = LOW_SHARE * peak, default_lengths(unit_um)
        return cls(
            peak=peak,
            low=low,
            spur=lengths["spur"],
            crossing=CROSSING_ANGLE,
            gap=Bounds(lengths["gap"], GAP_ANGLE, GAP_PROBABILITY, low),
            soma=SOMA_UM,
            least=lengths["min_length"],
            step=lengths["step"],
            smooth=SMOOTH_VOX,
        )


def trace_lines(
    views: Views,
    shape: Zyx,
    unit_um: VoxelSize,
    rules: Rules,
    *,
    find: FindMiddles,
    tell: Callable[[str, float], object] = lambda work, share: None,
) -> tuple[list[Tree], list[Decision]]:
    """Trace a probability: trees in micrometres, the longest first; blocks do not affect them.

    unit_um: size of a voxel; the centre of voxel i lies at i * unit_um.
    find: find_middles, or what finds the same elsewhere.
    tell: called with the current stage and its share.
    Returns the decisions where lines meet as well.
    """
    seen = 0

    def tell_box(box: Box) -> None:
        nonlocal seen
        seen += box.size
        tell("middle lines", seen / Box.of(shape).size)

    if rules.lines == "kimimaro":
        graph = teasar_graph(views.read, shape, unit_um, detected_from=rules.low, peak=rules.peak)
    else:
        middles = find(views.read, shape, unit_um, detected_from=rules.low, tell=tell_box)
        graph = graph_of(middles, shape, unit_um, peak=rules.peak)
    graph = with_light(graph, views.glow, shape)
    graph, decisions = untangled(graph, rules, views.bodies, shape, partial(tell, "crossings"))
    graph = cleaned(graph.as_forest(), rules, views.read, shape)
    graph = bridge_gaps(
        graph,
        Bricks(views.evidence, shape).read,
        shape,
        rules.gap,
        lambda done, total: tell("bridges", done / total),
    )
    tell("trees", 0)
    graph = tidied(graph, rules)
    if rules.crossing:
        graph, more = partition(graph, shape)
        decisions += more
    trees = grown(graph, rules)
    tell("trees", 1)
    return trees, decisions


def untangled(
    graph: Graph,
    rules: Rules,
    bodies: FindBodies,
    shape: Zyx,
    tell: Callable[[float], object] = lambda _: None,
) -> tuple[Graph, list[Decision]]:
    """Gather somata, prune spurs, and part crossings; in order. Returns what was cut as well.

    tell: called with the share that is done, once all bodies are found.
    """
    found = bodies(graph.places) if rules.soma else ()
    tell(0)
    graph = gather_somata(graph.in_order(), rules.soma, found)
    graph = prune_spurs(graph, length_um=rules.spur, probability=rules.peak)
    if rules.crossing:
        return part_crossings(graph, shape, angle=rules.crossing, tell=tell)
    return graph.in_order(), []


def cleaned(forest: Graph, rules: Rules, read: ReadBox, shape: Zyx) -> Graph:
    """Prune what the cutting of loops has left, and extend free ends; in order."""
    graph = prune_spurs(forest, length_um=rules.spur, probability=rules.peak)
    graph = drop_short(graph, rules.spur, but_somata=True)
    graph = reach_ends(graph, Bricks(read, shape).read, shape, rules.low)
    return reach_faces(graph, shape).in_order()


def tidied(graph: Graph, rules: Rules) -> Graph:
    """Prune what bridges have left; before a partition, drop what is too short for a tree."""
    graph = prune_spurs(graph, length_um=rules.spur, probability=rules.peak)
    return drop_faint(graph, rules.least, rules.peak) if rules.crossing else graph


def grown(graph: Graph, rules: Rules) -> list[Tree]:
    """Make trees of whole parts of a forest, the longest first."""
    graph = part_somata(smooth_lines(graph, rules.smooth))
    trees = grow_trees(graph, step_um=rules.step)
    return [tree for tree in trees if tree_length(tree) >= PART * rules.least]

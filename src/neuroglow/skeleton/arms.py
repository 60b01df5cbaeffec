"""Arms: lines that leave a place where lines meet, and how well they continue each other.

All lengths and places are in units of the coarsest voxel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph

__all__ = ["REACH", "Arm", "arm_of", "likeness", "pair_traits", "sideways", "straightness"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

REACH = 32.0
"""Length up to which an arm is looked at."""

WAYS = 6.0, 12.0, 24.0
"""Lengths over which directions are measured; the second is that over which a bend is."""

MEASURED = 20.0
"""Length over which radius, probability and light are measured."""

INNER = 6
"""Number of nodes that are where lines meet."""

THIN = 0.5
"""Radius below which calibres do not differ."""

APART = 3.0
"""Distance from which the way from one arm to another tells whether they continue each other."""

UNLIKE, UNLIT = 0.15, 0.4
"""Weights of differences of calibre and of light (log ratios), compared with the bend."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A line that leaves a place where lines meet, and its number of nodes inside of that place.

    base: its first node (zyx). ways: (3, 3) unit vectors, from where it leaves. line, along:
    (k, 3) and (k,), where it begins. radius, probability, light: medians. uneven: standard
    deviation of the radius. widest, faintest, joints: where lines meet: largest radius, lowest
    probability, and number of former branch points, longest side branch that was removed, and rival
    (Graph).
    length: at most REACH. free: whether it ends before that.
    """

    nodes: Integers
    inside: int
    base: Floats
    ways: Floats
    line: Floats
    along: Floats
    radius: float
    probability: float
    light: float
    uneven: float
    widest: float
    faintest: float
    joints: int
    pruned: float
    rival: float
    length: float
    free: bool


def arm_of(graph: Graph, nodes: Integers, *, free: bool) -> Arm:
    """Describe a line that leaves its first node. free: whether its last node is an end."""
    coarsest = float(graph.unit_um.max())
    most = 2 + int(REACH * coarsest / graph.unit_um.min())
    free, nodes = free and len(nodes) <= most, nodes[:most]
    points = graph.points_of(nodes) / coarsest
    steps = np.sqrt(np.square(points[1:] - points[:-1]).sum(axis=1))
    along = np.concatenate([[0.0], steps.cumsum()])
    radii = graph.radii[nodes] / coarsest
    start = min(float(radii[0]) + 1, along[-1] / 2)
    first = min(int(along.searchsorted(start)), len(points) - 2)

    def until(length: float) -> slice:
        return slice(first, max(first + 1, int(along.searchsorted(start + length))) + 1)

    thick, near = until(MEASURED), until(WAYS[1])
    return Arm(
        nodes,
        min(max(first, 1), max((len(nodes) - 1) // 2, 1)),
        points[0],
        np.stack([_way(points[until(length)]) for length in WAYS]),
        points[near],
        along[near] - along[first],
        median(radii[thick].tolist()),
        median(graph.probability[nodes[thick]].tolist()),
        _median_known(graph.lights[nodes[thick]]),
        float(radii[: thick.stop].std()),
        float(radii[:INNER].max()),
        float(graph.probability[nodes[:INNER]].min()),
        int(graph.joints[nodes[:INNER]].sum()),
        float(graph.pruned[nodes[:INNER]].max() / coarsest),
        float(graph.rivals[nodes[:INNER]].max()),
        min(float(along[-1]), REACH),
        free and float(along[-1]) < REACH,
    )


def _median_known(lights: Floats) -> float:
    """Return the median, without somata, whose light is not known."""
    known = lights[~np.isnan(lights)]
    return median(known.tolist()) if len(known) else math.nan


def _way(line: Floats) -> Floats:
    """Return the direction of a line (k, 3): the slope of the straight line fitted to it."""
    steps = np.arange(len(line)) - (len(line) - 1) / 2
    way = steps @ line
    return np.asarray(way / max(_norm(way), 1e-9))


def _norm(way: Floats) -> float:
    """Return the length of a vector (3,)."""
    return math.sqrt(float(way @ way))


def likeness(a: Arm, b: Arm) -> float:
    """Return how straight two arms continue each other, less what they differ in."""
    unlit = abs(a.light - b.light)
    unlike = UNLIKE * abs(_calibre(a, b)) + (0 if math.isnan(unlit) else UNLIT * unlit)
    return -float(a.ways[1] @ b.ways[1]) - unlike


def _calibre(a: Arm, b: Arm) -> float:
    """Return the log ratio of two radii."""
    return math.log(max(a.radius, THIN) / max(b.radius, THIN))


def pair_traits(a: Arm, b: Arm) -> list[float]:
    """Describe how two arms continue each other.

    - 1; cosines of the bends, over three lengths
    - log residual (plus 0.3) of a parabola through both, and its curvature (at most 0.5)
    - differences in calibre (log ratio) and probability
    - log length of the shorter one (plus 2)
    - mean radius (log) and probability; how uneven the radius is; how much wider and fainter the
      lines are where they meet; number of former branch points there
    - log distance (plus 1) of their beginnings; the cosine of the sharper turn from either arm
      towards the other's beginning
    """
    rest, curve = _parabola(a, b)
    shorter = math.log(min(a.length, b.length) + 2)
    calibre, faint = abs(_calibre(a, b)), abs(a.probability - b.probability)
    bends = (-np.einsum("ij,ij->i", a.ways, b.ways)).tolist()
    radius, probability = (a.radius + b.radius) / 2, (a.probability + b.probability) / 2
    thick = math.log(max(radius, THIN))
    return [
        *(1.0, *bends, math.log(rest + 0.3), min(curve, 0.5), calibre, faint, shorter),
        *(thick, probability, a.uneven + b.uneven),
        math.log(max(a.widest, b.widest, THIN)) - thick,
        probability - min(a.faintest, b.faintest),
        float(a.joints + b.joints),
        *_across(a, b),
    ]


def _across(a: Arm, b: Arm) -> tuple[float, float]:
    """Return the log distance (plus 1) of the beginnings of two arms, and the turn towards them."""
    way = b.line[0] - a.line[0]
    away = _norm(way)
    if away > APART:
        turn = min(float(a.ways[1] @ way) / -away, float(b.ways[1] @ way) / away)
    else:
        turn = -float(a.ways[1] @ b.ways[1])
    return math.log(1 + away), turn


def straightness(a: Arm, b: Arm) -> float:
    """Return the cosine of the sharpest bend of a line from one arm to the other."""
    return min(-float(a.ways[1] @ b.ways[1]), _across(a, b)[1])


def sideways(a: Arm, b: Arm) -> float:
    """Return how far apart two arms lie across their common direction."""
    way = a.ways[1] - b.ways[1]
    way = way / max(_norm(way), 1e-9)
    apart = b.line.mean(axis=0) - a.line.mean(axis=0)
    return _norm(apart - (apart @ way) * way)


def _parabola(a: Arm, b: Arm) -> tuple[float, float]:
    """Fit a parabola to the beginnings of two arms: the residual, and the curvature.

    By orthogonal polynomials in the length along both.
    """
    half = _norm(b.line[0] - a.line[0]) / 2
    at = np.concatenate([-(a.along[::-1] + half), b.along + half])
    line = np.concatenate([a.line[::-1], b.line])
    at -= at.sum() / len(at)
    square = at * at
    spread = float(square.sum())
    square -= spread / len(at) + float(square @ at) / spread * at
    rest = line - line.sum(axis=0) / len(at) - np.outer(at, at @ line / spread)
    curve = square @ rest / float(square @ square)
    rest -= np.outer(square, curve)
    return math.sqrt(float(np.square(rest).sum()) / len(at)), 2 * _norm(curve)

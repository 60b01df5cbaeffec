"""Free ends of lines: where they point, and how they go on to the volume's faces."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.geometry import Zyx
from neuroglow.tracing.graph import Graph

__all__ = ["reach_faces", "tip_directions"]

Floats = NDArray[np.float64]

BEFORE_VOX = 8.0
"""Voxels before a tip from which its direction is taken."""

SHORT_OF_FACE = 1.0
"""Voxels, beyond the radius, by which thinning may leave a line short of a face."""


def tip_directions(graph: Graph) -> dict[int, Floats]:
    """Give, for each node with one edge, the unit vector (um, zyx) in which its line ends."""
    links: dict[int, list[int]] = defaultdict(list)
    for a, b in graph.edges.tolist():
        links[a].append(b)
        links[b].append(a)
    points = graph.points
    reach = BEFORE_VOX * float(graph.unit_um.max())
    found = {}
    for tip in np.flatnonzero(graph.degrees == 1).tolist():
        line = points[_run(tip, links, points, reach)]
        half = max(1, len(line) // 2)
        way = line[:half].mean(axis=0) - line[half:].mean(axis=0)
        found[tip] = way / max(float(np.linalg.norm(way)), 1e-9)
    return found


def _run(tip: int, links: dict[int, list[int]], points: Floats, reach: float) -> list[int]:
    """Follow a line from its tip, as far as `reach` or the next branch point."""
    run, length = [tip, links[tip][0]], 0.0
    while length < reach and len(links[run[-1]]) == 2:
        a, b = links[run[-1]]
        run.append(b if a == run[-2] else a)
        length += float(np.linalg.norm(points[run[-1]] - points[run[-2]]))
    return run


def reach_faces(graph: Graph, shape: Zyx) -> Graph:
    """Let lines that the volume cuts end at its faces: thinning takes the radius off their ends."""
    last = np.subtract(shape, 1)
    tips, places = [], []
    for tip, direction in tip_directions(graph).items():
        at = graph.places[tip]
        way = direction / graph.unit_um
        room = np.where(way > 0, last - at, at)
        towards = np.abs(way) > 1e-9
        away = float(np.min(room[towards] / np.abs(way[towards])))  # um to the first face
        short = graph.radii[tip] + SHORT_OF_FACE * float(graph.unit_um.max())
        if 0 < away <= short:
            tips.append(tip)
            places.append(at + away * way)
    if not tips:
        return graph
    new = len(graph.places) + np.arange(len(tips))
    ends = graph.copied(np.array(tips), np.array(places))
    return graph.grown([ends], np.stack([tips, new], axis=1), np.zeros(len(tips), np.int64))

"""Free ends of lines: their directions, and their extension to the volume's faces."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph, names_after
from neuroglow.skeleton.middles import ReadBox
from neuroglow.space.geometry import Box, Zyx

__all__ = ["reach_ends", "reach_faces", "run_direction", "tip_directions"]

Floats = NDArray[np.float64]

BEFORE_VOX = 8.0
"""Voxels before a tip over which its direction is measured."""

OBLONG, AHEAD = 1.5, 2
"""Length of a voxel along a line, in finest voxels, from which ends are extended; and the largest
number of voxels by which they are."""

SHORT_OF_FACE = 1.0
"""Voxels, in addition to the radius, by which thinning may shorten a line at a face."""


def tip_directions(graph: Graph) -> dict[int, Floats]:
    """Return, for each node with one edge, the unit vector (um, zyx) in which its line ends."""
    return {tip: run_direction(graph.points_of(run)) for tip, run in _ends(graph).items()}


def _ends(graph: Graph) -> dict[int, list[int]]:
    """Return, for each tip that is no soma, the last nodes of its line, the tip first."""
    links: dict[int, list[int]] = defaultdict(list)
    for a, b in graph.edges.tolist():
        links[a].append(b)
        links[b].append(a)
    for soma in np.flatnonzero(graph.somata).tolist():
        links[soma] = []  # a line ends there
    tips = np.flatnonzero((graph.degrees == 1) & ~graph.somata).tolist()
    reach, points = BEFORE_VOX * float(graph.unit_um.max()), graph.points.tolist()
    return {tip: _run(points, tip, links, reach) for tip in tips}


def _run(
    points: list[list[float]], tip: int, links: dict[int, list[int]], reach: float
) -> list[int]:
    """Follow a line from its tip, as far as a length (um) or the next branch point."""
    run, length = [tip, links[tip][0]], 0.0
    while length < reach and len(links[run[-1]]) == 2:
        a, b = links[run[-1]]
        run.append(b if a == run[-2] else a)
        length += math.dist(points[run[-2]], points[run[-1]])
    return run


def run_direction(line: Floats) -> Floats:
    """Return the direction in which a line (k, 3) arrives at its first point."""
    half = max(1, len(line) // 2)
    way = line[:half].mean(axis=0) - line[half:].mean(axis=0)
    return np.asarray(way / max(float(np.linalg.norm(way)), 1e-9))


def reach_ends(graph: Graph, read: ReadBox, shape: Zyx, detected_from: float) -> Graph:
    """Extend lines to the last detected voxel ahead, where a voxel is longer than they are thick.

    Thinning takes a voxel off an end, which along the coarsest axis is more than the radius.
    """
    new: list[tuple[int, Floats]] = []
    for tip, run in _ends(graph).items():
        way = run_direction(graph.points_of(run))
        step = 1 / float(np.abs(way / graph.unit_um).max())
        radius = float(graph.radii[tip])
        if step < max(radius, OBLONG * float(graph.unit_um.min())):
            continue
        start, end = graph.points_of([tip])[0], None
        for count in range(1, AHEAD + 1):
            at = np.rint((start + count * step * way) / graph.unit_um).astype(np.int64)
            if not _is_detected(at, read, shape, detected_from):
                break
            end = at
        if end is not None:
            away = max(float((end * graph.unit_um - start) @ way) - radius / 2, 0.0)
            new.append((tip, (start + away * way) / graph.unit_um))
    return _extended(graph, new)


def _is_detected(at: NDArray[np.int64], read: ReadBox, shape: Zyx, detected_from: float) -> bool:
    z, y, x = at.tolist()
    box = Box((z, y, x), (z + 1, y + 1, x + 1))
    return Box.of(shape).contains(box) and bool(read(box).item() >= detected_from)


def _extended(graph: Graph, new: list[tuple[int, Floats]]) -> Graph:
    """Append a node at a place beyond each of some tips."""
    if not new:
        return graph
    tips = np.array([tip for tip, _ in new])
    nodes = len(graph.places) + np.arange(len(tips))
    names = names_after(graph.names[tips], 1)
    ends = graph.copied(tips, np.array([end for _, end in new]), names)
    return graph.grown([ends], np.stack([tips, nodes], axis=1), np.zeros(len(tips), np.int64))


def reach_faces(graph: Graph, shape: Zyx) -> Graph:
    """Extend lines that the volume cuts straight to its faces.

    Thinning shortens such a line by its radius, or bends it into a corner of the cut.
    """
    last = np.subtract(shape, 1)
    places = graph.places.copy()
    new: list[tuple[int, Floats]] = []
    for tip, run in _ends(graph).items():
        line = graph.points_of(run)
        along = np.append(0, np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1)))
        short = float(graph.radii[run].max()) + SHORT_OF_FACE * float(graph.unit_um.max())
        base = min(int(np.searchsorted(along, short)), (len(run) - 1) // 2)
        way = run_direction(line[base:]) / graph.unit_um
        away = _to_face(places[run[base]], way, last)
        if away > along[base] + short:
            continue
        end = places[run[base]] + away * way
        places[run[: base + 1]] = np.linspace(end, places[run[base]], base + 1)
        if not base and away:
            new.append((tip, end))
    return _extended(replace(graph, places=places), new)


def _to_face(place: Floats, way: Floats, last: NDArray[np.int64]) -> float:
    """Return how many times `way` fits between a place and the first face."""
    room = np.where(way > 0, last - place, place)
    towards = np.abs(way) > 1e-9
    return float(np.min(room[towards] / np.abs(way[towards]), initial=np.inf))

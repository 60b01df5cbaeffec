"""Tracing from a click: the tree through a place, in a block around it; then on, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.editing import forest_of, reroot, tree_of
from neuroglow.skeleton.edits import Edit
from neuroglow.space.geometry import Box
from neuroglow.studio.checking import Check
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.volumes import Shown
from neuroglow.trace import trace
from neuroglow.trees.swc import Tree

__all__ = ["Grown", "as_edits", "grow"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BLOCK = 128
"""Voxels along each axis of the block around a place."""

NEAR = 6.0
"""Voxels (of the coarsest axis) within which a line is that of a place, or one traced before."""

RIM = 8
"""Voxels from a face of a block at which a line that ends there may go on beyond it."""


@dataclass(frozen=True)
class Grown:
    """New nodes, parents first: zyx and radii in micrometres of the volume.

    parents: of the new nodes, -1 for the first. open: new nodes from which a line may go on.
    meets: whether another tree was met.
    """

    points: Floats
    radii: Floats
    kinds: Integers
    parents: Integers
    open: Integers
    meets: bool


def grow(shown: Shown, start: Floats, known: Floats, threshold: float) -> Grown:
    """Trace the line through a place, as far as a block around it reaches.

    shown: a probability. start: zyx, micrometres. known: nodes that are there already (n, 3): they
    are not traced again, and a line that meets them ends. threshold: as of `trace`.
    Raises RefusedError if no line is near, or all of it is there.
    """
    size = np.array(shown.voxel_size_um or (1.0, 1.0, 1.0))
    near = NEAR * float(size.max())
    box = _block(shown, np.rint(start / size))
    line = _nearest(_traced(shown, box, threshold), start, near)
    kept, meets = _new_nodes(line, start, known, near)
    if not kept.any():
        raise RefusedError(
            400,
            "a line is traced where none is yet",
            found="a tree there, and nothing beyond it",
            cure="choose an end that goes on, or a place beyond it",
        )
    place = np.cumsum(kept) - 1
    parents = np.where(line.parents >= 0, place[line.parents], -1)[kept]
    open_ends = _open_ends(line.points[kept], parents, box, shown.levels[0].shape, size)
    return Grown(line.points[kept], line.radii[kept], line.kinds[kept], parents, open_ends, meets)


def as_edits(grown: Grown, check: Check, first: int, parent: int | None) -> list[Edit]:
    """Return the edits that draw new nodes into a check.

    first: the number of the first one. parent: the node that they follow.
    """
    edits, scale = [], check.scale
    points = (grown.points + np.array(check.frame.origin)) / scale
    rows = zip(points, grown.radii, grown.kinds, grown.parents, strict=True)
    for point, radius, kind, above in rows:
        z, y, x = point.tolist()
        node = parent if above < 0 else first + int(above)
        own = float(radius) / float(scale.mean())
        edits.append(Edit(op="draw", at=(x, y, z), node=node, radius=own, kind=int(kind)))
    return edits


def _block(shown: Shown, voxel: Floats) -> Box:
    """Return the block around a voxel, within the volume."""
    shape = shown.levels[0].shape
    starts = [
        int(np.clip(v - BLOCK // 2, 0, max(0, n - BLOCK)))
        for v, n in zip(voxel, shape, strict=True)
    ]
    stops = [min(n, a + BLOCK) for a, n in zip(starts, shape, strict=True)]
    return Box((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))


def _traced(shown: Shown, box: Box, threshold: float) -> list[Tree]:
    """Trace a block; trees lie where the volume has them, in micrometres."""
    size = shown.voxel_size_um or (1.0, 1.0, 1.0)
    voxels = shown.read(0, box)
    found = trace(voxels, voxel_size=size, threshold=threshold, min_length_um=0.0, progress=False)
    origin = np.multiply(box.start, size)
    return [_moved(tree, origin) for tree in found.trees]


def _moved(tree: Tree, by: Floats) -> Tree:
    return Tree(tree.points + by, tree.radii, tree.kinds, tree.parents, tree.columns, tree.unit)


def _nearest(trees: Sequence[Tree], start: Floats, near: float) -> Tree:
    """Return the tree that passes nearest to a place, rooted there. Raises RefusedError."""
    away = [np.linalg.norm(tree.points - start, axis=1) for tree in trees]
    best = min(range(len(trees)), key=lambda n: float(away[n].min()), default=None)
    if best is None or away[best].min() > near:
        raise RefusedError(
            400,
            "a line is traced from a place on a neurite",
            found="none that reaches the threshold near it",
            cure="a lower threshold, or a click nearer to the neurite",
        )
    forest = forest_of(trees[best])
    return tree_of(reroot(forest, int(np.argmin(away[best]))))


def _new_nodes(
    line: Tree, start: Floats, known: Floats, near: float
) -> tuple[NDArray[np.bool_], bool]:
    """Follow a line from its root, and leave it where nodes are known; near the start it is let.

    Returns which nodes are new, and whether known nodes were met away from the start.
    """
    from scipy.spatial import cKDTree

    kept = np.ones(len(line.points), bool)
    if not len(known):
        return kept, False
    there = cKDTree(known).query(line.points)[0] <= near / 2
    at_start = np.linalg.norm(line.points - start, axis=1) <= near
    kept = ~there
    open_way, met = np.zeros(len(kept), bool), False
    for node, parent in enumerate(line.parents.tolist()):
        way = parent < 0 or open_way[parent]
        open_way[node] = way and (kept[node] or at_start[node])
        met = met or bool(way and there[node] and not at_start[node])
    kept &= open_way
    return _without_gaps(line, kept), met


def _without_gaps(line: Tree, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest part that hangs together, so that it follows one node."""
    own = np.full(len(kept), -1, np.int64)
    for node, parent in enumerate(line.parents.tolist()):
        if kept[node]:
            own[node] = own[parent] if parent >= 0 and kept[parent] else node
    if not kept.any():
        return kept
    names, counts = np.unique(own[kept], return_counts=True)
    return np.asarray(own == names[np.argmax(counts)])


def _open_ends(
    points: Floats, parents: Integers, box: Box, shape: Sequence[int], size: Floats
) -> Integers:
    """Return the tips at faces of the block that are no faces of the volume."""
    tips = np.setdiff1d(np.arange(len(points)), parents)
    voxels = points[tips] / size
    lo, hi = np.array(box.start), np.array(box.stop)
    at_low = (voxels < lo + RIM) & (lo > 0)
    at_high = (voxels > hi - 1 - RIM) & (hi < np.array(shape))
    return np.asarray(tips[(at_low | at_high).any(axis=1)])

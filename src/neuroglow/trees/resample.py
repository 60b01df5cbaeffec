"""Curves through nodes: smooth, with points at a given maximum distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import SettingsError
from neuroglow.trees.swc import Tree, parents_first, paths

__all__ = ["resample", "smooth_curve"]

Points = NDArray[np.float64]


def smooth_curve(nodes: Points, at: Points) -> Points:
    """Return the points of a smooth curve through nodes (n, 3), at these lengths along its chords.

    Akima's (1970) interpolation, which does not overshoot as a cubic spline does. Nodes that
    follow each other must differ.
    """
    from scipy.interpolate import Akima1DInterpolator

    chord = np.append(0, np.cumsum(np.linalg.norm(np.diff(nodes, axis=0), axis=1)))
    if len(nodes) == 2:
        return np.asarray(nodes[0] + (nodes[1] - nodes[0]) * (at / chord[-1])[:, None])
    return np.asarray(Akima1DInterpolator(chord, nodes)(at))


def resample(tree: Tree, step: float) -> Tree:
    """Return a tree resampled on smooth curves through its nodes, at most `step` apart.

    step: in the tree's unit. Roots, branch points and tips stay where they are; radii and
    columns go linearly from node to node, kinds are those of the next node.
    Raises SettingsError for a step that is not positive.
    """
    if not 0 < step < np.inf:
        raise SettingsError("a step is a positive length", found=f"{step:g}")
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(tree.parents))
    keys = np.flatnonzero((tree.parents < 0) | (children != 1))
    place = {int(node): i for i, node in enumerate(keys)}
    parts, sources = [tree.points[keys]], [np.stack([keys, keys, 0 * keys], axis=1).astype(float)]
    parents = np.full(len(keys), -1)
    chains = [parents]
    count = len(keys)
    for path in paths(tree):
        points, source = _between(tree.points, path, step)
        first = place[int(path[0])]
        chains.append(np.array([first, *range(count, count + len(points) - 1)][: len(points)], int))
        parents[place[int(path[-1])]] = count + len(points) - 1 if len(points) else first
        parts.append(points)
        sources.append(source)
        count += len(points)
    return _sorted(tree, np.concatenate(parts), np.concatenate(sources), np.concatenate(chains))


def _between(points: Points, path: NDArray[np.int64], step: float) -> tuple[Points, Points]:
    """Return new points between the ends of a path, and from which nodes (two, and a share)."""
    gaps = np.linalg.norm(np.diff(points[path], axis=0), axis=1)
    keep = np.append(True, gaps > 1e-9 * max(1.0, float(gaps.max())))
    kept = path[keep]
    chord = np.append(0, np.cumsum(np.linalg.norm(np.diff(points[kept], axis=0), axis=1)))
    count = int(np.ceil(chord[-1] / step))
    at = np.linspace(0, chord[-1], count + 1)[1:-1] if count > 1 else np.empty(0)
    if not len(at):
        return np.empty((0, 3)), np.empty((0, 3))
    after = np.clip(np.searchsorted(chord, at, side="left"), 1, len(chord) - 1)
    share = (at - chord[after - 1]) / (chord[after] - chord[after - 1])
    source = np.stack([kept[after - 1], kept[after], share], axis=1)
    return smooth_curve(points[kept], at), source


def _sorted(tree: Tree, points: Points, source: Points, parents: NDArray[np.int64]) -> Tree:
    """Make the tree, parents before children."""
    order = np.array(parents_first(parents), np.int64)
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    a, b, share = source[order, 0].astype(int), source[order, 1].astype(int), source[order, 2]

    def mix(values: Points) -> Points:
        return np.asarray(values[a] * (1 - share) + values[b] * share)

    columns = {name: mix(values) for name, values in tree.columns.items()}
    return Tree(points[order], mix(tree.radii), tree.kinds[b], place[parents[order]], columns)

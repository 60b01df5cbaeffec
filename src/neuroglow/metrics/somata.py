"""Scores of nodes: somata found and false, and errors of radii."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.trees import VISIBLE
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import SOMA, Tree

__all__ = ["node_scores"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
NAN = float("nan")

NEAR_UM = 5.0
"""Micrometres from a true soma, or its radius if that is larger, within which a found one is it."""


def node_scores(
    truth: Tree,
    found: Tree,
    unit_um: Sequence[float] = (1, 1, 1),
    *,
    box: Box | None = None,
    tolerance: float = VISIBLE,
) -> dict[str, float]:
    """Score the somata and radii of found trees against true ones, both in micrometres.

    unit_um: size of a voxel. box: the volume (voxels); only nodes in it count.

    - somata_recall: share of the true somata (connected nodes of type 1) of which the centre of a
      found one lies within NEAR_UM or their radius, each found one counting once; NaN if there are
      none. somata_false: number of the other found somata.
    - radius_error, radius_bias: median of the absolute and of the signed difference (um) between
      the radius of a found node, somata excepted, and that of the nearest true node, over nodes
      within `tolerance` voxels of a true one; NaN if there are none, or the true radii are 0.
    """
    true, drawn = (_inside(tree, unit_um, box) for tree in (truth, found))
    recall, false = _somata(_centres(truth, true), _centres(found, drawn)[0])
    error, bias = _radii(truth, true, found, drawn, tolerance * np.asarray(unit_um, np.float64))
    return {
        "somata_recall": recall,
        "somata_false": false,
        "radius_error": error,
        "radius_bias": bias,
    }


def _inside(tree: Tree, unit_um: Sequence[float], box: Box | None) -> Mask:
    if box is None:
        return np.ones(len(tree.points), bool)
    at = np.rint(tree.points / unit_um)
    return np.asarray(((at >= box.start) & (at < box.stop)).all(axis=1))


def _centres(tree: Tree, counted: Mask) -> tuple[Floats, Floats]:
    """Return the centre and the radius of each soma: its nodes are connected."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    soma = tree.kinds == SOMA
    ends = np.flatnonzero(soma & (tree.parents >= 0) & np.append(soma, False)[tree.parents])
    links = coo_array((np.ones(len(ends)), (ends, tree.parents[ends])), shape=(len(soma),) * 2)
    number = connected_components(links, directed=False)[1] if len(soma) else np.empty(0, int)
    _, which = np.unique(number[soma & counted], return_inverse=True)
    count = np.bincount(which)
    points, radii = tree.points[soma & counted], tree.radii[soma & counted]
    centres = np.stack([np.bincount(which, axis) for axis in points.T], axis=1)
    largest = np.zeros(len(count))
    np.maximum.at(largest, which, radii)
    return np.asarray(centres / count[:, None]), largest


def _somata(true: tuple[Floats, Floats], found: Floats) -> tuple[float, float]:
    """Return the share of true somata that are found, and the number of false ones."""
    from scipy.optimize import linear_sum_assignment

    centres, radii = true
    away = np.linalg.norm(centres[:, None] - found, axis=2)
    near = away <= np.maximum(radii, NEAR_UM)[:, None]
    rows, columns = linear_sum_assignment(np.where(near, away, 1e9))
    hits = int(near[rows, columns].sum())
    return hits / len(centres) if len(centres) else NAN, float(len(found) - hits)


def _radii(truth: Tree, true: Mask, found: Tree, drawn: Mask, reach: Floats) -> tuple[float, float]:
    """Return the median absolute and signed error of radii."""
    from scipy.spatial import cKDTree

    true = true & (truth.kinds != SOMA) & (truth.radii > 0)
    drawn = drawn & (found.kinds != SOMA)
    if not true.any() or not drawn.any():
        return NAN, NAN
    near = cKDTree(truth.points[true] / reach)
    away, nearest = near.query(found.points[drawn] / reach, distance_upper_bound=1 + 1e-9)
    close = np.isfinite(away)
    if not close.any():
        return NAN, NAN
    more = found.radii[drawn][close] - truth.radii[true][nearest[close]]
    return float(np.median(np.abs(more))), float(np.median(more))

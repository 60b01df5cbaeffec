"""From a forest of voxels to trees: somata as roots, smooth lines, fewer nodes, parents first."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.graph import Graph, pieces_of
from neuroglow.trees.swc import SOMA, Tree, parents_first

__all__ = ["SOMA", "grow_trees", "smooth_lines"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

UNDEFINED = 0
"""SWC type of neurites: they are undefined, since a probability cannot distinguish axons from
dendrites."""

REACH = 3
"""Half-width of the smoothing kernel, in standard deviations."""


def grow_trees(graph: Graph, *, step_um: float) -> list[Tree]:
    """Make trees (micrometres) from a forest, the longest first.

    A soma is the root of its tree, of type 1; other trees start at their thickest tip.
    step_um: approximate distance between nodes. Columns: `probability`, the mean of the voxels that
    a node represents, and `bridge`, the number of the bridge that leads to the node, otherwise 0.
    """
    somata = np.flatnonzero(graph.somata)
    parents, numbers = _root(graph, somata)
    points = graph.points
    order = np.array(parents_first(parents), np.int64)
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    kinds = np.full(len(order), UNDEFINED)
    kinds[place[somata]] = SOMA
    columns = {"probability": graph.probability[order], "bridge": numbers[order].astype(np.float64)}
    tree = Tree(points[order], graph.radii[order], kinds, place[parents[order]], columns)
    return _separate(_thin_out(tree, step_um))


def smooth_lines(graph: Graph, sigma_vox: float) -> Graph:
    """Smooth places along each unbranched piece; ends and branch points are not moved.

    Probability is averaged along the line in the same way. sigma_vox: of the Gaussian, in voxels of
    the coarsest axis, which sets the size of a line's steps.
    """
    from scipy.ndimage import gaussian_filter1d

    if not sigma_vox:
        return graph
    places, probability = graph.places.copy(), graph.probability.copy()
    for piece in pieces_of(graph):
        nodes = piece.nodes
        if len(nodes) < 3 or not piece.length_um:
            continue
        step = piece.length_um / (len(nodes) - 1)
        sigma = max(1.0, sigma_vox * float(graph.unit_um.max()) / step)
        places[nodes[1:-1]] = _smoothed(graph.places[nodes], sigma)[1:-1]
        mean = gaussian_filter1d(graph.probability[nodes], sigma, mode="nearest")
        probability[nodes[1:-1]] = mean[1:-1]
    return replace(graph, places=places, probability=probability)


def _smoothed(line: Floats, sigma: float) -> Floats:
    """Smooth a line (k, 3); the residual is smoothed and added again, which preserves bends."""
    from scipy.ndimage import gaussian_filter1d

    wide = int(np.ceil(2 * REACH * sigma))
    longer = _extended(line, wide)
    smooth = gaussian_filter1d(longer, sigma, axis=0)
    smooth += gaussian_filter1d(longer - smooth, sigma, axis=0)
    return np.asarray(smooth[wide:-wide])


def _extended(line: Floats, wide: int) -> Floats:
    """Extend a line beyond both ends by point reflection, so that smoothing preserves them."""
    reach = min(wide, len(line) - 1)
    before = 2 * line[0] - line[reach:0:-1]
    after = 2 * line[-1] - line[-2 : -2 - reach : -1]
    whole = np.concatenate([before, line, after])
    pad = ((wide - reach, wide - reach), (0, 0))
    return np.pad(whole, pad, mode="edge")


def _root(graph: Graph, somata: Integers) -> tuple[Integers, Integers]:
    """Return each node's parent (-1 at roots), and the bridge that leads to it."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    count = len(graph.places)
    roots = _roots(graph, somata)
    ends = np.concatenate([graph.edges, np.stack([np.full(len(roots), count), roots], axis=1)])
    links = coo_array((np.ones(len(ends)), ends.T), shape=(count + 1, count + 1)).tocsr()
    _, before = breadth_first_order(links, count, directed=False)
    parents = np.where(before[:count] == count, -1, before[:count]).astype(np.int64)
    a, b = graph.edges.T
    child = np.where(parents[a] == b, a, b)
    numbers = np.zeros(count, np.int64)
    numbers[child] = graph.bridges
    return parents, numbers


def _roots(graph: Graph, somata: Integers) -> Integers:
    """Choose a root for each connected part: its soma, otherwise its thickest tip."""
    part = graph.components()
    rank = np.where(graph.degrees <= 1, graph.radii, -1.0)
    rank[somata] = np.inf
    order = np.lexsort((np.arange(len(part)), -rank, part))
    _, first = np.unique(part[order], return_index=True)
    return np.asarray(order[first])


def _thin_out(tree: Tree, step_um: float) -> Tree:
    """Drop nodes closer than a step; ends, branch points and bridges' ends stay."""
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(tree.parents))
    has = tree.parents >= 0
    bridge = tree.columns["bridge"]
    kept = (children != 1) | ~has
    turns = np.flatnonzero(has)
    turns = turns[bridge[turns] != bridge[tree.parents[turns]]]
    kept[turns] = True
    kept[tree.parents[turns]] = True
    kept |= _every(tree, kept, step_um)
    return _without(tree, kept)


def _every(tree: Tree, kept: Mask, step_um: float) -> Mask:
    """Choose nodes that lie a step beyond the last chosen one."""
    chosen = kept.copy()
    since = np.zeros(len(kept))
    edge = np.linalg.norm(tree.points - tree.points[np.maximum(tree.parents, 0)], axis=1)
    for node, parent in enumerate(tree.parents.tolist()):
        since[node] = (0.0 if parent < 0 or chosen[parent] else since[parent]) + edge[node]
        if since[node] >= step_um:
            chosen[node] = True
    return chosen


def _without(tree: Tree, kept: Mask) -> Tree:
    """Drop nodes; a remaining node represents those between it and its new parent."""
    up = tree.parents.copy()
    for node, parent in enumerate(tree.parents.tolist()):  # parents first
        if parent >= 0 and not kept[parent]:
            up[node] = up[parent]
    holder = np.arange(len(kept))
    for node in range(len(kept) - 1, -1, -1):  # children first; a dropped node has one child
        parent = tree.parents[node]
        if parent >= 0 and not kept[parent]:
            holder[parent] = holder[node]
    place = np.append(np.cumsum(kept) - 1, -1)
    counts = np.bincount(place[holder], minlength=int(kept.sum()))
    mean = np.bincount(place[holder], tree.columns["probability"]) / counts
    return Tree(
        tree.points[kept],
        tree.radii[kept],
        tree.kinds[kept],
        place[up[kept]],
        {"probability": mean, "bridge": tree.columns["bridge"][kept]},
    )


def _separate(tree: Tree) -> list[Tree]:
    """Return the trees of a forest, whose nodes are ordered tree by tree, the longest first."""
    starts = np.append(np.flatnonzero(tree.parents < 0), len(tree.parents))
    trees = [_part(tree, a, b) for a, b in itertools.pairwise(starts.tolist())]
    return sorted(trees, key=lambda t: (-tree_length(t), t.points[0].tolist()))


def _part(tree: Tree, start: int, stop: int) -> Tree:
    own = slice(start, stop)
    parents = np.where(tree.parents[own] >= 0, tree.parents[own] - start, -1)
    columns = {name: values[own] for name, values in tree.columns.items()}
    return Tree(tree.points[own], tree.radii[own], tree.kinds[own], parents, columns)


def tree_length(tree: Tree) -> float:
    """Return the length of a tree, in its unit."""
    has = tree.parents >= 0
    apart = tree.points[has] - tree.points[tree.parents[has]]
    return float(np.linalg.norm(apart, axis=1).sum())

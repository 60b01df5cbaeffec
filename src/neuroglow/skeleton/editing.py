"""Editing of trees: split, join, reroot, delete, draw, move, smooth.

A node keeps its number while trees are edited, so that an edit can name it. Each edit returns a
new forest and leaves the old one as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.skeleton.trees import SOMA
from neuroglow.trees.swc import Tree, Values, parents_first
from neuroglow.trees.swc_unit import SwcUnit

__all__ = [
    "Forest",
    "Part",
    "cut",
    "delete",
    "draw",
    "drop",
    "edges_of",
    "forest_of",
    "join",
    "move",
    "nodes_of",
    "reject_bridge",
    "reroot",
    "roots_of",
    "set_kind",
    "set_radius",
    "smooth",
    "tree_of",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

BRIDGE = "bridge"
"""The column with the number of the bridge that leads from the parent to a node."""

Part = Literal["node", "piece", "branch", "tree"]
"""Of a node: itself; its stretch between branch points; all beyond it; its whole tree."""


@dataclass(frozen=True)
class Forest:
    """Trees whose nodes keep their numbers: those of the file, then those that were drawn.

    points: (n, 3) zyx. radii, kinds, parents, columns: as in Tree, parents in any order.
    alive: (n,) False for a node that was deleted.
    """

    points: Floats
    radii: Floats
    kinds: Integers
    parents: Integers
    columns: Values
    alive: Mask
    unit: SwcUnit | None = None


def forest_of(tree: Tree) -> Forest:
    """Return trees as a forest to edit; nodes have their order in `tree` as numbers."""
    alive = np.ones(len(tree.parents), bool)
    return Forest(tree.points, tree.radii, tree.kinds, tree.parents, tree.columns, alive, tree.unit)


def tree_of(forest: Forest) -> Tree:
    """Return the nodes that are left as one Tree of several roots, parents before children."""
    kept = np.flatnonzero(forest.alive)
    place = np.full(len(forest.alive) + 1, -1, np.int64)
    place[kept] = np.arange(len(kept))
    order = np.array(parents_first(place[forest.parents[kept]]), np.int64)
    own = kept[order]
    place[own] = np.arange(len(own))
    columns = {name: values[own] for name, values in forest.columns.items()}
    parents = place[forest.parents[own]]
    return Tree(
        forest.points[own], forest.radii[own], forest.kinds[own], parents, columns, forest.unit
    )


def roots_of(forest: Forest) -> Integers:
    """Return the root of each node (n,); -1 for a deleted node."""
    roots = np.where(forest.parents < 0, np.arange(len(forest.parents)), forest.parents)
    while True:
        above = roots[roots]
        if np.array_equal(above, roots):
            return np.asarray(np.where(forest.alive, roots, -1))
        roots = above


def edges_of(forest: Forest) -> Integers:
    """Return the edges (m, 2): node, parent."""
    ends = np.flatnonzero(forest.alive & (forest.parents >= 0))
    return np.stack([ends, forest.parents[ends]], axis=1)


def nodes_of(forest: Forest, node: int, part: Part) -> Integers:
    """Return a part of the tree of a node. Raises InputError if there is no such node."""
    _check(forest, node)
    if part == "node":
        return np.array([node])
    if part == "tree":
        return np.flatnonzero(roots_of(forest) == roots_of(forest)[node])
    return np.array(_branch(forest, node) if part == "branch" else _piece(forest, node))


def _branch(forest: Forest, node: int) -> list[int]:
    """Return a node and all below it."""
    children = _children(forest)
    found, waiting = [], [node]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def _piece(forest: Forest, node: int) -> list[int]:
    """Return the nodes of the stretch of a node, without the branch point that it starts from."""
    children = _children(forest)
    found = [node]
    while (parent := int(forest.parents[found[0]])) >= 0 and len(children[parent]) == 1:
        found.insert(0, parent)
    while len(below := children.get(found[-1], [])) == 1:
        found += below
    return found


def _children(forest: Forest) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for node, parent in edges_of(forest).tolist():
        children.setdefault(parent, []).append(node)
    return children


def cut(forest: Forest, node: int) -> Forest:
    """Split a tree between a node and its parent. Raises InputError at a root."""
    _check(forest, node)
    if forest.parents[node] < 0:
        raise InputError(
            "a tree is split between a node and its parent",
            found=f"node {node}, a root",
            cure="choose a node beyond the root",
        )
    return _cut(forest, np.array([node]))


def _cut(forest: Forest, nodes: Integers) -> Forest:
    parents = forest.parents.copy()
    parents[nodes] = -1
    return replace(forest, parents=parents, columns=_with_bridges(forest, nodes, 0.0))


def _with_bridges(forest: Forest, nodes: Integers, numbers: Floats | float) -> Values:
    """Return the columns, with other bridges that lead to these nodes."""
    if BRIDGE not in forest.columns:
        return forest.columns
    bridges = forest.columns[BRIDGE].copy()
    bridges[nodes] = numbers
    return {**forest.columns, BRIDGE: bridges}


def join(forest: Forest, node: int, other: int) -> Forest:
    """Join two trees by an edge between a node of each; the root is that of `node`, or a soma.

    Raises InputError if both are of one tree, which would make a cycle.
    """
    _check(forest, node)
    _check(forest, other)
    root, others = roots_of(forest)[[node, other]].tolist()
    if root == others:
        raise InputError(
            "an edge joins two trees; within one it would make a cycle",
            found=f"nodes {node} and {other} of one tree",
            cure="split the tree first, or choose a node of another tree",
        )
    if forest.kinds[others] == SOMA and forest.kinds[root] != SOMA:
        node, other = other, node
    turned = reroot(forest, other)
    parents = turned.parents.copy()
    parents[other] = node
    return replace(turned, parents=parents)


def reroot(forest: Forest, node: int) -> Forest:
    """Make a node the root of its tree; edges, and the bridges that they belong to, stay."""
    _check(forest, node)
    path = [node]
    while (parent := int(forest.parents[path[-1]])) >= 0:
        path.append(parent)
    parents = forest.parents.copy()
    parents[path[1:]] = path[:-1]
    parents[node] = -1
    if BRIDGE not in forest.columns:
        return replace(forest, parents=parents)
    numbers = np.append(0.0, forest.columns[BRIDGE][path[:-1]])
    return replace(forest, parents=parents, columns=_with_bridges(forest, np.array(path), numbers))


def delete(forest: Forest, nodes: Integers) -> Forest:
    """Delete nodes with their edges; children that are left become roots."""
    alive = forest.alive.copy()
    alive[nodes] = False
    ends = np.flatnonzero(alive & (forest.parents >= 0))
    orphans = ends[~alive[forest.parents[ends]]]
    return replace(_cut(forest, np.append(orphans, nodes)), alive=alive)


def drop(forest: Forest, node: int) -> Forest:
    """Delete one node, and let its children follow its parent: the line goes on without it.

    At a root, its first child becomes the root.
    """
    _check(forest, node)
    children = np.flatnonzero(forest.alive & (forest.parents == node))
    if forest.parents[node] < 0 and len(children):
        forest = reroot(forest, int(children[0]))
        children = np.flatnonzero(forest.alive & (forest.parents == node))
    parents = forest.parents.copy()
    parents[children] = forest.parents[node]
    return delete(replace(forest, parents=parents), np.array([node]))


def reject_bridge(forest: Forest, number: int) -> Forest:
    """Remove a bridge: its edges, and the nodes that only it has.

    Raises InputError if there is no such bridge.
    """
    bridges = forest.columns.get(BRIDGE, np.zeros(len(forest.alive)))
    crossed = np.flatnonzero(forest.alive & (bridges == number) & (forest.parents >= 0))
    if number < 1 or not len(crossed):
        raise InputError(
            "a bridge that is rejected is in the trees",
            found=f"no bridge {number}",
            cure="it may have been removed by an earlier edit; undo brings it back",
        )
    count = len(forest.alive)
    both = np.append(crossed, forest.parents[crossed])
    own, all_of = (
        np.bincount(both, minlength=count),
        np.bincount(edges_of(forest).ravel(), minlength=count),
    )
    return delete(_cut(forest, crossed), np.flatnonzero((own == all_of) & (own > 1)))


def draw(
    forest: Forest, point: Floats, *, parent: int = -1, radius: float = 0.0, kind: int = 0
) -> Forest:
    """Add a node (zyx) to a tree, or without a parent as a tree of its own, such as a soma."""
    if parent >= 0:
        _check(forest, parent)
    new = {BRIDGE: 0.0}
    columns = {name: np.append(v, new.get(name, np.nan)) for name, v in forest.columns.items()}
    return Forest(
        np.concatenate([forest.points, np.reshape(point, (1, 3))]),
        np.append(forest.radii, radius),
        np.append(forest.kinds, kind),
        np.append(forest.parents, parent),
        columns,
        np.append(forest.alive, True),
        forest.unit,
    )


def move(forest: Forest, node: int, point: Floats) -> Forest:
    """Move a node to another place (zyx)."""
    _check(forest, node)
    points = forest.points.copy()
    points[node] = point
    return replace(forest, points=points)


def set_kind(forest: Forest, nodes: Integers, kind: int) -> Forest:
    """Set the SWC type of nodes."""
    kinds = forest.kinds.copy()
    kinds[nodes] = kind
    return replace(forest, kinds=kinds)


def set_radius(forest: Forest, nodes: Integers, radius: float) -> Forest:
    """Set the radius of nodes."""
    radii = forest.radii.copy()
    radii[nodes] = radius
    return replace(forest, radii=radii)


def smooth(forest: Forest, nodes: Integers) -> Forest:
    """Move nodes to the mean of themselves, twice, and their two neighbours; only where a line
    passes: ends, branch points, roots and somata stay."""
    points = forest.points.copy()
    children = _children(forest)
    passed = [n for n in nodes.tolist() if forest.parents[n] >= 0 and len(children.get(n, [])) == 1]
    passed = [n for n in passed if forest.kinds[n] != SOMA]
    if passed:
        before, after = forest.parents[passed], np.array([children[n][0] for n in passed])
        sides = forest.points[before] + forest.points[after]
        points[passed] = sides / 4 + forest.points[passed] / 2
    return replace(forest, points=points)


def _check(forest: Forest, node: int) -> None:
    """Raise InputError if there is no such node, or none any more."""
    if not (0 <= node < len(forest.alive) and forest.alive[node]):
        raise InputError(
            "an edit names a node of the trees",
            found=f"node {node}, which is not there",
            cure="load the trees again; undo brings deleted nodes back",
        )

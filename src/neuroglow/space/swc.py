"""Trees of neurites: the SWC format (Cannon et al. 1998), read and written.

A tree holds points zyx; an SWC file's columns are id, type, x, y, z, radius, parent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError

__all__ = ["Tree", "paths", "read_swc", "swc_rows", "write_swc"]


@dataclass(frozen=True)
class Tree:
    """Nodes of one or more trees, parents before children.

    points: (n, 3) zyx, float64, in the file's unit (micrometres by custom).
    radii: (n,) the same unit. kinds: (n,) 1 soma, 2 axon, 3 basal, 4 apical dendrite.
    parents: (n,) index of each node's parent, -1 at a root.
    """

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    kinds: NDArray[np.int64]
    parents: NDArray[np.int64]


def read_swc(path: str | Path) -> Tree:
    """Read an SWC file.

    Nodes may stand in any order in the file; they come back with parents before children.
    Raises InputError when the file is missing, has other than seven columns, or holds a cycle.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError("the tree must be an SWC file", found="no file", where=str(source))
    lines = source.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    try:
        table = np.array([[float(cell) for cell in row] for row in rows]).reshape(-1, 7)
    except ValueError:
        raise InputError(
            "an SWC file has seven columns of numbers: id type x y z radius parent",
            found="a row that has not",
            where=str(source),
        ) from None
    index = {int(number): i for i, number in enumerate(table[:, 0])}
    parents = np.array([index.get(int(p), -1) for p in table[:, 6]], np.int64)
    order = _parents_first(parents)
    if len(order) < len(parents):
        raise InputError(
            "a tree has no cycle",
            found=f"{len(parents) - len(order)} nodes in one",
            where=str(source),
        )
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    table, parents = table[order], place[parents[order]]
    return Tree(table[:, [4, 3, 2]], table[:, 5], table[:, 1].astype(np.int64), parents)


def _parents_first(parents: NDArray[np.int64]) -> list[int]:
    """Order nodes so that parents come before children; nodes of a cycle are left out."""
    children: dict[int, list[int]] = {}
    for node, parent in enumerate(parents.tolist()):
        children.setdefault(parent, []).append(node)
    order: list[int] = []
    waiting = children.get(-1, [])[::-1]
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += children.get(node, [])[::-1]
    return order


def write_swc(tree: Tree, path: str | Path, *, comment: str = "neuroglow") -> None:
    """Write an SWC file: ids from 1, parents before children."""
    Path(path).write_text("\n".join([f"# {comment}", *swc_rows(tree)]) + "\n", encoding="utf-8")


def swc_rows(tree: Tree, *, first: int = 1) -> list[str]:
    """Give the rows of an SWC file, their ids counted from `first`."""
    return [
        f"{i} {kind} {x:.3f} {y:.3f} {z:.3f} {radius:.3f} {parent + first if parent >= 0 else -1}"
        for i, ((z, y, x), radius, kind, parent) in enumerate(
            zip(tree.points, tree.radii, tree.kinds, tree.parents, strict=True), start=first
        )
    ]


def paths(tree: Tree) -> list[NDArray[np.int64]]:
    """Cut a tree into unbranched paths of node indices, each from its parent's node on."""
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(tree.parents))
    starts = np.flatnonzero((tree.parents < 0) | (children[tree.parents] > 1))
    following = np.full(len(tree.parents), -1)
    has = tree.parents >= 0
    following[tree.parents[has]] = np.flatnonzero(has)
    found = []
    for start in starts:
        path = [int(tree.parents[start])] if tree.parents[start] >= 0 else []
        path.append(int(start))
        while children[path[-1]] == 1:
            path.append(int(following[path[-1]]))
        if len(path) > 1:
            found.append(np.array(path))
    return found

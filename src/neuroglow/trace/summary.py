"""Numbers of a trace: of all trees together, and of each bridge."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.skeleton.partition import Decision
from neuroglow.skeleton.trees import SOMA, tree_length
from neuroglow.space.volume import VoxelSize
from neuroglow.trace.tree_store import Each
from neuroglow.trees.swc import Tree

__all__ = [
    "Bridge",
    "bridge_table",
    "decision_table",
    "find_bridges",
    "number_bridges",
    "summarise",
    "tree_table",
]

PLACES = [f"{of}{axis}" for of in ("", "start_", "stop_") for axis in "xyz"]

SIDES = [f"{end}_{axis}" for end in ("low", "high") for axis in "xyz"]

SURE = 0.05
"""Decisions that are wrong with a lower probability are not listed."""


@dataclass(frozen=True)
class Bridge:
    """One bridge: its number, its tree's (from 1), its line (k, 3; um, zyx), mean probability."""

    number: int
    tree: int
    line: NDArray[np.float64]
    length_um: float
    probability: float


def number_bridges(trees: Sequence[Tree]) -> Sequence[Tree]:
    """Number the bridges of trees from 1, tree by tree, when they are read."""
    first = 1 + np.cumsum([0, *(len(_numbers(tree)) for tree in trees)])

    def numbered(at: int, tree: Tree) -> Tree:
        old = tree.columns["bridge"].astype(np.int64)
        if not old.any():
            return tree
        new = np.searchsorted(_numbers(tree), old) + first[at]
        column = np.where(old > 0, new, 0).astype(np.float64)
        return replace(tree, columns={**tree.columns, "bridge": column})

    return Each(trees, numbered)


def _numbers(tree: Tree) -> NDArray[np.int64]:
    found = tree.columns["bridge"].astype(np.int64)
    return np.unique(found[found > 0])


def find_bridges(trees: Sequence[Tree]) -> list[Bridge]:
    """List the bridges of trees."""
    found = []
    for index, tree in enumerate(trees, start=1):
        names = tree.columns["bridge"].astype(np.int64)
        order = np.argsort(names, kind="stable")  # within each, from the root's side
        numbers, first = np.unique(names[order], return_index=True)
        for number, nodes in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            if number == 0:  # detected, not bridged
                continue
            line = tree.points[[tree.parents[nodes[0]], *nodes]]
            length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
            mean = float(tree.columns["probability"][nodes].mean())
            found.append(Bridge(number, index, line, length, mean))
    return found


def bridge_table(bridges: Sequence[Bridge], scale: VoxelSize, unit: str) -> str:
    """Return the bridges as CSV, one per row; places in the unit of the trees (um / scale).

    unit: of their lengths: um, or vox where the voxel size is not known.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["bridge", "tree", f"length_{unit}", "probability", *PLACES])
    for bridge in bridges:
        line = bridge.line / np.asarray(scale)
        middle = line[len(line) // 2]
        places = [f"{v:.3f}" for at in (middle, line[0], line[-1]) for v in at[::-1]]
        row = [bridge.number, bridge.tree, f"{bridge.length_um:.2f}", f"{bridge.probability:.3f}"]
        table.writerow([*row, *places])
    return text.getvalue()


def tree_table(
    trees: Sequence[Tree], bridges: Sequence[Bridge], scale: VoxelSize, unit: str
) -> str:
    """Return the trees as CSV, one per row: root, length, bridges, box, mean probability.

    scale, unit: as in bridge_table. The box is that of the nodes; the mean is weighted by length.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    names = ["tips", "branch_points", "soma", "bridges", f"bridged_{unit}", "probability"]
    table.writerow(["tree", "x", "y", "z", f"length_{unit}", *names, *SIDES])
    by_tree: dict[int, list[Bridge]] = defaultdict(list)
    for bridge in bridges:
        by_tree[bridge.tree].append(bridge)
    for number, tree in enumerate(trees, start=1):
        own = by_tree[number]
        counts = summarise([tree], own)
        points = tree.points / np.asarray(scale)
        places = np.concatenate([at[::-1] for at in (points[0], points.min(0), points.max(0))])
        written = [f"{v:.3f}" for v in places]
        row = [counts["tips"], counts["branch_points"], counts["somata"], len(own)]
        means = f"{counts['bridged_um']:.2f}", f"{_mean_probability(tree):.3f}"
        length = f"{tree_length(tree):.2f}"
        table.writerow([number, *written[:3], length, *row, *means, *written[3:]])
    return text.getvalue()


def _mean_probability(tree: Tree) -> float:
    """Return the mean of a tree's probability along its length."""
    has = np.flatnonzero(tree.parents >= 0)
    values, up = tree.columns["probability"], tree.parents[has]
    lengths = np.linalg.norm(tree.points[has] - tree.points[up], axis=1)
    if not lengths.sum():
        return float(values.mean())
    return float(np.average((values[has] + values[up]) / 2, weights=lengths))


def _doubt(one: Decision) -> tuple[float, list[float], float, bool]:
    return abs(one.probability - 0.5), one.place.tolist(), one.probability, one.joined


def decision_table(decisions: Sequence[Decision], scale: VoxelSize) -> str:
    """Return the uncertain decisions as CSV, the least certain first; places as in bridge_table."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["x", "y", "z", "probability", "decision"])
    for one in sorted(decisions, key=_doubt):
        if SURE < one.probability < 1 - SURE:
            places = [f"{v:.3f}" for v in (one.place / np.asarray(scale))[::-1]]
            word = "joined" if one.joined else "cut"
            table.writerow([*places, f"{one.probability:.2f}", word])
    return text.getvalue()


def summarise(trees: Sequence[Tree], bridges: Sequence[Bridge]) -> dict[str, Any]:
    """Count trees, length, tips, branch points, somata and bridges."""
    counts = np.zeros(3, np.int64)
    length = 0.0
    for tree in trees:
        counts += _counts(tree)
        length += tree_length(tree)
    return {
        "trees": len(trees),
        "length_um": round(length, 2),
        "tips": int(counts[0]),
        "branch_points": int(counts[1]),
        "somata": int(counts[2]),
        "bridges": len(bridges),
        "bridged_um": round(sum(b.length_um for b in bridges), 2),
    }


def _counts(tree: Tree) -> tuple[int, int, int]:
    """Count tips, branch points and somata."""
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(tree.parents))
    soma = bool(tree.kinds[0] == SOMA)
    tips = int((children == 0).sum()) + int(not soma and children[0] == 1)
    forks = int((children[1:] > 1).sum()) + int(not soma and children[0] > 2)
    return tips, forks, int(soma)

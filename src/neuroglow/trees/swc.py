"""Trees of neurites: the SWC format (Cannon et al. 1998), read and written.

A tree has points zyx; the columns of an SWC file are id, type, x, y, z, radius, parent. Further
columns may follow, which morphio, neurom and navis ignore: `# columns: ...` names them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.files.remarks import remark
from neuroglow.trees.swc_comments import SwcUnit, read_comments

__all__ = [
    "NEURON",
    "SOMA",
    "Tree",
    "join_trees",
    "one_by_one",
    "parents_first",
    "parse_swc",
    "paths",
    "read_swc",
    "swc_header",
    "swc_rows",
    "write_swc",
]

Values = Mapping[str, NDArray[np.float64]]

STANDARD = ("id", "type", "x", "y", "z", "radius", "parent")

SOMA = 1
"""Type of the nodes of a soma."""

NEURON = "neuron"
"""The column that numbers neurons, where parts of one have roots of their own."""

LARGEST = 1e12
"""Maximum of coordinates and ids: beyond it a file is broken, whatever its unit."""

_NAMES = re.compile(r"#\s*columns:\s*(.*)", re.I)
_UNKNOWN = ("na", "nan", "none", "null", "-nan", "?")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Tree:
    """Nodes of one or more trees, parents before children.

    points: (n, 3) zyx, float64, in the file's unit (usually micrometres), its header applied.
    radii: (n,) the same unit; 0 if not known.
    kinds: (n,) 1 soma, 2 axon, 3 basal, 4 apical dendrite.
    parents: (n,) index of each node's parent, -1 at a root.
    columns: name -> (n,) float64, further values of each node: `probability`, `bridge`, `neuron`.
    unit: of points and radii, if the file states it. notes: how its header changed them.
    """

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    kinds: NDArray[np.int64]
    parents: NDArray[np.int64]
    columns: Values = field(default_factory=dict)
    unit: SwcUnit | None = None
    notes: tuple[str, ...] = ()


def read_swc(path: str | Path) -> Tree:
    """Read an SWC file of one or more trees, and say what its header did to them.

    An offset and a scale in the header are applied; its unit is that of the tree.
    For the rest, and what is raised: parse_swc.
    """
    tree = parse_swc(path)
    for note in tree.notes:  # which name the file alone
        remark(f"{Path(path).parent / note}")
    return tree


def parse_swc(path: str | Path) -> Tree:
    """Read an SWC file of one or more trees; its notes are left to the caller.

    Nodes may be in any order in the file; they are returned with parents before children.
    Comments may have any encoding, lines may end as on any system, and a radius that is
    missing (`nan`, `NA`), zero or negative reads as 0, which means: not known. A file with only
    comments contains no tree; an empty file is refused, since it was cut off.
    Raises InputError if the file is missing or empty, has a row whose first seven columns are
    not numbers, an infinite coordinate or radius, a duplicate id, a parent that is not
    in it, or a cycle.
    """
    source = Path(path)
    names, rows, comments = _read_rows(source)
    table = np.array([row[:7] for _, row in rows], np.float64).reshape(-1, 7)
    _check_numbers(table, rows, source)
    parents = _find_parents(table, rows, source)
    order = parents_first(parents)
    if len(order) < len(parents):
        at, lost = _in_cycle(parents, order), len(parents) - len(order)
        raise InputError(
            "a tree must not have a cycle",
            found=f"{lost} nodes in or below one, such as id {table[at, 0]:.0f}",
            where=f"{source}, line {rows[at][0]}",
            cure="cut it: set the parent of one of its nodes to -1",
        )
    place = np.empty(len(order) + 1, np.int64)
    place[order], place[-1] = np.arange(len(order)), -1
    table, parents = table[order], place[parents[order]]
    radii = np.where(table[:, 5] > 0, table[:, 5], 0.0)
    header = read_comments(comments, source.name, str(source))
    points, radii = header.place(table[:, [4, 3, 2]], radii)
    columns = {
        name: np.array([rows[i][1][at] if len(rows[i][1]) > at else math.nan for i in order])
        for at, name in enumerate(names, start=7)
    }
    kinds = table[:, 1].astype(np.int64)
    return Tree(points, radii, kinds, parents, columns, header.unit, header.notes)


def _read_rows(source: Path) -> tuple[list[str], list[tuple[int, list[float]]], list[str]]:
    """Return the names of further columns, the rows with their line numbers, and the comments."""
    try:
        content = source.read_bytes()
    except OSError as error:
        found = "no file" if not source.exists() else error.strerror or str(error)
        raise InputError("the tree must be an SWC file", found=found, where=str(source)) from None
    if not content.strip():
        raise InputError(
            "an SWC file contains nodes or a comment", found="0 bytes", where=str(source)
        )
    names: list[str] = []
    rows: list[tuple[int, list[float]]] = []
    comments: list[str] = []
    wide = content.startswith(_UTF16)
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        if named := _NAMES.match(line.strip()):
            names = named[1].split()[len(STANDARD) :]
        if line.lstrip().startswith("#"):
            comments.append(line)
        cells = _cells(line.split("#")[0])
        if cells:
            rows.append((number, _numbers(cells, f"{source}, line {number}")))
    return names, rows, comments


def _cells(line: str) -> list[str]:
    """Split a row at semicolons or commas if it has enough of them, else at spaces."""
    for mark in ";,":
        parts = [cell.strip() for cell in line.split(mark)]
        if len(parts) >= len(STANDARD):
            return [cell.replace(",", ".") for cell in parts]
    return line.split()


def _numbers(cells: Sequence[str], where: str) -> list[float]:
    """Read one row; raises InputError if it is invalid."""
    row = [math.nan if cell.lower() in _UNKNOWN else _number(cell) for cell in cells]
    if len(row) < len(STANDARD) or None in row[: len(STANDARD)]:
        raise InputError(
            "an SWC file has seven columns of numbers: id type x y z radius parent",
            found=repr(" ".join(cells))[:80],
            where=where,
            cure="write an unknown radius as 0; use decimal points, not commas",
        )
    return [math.nan if number is None else number for number in row]


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _check_numbers(
    table: NDArray[np.float64], rows: Sequence[tuple[int, list[float]]], source: Path
) -> None:
    bad = ~(np.abs(table[:, [0, 1, 2, 3, 4, 6]]) <= LARGEST).all(axis=1)
    bad |= np.abs(table[:, 5]) > LARGEST  # a radius may be missing
    if bad.any():
        raise InputError(
            f"the coordinates, radii and ids of a tree are finite numbers, at most {LARGEST:g}",
            found=f"{bad.sum()} nodes for which they are not",
            where=f"{source}, line {rows[int(np.argmax(bad))][0]}",
            cure="correct this line; micrometres, voxels and nanometres are never so large",
        )
    broken = (table[:, [0, 1, 6]] % 1 != 0).any(axis=1)
    if broken.any():
        raise InputError(
            "id, type and parent of a node are whole numbers",
            found=f"{broken.sum()} nodes for which they are not",
            where=f"{source}, line {rows[int(np.argmax(broken))][0]}",
            cure="the seven columns in their order: id type x y z radius parent",
        )


def _find_parents(
    table: NDArray[np.float64], rows: Sequence[tuple[int, list[float]]], source: Path
) -> NDArray[np.int64]:
    """Return the row of each node's parent; -1 if that is 0 or negative and not a node."""
    ids, named = table[:, 0].astype(np.int64), table[:, 6].astype(np.int64)
    index = {int(number): i for i, number in enumerate(ids)}
    if len(index) < len(ids):
        twice = next(i for i, number in enumerate(ids) if index[int(number)] != i)
        raise InputError(
            "each node has an id of its own",
            found=f"id {ids[twice]} twice",
            where=f"{source}, line {rows[twice][0]}",
            cure="if two files were joined, renumber the second",
        )
    parents = np.array([index.get(int(p), -1) for p in named], np.int64)
    lost = np.flatnonzero((parents < 0) & (named > 0))
    if len(lost):
        raise InputError(
            "the parent of a node is in its file, or -1",
            found=f"parent {named[lost[0]]}, which is not ({len(lost)} such)",
            where=f"{source}, line {rows[lost[0]][0]}",
            cure="-1 if a tree was cut",
        )
    return parents


def _in_cycle(parents: NDArray[np.int64], rooted: Sequence[int]) -> int:
    """Return a node of a cycle, if not all nodes have a root."""
    lost = np.ones(len(parents), bool)
    lost[rooted] = False
    node, seen = int(np.argmax(lost)), set[int]()
    while node not in seen:
        seen.add(node)
        node = int(parents[node])
    return node


def parents_first(parents: NDArray[np.int64]) -> list[int]:
    """Order nodes so that parents come before children; nodes in a cycle are left out."""
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


def join_trees(trees: Sequence[Tree]) -> Tree:
    """Join trees to one Tree with several roots; columns and units that all have are kept."""
    first = np.cumsum([0, *(len(tree.points) for tree in trees)])[:-1]
    parents = [
        np.where(t.parents < 0, -1, t.parents + n) for t, n in zip(trees, first, strict=True)
    ]
    shared = (
        [name for name in trees[0].columns if all(name in t.columns for t in trees)]
        if trees
        else []
    )
    return Tree(
        np.concatenate([np.empty((0, 3)), *(t.points for t in trees)]),
        np.concatenate([np.empty(0), *(t.radii for t in trees)]),
        np.concatenate([np.empty(0, np.int64), *(t.kinds for t in trees)]),
        np.concatenate([np.empty(0, np.int64), *parents]),
        {name: np.concatenate([t.columns[name] for t in trees]) for name in shared},
        trees[0].unit if len({t.unit for t in trees}) == 1 else None,
    )


def one_by_one(tree: Tree) -> list[Tree]:
    """Split a table with several roots into trees of one root each, in the order of their roots."""
    if not len(tree.parents):
        return []
    roots = np.cumsum(tree.parents < 0) - 1
    for node, parent in enumerate(tree.parents.tolist()):
        if parent >= 0:
            roots[node] = roots[parent]
    parts = []
    order = np.argsort(roots, kind="stable")
    for own in np.split(order, np.cumsum(np.bincount(roots))[:-1]):
        parents = np.where(tree.parents[own] < 0, -1, np.searchsorted(own, tree.parents[own]))
        columns = {name: values[own] for name, values in tree.columns.items()}
        kinds = tree.kinds[own]
        parts.append(Tree(tree.points[own], tree.radii[own], kinds, parents, columns, tree.unit))
    return parts


def write_swc(tree: Tree, path: str | Path, *, comment: str = "neuroglow") -> None:
    """Write an SWC file: ids from 1, parents before children; a comment may have several lines."""
    lines = [*swc_header(tree, comment), *swc_rows(tree)]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def swc_header(tree: Tree, comment: str) -> list[str]:
    """Return a file's first lines: the comment, a unit other than micrometres, extra columns."""
    names = [f"columns: {' '.join([*STANDARD, *tree.columns])}"] if tree.columns else []
    unit = [f"unit: {tree.unit}"] if tree.unit in ("nm", "voxel") else []
    return [f"# {line}" for line in [*comment.splitlines(), *unit, *names]]


def swc_rows(tree: Tree, *, first: int = 1) -> list[str]:
    """Return the rows of an SWC file, their ids counted from `first`."""
    further = [
        f" {' '.join(f'{v:g}' for v in row)}" for row in zip(*tree.columns.values(), strict=True)
    ]
    rows = zip(tree.points, tree.radii, tree.kinds, tree.parents, strict=True)
    return [
        f"{i} {kind} {x:.3f} {y:.3f} {z:.3f} {radius:.3f} {parent + first if parent >= 0 else -1}"
        f"{more}"
        for i, (((z, y, x), radius, kind, parent), more) in enumerate(
            zip(rows, further or [""] * len(tree.points), strict=True), start=first
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

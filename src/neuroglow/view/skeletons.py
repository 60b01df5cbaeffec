"""Trees as viewers draw them: vertices, edges and the properties of each; tables of the trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.trees.swc import Tree, one_by_one

__all__ = ["NamedTree", "Skeleton", "columns_of", "named", "properties_of", "skeleton_of"]

Floats = NDArray[np.float32]

ATTRIBUTES = ("radius", "type", "probability", "bridge")
"""Properties of each vertex; a tree without a column has 1 as probability and no bridge."""


@dataclass(frozen=True)
class NamedTree:
    """One tree: its number from 1, its name, and itself (micrometres, or voxels)."""

    number: int
    name: str
    tree: Tree

    @property
    def length(self) -> float:
        """Length of all its edges."""
        child = np.flatnonzero(self.tree.parents >= 0)
        steps = self.tree.points[child] - self.tree.points[self.tree.parents[child]]
        return float(np.linalg.norm(steps, axis=1).sum())


@dataclass(frozen=True)
class Skeleton:
    """A tree in voxels of its volume.

    vertices: (n, 3) xyz; the first voxel extends from 0 to 1. edges: (m, 2). attributes: (n,) each.
    """

    vertices: Floats
    edges: NDArray[np.uint32]
    attributes: dict[str, Floats]


def named(trees: Sequence[Tree], files: Sequence[Path]) -> list[NamedTree]:
    """Split files into trees of one root each, named by their file, and numbered from 1."""
    found: list[NamedTree] = []
    for tree, file in zip(trees, files, strict=True):
        parts = one_by_one(tree)
        for at, part in enumerate(parts, start=1):
            name = file.stem if len(parts) == 1 else f"{file.stem} {at}"
            found.append(NamedTree(len(found) + 1, name, part))
    return found


def skeleton_of(tree: Tree, size: Sequence[float], origin_vox: Sequence[float]) -> Skeleton:
    """Convert a tree (micrometres zyx of a volume) to vertices in voxels.

    size: of a voxel. origin_vox: the volume's first voxel.
    """
    voxels = tree.points / np.asarray(size) + np.asarray(origin_vox) + 0.5
    child = np.flatnonzero(tree.parents >= 0)
    edges = np.stack([child, tree.parents[child]], axis=1).astype(np.uint32)
    return Skeleton(voxels[:, ::-1].astype(np.float32), edges, columns_of(tree))


def columns_of(tree: Tree) -> dict[str, Floats]:
    """Return the properties of each node by name, ATTRIBUTES (float32)."""
    count = len(tree.points)
    columns = {"radius": tree.radii, "type": tree.kinds, "probability": np.ones(count)}
    columns |= {"bridge": np.zeros(count)} | dict(tree.columns)
    return {name: np.nan_to_num(columns[name]).astype(np.float32) for name in ATTRIBUTES}


def properties_of(trees: Sequence[NamedTree], unit: str) -> dict[str, Any]:
    """Return the properties of the trees as neuroglancer reads them (its segment properties)."""
    bridges = [np.unique(t.tree.columns.get("bridge", np.zeros(1))) for t in trees]
    values: dict[str, list[Any]] = {
        f"length ({unit})": [round(t.length, 1) for t in trees],
        "nodes": [len(t.tree.points) for t in trees],
        "bridges": [int((numbers > 0).sum()) for numbers in bridges],
    }
    label = {"id": "label", "type": "label", "values": [t.name for t in trees]}
    numbers = [
        {"id": name, "type": "number", "data_type": "float32", "values": column}
        for name, column in values.items()
    ]
    inline = {"ids": [str(t.number) for t in trees], "properties": [label, *numbers]}
    return {"@type": "neuroglancer_segment_properties", "inline": inline}

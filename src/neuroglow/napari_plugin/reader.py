"""The reader of the plugin: volumes, labels, and trees as tracks with their bridges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from neuroglow.files.names import TREE_SUFFIX, stem_of
from neuroglow.formats.kinds import kind_of, whole_of
from neuroglow.formats.opening import open_volume
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.drawn_trees import find_trees
from neuroglow.trees.swc import Tree, parse_swc
from neuroglow.trees.swc_unit import scaled
from neuroglow.view.layers import Layer, tree_layers, volume_layer
from neuroglow.view.scene import levels_of
from neuroglow.view.skeletons import named

__all__ = ["get_reader", "is_trees", "read_layers", "read_trees"]

Paths = str | Sequence[str]

UM: VoxelSize = (1.0, 1.0, 1.0)


def get_reader(path: Paths) -> Callable[[Paths], list[Layer]] | None:
    """Return the reader of files that exist; None for anything else."""
    return read_layers if all(Path(one).exists() for one in _listed(path)) else None


def read_layers(path: Paths) -> list[Layer]:
    """Read each file, or folder, as its layers, named by it.

    Raises InputError for a file that cannot be read, with the reason.
    """
    return [layer for one in _listed(path) for layer in _read(Path(one))]


def _listed(paths: Paths) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _read(path: Path) -> list[Layer]:
    if is_trees(path):
        trees, size = read_trees(path)
        return tree_layers(named(trees, find_trees(path)), path.stem, size)
    volume = open_volume(path)
    kind = kind_of(path, volume)
    levels = (0.0, whole_of(volume)) if kind == "probability" else levels_of(volume)
    return [volume_layer(volume, stem_of(path), kind, levels)]


def is_trees(path: Path) -> bool:
    """Tell whether a path is an SWC file, or a folder of them."""
    if path.suffix.lower() == TREE_SUFFIX:
        return True
    return path.is_dir() and any(f.suffix.lower() == TREE_SUFFIX for f in path.iterdir())


def read_trees(path: Path) -> tuple[list[Tree], VoxelSize | None]:
    """Read trees in micrometres, or in voxels if a header says so: the size is then None."""
    trees = [parse_swc(file) for file in find_trees(path)]
    if any(tree.unit == "voxel" for tree in trees):
        return trees, None
    return [scaled(tree, tree.unit or "um", UM) for tree in trees], UM

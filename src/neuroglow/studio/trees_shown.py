"""Trees as they are drawn: nodes in micrometres, from SWC files in any of their units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neuroglow.skeleton.editing import forest_of
from neuroglow.space.volume import VoxelSize
from neuroglow.studio.checking import Frame, read_trees, scale_of, tree_payloads
from neuroglow.studio.kinds import VOXELS, kind_of
from neuroglow.studio.origins import origins_of
from neuroglow.studio.studio import Studio
from neuroglow.trees.place import place_of

__all__ = ["show_trees"]


def show_trees(studio: Studio, path: str, volume: str = "") -> dict[str, Any]:
    """Return the trees at a path; those of a whole brain are moved into a crop of it.

    volume: in which they are drawn; else the one that they were traced in.
    """
    tree = read_trees(studio.inside, path)
    over = volume or _traced_in(studio, path)
    size: VoxelSize | None = None
    shift: Sequence[float] = (0.0, 0.0, 0.0)
    said = ""
    if over:
        shown = studio.volumes.show(over)
        size = shown.voxel_size_um
        if size and tree.unit != "voxel":
            place = place_of(shown.volume)
            origin, said = place.origin_um(tree.points, shown.levels[0].shape, size)
            shift = origin.tolist()
    scale = scale_of(tree, Frame(size or (1.0, 1.0, 1.0)))
    payloads = tree_payloads(forest_of(tree), scale, origin=shift)
    notes = [*tree.notes, *([said] if said else [])]
    return {"path": path, "trees": payloads, "voxel_size": size, "volume": over, "notes": notes}


def _traced_in(studio: Studio, path: str) -> str:
    """Return the volume that trees were traced in, if it is there."""
    for origin in origins_of(studio.inside, studio.inside.find(path), "trees"):
        if kind_of(studio.inside.place(origin)) in VOXELS:
            return origin
    return ""

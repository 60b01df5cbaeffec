"""Trees as they are drawn: nodes in micrometres, from SWC files in any of their units."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroglow.skeleton.editing import forest_of
from neuroglow.space.volume import VoxelSize
from neuroglow.studio.checking import Frame, read_trees, scale_of, tree_payloads
from neuroglow.studio.placing import origin_of_trees, traced_in
from neuroglow.studio.studio import Studio

__all__ = ["show_trees"]


def show_trees(studio: Studio, path: str, volume: str = "") -> dict[str, Any]:
    """Return the trees at a path; those of a whole brain are moved into a crop of it.

    volume: in which they are drawn; else the one that they were traced in.
    """
    tree = read_trees(studio.inside, path)
    over = volume or traced_in(studio, path)
    size: VoxelSize | None = None
    origin, said = np.zeros(3), ""
    if over:
        shown = studio.volumes.show(over)
        size = shown.voxel_size_um
        origin, said = origin_of_trees(studio, path, tree, shown)
    scale = scale_of(tree, Frame(size or (1.0, 1.0, 1.0)))
    payloads = tree_payloads(forest_of(tree), scale, origin=origin.tolist())
    notes = [*tree.notes, *([said] if said else [])]
    return {"path": path, "trees": payloads, "voxel_size": size, "volume": over, "notes": notes}

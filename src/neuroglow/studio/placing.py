"""Placing: where what is shown lies over the volume that it is shown over, if that holds it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.geometry import Zyx
from neuroglow.studio.kinds import VOXELS, kind_of
from neuroglow.studio.origins import origins_of
from neuroglow.studio.studio import Studio
from neuroglow.studio.volumes import Shown
from neuroglow.trees.place import place_of, shift_between
from neuroglow.trees.swc import Tree

__all__ = ["origin_of_trees", "shift_over", "traced_in"]


def shift_over(studio: Studio, shown: Shown, over: str) -> Zyx:
    """Give at which voxel of another volume a volume begins; over: "" for none."""
    if not over or over == shown.path:
        return (0, 0, 0)
    return shift_between(shown.volume, studio.volumes.show(over).volume)


def traced_in(studio: Studio, path: str) -> str:
    """Return the volume that trees were traced in, if it is there."""
    for origin in origins_of(studio.inside, studio.inside.find(path), "trees"):
        if kind_of(studio.inside.place(origin)) in VOXELS:
            return origin
    return ""


def origin_of_trees(
    studio: Studio, path: str, tree: Tree, shown: Shown
) -> tuple[NDArray[np.float64], str]:
    """Give what is taken from trees (zyx, um) so that they lie in a volume, and what to say of it.

    Trees whose record names the volume that they were traced in move with that.
    """
    size = shown.voxel_size_um or (1.0, 1.0, 1.0)
    if traced := traced_in(studio, path):
        shift = shift_over(studio, studio.volumes.show(traced), shown.path)
        return -np.multiply(shift, size), ""
    if shown.voxel_size_um is None or tree.unit == "voxel":
        return np.zeros(3), ""
    return place_of(shown.volume).origin_um(tree.points, shown.levels[0].shape, size)

"""Trees in files, found, placed in a volume, and drawn there: the same for every verb.

Assumptions (the unit, dummy radii) are reported in notes, never made silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.place import NOWHERE, Place
from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import Tree, join_trees, parse_swc
from neuroglow.trees.swc_unit import (
    WORDS,
    SwcUnit,
    agreed_unit,
    in_micrometres,
    scaled,
    share_inside,
)

__all__ = ["MARGIN_VOX", "DrawnTrees", "draw_files", "find_trees", "place_trees"]

MARGIN_VOX = 1.5
"""Width of the ignored margin: the edge of a neurite is not known to the voxel."""

DUMMY = 1.0
"""The radius that tools write if none was measured."""


@dataclass(frozen=True)
class DrawnTrees:
    """Trees (micrometres) as labels, drawn block by block: 0 background, 1 neurite, 2 ignored."""

    tree: Tree
    shape: Zyx
    unit_um: VoxelSize
    radius_um: float | None = None
    margin_vox: float = MARGIN_VOX

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Draw a box (zyx, uint8)."""
        return rasterise(
            self.tree,
            self.shape,
            self.unit_um,
            radius_um=self.radius_um,
            margin_vox=self.margin_vox,
            box=box,
        )


def find_trees(source: str | Path) -> list[Path]:
    """List the SWC files at a path: the file itself, or those in a folder, by name.

    Raises InputError if there are none.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(f for f in path.iterdir() if f.suffix.lower() == ".swc")
    else:
        found = [path] if path.exists() and path.suffix.lower() == ".swc" else []
    if not found:
        raise InputError(
            "trees are an SWC file, or a folder of them",
            found="no .swc in it" if path.is_dir() else "another file" * path.exists() or "nothing",
            where=str(path),
            cure="a path that ends in .swc, or a folder of such files",
        )
    return found


def draw_files(
    files: Sequence[Path],
    shape: Zyx,
    voxel_size_um: VoxelSize | None,
    unit: SwcUnit | None,
    *,
    radius_um: float | None = None,
    margin_vox: float = MARGIN_VOX,
    place: Place = NOWHERE,
) -> tuple[DrawnTrees, list[str]]:
    """Read SWC files as the label of a volume: an object that draws them, and notes.

    The same files give the same voxels in every verb, however the volume is divided.
    Raises InputError as parse_swc and place_trees do.
    """
    placed, notes = place_trees(
        [parse_swc(f) for f in files],
        files,
        shape,
        voxel_size_um,
        unit,
        radius_um=radius_um,
        place=place,
    )
    size = voxel_size_um or (1.0, 1.0, 1.0)
    return DrawnTrees(join_trees(placed), shape, size, radius_um, margin_vox), notes


def place_trees(
    trees: Sequence[Tree],
    files: Sequence[Path],
    shape: Zyx,
    voxel_size_um: VoxelSize | None,
    unit: SwcUnit | None,
    *,
    radius_um: float | None = None,
    place: Place = NOWHERE,
) -> tuple[list[Tree], list[str]]:
    """Return trees in micrometres of their volume, without dummy radii, and notes on both.

    files: of the trees. voxel_size_um: None if it is not known: trees are then in
    voxels. unit: of the trees; None: from their headers, else micrometres. radius_um: for all,
    instead of the trees' own radii. place: of the volume in a larger one.
    Raises InputError if none lies in the volume, another unit fits better, or a radius is
    larger than the volume.
    """
    size = voxel_size_um or (1.0, 1.0, 1.0)
    where = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({len(files)} files)"
    notes = [note for tree in trees for note in tree.notes]
    where += f" ({'; '.join(notes)})" if notes and len(files) == 1 else ""
    trees, used = _in_one_unit(trees, files, unit, size, notes)
    _refuse_wide([radius_um] if radius_um else [], voxel_size_um, shape, "--radius-um")
    if radius_um is None:
        trees = [_without_dummies(t, f.name, notes) for t, f in zip(trees, files, strict=True)]
    joined = join_trees(trees)
    origin, said = place.origin_um(scaled(joined, used, size).points, shape, size)
    whole = in_micrometres(joined, used, shape, size, origin_um=origin, where=where)
    notes += [said] if said else []
    word = WORDS[used] if voxel_size_um or used == "nm" else WORDS["voxel"]
    name = files[0].name if len(files) == 1 else f"{len(files)} trees"
    share = share_inside(whole.points, shape, size)
    notes.insert(0, f"{name}: read as {word}, {share:.0%} of the nodes in the volume")
    cuts = np.cumsum([len(tree.points) for tree in trees])[:-1]
    points, radii = np.split(whole.points, cuts), np.split(whole.radii, cuts)
    placed = [replace(t, points=p, radii=r) for t, p, r in zip(trees, points, radii, strict=True)]
    for tree, file in zip(placed, files, strict=True):
        _refuse_wide(tree.radii, voxel_size_um, shape, str(file))
    notes += _outside(placed, files, shape, size)
    return placed, notes


def _in_one_unit(
    trees: Sequence[Tree],
    files: Sequence[Path],
    asked: SwcUnit | None,
    size: VoxelSize,
    notes: list[str],
) -> tuple[list[Tree], SwcUnit]:
    """Give trees in one unit: their own, where it is one, else micrometres; note what differs."""
    units: list[SwcUnit] = []
    for tree, file in zip(trees, files, strict=True):
        unit, said = agreed_unit(tree, asked, file.name)
        units.append(unit)
        notes += said
    if len(set(units)) == 1:
        return list(trees), units[0]
    return [scaled(t, u, size) for t, u in zip(trees, units, strict=True)], "um"


def _refuse_wide(
    radii: Sequence[float] | NDArray[np.float64],
    voxel_size_um: VoxelSize | None,
    shape: Zyx,
    where: str,
) -> None:
    """Refuse radii (um, or voxels) larger than the volume: drawn, they would fill all of it."""
    size, word = voxel_size_um or (1.0, 1.0, 1.0), "um" if voxel_size_um else "voxels"
    longest = float(np.multiply(size, shape).max())
    widest = float(np.max(radii, initial=0.0))
    if widest > longest:
        raise InputError(
            "a radius must be smaller than the volume",
            found=f"{widest:g} {word}, of a volume {longest:g} {word} long",
            where=where,
            cure="one radius for all (label: --radius-um), or the right unit: --swc-unit",
        )


def _without_dummies(tree: Tree, name: str, notes: list[str]) -> Tree:
    """Treat dummy radii as unknown: 0."""
    count = len(tree.radii)
    missing = int((tree.radii == 0).sum())
    dummy = count > 1 and bool((tree.radii == DUMMY).all())
    if not (missing or dummy):
        return tree
    found = f"all radii are {DUMMY:g}, a dummy" if dummy else f"{missing} of {count} radii missing"
    notes.append(f"{name}: {found}: half of the finest voxel is used; give a radius to change this")
    return replace(tree, radii=np.zeros(count)) if dummy else tree


def _outside(
    trees: Sequence[Tree], files: Sequence[Path], shape: Zyx, size: VoxelSize
) -> list[str]:
    """Name the trees without any node in the volume."""
    names = [
        file.name
        for tree, file in zip(trees, files, strict=True)
        if len(tree.points) and not share_inside(tree.points, shape, size)
    ]
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"outside the volume: {', '.join(names[:3])}{more}"]

"""The unit of a tree: wrong units are recognised from the volume in which it lies, and reported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.swc import Tree
from neuroglow.trees.swc_comments import SwcUnit

__all__ = [
    "WORDS",
    "SwcUnit",
    "agreed_unit",
    "in_micrometres",
    "refuse_endless",
    "scaled",
    "share_inside",
]

WORDS: dict[SwcUnit, str] = {"um": "micrometres", "voxel": "voxels", "nm": "nanometres"}

FITS = 0.5
"""Minimum share of nodes in the volume for another unit to fit; also at least twice as many."""

LONGEST_UM = 1e5
"""Maximum distance between nodes of trees: 10 cm, larger than any volume."""

FILLS = 0.1
"""Minimum share of a side of the volume that trees span in a unit that may be theirs."""


def agreed_unit(tree: Tree, asked: SwcUnit | None, name: str) -> tuple[SwcUnit, list[str]]:
    """Give the unit of a file's tree: what was asked, else what its header says, else micrometres.

    A header that says otherwise than asked is noted.
    """
    if asked is None or tree.unit in (None, asked):
        return asked or tree.unit or "um", []
    said = f"its header says {WORDS[tree.unit]}, and is not followed: {WORDS[asked]}, as asked"
    return asked, [f"{name}: {said}"]


def in_micrometres(
    tree: Tree,
    unit: SwcUnit,
    shape: Zyx,
    voxel_size_um: VoxelSize,
    *,
    origin_um: NDArray[np.float64] | None = None,
    where: str = "the tree",
) -> Tree:
    """Return a tree in micrometres, radii too, if it lies in its volume.

    unit: of the tree's points and radii. shape, voxel_size_um: zyx, of the volume.
    origin_um: position of its first voxel in the larger volume of the tree.
    Raises InputError if no node lies in the volume, or if most nodes, and twice as many, would in
    another unit (or if the tree is smaller than a voxel), which is suggested but not used; and if
    nodes lie LONGEST_UM apart.
    """
    size = np.asarray(voxel_size_um, np.float64)
    origin = np.zeros(3) if origin_um is None else origin_um
    read = {each: tree.points * _scale(each, size) - origin for each in WORDS}
    found = {each: share_inside(points, shape, voxel_size_um) for each, points in read.items()}
    within_a_voxel = len(tree.points) > 1 and (np.ptp(read[unit], axis=0) < size).all()
    least = 0.0 if within_a_voxel else 2 * found[unit]
    others = [
        each
        for each in WORDS
        if found[each] > max(FITS, least) and _fills(read[each], size * shape)
    ]
    if len(tree.points) and (not found[unit] or others):
        raise _misplaced(found, unit, others, where)
    refuse_endless(read[unit], where)
    return replace(scaled(tree, unit, voxel_size_um), points=read[unit])


def refuse_endless(points: NDArray[np.float64], where: str) -> None:
    """Refuse points (n, 3; um) that lie farther apart than any tissue: a wrong unit or number."""
    across = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    if across > LONGEST_UM:
        raise InputError(
            "the nodes of trees lie at most 10 cm apart",
            found=f"{across:g} um: in nanometres, or with an outlying node",
            where=where,
            cure="--swc-unit nm if they are in nanometres; otherwise correct the node",
        )


def scaled(tree: Tree, unit: SwcUnit, voxel_size_um: VoxelSize) -> Tree:
    """Return a tree in micrometres, radii too, wherever it lies."""
    scale = _scale(unit, np.asarray(voxel_size_um, np.float64))
    return replace(tree, points=tree.points * scale, radii=tree.radii * scale.min(), unit="um")


def _fills(points: NDArray[np.float64], volume_um: NDArray[np.float64]) -> bool:
    """Return whether points extend through a volume: in too small a unit they fill a corner."""
    return bool((np.ptp(points, axis=0) >= FILLS * volume_um).any())


def _scale(unit: SwcUnit, size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the micrometres of one unit along z, y and x."""
    return {"um": np.ones(3), "voxel": size, "nm": np.full(3, 1e-3)}[unit]


def share_inside(points: NDArray[np.float64], shape: Zyx, voxel_size_um: VoxelSize) -> float:
    """Return the share of points (um) that lie in the volume or within a voxel of it."""
    if not len(points):
        return 1.0
    size = np.asarray(voxel_size_um)
    return float(((points >= -size) & (points <= size * shape)).all(axis=1).mean())


def _misplaced(
    found: dict[SwcUnit, float], unit: SwcUnit, others: list[SwcUnit], where: str
) -> InputError:
    looks = f"; these look like {WORDS[others[0]]}" if others else ""
    return InputError(
        "the nodes of a tree lie in its volume: its unit looks wrong"
        if others
        else "the nodes of a tree lie in its volume",
        found=f"{found[unit]:.0%} of them do when read as {WORDS[unit]}{looks}",
        where=where,
        cure=f"--swc-unit {others[0]} (in a manifest or survey: a column swc_unit)"
        if others
        else "the volume to which the tree belongs, or --voxel-size Z,Y,X if that is wrong; "
        "label and evaluate: --offset Z,Y,X if it was cropped from a larger one",
    )

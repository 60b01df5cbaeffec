"""Which cubes of a survey are already annotated, recognised by content or by position.

A name is not enough: two folders may each contain a `cube01.tif`, which are different cubes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

from neuroglow.cubes.export import read_cube, voxels_sha256
from neuroglow.cubes.manifest import Cube
from neuroglow.cubes.splits import overlapping, places
from neuroglow.errors import NeuroglowError
from neuroglow.files.writing import file_sha256
from neuroglow.space.inverted import as_stored

__all__ = ["find_known"]


def find_known(cubes: Sequence[Cube], known: Sequence[Cube]) -> tuple[set[str], list[str]]:
    """Return the names of cubes that are already known, and the known ones that match no cube.

    Two rows refer to one cube if they share a hash, or if their boxes in one image overlap. Without
    an image (rows of sample_information.npy), name and path must be equal.
    """
    by_hash, by_image = defaultdict[str, set[str]](set), defaultdict[str, list[Cube]](list)
    for cube in cubes:
        by_image[os.path.normpath(cube.image)].append(cube)
        for value in _hashes(cube):
            by_hash[value].add(cube.name)
    found: set[str] = set()
    strange = []
    for one in known:
        names = {cube.name for cube in by_image[os.path.normpath(one.image)] if _same(cube, one)}
        for value in _hashes(one) if names else _hashes(one) or _measured(one):
            names |= by_hash[value]
        found |= names
        strange += [] if names else [one.name]
    return found, strange


def _same(cube: Cube, one: Cube) -> bool:
    """Return whether two rows of one image refer to one cube."""
    return overlapping(cube, places([one])) if one.image.exists() else cube.name == one.name


def _hashes(cube: Cube) -> set[str]:
    return {h for h in (cube.image_sha256, cube.other.get("voxels_sha256", "")) if h}


def _measured(cube: Cube) -> set[str]:
    """Hash a cube without a recorded hash: its file, and its voxels."""
    try:
        voxels = as_stored(*read_cube(cube))
        found = {voxels_sha256(voxels), "" if cube.box else file_sha256(cube.image)}
    except (NeuroglowError, OSError):  # it may be long gone: it is then reported as unmatched
        return set()
    return found - {""}

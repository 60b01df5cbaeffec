"""Which cubes of a survey are annotated already: told by what they hold or where they lie.

A name alone tells little: two folders may each have a `cube01.tif`, and they are two cubes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

from neuroglow.cubes.export import read_cube, voxels_sha256
from neuroglow.cubes.manifest import Cube
from neuroglow.cubes.splits import overlapping, places
from neuroglow.errors import NeuroglowError
from neuroglow.space.inverted import as_stored
from neuroglow.space.writing import file_sha256

__all__ = ["find_known"]


def find_known(cubes: Sequence[Cube], known: Sequence[Cube]) -> tuple[set[str], list[str]]:
    """Name the cubes that are among the known, and the known that are none of the cubes.

    Two rows are of one cube where a hash of theirs is the same, or their boxes in one image
    overlap. Where there is no image to look at (rows of sample_information.npy), name and path
    must be the same.
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
    """Tell whether two rows of one image are of one cube."""
    return overlapping(cube, places([one])) if one.image.exists() else cube.name == one.name


def _hashes(cube: Cube) -> set[str]:
    return {h for h in (cube.image_sha256, cube.other.get("voxels_sha256", "")) if h}


def _measured(cube: Cube) -> set[str]:
    """Hash a cube of which no hash was written down: its file, and its voxels."""
    try:
        voxels = as_stored(*read_cube(cube))
        found = {voxels_sha256(voxels), "" if cube.box else file_sha256(cube.image)}
    except (NeuroglowError, OSError):  # it may be long gone: then it is told to match nothing
        return set()
    return found - {""}

"""The runs of a compressed Vaa3D file (.v3dpbd), counted before it is read.

A run is a code and its bytes: voxels as they are, differences of a few bits, or one voxel repeated.
The library that reads them trusts them: a file that is cut would end in zeros, and one that
is damaged would be written beyond the end of the memory.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np

from neuroglow.errors import ReadError

__all__ = ["check_runs"]

KEY = b"v3d_volume_pkbitdf_encod"
HEADER = len(KEY) + 1 + 2 + 16

Runs = list[tuple[int, int]]

DIFFERENCES = {1: {33: 2, 128: 0}, 2: {32: 3, 80: 4, 183: 5, 223: 0}}
"""By the bytes of a voxel: the first code of each kind of differences, and their bits; below the
first are voxels as they are, from the last on repeated ones."""


def check_runs(path: Path) -> None:
    """Check that a file holds exactly the voxels that its header states. Raises ReadError."""
    content = path.read_bytes()
    order = {b"L": "<", b"B": ">"}.get(content[len(KEY) : len(KEY) + 1])
    if not content.startswith(KEY) or order is None or len(content) <= HEADER:
        raise ReadError("a .v3dpbd file must be Vaa3D's", found=repr(content[:24]), where=str(path))
    size = int(np.frombuffer(content, order + "i2", 1, len(KEY) + 1)[0])
    sides = [int(n) for n in np.frombuffer(content, order + "i4", 4, len(KEY) + 3)]
    if size not in DIFFERENCES or min(sides) < 1:
        raise ReadError(
            "a .v3dpbd file has voxels of 1 or 2 bytes along x, y, z and c",
            found=f"{size} bytes, {sides}",
            where=str(path),
        )
    found, expected = _count(content, size), math.prod(sides)
    if found != expected:
        raise ReadError(
            "a .v3dpbd file must be complete and undamaged",
            found=f"{found} voxels of {expected}" if found >= 0 else "a broken run",
            where=str(path),
        )


def _runs(size: int) -> Runs:
    """Give the bytes and voxels of each code, 0 to 255, of voxels of some bytes."""
    kinds = DIFFERENCES[size]
    first, last = min(kinds), max(kinds)
    runs = [((code + 1) * size, code + 1) for code in range(first)]
    for start, stop in pairwise(sorted(kinds)):
        counts = range(1, stop - start + 1)
        runs += [(-(-count * kinds[start] // 8), count) for count in counts]
    return runs + [(size, code - last + 1) for code in range(last, 256)]


def _count(content: bytes, size: int) -> int:
    """Count the voxels of all runs; -1 where the first or the last cannot be."""
    runs, kinds = _runs(size), DIFFERENCES[size]
    at, voxels, end = HEADER, 0, len(content)
    if min(kinds) <= content[at] < max(kinds):
        return -1
    while at < end:
        length, count = runs[content[at]]
        at += length + 1
        voxels += count
    return voxels if at == end else -1

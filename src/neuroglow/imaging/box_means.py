"""Means over boxes of voxels, without importing SciPy.

That import takes a third of a CPU second. The means are those of scipy.ndimage.uniform_filter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_means"]

Floats = NDArray[np.float32]


def box_means(x: Floats, side: int) -> Floats:
    """Return the mean of a cube of `side` voxels around each voxel; the faces are mirrored.

    A cube of even side reaches one voxel further towards the start of each axis.
    """
    sums = np.pad(x, (side // 2, side - 1 - side // 2), mode="symmetric")
    for axis in range(x.ndim):
        sums = np.moveaxis(_sums(np.moveaxis(sums, axis, 0), side), 0, axis)
    sums *= np.float32(1 / side**x.ndim)
    return sums


def _sums(lines: Floats, side: int) -> Floats:
    """Sum `side` neighbours along the first axis: joined from sums of 1, 2, 4, 8 ... of them."""
    count, size, at = len(lines) - side + 1, 1, 0
    total = None
    while size <= side:
        if side & size:
            part = lines[at : at + count]
            total = part if total is None else total + part
            at += size
        if 2 * size <= side:
            lines = lines[:-size] + lines[size:]
        size *= 2
    assert total is not None
    return total

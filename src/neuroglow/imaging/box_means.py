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
    padded = np.pad(x, (side // 2, side - 1 - side // 2), mode="symmetric")
    steps = [step // padded.itemsize for step in padded.strides]
    sums = padded.reshape(-1)  # as one line: sums that cross the end of a row are not used
    for step in steps:
        sums = _sums(sums, side, step)
    whole = np.lib.stride_tricks.as_strided(sums, x.shape, padded.strides, writeable=False)
    return np.asarray(whole * np.float32(1 / side**x.ndim))


def _sums(line: Floats, side: int, step: int) -> Floats:
    """Sum `side` values, `step` apart: joined from sums of 1, 2, 4, 8 ... of them."""
    count, size, at = len(line) - (side - 1) * step, 1, 0
    total = None
    while size <= side:
        if side & size:
            part = line[at * step : at * step + count]
            total = part if total is None else total + part
            at += size
        if 2 * size <= side:
            line = line[: -size * step] + line[size * step :]
        size *= 2
    assert total is not None
    return total

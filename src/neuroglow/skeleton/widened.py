"""A mask widened along an axis, at the speed of memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["widened"]

Mask = NDArray[np.bool_]


def widened(mask: Mask, half: int, axis: int) -> Mask:
    """Return what lies within `half` voxels of a mask (any shape, bool) along an axis.

    The same as a maximum filter of 2 * half + 1 voxels; spans are doubled until they are as long.
    """
    count, width = mask.shape[axis], 2 * half + 1
    ends = [(half, half) if a == axis else (0, 0) for a in range(mask.ndim)]
    spans = np.moveaxis(np.pad(mask, ends), axis, 0)
    span = 1
    while span < width:
        step = min(span, width - span)
        spans[:-step] |= spans[step:]
        span += step
    return np.moveaxis(spans[:count], 0, axis)

"""The gate: whether anything stands out in a tile of noise units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.pyramid import halve

__all__ = ["gate"]

STANDS_OUT = 5.6
"""How many standard deviations the brightest box of a tile stands out where the gate opens."""

CORRELATED = 0.16
"""Standard deviation of the boxes above which the noise is not white (which gives 1/8)."""


def gate(x: NDArray[np.float32]) -> bool:
    """Return whether anything stands out in a tile of noise units (zyx); False: nothing does.

    A faint neurite hides among a million voxels of noise, but not among their means over
    boxes of 4 voxels per axis, a box every 2 voxels: noise averages out, a line less so. The
    tile passes when the brightest box stands out of the spread of all, against its own
    surroundings; and always where the noise of neighbours is correlated, since there the
    boxes could hide a neurite.
    """
    from scipy import ndimage  # takes long to import; `neuroglow --help` does not need it

    if not x.size or x.max() <= x.min():
        return False
    halved = halve(np.clip(x, -2, 3), (2, 2, 2))
    halved -= ndimage.uniform_filter(halved, 11)
    boxes = ndimage.uniform_filter(halved, 2)
    middle, quarter = np.quantile(boxes, [0.5, 0.25])
    spread = (middle - quarter) / 0.6745
    return bool(spread > CORRELATED or boxes.max() - middle > STANDS_OUT * spread)

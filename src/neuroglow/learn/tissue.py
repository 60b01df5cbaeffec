"""Where tissue is, from the cells of noise units alone: brighter and apart from what is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["tissue_level", "tissue_share"]

Floats = NDArray[np.float64]

CLEAR = 6.0
"""How far the two kinds of cells are apart at least, in noise of the darker kind."""

APART = 3.0
"""And in the spread within the kinds: what varies smoothly is one kind."""


def tissue_level(background: Floats, noise: Floats) -> float:
    """Find the background (grey levels) from which a cell is tissue; -infinity: all is.

    background, noise: one entry a cell. The threshold is Otsu's (1979) of the logarithm,
    and is used only where cells fall into two kinds that are clearly apart.
    """
    from skimage.filters import threshold_otsu

    known = np.isfinite(background) & np.isfinite(noise)
    values, spread = background[known], noise[known]
    if len(values) < 2 or values.max() <= values.min():
        return -np.inf
    scale = np.log1p(values - values.min())
    dark = scale <= threshold_otsu(scale)
    if dark.all():
        return -np.inf
    gap = np.median(values[~dark]) - np.median(values[dark])
    within = sum(float(np.median(np.abs(v - np.median(v)))) for v in (values[dark], values[~dark]))
    if gap < CLEAR * np.median(spread[dark]) or gap < APART * within:
        return -np.inf
    return float((values[dark].max() + values[~dark].min()) / 2)


def tissue_share(background: Floats, level: float) -> float:
    """Give the share of a cube's cells that are tissue."""
    return float((background > level).mean())

"""Where tissue is, from the cells of noise units: brighter than, and separate from, the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["tissue_level", "tissue_share"]

Floats = NDArray[np.float64]

CLEAR = 6.0
"""Minimum distance between the two kinds of cells, in noise of the darker kind."""

VALLEY = 0.05
"""Maximum share of cells between the two kinds; smooth variation is a single kind."""


def tissue_level(background: Floats, noise: Floats) -> float:
    """Find the background (grey levels) above which a cell is tissue; -infinity: all cells are.

    background, noise: one entry per cell. The threshold is Otsu's (1979) on the logarithm,
    and is used only if cells fall into two kinds with hardly any between.
    """
    from skimage.filters import threshold_otsu

    known = np.isfinite(background) & np.isfinite(noise)
    values, spread = background[known], noise[known]
    if len(values) < 2 or values.max() <= values.min():
        return -np.inf
    quiet = max(float(np.median(spread[values <= np.quantile(values, 0.25)])), 1e-9)
    scale = np.log1p((values - values.min()) / quiet)
    dark = scale <= threshold_otsu(scale)
    if dark.all() or np.median(values[~dark]) - np.median(values[dark]) < CLEAR * quiet:
        return -np.inf
    low, high = float(np.median(scale[dark])), float(np.median(scale[~dark]))
    third = (high - low) / 3
    if ((scale > low + third) & (scale < high - third)).mean() > VALLEY:
        return -np.inf
    return float((values[dark].max() + values[~dark].min()) / 2)


def tissue_share(background: Floats, level: float) -> float:
    """Return the share of a cube's cells that are tissue."""
    return float((background > level).mean())

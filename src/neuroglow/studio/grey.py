"""Grey levels of a volume, from a few boxes spread over it: how it is first shown."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from statistics import median

import numpy as np

from neuroglow.imaging.cells import measure_cell
from neuroglow.space.geometry import Box
from neuroglow.studio.volumes import Shown

__all__ = ["Grey", "grey_of"]

SIDE, ALONG = 32, 3
"""Voxels along the side of a box, and boxes along each axis."""

FAINT, BRIGHT = 2.0, 99.8
"""Noise below the background that is black; percentile that is white."""


@dataclass(frozen=True)
class Grey:
    """Background and noise (grey levels; None: not known), and the levels of black and white."""

    background: float | None
    noise: float | None
    low: float
    high: float


def grey_of(shown: Shown) -> Grey:
    """Measure a volume; a probability is shown from 0 to 1, or to 255, a label to 2."""
    if shown.kind == "probability":
        top = 255.0 if shown.volume.dtype == np.uint8 else 1.0
        return Grey(None, None, 0.0, top)
    if shown.kind == "label":
        return Grey(None, None, 0.0, 2.0)
    samples = [shown.read(0, box) for box in _boxes(shown.levels[0].shape)]
    cells = [measure_cell(voxels) for voxels in samples]
    known = [(b, n) for b, n in cells if np.isfinite(b) and np.isfinite(n)]
    values = np.concatenate([voxels.ravel() for voxels in samples])
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    high = float(np.percentile(values, BRIGHT)) if values.size else 1.0
    if not known:
        return Grey(None, None, 0.0, high or 1.0)
    background, noise = median(b for b, _ in known), median(n for _, n in known)
    low = background - FAINT * noise
    return Grey(background, noise, low, max(high, low + 1e-6, background + 6 * noise))


def _boxes(shape: tuple[int, int, int]) -> list[Box]:
    """Spread small boxes over a volume."""
    starts = [
        sorted({max(0, (2 * i + 1) * n // (2 * ALONG) - SIDE // 2) for i in range(ALONG)})
        for n in shape
    ]
    return [
        Box((z, y, x), (min(z + SIDE, shape[0]), min(y + SIDE, shape[1]), min(x + SIDE, shape[2])))
        for z, y, x in itertools.product(*starts)
    ]

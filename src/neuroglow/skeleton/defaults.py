"""The tracer's defaults."""

from __future__ import annotations

from typing import Literal

import numpy as np

from neuroglow.space.volume import VoxelSize

__all__ = [
    "CROSSING_ANGLE",
    "DEFAULT_VOX",
    "GAP_ANGLE",
    "GAP_PROBABILITY",
    "LOW_SHARE",
    "SMOOTH_VOX",
    "SOMA_UM",
    "Lines",
    "default_lengths",
]

Lines = Literal["thinning", "kimimaro"]
"""Method for middle lines: our thinning, block by block; or an extra, on the whole volume."""

LOW_SHARE = 0.6
"""Ratio of the lower threshold to the upper one."""

DEFAULT_VOX = {"spur": 5.0, "gap": 10.0, "min_length": 15.0, "step": 2.0}
"""Lengths in voxels (the geometric mean of their three sides)."""

CROSSING_ANGLE, GAP_ANGLE = 75.0, 40.0
"""Degrees by which a fibre may bend at a crossing, and a bridge at its ends."""

GAP_PROBABILITY = 0.1
"""Minimum mean evidence along a bridge."""

SOMA_UM, SMOOTH_VOX = 5.0, 1.5
"""Radius of a soma; standard deviation of the smoothing of lines."""


def default_lengths(unit_um: VoxelSize) -> dict[str, float]:
    """Return the lengths in micrometres, from the size of a voxel."""
    side = float(np.prod(unit_um)) ** (1 / 3)
    return {name: vox * side for name, vox in DEFAULT_VOX.items()}

"""A volume read inverted: dark structures on a bright background become bright on dark.

Noise units subtract the background, so nothing needs to be known of the brightest voxel, and
each box is inverted by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array, Volume, VoxelSize
from neuroglow.space.writing import hash_of

__all__ = ["InvertedVolume", "as_stored", "is_inverted"]


@dataclass(frozen=True, eq=False)
class InvertedVolume:
    """Another volume with dark and bright exchanged, in the same type; place and size stay."""

    stored: Volume

    @property
    def name(self) -> str:
        """The name of the volume that is stored."""
        return self.stored.name

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self.stored.dtype

    @property
    def voxel_size_um(self) -> VoxelSize | None:
        """Micrometres along z, y and x."""
        return self.stored.voxel_size_um

    @property
    def origin_vox(self) -> Zyx:
        """Where its first voxel lies in the volume of which it was cut."""
        origin: Zyx = getattr(self.stored, "origin_vox", (0, 0, 0))
        return origin

    @property
    def stage_vox(self) -> tuple[float, float, float]:
        """Where the stage of the microscope stood."""
        stage: tuple[float, float, float] = getattr(self.stored, "stage_vox", (0.0, 0.0, 0.0))
        return stage

    @property
    def piece_bytes(self) -> int:
        """Bytes of a piece of its file, which is decoded whole."""
        return int(getattr(self.stored, "piece_bytes", 0))

    @property
    def identity(self) -> str:
        """Another than that of the volume that is stored."""
        return hash_of("inverted", self.stored.identity)

    def read(self, box: Box) -> Array:
        """Read a box, inverted."""
        return _inverted(self.stored.read(box))


def is_inverted(volume: Volume) -> bool:
    """Tell whether a volume is read inverted."""
    return isinstance(volume, InvertedVolume)


def as_stored(voxels: Array, volume: Volume) -> Array:
    """Give voxels that were read of a volume as they are stored."""
    return _inverted(voxels) if is_inverted(volume) else voxels


def _inverted(voxels: Array) -> Array:
    """Exchange dark and bright, exactly: twice gives what was there; NaN stays NaN."""
    return np.negative(voxels) if voxels.dtype.kind == "f" else np.invert(voxels)

"""A volume read within a mask: what lies outside the tissue is 0, and is not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.tissue_mask import TissueMask
from neuroglow.space.volume import Array, Volume, VoxelSize
from neuroglow.space.writing import hash_of

__all__ = ["MaskedVolume"]


@dataclass(frozen=True, eq=False)
class MaskedVolume:
    """Another volume that is 0 outside a mask; boxes outside are not read."""

    stored: Volume
    within: TissueMask

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
    def piece_bytes(self) -> int:
        """Bytes of a piece of its file, which is decoded whole."""
        return int(getattr(self.stored, "piece_bytes", 0))

    @property
    def identity(self) -> str:
        """Another than that of the volume that is stored, and of another mask."""
        return hash_of(self.within.identity, self.stored.identity)

    def read(self, box: Box) -> Array:
        """Read a box; 0 outside the mask."""
        if not self.within.touches(box):
            return np.zeros(box.shape, self.dtype)
        voxels = self.stored.read(box)
        voxels[~self.within.read(box)] = 0
        return voxels

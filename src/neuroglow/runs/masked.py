"""A volume read within a mask: what lies outside the tissue is 0, and is not read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroglow.files.writing import hash_of
from neuroglow.runs.tissue_mask import TissueMask
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Changed

__all__ = ["MaskedVolume"]


@dataclass(frozen=True, eq=False)
class MaskedVolume(Changed):
    """Another volume that is 0 outside a mask; boxes outside are not read."""

    within: TissueMask

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

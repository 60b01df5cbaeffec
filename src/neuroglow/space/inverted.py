"""A volume read inverted: dark structures on a bright background become bright on dark.

Noise units subtract the background, so nothing needs to be known of the brightest voxel, and
each box is inverted by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroglow.files.writing import hash_of
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Changed, Volume

__all__ = ["InvertedVolume", "as_stored", "is_inverted"]


@dataclass(frozen=True, eq=False)
class InvertedVolume(Changed):
    """Another volume with dark and bright exchanged, in the same type."""

    @property
    def identity(self) -> str:
        """Another than that of the volume that is stored."""
        return hash_of("inverted", self.stored.identity)

    def read(self, box: Box) -> Array:
        """Read a box, inverted."""
        return _inverted(self.stored.read(box))


def is_inverted(volume: Volume) -> bool:
    """Tell whether a volume is read inverted."""
    if isinstance(volume, InvertedVolume):
        return True
    return isinstance(volume, Changed) and is_inverted(volume.stored)


def as_stored(voxels: Array, volume: Volume) -> Array:
    """Give voxels that were read of a volume as they are stored."""
    return _inverted(voxels) if is_inverted(volume) else voxels


def _inverted(voxels: Array) -> Array:
    """Exchange dark and bright, exactly: twice gives what was there; NaN stays NaN."""
    return np.negative(voxels) if voxels.dtype.kind == "f" else np.invert(voxels)

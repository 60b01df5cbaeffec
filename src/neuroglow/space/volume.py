"""The Volume protocol, and the two doors to it: open_volume and create_volume."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.geometry import Box, Zyx

__all__ = ["Array", "Volume", "WritableVolume"]

Array = NDArray[Any]


@runtime_checkable
class Volume(Protocol):
    """A 3D image of which any box can be read; zyx; picklable (it sends its path, no voxels)."""

    @property
    def name(self) -> str:
        """What messages call it: a path, or `array`."""

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels that `read` returns."""

    @property
    def voxel_size_um(self) -> tuple[float, float, float] | None:
        """Micrometres along z, y and x; None when neither metadata nor user says."""

    @property
    def identity(self) -> str:
        """A hash that changes when the voxels may have: it makes a run's fingerprint."""

    def read(self, box: Box) -> Array:
        """Read a box that lies inside the volume as a fresh C-contiguous zyx array."""


@runtime_checkable
class WritableVolume(Volume, Protocol):
    """A volume that is written block by block, each block a whole number of its shards."""

    @property
    def block_shape(self) -> Zyx:
        """The unit of writing: one task writes whole units, and no two write the same."""

    def write(self, box: Box, voxels: Array) -> None:
        """Write one box; it starts on the grid of block_shape, and ends on it or at a face."""

"""What volumes that are kept as an array in chunks have in common: an OME-Zarr, an N5."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neuroglow.space.axes import InFile
from neuroglow.space.volume import check_dtype

__all__ = ["Chunked"]


class Chunked(InFile):
    """A volume at a path, whose array has its own axes, type and chunks."""

    @property
    def kept_dtype(self) -> np.dtype[Any]:
        """Type of the voxels as they are stored."""
        raise NotImplementedError

    @property
    def kept_chunk(self) -> tuple[int, ...]:
        """Shape of a chunk as it is stored, in the order of the array's axes."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels that `read` returns."""
        return check_dtype(self.kept_dtype, self.name)

    @property
    def piece_bytes(self) -> int:
        """Bytes of a chunk when it is decoded, which is done whole."""
        return math.prod(self.kept_chunk) * self.kept_dtype.itemsize

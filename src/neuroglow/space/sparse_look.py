"""A coarse look at a volume that has no pyramid: a few of its planes are read, and averaged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array, Volume, VoxelSize

__all__ = ["SparseLook", "plan_look"]

CELLS, LEAST, MOST = 16, 4, 64
"""Coarse voxels along the shortest side; and the fewest and most voxels in one of them."""

AT_ONCE = 2**26
"""Voxels that are read at a time."""


@dataclass(frozen=True)
class SparseLook:
    """A coarse image (float32): in each coarse voxel the mean over one plane in its middle.

    step: voxels of the volume in a coarse voxel, zyx. It is a Volume itself.
    """

    volume: Volume
    step: Zyx

    @property
    def name(self) -> str:
        """The name of the volume."""
        return self.volume.name

    @property
    def shape(self) -> Zyx:
        """Coarse voxels along z, y and x; the last of each axis may be cut off."""
        z, y, x = (-(-n // s) for n, s in zip(self.volume.shape, self.step, strict=True))
        return z, y, x

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Type of the means."""
        return np.dtype(np.float32)

    @property
    def voxel_size_um(self) -> VoxelSize | None:
        """Size of a coarse voxel."""
        if (size := self.volume.voxel_size_um) is None:
            return None
        z, y, x = (a * b for a, b in zip(size, self.step, strict=True))
        return z, y, x

    @property
    def identity(self) -> str:
        """That of the volume, and of the look."""
        return f"{self.volume.identity} by {self.step}"

    @property
    def voxels_read(self) -> int:
        """Voxels of the volume that are read for the whole look."""
        return self.shape[0] * self.volume.shape[1] * self.volume.shape[2]

    def read(self, box: Box) -> Array:
        """Read a box of coarse voxels (zyx)."""
        means = np.empty(box.shape, np.float32)
        rows = max(1, AT_ONCE // (self.step[1] * self.volume.shape[2]))
        for z in range(*_ends(box, 0)):
            for first in range(box.start[1], box.stop[1], rows):
                last = min(first + rows, box.stop[1])
                part = slice(first - box.start[1], last - box.start[1])
                means[z - box.start[0], part] = self._means(z, (first, last), _ends(box, 2))
        return means

    def _means(self, z: int, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
        """Average one plane within coarse rows and columns."""
        depth, height, width = self.volume.shape
        plane = min(z * self.step[0] + self.step[0] // 2, depth - 1)
        (top, bottom), (left, right) = (
            (a * step, min(b * step, n))
            for (a, b), step, n in zip((rows, columns), self.step[1:], (height, width), strict=True)
        )
        voxels = self.volume.read(Box((plane, top, left), (plane + 1, bottom, right)))[0]
        sums = np.nan_to_num(voxels.astype(np.float64))
        counts = np.ones(sums.shape[:1]), np.ones(sums.shape[1:])
        for axis, step in enumerate(self.step[1:]):
            sums = np.add.reduceat(sums, np.arange(0, sums.shape[axis], step), axis=axis)
        count = [
            np.add.reduceat(one, np.arange(0, len(one), step))
            for one, step in zip(counts, self.step[1:], strict=True)
        ]
        return np.asarray(sums / np.outer(*count), np.float32)


def _ends(box: Box, axis: int) -> tuple[int, int]:
    return box.start[axis], box.stop[axis]


def plan_look(volume: Volume) -> SparseLook:
    """Choose coarse voxels about as long along z, y and x, at most MOST voxels each."""
    size = volume.voxel_size_um or (1.0, 1.0, 1.0)
    extents = [n * s for n, s in zip(volume.shape, size, strict=True)]
    edge = max(min(extents) / CELLS, LEAST * min(size))
    edge = min(edge, MOST * min(size))
    z, y, x = (max(1, math.floor(edge / s)) for s in size)
    return SparseLook(volume, (z, y, x))

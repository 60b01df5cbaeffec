"""Levels of a volume in a view: those that its file has, and coarser ones made when first seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from neuroglow.space.geometry import Box, Zyx, tile
from neuroglow.space.pyramid import plan_levels
from neuroglow.space.volume import Array, Volume, VolumeSpec, VoxelSize

__all__ = ["CHUNK", "Level", "MadeLevel", "StoredLevel", "plan_pyramid"]

CHUNK: Zyx = (64, 64, 64)
"""Voxels of a chunk of a view."""

DEEP = 2**28
"""Voxels of a volume above which a plane of a coarser level is made of few of its planes."""

FEW = 2
"""Planes of a deep volume that a plane of a coarser level is made of: more would take minutes."""


class Level(Protocol):
    """One level of a view: its shape, and how many of the finest voxels one of its has, zyx."""

    @property
    def shape(self) -> Zyx:
        """Voxels, zyx."""

    @property
    def factors(self) -> tuple[float, float, float]:
        """How many of the finest voxels lie along each side of one of its voxels."""

    @property
    def stored(self) -> bool:
        """Whether it is read from the volume as it is."""

    def read(self, box: Box) -> Array:
        """Read a box."""


@dataclass(frozen=True)
class StoredLevel:
    """A level that the file has. check: raises an error if a box may not be read."""

    volume: Volume
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    check: Callable[[Volume, Box], None] = lambda volume, box: None
    stored = True

    @property
    def shape(self) -> Zyx:
        """Voxels, zyx."""
        return self.volume.shape

    def read(self, box: Box) -> Array:
        """Read a box, whose files are checked first."""
        self.check(self.volume, box)
        return self.volume.read(box)


@dataclass(frozen=True)
class MadeLevel:
    """A level that the file lacks: means (of labels: single voxels) of the finest that it has.

    steps: how many voxels of `finest` lie along each side of one of this level. planes: of these
    along z that are read. tile: voxels of `finest` that are read at a time.
    """

    finest: StoredLevel
    steps: Zyx
    planes: int
    tile: Zyx
    nearest: bool
    stored = False

    @property
    def shape(self) -> Zyx:
        """Voxels, zyx."""
        z, y, x = (-(-n // s) for n, s in zip(self.finest.shape, self.steps, strict=True))
        return z, y, x

    @property
    def factors(self) -> tuple[float, float, float]:
        """How many of the finest voxels lie along each side of one of its voxels."""
        z, y, x = (a * b for a, b in zip(self.finest.factors, self.steps, strict=True))
        return z, y, x

    def read(self, box: Box) -> Array:
        """Make a box, from a few boxes of the finest level."""
        out: Array | None = None
        z, y, x = (max(1, t // s) for t, s in zip(self.tile, self.steps, strict=True))
        for block in tile(box, (z, y, x)):
            part = self._coarser(block.write)
            out = np.zeros(box.shape, part.dtype) if out is None else out
            out[block.write.relative_to(box).slices] = part
        assert out is not None, "a box that is read holds voxels"
        return out

    def _coarser(self, box: Box) -> Array:
        """Make a small box."""
        fine = Box(_times(box.start, self.steps), _times(box.stop, self.steps))
        fine = fine.intersect(Box.of(self.finest.shape))
        if self.nearest or self.planes < self.steps[0]:
            return self._of_planes(box, fine)
        return _means(self.finest.read(fine), self.steps)

    def _of_planes(self, box: Box, fine: Box) -> Array:
        """Make it from some of the planes along z: the middle ones of each step."""
        step, count = self.steps[0], 1 if self.nearest else self.planes
        rows = []
        for z in range(box.start[0], box.stop[0]):
            first = min(z * step + (0 if self.nearest else (step - count) // 2), fine.stop[0] - 1)
            stop = min(first + count, fine.stop[0])
            plane = Box((first, *fine.start[1:]), (stop, *fine.stop[1:]))
            voxels = self.finest.read(plane)
            rows.append(
                voxels[:, :: self.steps[1], :: self.steps[2]]
                if self.nearest
                else _means(voxels, (count, *self.steps[1:]))
            )
        return np.concatenate(rows)


def plan_pyramid(
    stored: Sequence[StoredLevel], size: VoxelSize | None, *, nearest: bool
) -> list[Level]:
    """Plan the levels of a view: those stored, and below the coarsest of them made ones.

    size: of the finest voxels, zyx, micrometres.
    """
    last = stored[-1]
    scaled = tuple(a * b for a, b in zip(size or (1.0, 1.0, 1.0), last.factors, strict=True))
    spec = VolumeSpec(last.shape, last.volume.dtype, (scaled[0], scaled[1], scaled[2]), CHUNK)
    levels: list[Level] = [*stored]
    for level in plan_levels(spec)[1:]:
        levels.append(_made(last, level.factors, nearest=nearest))
    return levels


def _made(last: StoredLevel, steps: Zyx, *, nearest: bool) -> MadeLevel:
    deep = math.prod(last.shape) > DEEP and not _is_chunked(last.volume)
    planes = min(FEW, steps[0]) if deep else steps[0]
    z, y, x = (max(128, s) for s in steps)
    whole = (z, y, x) if _is_chunked(last.volume) else (max(16, steps[0]), 2**20, 2**20)
    return MadeLevel(last, steps, planes, whole, nearest)


def _is_chunked(volume: Volume) -> bool:
    """Return whether a volume is kept in chunks, not in planes."""
    return type(volume).__name__ in ("OmeZarrVolume", "NewOmeZarr", "Hdf5Volume")


def _times(place: Zyx, steps: Zyx) -> Zyx:
    z, y, x = (a * b for a, b in zip(place, steps, strict=True))
    return z, y, x


def _means(voxels: Array, steps: Zyx) -> Array:
    """Take means over `steps` voxels along each axis; the last may be of fewer."""
    means: Array = voxels.astype(np.float32)
    for axis, step in enumerate(steps):
        if step > 1:
            starts = np.arange(0, means.shape[axis], step)
            counts = np.diff([*starts, means.shape[axis]]).astype(np.float32)
            shape = [-1 if i == axis else 1 for i in range(3)]
            means = np.add.reduceat(means, starts, axis=axis) / counts.reshape(shape)
    if voxels.dtype.kind in "ui":
        means = np.rint(means)
    return means.astype(voxels.dtype)

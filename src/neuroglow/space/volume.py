"""The Volume protocol, volumes in memory, and checks that every backend shares."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, ReadError
from neuroglow.files.remarks import remark
from neuroglow.files.writing import hash_of
from neuroglow.space.geometry import Box, Zyx

__all__ = [
    "KINDS",
    "Array",
    "ArrayVolume",
    "Changed",
    "Choice",
    "Compression",
    "Specified",
    "Volume",
    "VolumeSpec",
    "VoxelSize",
    "WritableVolume",
    "check_dtype",
    "check_finite",
    "check_inside",
    "without_holes",
]

Array = NDArray[Any]
VoxelSize = tuple[float, float, float]
Compression = Literal["zstd", "lz4", "zlib", "none"]


KINDS = (
    "TIFF (.tif), a folder of TIFF slices, OME-Zarr (.zarr), HDF5 (.h5), BigDataViewer (.xml), "
    "Imaris (.ims); with an extra NRRD, NIfTI, MRC, Vaa3D, .nd2, .lif"
)


@runtime_checkable
class Volume(Protocol):
    """A 3D image of which any box can be read; zyx; picklable (as its path, without voxels)."""

    @property
    def name(self) -> str:
        """Its name in messages: a path, or `array`."""

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels that `read` returns."""

    @property
    def voxel_size_um(self) -> VoxelSize | None:
        """Micrometres along z, y and x; None if neither metadata nor user gives them."""

    @property
    def identity(self) -> str:
        """A hash that changes when the voxels may have changed; part of a run's fingerprint."""

    def read(self, box: Box) -> Array:
        """Read a box inside the volume as a fresh C-contiguous zyx array."""


@runtime_checkable
class WritableVolume(Volume, Protocol):
    """A volume that is written block by block, each block a whole number of its shards."""

    @property
    def block_shape(self) -> Zyx:
        """The unit of writing: one task writes whole units, and no two tasks write the same."""

    def write(self, box: Box, voxels: Array) -> None:
        """Write one box; it starts on the grid of block_shape, and ends on it or at a face."""

    def files(self, box: Box) -> Sequence[Path]:
        """Name the files that hold a box, whether they are there or not; none if in memory."""


@dataclass(frozen=True)
class Choice:
    """A person's choices for a file with more than one volume, or with incomplete metadata."""

    channel: int | None = None
    time: int | None = None
    voxel_size_um: VoxelSize | None = None


@dataclass(frozen=True)
class VolumeSpec:
    """Properties of a new volume; block_shape is a multiple of chunk_shape.

    coarser: how the levels of a pyramid are made; labels cannot be averaged.
    compression: of the chunks; effort: 1 (fast) to 9 (small).
    """

    shape: Zyx
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    block_shape: Zyx
    chunk_shape: Zyx = (64, 64, 64)
    origin_vox: Zyx = (0, 0, 0)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    coarser: Literal["mean", "nearest"] = "mean"
    compression: Compression = "zstd"
    effort: int = 3


@dataclass(frozen=True)
class Specified:
    """A new volume, which is what its specification says."""

    spec: VolumeSpec

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        return self.spec.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self.spec.dtype

    @property
    def voxel_size_um(self) -> VoxelSize | None:
        """Micrometres along z, y and x."""
        return self.spec.voxel_size_um

    @property
    def block_shape(self) -> Zyx:
        """The shard: two tasks that write parts of one would lose data."""
        return self.spec.block_shape


@dataclass(frozen=True, eq=False)
class Changed:
    """Another volume whose voxels are changed when they are read; place and size stay."""

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


@dataclass(frozen=True, eq=False)
class ArrayVolume:
    """A volume in memory, readable and writable."""

    voxels: Array
    voxel_size_um: VoxelSize | None = None
    name: str = "array"

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        z, y, x = self.voxels.shape
        return z, y, x

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return self.voxels.dtype.newbyteorder("=")

    @property
    def block_shape(self) -> Zyx:
        """Any voxel can be written by itself."""
        return (1, 1, 1)

    @cached_property
    def identity(self) -> str:
        """Hash of the voxels themselves, computed when first needed."""
        content = hashlib.sha256(np.ascontiguousarray(self.voxels).tobytes()).hexdigest()
        return hash_of(content, self.shape, str(self.dtype))

    def read(self, box: Box) -> Array:
        """Copy a box."""
        check_inside(box, self.shape)
        return np.array(self.voxels[box.slices], self.dtype, order="C")

    def write(self, box: Box, voxels: Array) -> None:
        """Write a box."""
        self.voxels[box.slices] = voxels

    def files(self, box: Box) -> Sequence[Path]:
        """Name no files."""
        return ()


def check_inside(box: Box, shape: Zyx) -> None:
    """Refuse a box that leaves the volume: an error of the program, not of its user."""
    if not Box.of(shape).contains(box) or not box.size:
        raise ValueError(f"box {box} is empty or leaves the volume {Box.of(shape)}")


def check_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Return the native form of a type of voxels; raises InputError for complex, text and such."""
    if dtype.kind not in "uifb":
        raise InputError("voxels are whole or real numbers", found=str(dtype), where=name)
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def check_finite(voxels: Array, volume: Volume, box: Box) -> None:
    """Refuse non-finite voxels; `box` is the place in the volume where they were read.

    Raises ReadError with the place of the first.
    """
    if voxels.dtype.kind != "f" or np.isfinite(voxels).all():
        return
    bad = np.argwhere(~np.isfinite(voxels))
    first = ",".join(str(int(v)) for v in bad[0] + box.start)
    raise ReadError(
        "voxels must be finite numbers",
        found=f"{len(bad)} NaN or infinite in one block, the first at voxel {first}",
        where=f"{volume.name} [{box}]",
        cure="replace them, for example with numpy.nan_to_num, in a copy",
    )


def without_holes(voxels: Array, volume: Volume) -> Array:
    """Read voxels of a probability that are NaN or infinite as 0: masked. This is said once."""
    if voxels.dtype.kind != "f" or np.isfinite(voxels).all():
        return voxels
    remark(f"voxels of NaN or infinite are read as 0 in {volume.name}")
    return np.nan_to_num(voxels, nan=0, posinf=0, neginf=0)

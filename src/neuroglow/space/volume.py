"""The Volume protocol, and its doors: open_volume, find_volumes, create_volume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, ReadError, SettingsError, WriteError
from neuroglow.space.geometry import Box, Zyx

__all__ = [
    "Array",
    "ArrayVolume",
    "Choice",
    "Volume",
    "VolumeSpec",
    "VoxelSize",
    "WritableVolume",
    "appearing",
    "check_dtype",
    "check_finite",
    "create_volume",
    "find_volumes",
    "hash_of",
    "open_volume",
    "writing",
]

Array = NDArray[Any]
VoxelSize = tuple[float, float, float]

SMALLEST_UM, LARGEST_UM = 1e-6, 1e6
"""Of the side of a voxel: a picometre to a metre; beyond it a size is a mistake."""

KINDS = "TIFF (.tif), a folder of TIFF slices, OME-Zarr (.zarr), HDF5 (.h5), Imaris (.ims)"


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
    def voxel_size_um(self) -> VoxelSize | None:
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


@dataclass(frozen=True)
class Choice:
    """What a person chooses of a file that holds more than one volume, or says too little."""

    channel: int | None = None
    time: int | None = None
    voxel_size_um: VoxelSize | None = None


@dataclass(frozen=True)
class VolumeSpec:
    """What a new volume is like; block_shape is a multiple of chunk_shape.

    coarser: how the levels of a pyramid are made; labels have no mean.
    """

    shape: Zyx
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    block_shape: Zyx
    chunk_shape: Zyx = (64, 64, 64)
    origin_vox: Zyx = (0, 0, 0)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    coarser: Literal["mean", "nearest"] = "mean"


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
        """Hash of the voxels themselves, when first asked for."""
        content = hashlib.sha256(np.ascontiguousarray(self.voxels).tobytes()).hexdigest()
        return hash_of(content, self.shape, str(self.dtype))

    def read(self, box: Box) -> Array:
        """Copy a box."""
        check_inside(box, self.shape)
        return np.array(self.voxels[box.slices], self.dtype, order="C")

    def write(self, box: Box, voxels: Array) -> None:
        """Write a box."""
        self.voxels[box.slices] = voxels


def open_volume(
    source: Array | str | Path,
    *,
    channel: int | None = None,
    time: int | None = None,
    voxel_size_um: Sequence[float] | None = None,
) -> Volume:
    """Open a 3D image for reading by boxes.

    source: an array (zyx); a TIFF file; a folder of TIFF slices in natural order; an OME-Zarr
        0.4 or 0.5 (its finest level) or a bare zarr array; HDF5 (`file.h5::/dataset` where
        there are several); Imaris .ims.
    channel, time: needed where such an axis is longer than one.
    voxel_size_um: zyx, instead of what the metadata says.

    Raises InputError when there is no such volume (missing, 2D, RGB, no known kind, slices
    that differ), ReadError when the file is truncated, SettingsError for a wrong voxel size.
    """
    choice = Choice(channel, time, _checked_voxel_size(voxel_size_um))
    if isinstance(source, np.ndarray):
        return _open_array(source, choice)
    path = Path(str(source).split("::")[0])
    if not path.exists():
        raise InputError(
            "the input must exist", found="nothing there", where=str(path), cure="check the path"
        )
    kind = path.suffix.lower()
    if path.is_dir():
        if _is_zarr(path):
            from neuroglow.space.ome_zarr import open_ome_zarr

            return open_ome_zarr(path, choice)
        from neuroglow.space.tiff import open_slices

        return open_slices(path, choice)
    if kind in (".h5", ".hdf5", ".hdf", ".ims"):
        from neuroglow.space.hdf5 import open_hdf5

        return open_hdf5(str(source), choice)
    from neuroglow.space.tiff import open_tiff

    return open_tiff(path, choice)


def find_volumes(source: str | Path) -> list[str | Path]:
    """List the volumes that `source` stands for: itself, or those in a folder of volumes.

    A folder of volumes holds files of several planes each, directly or in `image/`
    (DB-Enhance's layout); a folder of single-plane slices is one volume.
    """
    path = Path(source)
    if not path.is_dir() or _is_zarr(path):
        return [source]
    folder = path / "image" if (path / "image").is_dir() else path
    from neuroglow.space.tiff import is_stack, natural, tiffs_in

    others = [f for f in folder.iterdir() if f.suffix.lower() in (".zarr", ".h5", ".hdf5", ".ims")]
    stacks = tiffs_in(folder)
    if others or (stacks and (folder != path or is_stack(stacks[0]))):
        found: list[str | Path] = [*sorted([*stacks, *others], key=natural)]
        return found
    return [folder]


def create_volume(path: str | Path, spec: VolumeSpec, *, resume: bool = False) -> Any:
    """Create an OME-Zarr 0.5 at `path`; it appears there when its `finish()` has been called.

    resume: go on with an unfinished one of the same spec.
    Raises OutputError when `path` exists, WriteError when it cannot be written.
    """
    from neuroglow.space.ome_zarr import create_ome_zarr

    return create_ome_zarr(Path(path), spec, resume=resume)


def check_inside(box: Box, shape: Zyx) -> None:
    """Refuse a box that leaves the volume: a fault of the program, not of its user."""
    if not Box.of(shape).contains(box) or not box.size:
        raise ValueError(f"box {box} is empty or leaves the volume {Box.of(shape)}")


def check_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Give the native form of a type of voxels; raises InputError for complex, text and such."""
    if dtype.kind not in "uifb":
        raise InputError("voxels are whole or real numbers", found=str(dtype), where=name)
    return np.dtype(np.uint8) if dtype.kind == "b" else dtype.newbyteorder("=")


def check_finite(voxels: Array, volume: Volume, box: Box) -> None:
    """Refuse voxels that are no finite numbers; `box` is where in the volume they were read.

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


def hash_of(*parts: object) -> str:
    """Hash some plain values."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors while writing `path` into WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            "the output must be writable, on a disk with room",
            found=str(error),
            where=str(path),
            cure="another -o, other permissions, or a larger disk (then --resume, if offered)",
        ) from error


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give a file to write that takes the place of `path` at the end: whole or not at all.

    Raises WriteError where it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _open_array(voxels: Array, choice: Choice) -> ArrayVolume:
    if voxels.ndim != 3 or not voxels.size:
        raise InputError(
            "a volume has three axes, z, y and x, none of them empty",
            found=f"an array of shape {voxels.shape}",
            where="array",
            cure="array[None] makes one plane a volume; choose one channel of several",
        )
    check_dtype(voxels.dtype, "array")
    plain = voxels.view(np.uint8) if voxels.dtype.kind == "b" else voxels
    return ArrayVolume(plain, choice.voxel_size_um)


def _checked_voxel_size(given: Sequence[float] | None) -> VoxelSize | None:
    if given is None:
        return None
    values = tuple(float(v) for v in given)
    if len(values) != 3 or not all(SMALLEST_UM <= v <= LARGEST_UM for v in values):
        raise SettingsError(
            "a voxel size is three positive numbers, micrometres along z, y and x",
            found=",".join(f"{v:g}" for v in values),
            where="--voxel-size",
        )
    return values[0], values[1], values[2]


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))

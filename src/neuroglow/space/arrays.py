"""Volumes from arrays: NumPy's, and anything that NumPy can convert to an array.

Arrays that can be read by box (zarr, dask, h5py, xarray) are not copied: each block reads
its own box. All others become one NumPy array.

Axes: z, y, x. Before or after them a channel axis, of which `channel` selects one; before them a
time axis (`time`); an array with both is t, c, z, y, x. Names that the array brings (xarray)
take precedence if they are z, y, x, channel and time, or their initials.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from neuroglow.errors import InputError, ReadError
from neuroglow.files.remote import RemotePath
from neuroglow.files.writing import hash_of
from neuroglow.space.axes import choose_axes
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import (
    Array,
    ArrayVolume,
    Choice,
    Volume,
    VoxelSize,
    check_dtype,
    check_inside,
)

__all__ = ["LazyArray", "VolumeSource", "is_path", "open_array", "require_path"]

VolumeSource = str | Path | RemotePath | Volume | npt.ArrayLike
"""A volume that is named, opened, or an array of any kind that NumPy understands."""

SLAB = 64
"""Number of planes that are hashed together."""

NAMES = {"c": "C", "channel": "C", "channels": "C", "t": "T", "time": "T"}
NAMES |= {"z": "Z", "y": "Y", "x": "X"}


def is_path(source: object) -> TypeGuard[str | Path]:
    """Return whether a source names a file, and is not an array."""
    return isinstance(source, str | os.PathLike)


def require_path(source: object, what: str) -> Path:
    """Accept paths of files; raises InputError for an array, which a table cannot name."""
    if is_path(source):
        return Path(source)
    raise InputError(
        f"{what} is the path of a file or folder",
        found=f"{type(source).__module__}.{type(source).__qualname__}",
        where="array",
        cure="save the array first, for example by tifffile.imwrite",
    )


def open_array(source: Any, choice: Choice) -> Volume:
    """Open an array: NumPy's, a tensor, zarr, dask, h5py, xarray, or nested lists.

    Raises InputError if NumPy cannot convert it, or if its axes are ambiguous.
    """
    voxels = _lazy(source) if _is_read_by_box(source) else _numpy(source)
    check_dtype(np.dtype(voxels.dtype), "array")
    if 0 in voxels.shape:
        raise _no_volume(voxels.shape)
    axes = choose_axes(_axes(voxels, choice), voxels.shape, choice, "array")
    if isinstance(voxels, np.ndarray):
        plain = voxels.view(np.uint8) if voxels.dtype.kind == "b" else voxels
        index = tuple(slice(None) if i is None else i for i in axes.index)
        return ArrayVolume(plain[index], choice.voxel_size_um)
    return LazyArray(voxels, axes.index, axes.shape, choice.voxel_size_um)


@dataclass(frozen=True, eq=False)
class LazyArray:
    """An array that is read by box without being copied: zarr, dask, h5py, xarray.

    index: for each axis a fixed index, or None for z, y and x.
    """

    voxels: Any
    index: tuple[int | None, ...]
    shape: Zyx
    voxel_size_um: VoxelSize | None = None
    name: str = "array"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""
        return check_dtype(np.dtype(self.voxels.dtype), self.name)

    @cached_property
    def identity(self) -> str:
        """Hash of the voxels themselves, computed when first needed by reading them once."""
        content = hashlib.sha256()
        for start in range(0, self.shape[0], SLAB):
            stop = (min(start + SLAB, self.shape[0]), *self.shape[1:])
            content.update(self.read(Box((start, 0, 0), stop)).data)
        return hash_of(content.hexdigest(), self.shape, str(self.dtype))

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if the array fails."""
        check_inside(box, self.shape)
        places = iter(box.slices)
        at = tuple(next(places) if i is None else i for i in self.index)
        try:
            return np.array(self.voxels[at], self.dtype, order="C")
        except Exception as error:  # a lazy computation can raise anything
            raise ReadError(
                "the voxels of an array must be readable",
                found=f"{type(error).__name__}: {error}"[:200],
                where=f"{self.name} [{box}]",
            ) from error


def _is_read_by_box(source: Any) -> bool:
    """Return whether an array should be read by box: it has a shape, and is not in memory.

    A torch tensor is in memory, and becomes a NumPy array without a copy.
    """
    lazy = all(hasattr(source, name) for name in ("shape", "dtype", "ndim", "__getitem__"))
    return lazy and not isinstance(source, np.ndarray | np.generic) and _has_numpy_type(source)


def _has_numpy_type(source: Any) -> bool:
    try:
        np.dtype(source.dtype)
    except TypeError:
        return False
    return True


def _lazy(source: Any) -> Any:
    """Prepare an array that is read by box: read its first voxel, put z, y and x in order.

    Raises InputError if NumPy cannot convert it.
    """
    try:
        if 0 not in source.shape:
            np.asarray(source[(0,) * source.ndim])
    except Exception as error:  # an object's own conversion can raise anything
        raise _no_array(source, str(error)) from None
    dims = tuple(getattr(source, "dims", ()))
    letters = [_letter(name) for name in dims]
    if {"Z", "Y", "X"} <= set(letters):
        return source.transpose(*sorted(dims, key=lambda name: "TCZYX?".index(_letter(name))))
    return source


def _letter(name: object) -> str:
    return NAMES.get(str(name).lower(), "?")


def _numpy(source: Any) -> Array:
    """Make a NumPy array; raises InputError with an explanation if there is none to make."""
    if isinstance(source, np.ma.MaskedArray) and np.ma.is_masked(source):
        raise InputError(
            "each voxel has a value",
            found=f"a masked array with {int(np.sum(source.mask))} masked voxels",
            where="array",
            cure="array.filled(0)",
        )
    try:
        found = np.asarray(source.detach().cpu() if hasattr(source, "detach") else source)
    except Exception as error:  # an object's own conversion can raise anything
        raise _no_array(source, str(error)) from None
    if found.dtype.kind not in "uifbc" or isinstance(source, bytes | dict | set):
        raise _no_array(source, f"numpy.asarray gives {found.dtype}")
    return found


def _no_array(source: Any, why: str) -> InputError:
    return InputError(
        "a volume is a path, or an array of whole or real numbers",
        found=f"{type(source).__module__}.{type(source).__qualname__}: {why}"[:200],
        where="array",
        cure="a NumPy array: numpy.asarray(...), or for a tensor .float().cpu().numpy()",
    )


def _no_volume(shape: tuple[int, ...]) -> InputError:
    return InputError(
        "a volume has three axes, z, y and x, none of them empty",
        found=f"an array of shape {tuple(shape)}",
        where="array",
        cure="array[None] makes a volume of one plane; or choose one channel of several",
    )


def _axes(voxels: Any, choice: Choice) -> str:
    """Name the axes of an array, one letter each."""
    named = [_letter(name) for name in getattr(voxels, "dims", ())]
    if {"Z", "Y", "X"} <= set(named):
        return "".join(named)
    shape = tuple(voxels.shape)
    if len(shape) == 3:
        return "ZYX"
    if len(shape) == 5:
        return "TCZYX"
    if len(shape) != 4:
        raise _no_volume(shape)
    if choice.time is not None and choice.channel is None:
        return "TZYX"
    if shape[0] == shape[-1] != 1:
        raise InputError(
            "the channel axis of an array is its first or its last, and the shorter of the two",
            found=f"shape {shape}",
            where="array",
            cure="array[channel], or array[..., channel]",
        )
    return "CZYX" if shape[0] < shape[-1] or shape[0] == 1 else "ZYXC"

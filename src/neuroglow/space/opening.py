"""The doors to volumes: open_volume, find_volumes, create_volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroglow.errors import InputError, SettingsError
from neuroglow.space.arrays import VolumeSource, open_array
from neuroglow.space.names import HDF5_SUFFIXES, is_tiff, is_volume
from neuroglow.space.volume import (
    Choice,
    Volume,
    VolumeSpec,
    VoxelSize,
)

__all__ = ["create_volume", "find_volumes", "open_volume"]


SMALLEST_UM, LARGEST_UM = 1e-6, 1e6
"""Of the side of a voxel: a picometre to a metre; beyond it a size is a mistake."""


def open_volume(
    source: VolumeSource,
    *,
    channel: int | None = None,
    time: int | None = None,
    voxel_size_um: Sequence[float] | None = None,
) -> Volume:
    """Open a 3D image for reading by boxes.

    source: an array (arrays.py says which, and its axes); a TIFF file; a folder of TIFF slices
        in natural order; an OME-Zarr 0.4 or 0.5 (its finest level) or a bare zarr array; HDF5
        (`file.h5::/dataset` where there are several); Imaris .ims.
    channel, time: needed where such an axis is longer than one.
    voxel_size_um: zyx, instead of what the metadata says.

    Raises InputError when there is no such volume (missing, 2D, RGB, no known kind, slices
    that differ), ReadError when the file is truncated, SettingsError for a wrong voxel size.
    """
    choice = Choice(channel, time, _checked_voxel_size(voxel_size_um))
    if isinstance(source, Volume):
        return _opened(source, choice)
    if not isinstance(source, str | Path):
        return open_array(source, choice)
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
    if kind in HDF5_SUFFIXES:
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

    others = [f for f in folder.iterdir() if is_volume(f) and not is_tiff(f)]
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


def _opened(volume: Volume, choice: Choice) -> Volume:
    """Take a volume that is open already; what was chosen then stays."""
    if choice != Choice():
        raise SettingsError(
            "channel, time and voxel size are chosen where a volume is opened",
            found=f"a volume that is open: {volume.name}",
            cure="open_volume(..., channel=..., time=..., voxel_size_um=...)",
        )
    return volume


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

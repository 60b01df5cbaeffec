"""Opening and creating volumes: open_volume, find_volumes, create_volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neuroglow.errors import InputError, NeuroglowError, ReadError, SettingsError
from neuroglow.files.names import HDF5_SUFFIXES, OTHER_SUFFIXES
from neuroglow.files.remote import PROTOCOLS, RemotePath, remote_path
from neuroglow.space.arrays import VolumeSource, open_array
from neuroglow.space.units import LEAST_UM, MOST_UM
from neuroglow.space.volume import (
    Choice,
    Volume,
    VolumeSpec,
    VoxelSize,
)

ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")

__all__ = ["create_volume", "find_volumes", "open_volume", "open_watched"]


def open_volume(
    source: VolumeSource,
    *,
    channel: int | None = None,
    time: int | None = None,
    voxel_size_um: Sequence[float] | None = None,
    invert: bool = False,
) -> Volume:
    """Open a 3D image for reading by boxes.

    source: an array (see arrays.py, also for its axes); a TIFF file; a folder of TIFF slices
        in natural order; an OME-Zarr 0.4 or 0.5 (its finest level) or a bare zarr array; HDF5
        (`file.h5::/dataset` if there are several); BigDataViewer; Imaris .ims; NRRD, NIfTI,
        MRC, Vaa3D, Nikon and Leica with an extra; N5. Zarr and N5 also at an address
        (`s3://`, `gs://`, `https://`). `file.tif::1` is series 1, `::all` all.
    channel, time: required if such an axis is longer than one.
    voxel_size_um: zyx, overrides the metadata.
    invert: exchange dark and bright, if neurites are darker than the background.

    Raises InputError if there is no such volume (missing, 2D, RGB, unknown format, slices
    that differ), ReadError if the file is truncated, SettingsError for an invalid voxel size.
    """
    choice = Choice(channel, time, _checked_voxel_size(voxel_size_um))
    volume = _open(source, choice)
    if not invert:
        return volume
    from neuroglow.space.inverted import InvertedVolume

    return InvertedVolume(volume)


def open_watched(source: VolumeSource, **options: Any) -> tuple[Volume, Callable[[], None]]:
    """Open a volume as open_volume does; give, too, what looks whether it is still the same.

    That raises ReadError where a file or folder is another one by then. Not looked at are arrays,
    addresses, and what is gone: all that was needed of it has been read.
    """
    volume = open_volume(source, **options)

    def check() -> None:
        if not isinstance(source, str | Path) or remote_path(source):
            return
        if not Path(str(source).partition("::")[0]).exists():
            return
        try:
            same = open_volume(source, **options).identity == volume.identity
        except NeuroglowError:  # it is being written
            same = False
        if not same:
            raise ReadError(
                "an input stays as it is while it is read",
                found="it was changed or replaced meanwhile",
                where=volume.name,
                cure="the same command with --restart, once nothing writes to it",
            )

    return volume, check


def _open(source: VolumeSource, choice: Choice) -> Volume:
    if isinstance(source, Volume):
        return _opened(source, choice)
    elsewhere = source if isinstance(source, RemotePath) else remote_path(source)
    if elsewhere:
        return _open_elsewhere(elsewhere, choice)
    if not isinstance(source, str | Path):
        return open_array(source, choice)
    text = str(source)
    _refuse_other_addresses(text)
    path = Path(text.partition("::")[0])
    if not path.exists():
        whole = "::" in text and Path(text).exists()
        cure = "a name without `::`, after which a part of a file is named" if whole else ""
        raise InputError(
            "the input must exist",
            found="nothing there",
            where=str(path),
            cure=cure or "check the path",
        )
    return _open_folder(path, choice) if path.is_dir() else _open_file(text, path, choice)


def _open_folder(path: Path, choice: Choice) -> Volume:
    if _is_zarr(path):
        from neuroglow.formats.ome_zarr import open_ome_zarr

        return open_ome_zarr(path, choice)
    from neuroglow.formats.n5 import is_n5, open_n5

    if is_n5(path):
        return open_n5(path, choice)
    if path.suffix.lower() == ".zarr":
        raise InputError(
            "a zarr store has metadata: zarr.json, .zgroup, .zarray or .zattrs",
            found="none of them",
            where=str(path),
            cure="copy it completely, including hidden files, or give the path of the image inside",
        )
    from neuroglow.formats.slices import open_slices

    return open_slices(path, choice)


def _open_file(source: str, path: Path, choice: Choice) -> Volume:
    kind, inner = path.suffix.lower(), source.partition("::")[2]
    if kind == ".xml":
        from neuroglow.formats.bigdataviewer import hdf5_of_xml

        path = hdf5_of_xml(path)
        source = f"{path}::{inner}" if inner else str(path)
    if path.suffix.lower() in HDF5_SUFFIXES:
        from neuroglow.formats.hdf5 import open_hdf5

        return open_hdf5(source, choice)
    if path.name.lower().endswith(OTHER_SUFFIXES):
        from neuroglow.formats.other_formats import open_other

        return open_other(path, choice, inner)
    from neuroglow.formats.tiff import open_tiff

    return open_tiff(path, choice, inner)


def _refuse_other_addresses(text: str) -> None:
    if "://" in text.partition("::")[0]:
        raise InputError(
            "an address begins with one of " + ", ".join(f"{name}://" for name in PROTOCOLS[:6]),
            found=text.partition("://")[0],
            where=text,
            cure="copy the volume to this machine, or mount it as a folder",
        )


def _open_elsewhere(place: RemotePath, choice: Choice) -> Volume:
    """Open an OME-Zarr, a bare zarr array, or N5 at an address."""
    from neuroglow.formats.n5 import is_n5, open_n5
    from neuroglow.formats.ome_zarr import open_ome_zarr

    if any((place / name).exists() for name in ZARR_FILES):
        return open_ome_zarr(place, choice)
    if is_n5(place):
        return open_n5(place, choice)
    raise InputError(
        "a volume at an address is an OME-Zarr, a zarr array, or N5",
        found="none of the files with which they begin",
        where=str(place),
        cure="check the address; copy volumes of other formats to this machine",
    )


def find_volumes(source: str | Path, *, images: bool = True) -> list[str | Path]:
    """List the volumes that `source` stands for: itself, or those in a folder of volumes.

    A folder of volumes contains files of several planes each, directly or in `image/`
    (DB-Enhance's layout); a folder of single-plane slices is one volume.
    images: leave out files named as a label, mask or probability, with a remark.
    Raises InputError if nothing is left.
    """
    from neuroglow.formats.n5 import is_n5

    path = Path(source)
    if remote_path(source) or not path.is_dir() or _is_zarr(path) or is_n5(path):
        return [source]
    from neuroglow.formats.folders import volumes_in

    found = volumes_in(path, images=images)
    return [path] if found is None else [*found]


def create_volume(path: str | Path, spec: VolumeSpec, *, resume: bool = False) -> Any:
    """Create an OME-Zarr 0.5 at `path`; it appears there after its `finish()` has been called.

    resume: continue an unfinished one of the same spec.
    Raises OutputError if `path` exists, WriteError if it cannot be written.
    """
    from neuroglow.formats.ome_zarr import create_ome_zarr

    return create_ome_zarr(Path(path), spec, resume=resume)


def _opened(volume: Volume, choice: Choice) -> Volume:
    """Accept a volume that is already open; its options cannot be changed."""
    if choice != Choice():
        raise SettingsError(
            "channel, time and voxel size are chosen when a volume is opened",
            found=f"a volume that is open: {volume.name}",
            cure="open_volume(..., channel=..., time=..., voxel_size_um=...)",
        )
    return volume


def _checked_voxel_size(given: Sequence[float] | None) -> VoxelSize | None:
    if given is None:
        return None
    values = tuple(float(v) for v in given)
    if len(values) != 3 or not all(LEAST_UM <= v <= MOST_UM for v in values):
        raise SettingsError(
            "a voxel size is three positive numbers, micrometres along z, y and x",
            found=",".join(f"{v:g}" for v in values),
            where="--voxel-size",
        )
    return values[0], values[1], values[2]


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ZARR_FILES)

"""Arrays of zarr, here or elsewhere: directly where that is known, else by zarr.

zarr is imported when it is first needed: that takes a quarter of a CPU second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuroglow.files.remote import Place
from neuroglow.formats.zarr_chunks import LocalArray, open_local
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array

__all__ = ["is_blank", "open_array", "stored", "write_shards"]


def stored(place: Place) -> Any:
    """Return what zarr opens of a place: the path, or a store elsewhere."""
    if isinstance(place, Path):
        return place
    from neuroglow.formats.remote_zarr import RemoteStore

    return RemoteStore(place)


def open_array(place: Place) -> Any:
    """Open an array for reading: a LocalArray, or zarr's; both are read by array[window]."""
    found = open_local(place) if isinstance(place, Path) else None
    if found is not None:
        return found
    import zarr

    return zarr.open_array(stored(place), mode="r")


def write_shards(folder: Path, box: Box, voxels: Array) -> None:
    """Write whole shards of an array (zyx) in a folder."""
    array = open_local(folder)
    if array is not None and array.writes(voxels):
        array[box.slices] = voxels
        return
    import zarr

    zarr.open_array(folder, mode="r+")[box.slices] = voxels


def is_blank(array: Any, window: tuple[int | slice, ...]) -> bool:
    """Return whether no chunk of a window of an open array is stored; only zarr's may be, too."""
    return isinstance(array, LocalArray) and not array.fill_value and array.is_blank(window)

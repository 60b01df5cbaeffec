"""Links: other files that a volume reads, by links or names in it, must lie in the folder."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import zarr

from neuroglow.cubes.manifest import Cube
from neuroglow.files.names import HDF5_SUFFIXES, NRRD_SUFFIXES, is_ome_tiff, is_tiff
from neuroglow.formats.ome_zarr import OmeZarrVolume
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Volume
from neuroglow.studio.inside import Inside

__all__ = ["check_chunks", "check_cubes", "check_links"]

SHALLOW, DEEPEST = 1, 64
"""Levels of folders below that of a volume that are looked through for links; chunks that lie
deeper are checked when they are read."""

ENTRIES = 20_000
"""Entries of a folder that are looked through when a volume is only opened."""

DATASETS = 20_000
"""Datasets of an HDF5 file that are looked through."""


def check_links(inside: Inside, path: Path, said: str, *, whole: bool = False) -> None:
    """Refuse a volume that consists of files outside of the folder. Raises RefusedError.

    whole: look through all of a zarr store, not only through its first levels.
    """
    inside.check(path, said)
    for other in _others(path, DEEPEST if whole else SHALLOW):
        inside.check(other, said)


def check_cubes(inside: Inside, cubes: Sequence[Cube]) -> None:
    """Refuse cubes of which a file, or one that it reads, lies outside. Raises RefusedError."""
    files = {path: cube for cube in cubes for path in (cube.image, cube.label) if path}
    for path, cube in files.items():
        inside.check(path, f"cube {cube.name}")
        if path.exists():
            check_links(inside, path, f"cube {cube.name}")


def check_chunks(inside: Inside, volume: Volume, box: Box) -> None:
    """Refuse a box of a zarr array of which a chunk is a link that leads out.

    Raises RefusedError.
    """
    if not isinstance(volume, OmeZarrVolume):
        return
    folder = Path(str(volume.path)) / volume.array
    array = zarr.open_array(folder, mode="r")
    sides = array.shards or array.chunks
    window = zip(volume.axes.window(box), sides, strict=True)
    for index in itertools.product(*(_numbers(part, side) for part, side in window)):
        key = array.metadata.encode_chunk_key(index)
        inside.check(folder / key, volume.path.name)


def _numbers(part: slice | int, side: int) -> range:
    """Return the numbers of the chunks along one axis that a window reaches."""
    if isinstance(part, slice):
        return range(part.start // side, -(-part.stop // side))
    return range(part // side, part // side + 1)


def _others(path: Path, depth: int) -> Iterator[Path]:
    name = path.name.lower()
    if path.is_dir():
        yield from _links_below(path, depth)
    elif name.endswith(".xml"):
        from neuroglow.formats.bigdataviewer import hdf5_of_xml

        named = hdf5_of_xml(path)
        yield named
        yield from _hdf5_links(named)
    elif name.endswith(HDF5_SUFFIXES):
        yield from _hdf5_links(path)
    elif name.endswith(NRRD_SUFFIXES):
        yield from _nrrd_data(path)
    elif is_tiff(path) and is_ome_tiff(path):
        from neuroglow.formats.tiff import files_of

        yield from files_of(path)


def _links_below(folder: Path, depth: int) -> Iterator[Path]:
    """List the links in a folder and so many levels of folders below it."""
    pending = [(str(folder), depth)]
    while pending:
        here, levels = pending.pop()
        with os.scandir(here) as entries:
            some = entries if depth == DEEPEST else itertools.islice(entries, ENTRIES)
            for entry in some:
                if entry.is_symlink():
                    yield Path(entry.path)
                elif levels and entry.is_dir():
                    pending.append((entry.path, levels - 1))


def _hdf5_links(path: Path) -> Iterator[Path]:
    """List the files that an HDF5 file links to, or in which its datasets are kept."""
    try:
        import h5py
    except ImportError:
        return
    try:
        with h5py.File(path, "r") as file:
            yield from _linked_in(file, path, 0)
    except (OSError, RuntimeError):
        return


def _linked_in(group: Any, path: Path, depth: int) -> Iterator[Path]:
    import h5py

    for name in list(group)[:DATASETS]:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield path.parent / link.filename
            continue
        node = group.get(name)
        if isinstance(node, h5py.Group) and depth < 8:
            yield from _linked_in(node, path, depth + 1)
        elif isinstance(node, h5py.Dataset):
            yield from (path.parent / _text(part[0]) for part in node.external or ())
            virtual = node.virtual_sources() if node.is_virtual else ()
            yield from (path.parent / s.file_name for s in virtual if s.file_name != ".")


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _nrrd_data(path: Path) -> Iterator[Path]:
    """List the file that the header of an NRRD names for its voxels."""
    with path.open("rb") as file:
        head = file.read(65536)
    for line in head.split(b"\n\n")[0].split(b"\n"):
        key, _, value = line.decode("latin-1").partition(":")
        if key.strip().lower().replace(" ", "") == "datafile":
            yield path.parent / value.strip()

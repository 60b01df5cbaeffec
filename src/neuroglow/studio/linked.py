"""Links: other files that a volume reads, by links or names in it, must lie in the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neuroglow.space.names import HDF5_SUFFIXES, is_ome_tiff, is_tiff
from neuroglow.studio.inside import Inside

__all__ = ["check_links"]

LOOKED_AT = 20_000
"""Entries of a folder that are looked through for links."""


def check_links(inside: Inside, path: Path, said: str) -> None:
    """Refuse a volume that consists of files outside of the folder. Raises RefusedError."""
    inside.check(path, said)
    for other in _others(path):
        inside.check(other, said)


def _others(path: Path) -> Iterator[Path]:
    name = path.name.lower()
    if path.is_dir():
        yield from _links_below(path)
    elif name.endswith(".xml"):
        from neuroglow.space.bigdataviewer import hdf5_of_xml

        named = hdf5_of_xml(path)
        yield named
        yield from _hdf5_links(named)
    elif name.endswith(HDF5_SUFFIXES):
        yield from _hdf5_links(path)
    elif name.endswith((".nhdr", ".nrrd")):
        yield from _nrrd_data(path)
    elif is_tiff(path) and is_ome_tiff(path):
        from neuroglow.space.tiff import files_of

        yield from files_of(path)


def _links_below(folder: Path) -> Iterator[Path]:
    """List the links in the first levels of a folder."""
    pending, seen = [(str(folder), 0)], 0
    while pending:
        here, depth = pending.pop()
        with os.scandir(here) as entries:
            for entry in entries:
                seen += 1
                if entry.is_symlink():
                    yield Path(entry.path)
                elif entry.is_dir() and depth < 2:
                    pending.append((entry.path, depth + 1))
                if seen > LOOKED_AT:
                    return


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

    for name in list(group)[:LOOKED_AT]:
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

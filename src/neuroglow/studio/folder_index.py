"""The index of a folder: what is in it, of which kind, and what belongs together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neuroglow.errors import NeuroglowError
from neuroglow.files.names import natural
from neuroglow.files.record import read_record
from neuroglow.labels.cube_folder import is_cube_folder
from neuroglow.labels.labels import LEGEND
from neuroglow.studio.growing import is_growing
from neuroglow.studio.kinds import VOXELS, Kind, kind_of
from neuroglow.studio.origins import origins_of
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.studio import Studio

__all__ = ["list_folder"]

MOST = 1000
"""Items of a folder that are listed."""


def list_folder(studio: Studio, relative: str) -> dict[str, Any]:
    """List a folder. Raises RefusedError if it is not there, or no folder."""
    folder = studio.inside.find(relative)
    if not folder.is_dir():
        raise RefusedError(400, "a folder is listed", found="a file", where=relative)
    items: list[dict[str, Any]] = []
    more = 0
    for path, kind in _seen(studio, folder):
        if len(items) < MOST:
            items.append(_item(studio, path, kind))
        else:
            more += 1
    name = studio.inside.root.name
    return {"root": name, "path": studio.inside.relative(folder), "items": items, "more": more}


def _seen(studio: Studio, folder: Path) -> Iterator[tuple[Path, Kind]]:
    """List what is shown: what leads out of the folder, and what cannot be read, is not."""
    for path in sorted(folder.iterdir(), key=natural):
        output = path.with_name(path.name.removesuffix(".partial"))
        try:
            studio.inside.check(path, path.name)
            if output != path and is_growing(output):
                yield output, "probability"
            elif (kind := kind_of(path)) is not None:
                yield path, kind
        except (RefusedError, OSError):
            continue


def _item(studio: Studio, path: Path, kind: Kind) -> dict[str, Any]:
    relative = studio.inside.relative(path)
    real = path if path.exists() else path.with_name(path.name + ".partial")
    stat = real.stat()
    item: dict[str, Any] = {
        "path": relative,
        "name": path.name,
        "title": path.name,
        "kind": kind,
        "bytes": None if real.is_dir() else stat.st_size,
        "modified": stat.st_mtime,
        "growing": real != path,
        "shape": None,
        "voxel_size": None,
        "dtype": None,
        "error": None,
        "legend": _legend(path) if kind == "label" else None,
        "belongs_to": origins_of(studio.inside, path, kind),
    }
    return item | (_voxels(studio, relative) if kind in VOXELS else {})


def _legend(path: Path) -> str | None:
    """Return what the values of a label mean: as its record says, or as those of a phantom do."""
    said: str | None = (read_record(path) or {}).get("legend")
    return said or (LEGEND if is_cube_folder(path.parent) else None)


def _voxels(studio: Studio, relative: str) -> dict[str, Any]:
    """Describe a volume; one that cannot be opened says why."""
    try:
        shown = studio.volumes.show(relative)
    except NeuroglowError as error:
        return {"error": str(error).replace(f"{studio.inside.root}/", "")}
    return {
        "kind": shown.kind,
        "shape": shown.levels[0].shape,
        "voxel_size": shown.voxel_size_um,
        "voxel_size_given": studio.state.voxel_size(relative) is not None,
        "dtype": shown.dtype.name,
    }

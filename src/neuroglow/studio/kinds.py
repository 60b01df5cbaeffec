"""Kinds: what a file or folder is, by its name and by the files that our verbs leave in it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from neuroglow.files.names import TREE_SUFFIX, is_tiff, is_volume
from neuroglow.formats.kinds import expected_kind
from neuroglow.labels.cube_folder import is_cube_folder

__all__ = ["VOXELS", "Kind", "is_zarr", "kind_of"]

Kind = Literal[
    "volume", "probability", "label", "trees", "model", "run", "selection", "survey", "report",
    "cube", "folder",
]  # fmt: skip

VOXELS = ("volume", "probability", "label")
"""Kinds that are volumes."""

ZARR = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
MARKS: tuple[tuple[str, Kind], ...] = (
    ("model.json", "model"),
    ("run.json", "run"),
    ("trace.json", "trees"),
    ("manifest.csv", "selection"),
)
"""Files by which a folder of ours is known."""

SLICES = 3
"""TIFF files from which on a folder without folders may be the slices of one volume."""


def kind_of(path: Path) -> Kind | None:
    """Tell what is at a path; None if it is nothing that the studio shows."""
    return _folder(path) if path.is_dir() else _file(path)


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr store."""
    return any((path / name).exists() for name in ZARR)


def _folder(path: Path) -> Kind | None:
    if path.name.endswith((".partial", ".lock")) or path.name.startswith("."):
        return None
    if is_zarr(path):
        return _of_voxels(path)
    if is_cube_folder(path):
        return "cube"
    for name, kind in MARKS:
        if (path / name).is_file():
            return kind
    if _is_report(path):
        return "report"
    return "volume" if _is_slices(path) else "folder"


def _is_report(path: Path) -> bool:
    """Return whether a folder is what `evaluate` writes, and holds no volumes besides."""
    named = all((path / name).is_file() for name in ("scores.json", "report.html"))
    return named and not any(is_volume(file) for file in path.iterdir())


def _file(path: Path) -> Kind | None:
    name = path.name.lower()
    if name.startswith("."):
        return None
    if name.endswith(TREE_SUFFIX):
        return "trees"
    if name.endswith(".html"):
        return "report" if _begins(path, path.stat().st_mtime_ns, "<!doctype html") else None
    if name.endswith(".csv"):
        return _table(path, path.stat().st_mtime_ns)
    if is_volume(path) or (name.endswith(".xml") and _begins(path, 0, "<SpimData")):
        return _of_voxels(path)
    return None


def _of_voxels(path: Path) -> Kind:
    kind = expected_kind(path)
    return "volume" if kind == "raw" else kind


def _is_slices(path: Path) -> bool:
    """Return whether a folder holds TIFF files of one plane each, and nothing else of ours."""
    files = [f for f in path.iterdir() if not f.name.startswith(".")]
    tiffs = sorted(f for f in files if is_tiff(f))
    if len(tiffs) < SLICES or any(f.is_dir() for f in files) or len(tiffs) * 2 < len(files):
        return False
    return not _is_stack(tiffs[0], tiffs[0].stat().st_mtime_ns)


@lru_cache(maxsize=1000)
def _is_stack(path: Path, _: int) -> bool:
    from neuroglow.errors import NeuroglowError
    from neuroglow.formats.tiff import is_stack

    try:
        return is_stack(path)
    except NeuroglowError:
        return True


@lru_cache(maxsize=4000)
def _table(path: Path, _: int) -> Kind | None:
    """Tell a table by its first line: ranked cubes are a selection, measured ones a survey."""
    head = _head(path).splitlines()[:1]
    columns = set(head[0].replace('"', "").split(",")) if head else set()
    if not {"name", "image"} <= columns:
        return None
    measured = "split" not in columns or columns & {"snr", "free_noise"}
    return "survey" if measured and "rank" not in columns else "selection"


@lru_cache(maxsize=4000)
def _begins(path: Path, _: int, text: str) -> bool:
    return text.lower() in _head(path).lower()


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(4000).decode("utf-8", "replace")
    except OSError:
        return ""

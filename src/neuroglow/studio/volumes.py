"""Volumes of the folder, opened once and kept: their levels, grey levels and chunks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError, NeuroglowError
from neuroglow.files.writing import hash_of
from neuroglow.formats.ome_zarr import OmeZarrVolume, coarser_levels
from neuroglow.formats.opening import open_volume
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Volume, VoxelSize
from neuroglow.studio.growing import about_growing, growing_voxels, is_growing, ledgers_of
from neuroglow.studio.inside import Inside
from neuroglow.studio.kinds import VOXELS, Kind, is_zarr, kind_of
from neuroglow.studio.levels import Level, StoredLevel, plan_pyramid
from neuroglow.studio.linked import check_chunks, check_links
from neuroglow.studio.state import State

__all__ = ["Shown", "Volumes"]

KEPT = 24
"""Volumes that stay open."""

_one_reader = threading.Lock()
"""Readers of files other than zarr share handles: one at a time."""


@dataclass(frozen=True)
class Shown:
    """A volume as it is shown. path: as requests give it. revision: changes with its voxels."""

    path: str
    kind: Kind
    volume: Volume
    levels: tuple[Level, ...]
    voxel_size_um: VoxelSize | None
    revision: str
    growing: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels in chunks: one that a browser has."""
        return np.dtype(_SHOWN.get(self.volume.dtype.name, self.volume.dtype.name))

    def read(self, level: int, box: Box) -> Array:
        """Read a box of a level."""
        alone = nullcontext() if isinstance(self.volume, OmeZarrVolume) else _one_reader
        with alone:
            voxels = self.levels[level].read(box)
        return np.ascontiguousarray(voxels, self.dtype)


_SHOWN = {"int64": "float32", "uint64": "float32", "float64": "float32", "float16": "float32"}
"""Types that a browser lacks, or cannot draw, and those in which they are shown."""


@dataclass
class Volumes:
    """The volumes of a folder."""

    inside: Inside
    state: State
    _open: OrderedDict[str, Shown] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def show(self, relative: str) -> Shown:
        """Open a volume, or return it as it is open; an output that grows, by its name to be.

        Raises RefusedError if it is not there, InputError if it is no volume.
        """
        place, revision = self.inside.place(relative), self.revision(relative)
        given = self.state.voxel_size(relative)
        with self._lock:
            kept = self._open.get(relative)
            if kept is not None and kept.revision == revision:
                self._open.move_to_end(relative)
                return kept
        shown = self._opened(relative, place, given, revision)
        with self._lock:
            self._open[relative] = shown
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
        return shown

    def revision(self, relative: str) -> str:
        """Return what changes with the voxels of a volume, without opening it."""
        stamp = _stamp(self.inside.place(relative))
        return hash_of(stamp, self.state.voxel_size(relative))[:16]

    def _opened(self, relative: str, place: Path, given: VoxelSize | None, revision: str) -> Shown:
        if is_growing(place):
            return self._growing(relative, place, revision)
        source = self.inside.source(relative)
        kind = kind_of(place)
        if kind == "folder" or (kind not in VOXELS and not is_zarr(place)):
            raise InputError(
                "the path must be that of a volume",
                found=str(kind or "something else"),
                where=relative,
            )
        check_links(self.inside, place, relative)
        with _one_reader:
            volume = open_volume(source, voxel_size_um=given)
        check_links(self.inside, Path(volume.name.partition("::")[0]), relative)
        stored = _stored_levels(volume, partial(check_chunks, self.inside))
        levels = plan_pyramid(stored, volume.voxel_size_um, nearest=kind == "label")
        shown_kind: Kind = kind if kind in VOXELS else "volume"
        return Shown(relative, shown_kind, volume, tuple(levels), volume.voxel_size_um, revision)

    def _growing(self, relative: str, place: Path, revision: str) -> Shown:
        self.inside.check(growing_voxels(place), relative)
        about, check = about_growing(place), partial(check_chunks, self.inside)
        volume = _begun_at(open_volume(growing_voxels(place)), about.get("origin_vox"))
        levels = plan_pyramid(
            [StoredLevel(volume, check=check)], None, nearest=about.get("kind") == "label"
        )
        kind: Kind = "label" if about.get("kind") == "label" else "probability"
        size = self._size_of_input(about)
        return Shown(relative, kind, volume, tuple(levels), size, revision, growing=True)

    def _size_of_input(self, about: dict[str, Any]) -> VoxelSize | None:
        """Return the voxel size of the input of a run, where that is seen."""
        path = self.inside.relative_if_inside(str(about.get("input", "")).partition("::")[0])
        try:
            return self.show(path).voxel_size_um if path else None
        except NeuroglowError:
            return None


def _begun_at(volume: Volume, origin: object) -> Volume:
    """Place an array of an unfinished output where its run says that it will lie."""
    if isinstance(volume, OmeZarrVolume) and isinstance(origin, list) and len(origin) == 3:
        z, y, x = (int(v) for v in origin)
        return replace(volume, origin_vox=(z, y, x))
    return volume


def _stored_levels(volume: Volume, check: Callable[[Volume, Box], None]) -> list[StoredLevel]:
    """List the levels that a file has, finest first."""
    levels = [StoredLevel(volume, check=check)]
    for coarser in coarser_levels(volume) if isinstance(volume, OmeZarrVolume) else []:
        shape = zip(volume.shape, coarser.shape, strict=True)
        z, y, x = (_ratio(a, b) for a, b in shape)
        if coarser.dtype != volume.dtype or (z, y, x) <= levels[-1].factors:
            break
        levels.append(StoredLevel(coarser, (z, y, x), check))
    return levels


def _ratio(fine: int, coarse: int) -> float:
    """Return by how much an axis is coarser: whole where rounding up explains the rest."""
    whole = max(1, round(fine / coarse))
    return float(whole) if -(-fine // whole) == coarse or fine // whole == coarse else fine / coarse


def _stamp(place: Path) -> list[object]:
    """Return what changes when the voxels may have changed, without looking at all of them."""
    if is_growing(place):
        return ["growing", *(_times(path) for path in ledgers_of(place))]
    names = ("zarr.json", ".zattrs", ".zarray", "0/zarr.json", "0/.zarray")
    if place.is_dir():
        return [_times(place), *(_times(place / name) for name in names)]
    return [_times(place)]


def _times(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns

"""TIFF: the volume in one file, or in the files that its OME-XML names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from neuroglow.errors import InputError, ReadError
from neuroglow.files.remarks import listed, remark
from neuroglow.files.writing import file_stats, hash_of
from neuroglow.formats.tiff_planes import (
    decoding,
    handles,
    no_image,
    parsed,
    piece_bytes_of,
    plane_window,
)
from neuroglow.formats.tiff_sizes import tiff_stage, tiff_voxel_size
from neuroglow.space.axes import Axes, InFile, choose_axes
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Choice, VoxelSize, check_dtype, check_inside

__all__ = ["TiffVolume", "files_of", "is_stack", "open_tiff"]

SMALLER = 2
"""Factor along y and x by which a series must be smaller to count as a thumbnail."""


@dataclass(frozen=True)
class TiffVolume(InFile):
    """A TIFF file of any compression, BigTIFF too, with ImageJ's or OME's metadata or none.

    series: tifffile's series with the planes, one after the other.
    others: further files that contain planes of it. stage_vox: where the stage stood.
    piece_bytes: of a strip or tile, decoded whole.
    """

    path: Path
    series: tuple[int, ...]
    others: tuple[Path, ...]
    axes: Axes
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str
    stage_vox: tuple[float, float, float] = (0.0, 0.0, 0.0)
    piece_bytes: int = 0

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if the file is damaged."""
        check_inside(box, self.shape)
        out = np.empty(box.shape, self.dtype)
        with decoding(self.path, box):
            file = handles.get(self.path, self.others)
            for k, z in enumerate(range(box.start[0], box.stop[0])):
                out[k] = plane_window(*self._plane(file, z), box)
        return out

    def _plane(self, file: tifffile.TiffFile, z: int) -> tuple[Any, int]:
        """Return the series that holds a plane, and the plane's number in it."""
        first = file.series[self.series[0]]
        if (first.shape[-2:], check_dtype(first.dtype, "")) != (self.shape[1:], self.dtype):
            raise ReadError(
                "the file must not change", found="another image than when it was opened"
            )
        if len(self.series) > 1:
            each = math.prod(first.shape[:-2])
            return file.series[self.series[z // each]], z % each
        index = [z if i is None else i for i in self.axes.index[:-2]]
        return first, int(np.ravel_multi_index(index, first.shape[:-2])) if index else 0


def open_tiff(path: Path, choice: Choice, series: str = "") -> TiffVolume:
    """Open one TIFF file; see open_volume.

    series: the number of the series that is opened, or `all`: their planes one after the other.
    """
    with parsed(path) as file:
        if not file.series:
            raise no_image(path, "no image in it")
        chosen = _choose_series(file, series, path)
        first = file.series[chosen[0]]
        sizes, letters = _sizes_and_axes(file, chosen)
        axes = choose_axes(letters, sizes, choice, str(path))
        for one in chosen:
            _check_whole(file, file.series[one], path)
        if letters[-2:] != "YX":
            raise no_image(path, f"planes that are not yx ({first.axes})")
        _refuse_forgotten_pages(file, path)
        dtype = check_dtype(first.dtype, str(path))
        voxel_size = choice.voxel_size_um or tiff_voxel_size(file, chosen[0], str(path))
        stage = tiff_stage(file, chosen[0], voxel_size)
        piece = piece_bytes_of(first)
        others = tuple(f for f in _files(file, chosen) if f.name != path.name)
    stats = [file_stats(f) for f in (path, *others)]
    identity = hash_of(stats, chosen, axes.index, axes.shape)
    return TiffVolume(path, chosen, others, axes, dtype, voxel_size, identity, stage, piece)


def is_stack(path: Path) -> bool:
    """Return whether a TIFF file holds several planes."""
    with parsed(path) as file:
        return any(_planes(series) > 1 for series in file.series) or _is_row_of_planes(file.series)


def files_of(path: Path) -> list[Path]:
    """List the files of a TIFF file's image: more than one only for OME-TIFF."""
    with parsed(path) as file:
        return _files(file, range(len(file.series))) if file.is_ome else [path]


def _files(file: tifffile.TiffFile, chosen: Sequence[int]) -> list[Path]:
    series = [file.series[i] for i in chosen]
    pages = [page for s in series if s.is_multifile for page in s.pages if page is not None]
    names = {page.parent.filehandle.path for page in pages} or {file.filehandle.path}
    return sorted(Path(name) for name in names)


def _planes(series: Any) -> int:
    """Count the planes of a series; colour samples are not planes."""
    letters = series.axes.replace("S", "")
    sizes = [n for n, a in zip(series.shape, series.axes, strict=True) if a != "S"]
    return math.prod(sizes[:-2]) if len(letters) > 2 else 1


def _choose_series(file: tifffile.TiffFile, wanted: str, path: Path) -> tuple[int, ...]:
    """Choose one of several series: the named one, the main one, or single appended planes."""
    count = len(file.series)
    if wanted == "all":
        if not _are_alike(file.series):
            raise _several(file, path)
        return tuple(range(count))
    if wanted:
        if not wanted.isdecimal() or int(wanted) >= count:
            raise _several(file, path, f"no series {wanted!r}; ")
        return (int(wanted),)
    if count == 1:
        return (0,)
    if _is_row_of_planes(file.series):
        remark(f"{path}: {count} series of one plane each are read as the planes of one volume")
        return tuple(range(count))
    main = max(range(count), key=lambda i: math.prod(file.series[i].shape))
    small = [i for i in range(count) if i != main and _is_minor(file, i, main)]
    if len(small) != count - 1 or _planes(file.series[main]) == 1:
        raise _several(file, path)
    left = listed([f"series {i}, {_in_words(file.series[i])}" for i in small])
    remark(f"{path}: series {main} is opened, {_in_words(file.series[main])}; left out: {left}")
    return (main,)


def _is_row_of_planes(series: Sequence[Any]) -> bool:
    """Return whether all series are single planes of one size and type, as appended ones are."""
    return len(series) > 1 and _planes(series[0]) == 1 and _are_alike(series)


def _are_alike(series: Sequence[Any]) -> bool:
    return len({(s.shape, s.axes, s.dtype) for s in series}) == 1 and set(series[0].axes) <= set(
        "ZIQTYX"
    )


def _is_minor(file: tifffile.TiffFile, one: int, main: int) -> bool:
    """Return whether a series is a thumbnail, label or colour picture of the main one."""
    series, other = file.series[one], file.series[main]
    page = series.keyframe
    named = any(w in str(series.name).lower() for w in ("thumb", "label", "macro", "overview"))
    ys, xs = (series.shape[series.axes.index(a)] for a in "YX")
    yo, xo = (other.shape[other.axes.index(a)] for a in "YX")
    if named or page.is_reduced:
        return bool(ys < yo or xs < xo or "S" in series.axes)
    apart = page.index < other.keyframe.index or page.index > max(
        (p.index for p in other.pages if p is not None), default=0
    )
    small = ys * SMALLER <= yo and xs * SMALLER <= xo
    return bool(apart and _planes(series) == 1 and (small or "S" in series.axes))


def _in_words(series: Any) -> str:
    named = f" {series.name!r}" if series.name else ""
    return f"{' x '.join(map(str, series.shape))} {series.dtype}{named}"


def _several(file: tifffile.TiffFile, path: Path, found: str = "") -> InputError:
    words = [f"series {i}: {_in_words(s)}" for i, s in enumerate(file.series)]
    whole = f"; {path}::all for all planes, one series after the other"
    return InputError(
        "a TIFF with several series contains one volume, or one must be chosen",
        found=found + f"{len(words)} series: {listed(words)}",
        where=str(path),
        cure=f"{path}::0 for series 0, if it is the whole volume"
        + (whole if _are_alike(file.series) else "; or save the volume as one stack"),
    )


def _sizes_and_axes(file: tifffile.TiffFile, chosen: Sequence[int]) -> tuple[tuple[int, ...], str]:
    """Return sizes and axes; a single plane that its metadata call a stack of one is one."""
    series = file.series[chosen[0]]
    shape, axes = tuple(series.shape), str(series.axes)
    if len(chosen) > 1:
        return (len(chosen) * math.prod(shape[:-2]), *shape[-2:]), "ZYX"
    if axes == "YX" and _says_stack_of_one(file):
        return (1, *shape), "ZYX"
    return shape, axes


def _says_stack_of_one(file: tifffile.TiffFile) -> bool:
    """OME's SizeZ is 1 in every 2D image too; tifffile's own shape tells."""
    shaped = file.shaped_metadata
    return shaped is not None and len(shaped[0].get("shape", ())) == 3


def _check_whole(file: tifffile.TiffFile, series: Any, path: Path) -> None:
    """Detect a truncated file, or planes in files that are missing."""
    length = file.filehandle.size
    end = 0
    if series.kind in ("ome", "mmstack", "ndtiff"):
        missing = sum(page is None for page in series.pages)
        if missing:
            raise ReadError(
                "all planes that the metadata name must be there",
                found=f"{missing} of {math.prod(series.shape[:-2])} planes are missing"
                + (" or in files that are not next to it" if "UUID" in _xml(file) else ""),
                where=str(path),
                cure="keep all files of a volume in one folder, or copy them again",
            )
    if series.dataoffset is not None and not series.is_multifile:
        end = series.dataoffset + series.nbytes
    elif series.pages and series.pages[-1] is not None:
        last = series.pages[-1]
        length = last.parent.filehandle.size
        end = max(
            (a + b for a, b in zip(last.dataoffsets, last.databytecounts, strict=True)), default=0
        )
    following = file.pages.next_page_offset or 0
    short = _planes_declared(file) > sum(_planes(s) for s in file.series)
    if end > length or following >= file.filehandle.size or short:
        raise ReadError(
            "the TIFF file must be complete",
            found=f"planes are missing; it ends after {length} bytes",
            where=str(path),
            cure="copy it again from its source",
        )


def _xml(file: tifffile.TiffFile) -> str:
    return (file.ome_metadata or "") if file.is_ome else ""


def _refuse_forgotten_pages(file: tifffile.TiffFile, path: Path) -> None:
    """Refuse a file with more pages than in its metadata: it is unclear which are the volume."""
    if file.series[0].kind not in ("imagej", "ome", "shaped"):
        return
    count = len(file.pages)
    named = sum(_planes(s) for s in file.series)
    if count > named and all(_planes(s) == len(s) for s in file.series):
        raise InputError(
            "a TIFF has as many pages as its metadata state",
            found=f"{count} pages, of which the metadata name {named}",
            where=str(path),
            cure="save it again as one stack",
        )


def _planes_declared(file: tifffile.TiffFile) -> int:
    """Return the number of planes in ImageJ's or tifffile's metadata; 0 if it is not stated."""
    images = int((file.imagej_metadata or {}).get("images", 0))
    shaped = file.shaped_metadata
    return max(images, math.prod(shaped[0].get("shape", (0,))[:-2]) if shaped else 0)

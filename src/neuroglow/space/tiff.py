"""TIFF: one file, or a folder of slices; only the strips and tiles that a box needs are read."""

from __future__ import annotations

import atexit
import logging
import math
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from neuroglow.errors import InputError, ReadError
from neuroglow.space.axes import Axes, choose_axes
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.names import is_tiff
from neuroglow.space.volume import (
    KINDS,
    Array,
    Choice,
    Volume,
    VoxelSize,
    check_dtype,
    check_inside,
)
from neuroglow.space.writing import hash_of

# What tifffile remarks on a damaged file is said by our own errors, and not twice.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

__all__ = [
    "SliceFolder",
    "TiffVolume",
    "export_tiff",
    "is_stack",
    "natural",
    "open_slices",
    "open_tiff",
    "tiffs_in",
]

CACHE_BYTES = 48_000_000
SLAB_BYTES = 64_000_000


@dataclass(frozen=True)
class TiffVolume:
    """A TIFF file of any compression, BigTIFF too, with ImageJ's or OME's metadata or none."""

    path: Path
    axes: Axes
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        return self.axes.shape

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError where the file is damaged."""
        check_inside(box, self.shape)
        out = np.empty(box.shape, self.dtype)
        with _decoding(self.path, box):
            file = _handles.get(self.path)
            for k, z in enumerate(range(box.start[0], box.stop[0])):
                out[k] = _plane_window(file, self._page(file, z), box)
        return out

    def _page(self, file: tifffile.TiffFile, z: int) -> int:
        """Give the number of the plane in the file's series."""
        index = [z if i is None else i for i in self.axes.index[:-2]]
        return int(np.ravel_multi_index(index, file.series[0].shape[:-2]))


@dataclass(frozen=True)
class SliceFolder:
    """A folder of single-plane TIFF files, in natural order of their names."""

    path: Path
    files: tuple[Path, ...]
    shape: Zyx
    dtype: np.dtype[Any]
    voxel_size_um: VoxelSize | None
    identity: str

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError where a slice is damaged."""
        check_inside(box, self.shape)
        out = np.empty(box.shape, self.dtype)
        for k, z in enumerate(range(box.start[0], box.stop[0])):
            with _decoding(self.files[z], box):
                out[k] = _plane_window(_handles.get(self.files[z]), 0, box)
        return out


def open_tiff(path: Path, choice: Choice) -> TiffVolume:
    """Open one TIFF file; see open_volume."""
    try:
        with _parsed(path) as file:
            if not file.series:
                raise _no_image(path, "no image in it")
            series = file.series[0]
            sizes, letters = _with_z(series, file)
            axes = choose_axes(letters, sizes, choice, str(path))
            _check_whole(file, path)
            if letters[-2:] != "YX":
                raise _no_image(path, f"planes that are not yx ({series.axes})")
            dtype = check_dtype(series.dtype, str(path))
            voxel_size = choice.voxel_size_um or _voxel_size(file)
    except tifffile.TiffFileError as error:
        raise _no_image(path, str(error)) from None
    return TiffVolume(path, axes, dtype, voxel_size, _identity([path], axes.index, axes.shape))


def _kinds_in(folder: Path) -> str:
    """Say what a folder holds instead of slices."""
    kinds = Counter(f.suffix.lower() or "no suffix" for f in folder.iterdir() if f.is_file())
    return ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "no file"


def open_slices(path: Path, choice: Choice) -> SliceFolder | TiffVolume:
    """Open a folder of slices; see open_volume."""
    files = tiffs_in(path)
    if not files:
        raise InputError(
            "a folder must hold TIFF slices",
            found=_kinds_in(path),
            where=str(path),
            cure=f"known: {KINDS}; slices of another kind are saved as TIFF first",
        )
    if is_stack(files[0]):
        if len(files) == 1:
            return open_tiff(files[0], choice)
        raise InputError(
            "a folder of slices holds one plane a file",
            found=f"several planes in {files[0].name}: a folder of volumes?",
            where=str(path),
        )
    first = _plane_type(files[0])
    for file in files[1:]:
        if _plane_type(file) != first:
            raise InputError(
                "all slices have one size and type",
                found=f"{_words(file)}, but {_words(files[0])}",
                where=str(path),
                cure="remove or convert the odd one",
            )
    (height, width), dtype = first
    shape = (len(files), height, width)
    return SliceFolder(
        path, tuple(files), shape, dtype, choice.voxel_size_um, _identity(files, shape)
    )


def tiffs_in(folder: Path) -> list[Path]:
    """List the TIFF files of a folder in natural order: 2 before 10."""
    found = [f for f in folder.iterdir() if is_tiff(f) and f.is_file()]
    return sorted((f for f in found if not f.name.startswith(".")), key=natural)


def natural(path: Path) -> list[tuple[int, int, str]]:
    """Give a key that sorts numbers in names as numbers."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def is_stack(path: Path) -> bool:
    """Tell whether a TIFF file holds several planes."""
    try:
        with _parsed(path) as file:
            return (
                bool(file.series)
                and len(file.series[0].shape) > 2
                and "S" not in file.series[0].axes
            )
    except tifffile.TiffFileError as error:
        raise _no_image(path, str(error)) from None


def export_tiff(volume: Volume, path: Path) -> None:
    """Write a volume as a compressed OME-TIFF, plane by plane; it appears when it is whole."""
    z, y, x = volume.shape
    size = volume.voxel_size_um or (None, None, None)
    metadata: dict[str, Any] = {"axes": "ZYX"}
    for axis, value in zip("ZYX", size, strict=True):
        if value is not None:
            metadata |= {f"PhysicalSize{axis}": value, f"PhysicalSize{axis}Unit": "µm"}
    partial = path.with_name(path.name + ".writing")
    depth = int(np.clip(SLAB_BYTES // (y * x * volume.dtype.itemsize), 1, 64))

    def planes() -> Iterator[Array]:
        for start in range(0, z, depth):
            yield from volume.read(Box((start, 0, 0), (min(z, start + depth), y, x)))

    large = z * y * x * volume.dtype.itemsize > 2**31
    with tifffile.TiffWriter(partial, bigtiff=large, ome=True) as file:
        file.write(
            planes(),
            shape=(z, y, x),
            dtype=volume.dtype,
            compression="zlib",
            photometric="minisblack",
            metadata=metadata,
        )
    partial.replace(path)


def _plane_window(file: tifffile.TiffFile, number: int, box: Box) -> Array:
    """Read the yx window of a box from one plane."""
    series = file.series[0]
    (_, y0, x0), (_, y1, x1) = box.start, box.stop
    height, width = series.shape[-2:]
    if series.dataoffset is not None:
        start = series.dataoffset + (number * height + y0) * width * series.dtype.itemsize
        file.filehandle.seek(start)
        stored = series.dtype.newbyteorder(file.byteorder)
        raw = file.filehandle.read((y1 - y0) * width * stored.itemsize)
        return np.frombuffer(raw, stored).reshape(y1 - y0, width)[:, x0:x1]
    page = series.pages[number]
    if page is None or page.shape[:2] != (height, width):
        raise ReadError("a plane of the file must be whole", found=f"plane {number} is missing")
    return _decode_window(file, page, box)


def _decode_window(file: tifffile.TiffFile, page: Any, box: Box) -> Array:
    """Decode the strips or tiles of a page that a window touches."""
    (_, y0, x0), (_, y1, x1) = box.start, box.stop
    keyframe = page.keyframe
    tall, wide = (
        (keyframe.tilelength, keyframe.tilewidth)
        if keyframe.is_tiled
        else (keyframe.rowsperstrip, keyframe.imagewidth)
    )
    tall = min(tall, keyframe.imagelength) if not keyframe.is_tiled else tall
    columns = -(-keyframe.imagewidth // wide)
    out = np.zeros((y1 - y0, x1 - x0), keyframe.dtype)
    for row in range(y0 // tall, -(-y1 // tall)):
        for column in range(x0 // wide, -(-x1 // wide)):
            segment = _segment(file, page, row * columns + column)
            top, left = row * tall, column * wide
            ys = slice(max(y0, top), min(y1, top + tall))
            xs = slice(max(x0, left), min(x1, left + wide))
            part = (
                0
                if segment is None
                else segment[ys.start - top : ys.stop - top, xs.start - left : xs.stop - left]
            )
            out[ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0] = part
    return out


def _segment(file: tifffile.TiffFile, page: Any, index: int) -> Array | None:
    """Decode one strip or tile (yx), or find it among those decoded lately; None is empty."""
    key = (file.filehandle.path, page.index, index)
    found = _segments.get(key)
    if found is not None:
        return found
    offset, count = page.dataoffsets[index], page.databytecounts[index]
    if count == 0:
        return None
    file.filehandle.seek(offset)
    data = file.filehandle.read(count)
    if len(data) < count:
        raise ReadError("the file must be whole", found="it ends in the middle of a plane")
    tables = page.jpegtables if hasattr(page, "jpegtables") else page.keyframe.jpegtables
    decoded, _, shape = page.keyframe.decode(data, index, jpegtables=tables)
    if decoded is None:
        return None
    plane = np.asarray(decoded).reshape(decoded.shape[-3:-1])[: shape[-3], : shape[-2]]
    _segments.put(key, plane)
    return plane


class _Segments:
    """Segments decoded lately, bounded in bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, Array] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> Array | None:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        return None

    def put(self, key: Any, value: Array) -> None:
        self._kept[key] = value
        self._bytes += value.nbytes
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0


class _Handles:
    """A few files kept open in this process; closed when others take their place, and at exit."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Path, int, int], tifffile.TiffFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> tifffile.TiffFile:
        stat = path.stat()
        key = (path, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            if key not in self._open:
                _segments.clear()
                self._open[key] = tifffile.TiffFile(path)
            self._open.move_to_end(key)
            while len(self._open) > 4:
                self._open.popitem(last=False)[1].close()
            return self._open[key]

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


_segments = _Segments()
_handles = _Handles()
atexit.register(_handles.close)


@contextmanager
def _parsed(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open for a look at the structure; what tifffile stumbles over is a TiffFileError."""
    try:
        with tifffile.TiffFile(path) as file:
            yield file
    except (InputError, ReadError, tifffile.TiffFileError):
        raise
    except OSError as error:
        raise InputError("the input must be readable", found=str(error), where=str(path)) from None
    except Exception as error:  # a damaged file may break the parser anywhere
        raise ReadError(
            "the TIFF file must be whole", found=f"{type(error).__name__}: {error}", where=str(path)
        ) from error


@contextmanager
def _decoding(path: Path, box: Box) -> Iterator[None]:
    """Turn whatever a decoder raises into ReadError with file and box."""
    try:
        yield
    except Exception as error:
        found = error.found if isinstance(error, ReadError) else f"{type(error).__name__}: {error}"
        raise ReadError(
            "the TIFF file must be whole and undamaged", found=found[:300], where=f"{path} [{box}]"
        ) from error


def _with_z(series: Any, file: tifffile.TiffFile) -> tuple[tuple[int, ...], str]:
    """Give sizes and axes; a single plane that its metadata call a stack of one is one."""
    shape, axes = tuple(series.shape), str(series.axes)
    if axes == "YX" and _says_stack_of_one(file):
        return (1, *shape), "ZYX"
    return shape, axes


def _says_stack_of_one(file: tifffile.TiffFile) -> bool:
    """OME's SizeZ is 1 in every 2D image too; tifffile's own shape tells."""
    shaped = file.shaped_metadata
    return shaped is not None and len(shaped[0].get("shape", ())) == 3


def _check_whole(file: tifffile.TiffFile, path: Path) -> None:
    """Find a truncated file before any work is done."""
    series = file.series[0]
    length = file.filehandle.size
    end = 0
    if series.dataoffset is not None:
        end = series.dataoffset + series.nbytes
    elif series.pages and series.pages[-1] is not None:
        last = series.pages[-1]
        end = max(
            (a + b for a, b in zip(last.dataoffsets, last.databytecounts, strict=True)), default=0
        )
    following = file.pages.next_page_offset or 0
    if end > length or following >= length or _planes_declared(file) > np.prod(series.shape[:-2]):
        raise ReadError(
            "the TIFF file must be whole",
            found=f"planes are missing; it ends after {length} bytes",
            where=str(path),
            cure="copy it again from its source",
        )


def _planes_declared(file: tifffile.TiffFile) -> int:
    """Give how many planes ImageJ's or tifffile's metadata promise; 0 where they do not say."""
    images = int((file.imagej_metadata or {}).get("images", 0))
    shaped = file.shaped_metadata
    return max(images, math.prod(shaped[0].get("shape", (0,))[:-2]) if shaped else 0)


def _voxel_size(file: tifffile.TiffFile) -> VoxelSize | None:
    """Read micrometres zyx from OME's or ImageJ's metadata; None where they do not say."""
    if file.is_ome and file.ome_metadata:
        return _ome_voxel_size(file.ome_metadata)
    if not file.is_imagej or not file.imagej_metadata:
        return None
    found = file.imagej_metadata
    unit = _MICROMETRES.get(str(found.get("unit", "")).lower().replace("\\u00b5", "µ"))
    tags = file.pages.first.tags
    if unit is None or "spacing" not in found or "XResolution" not in tags:
        return None
    x, y = (tags[f"{axis}Resolution"].value for axis in "XY")
    if not x[0] or not y[0]:
        return None
    return _positive(found["spacing"] * unit, y[1] / y[0] * unit, x[1] / x[0] * unit)


_MICROMETRES = {
    "micron": 1.0,
    "microns": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
}


def _ome_voxel_size(xml: str) -> VoxelSize | None:
    sizes = []
    for axis in "ZYX":
        value = re.search(rf'PhysicalSize{axis}="([^"]+)"', xml)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', xml)
        factor = _MICROMETRES.get(unit.group(1) if unit else "µm")
        if not value or factor is None:
            return None
        sizes.append(float(value.group(1)) * factor)
    return _positive(*sizes)


def _positive(z: float, y: float, x: float) -> VoxelSize | None:
    return (z, y, x) if min(z, y, x) > 0 else None


def _plane_type(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    try:
        with _parsed(path) as file:
            page = file.pages.first
            if len(page.shape) != 2:
                choose_axes("YXS", page.shape, Choice(), str(path))
            return (page.shape[0], page.shape[1]), check_dtype(np.dtype(page.dtype), str(path))
    except tifffile.TiffFileError as error:
        raise _no_image(path, str(error)) from None


def _words(path: Path) -> str:
    (height, width), dtype = _plane_type(path)
    return f"{path.name} has {height} x {width} {dtype}"


def _identity(files: list[Path], *more: object) -> str:
    stats = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hash_of(stats, *more)


def _no_image(path: Path, found: str) -> InputError:
    return InputError(
        "the input must be an image of a known kind",
        found=found,
        where=str(path),
        cure=f"known: {KINDS}",
    )

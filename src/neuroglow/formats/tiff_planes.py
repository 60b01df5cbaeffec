"""Planes of TIFF files: only the strips and tiles that a window needs are read and decoded."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from neuroglow.errors import InputError, ReadError
from neuroglow.files.names import is_tiff
from neuroglow.space.geometry import Box
from neuroglow.space.volume import KINDS, Array

# tifffile's remarks on a damaged file are covered by our own errors.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

__all__ = [
    "decoding",
    "handles",
    "no_image",
    "parsed",
    "piece_bytes_of",
    "plane_window",
    "segments",
]

CACHE_BYTES = 48_000_000

PAGE_BYTES = 16_000
"""Memory of the tags of a plane, about."""


def piece_bytes_of(series: Any) -> int:
    """Return the bytes of a strip or tile, which is decoded whole; 0 if the voxels lie open."""
    if series.dataoffset is not None and not series.is_multifile:
        return 0
    page = series.keyframe
    tall, wide = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    return int(min(tall, page.imagelength) * wide * page.dtype.itemsize)


def plane_window(series: Any, number: int, box: Box) -> Array:
    """Read the yx window of a box from one plane of a series."""
    (_, y0, x0), (_, y1, x1) = box.start, box.stop
    height, width = series.shape[-2:]
    if series.dataoffset is not None and not series.is_multifile:
        handle = series.parent.filehandle
        handle.seek(series.dataoffset + (number * height + y0) * width * series.dtype.itemsize)
        stored = series.dtype.newbyteorder(series.parent.byteorder)
        raw = handle.read((y1 - y0) * width * stored.itemsize)
        return np.frombuffer(raw, stored).reshape(y1 - y0, width)[:, x0:x1]
    page = series.pages[number]
    if page is None:
        raise ReadError("a plane of the file must be complete", found=f"plane {number} is missing")
    with _open_handle(page.parent.filehandle):
        page = _whole_page(page)
        if page.shape[:2] != (height, width) or page.dtype != series.dtype:
            words = f"plane {number} is {' x '.join(map(str, page.shape))} {page.dtype}"
            found = f"{words}, the first {height} x {width} {series.dtype}"
            raise ReadError("all planes must have the same size and type", found=found)
        return _decode_window(page, box)


@contextmanager
def _open_handle(handle: Any) -> Iterator[None]:
    """Open one of the further files of a volume for as long as it is read."""
    closed = handle.closed
    if closed:
        handle.open()
    try:
        yield
    finally:
        if closed:
            handle.close()


def _whole_page(page: Any) -> Any:
    """Read all tags of a page that tifffile assumed to have the same tags as the first."""
    if isinstance(page, tifffile.TiffPage) or not page.offset:
        return page
    key = (page.parent.filehandle.path, page.offset)
    if (found := pages.get(key)) is None:
        page.parent.filehandle.seek(page.offset)
        found = tifffile.TiffPage(page.parent, page.index)
        pages.put(key, found, PAGE_BYTES)
    return found


def _decode_window(page: Any, box: Box) -> Array:
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
            segment = _segment(page, row * columns + column)
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


def _segment(page: Any, index: int) -> Array | None:
    """Decode one strip or tile (yx), or return it from the cache; None is empty."""
    handle = page.parent.filehandle
    key = (handle.path, page.offset, index)
    kept: Array | None = segments.get(key)
    if kept is not None:
        return kept
    offset, count = page.dataoffsets[index], page.databytecounts[index]
    if count == 0:
        return None
    handle.seek(offset)
    data = handle.read(count)
    if len(data) < count:
        raise ReadError("the file must be complete", found="it ends in the middle of a plane")
    tables = page.jpegtables if hasattr(page, "jpegtables") else page.keyframe.jpegtables
    decoded, _, shape = page.keyframe.decode(data, index, jpegtables=tables)
    if decoded is None:
        return None
    plane = np.asarray(decoded).reshape(decoded.shape[-3:-1])[: shape[-3], : shape[-2]]
    segments.put(key, plane, plane.nbytes)
    return plane


class _Kept:
    """What was read lately, bounded in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> Any:
        """Return what is kept; None if it is not."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: Any, value: Any, size: int) -> None:
        """Keep something of so many bytes; the oldest is removed."""
        self._kept[key] = value, size
        self._bytes += size
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self._bytes = 0


class _Handles:
    """A few files kept open in this process; closed when replaced by others, and at exit."""

    def __init__(self) -> None:
        self._open: OrderedDict[Any, tifffile.TiffFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path, others: Sequence[Path] = ()) -> tifffile.TiffFile:
        """Return an open file, reopened if it or one of `others` has changed."""
        stats = [f.stat() for f in (path, *others)]
        key = (path, *((s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in stats))
        with self._lock:
            if key not in self._open:
                segments.clear()
                pages.clear()
                self._open[key] = _opened(path)
            self._open.move_to_end(key)
            while len(self._open) > 4:
                self._open.popitem(last=False)[1].close()
            return self._open[key]

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()


segments = _Kept(CACHE_BYTES)
pages = _Kept(CACHE_BYTES // 8)
handles = _Handles()
atexit.register(handles.close)


def _opened(path: Path) -> tifffile.TiffFile:
    """Open a file; if its OME-XML is in a companion file next to it, together with that."""
    file = tifffile.TiffFile(path)
    xml = file.ome_metadata if file.is_ome else None
    if not xml or "BinaryOnly" not in xml:
        return file
    element = ElementTree.fromstring(xml).find("{*}BinaryOnly")
    named = path.parent / (element.get("MetadataFile", "") if element is not None else "")
    if not named.is_file() or is_tiff(named):
        file.close()
        raise InputError(
            "an OME-TIFF without its own metadata is opened through the file that has them",
            found=f"its metadata are in {named.name!r}"
            + ("" if named.is_file() else ", which is not next to it"),
            where=str(path),
            cure=f"{named}" if named.is_file() else "put the file that has them next to it",
        )
    file.close()
    return tifffile.TiffFile(path, omexml=named.read_text(encoding="utf-8"))


@contextmanager
def parsed(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open to inspect the structure; raises InputError or ReadError for any failure."""
    try:
        with _opened(path) as file:
            yield file
    except (InputError, ReadError):
        raise
    except tifffile.TiffFileError as error:
        raise no_image(path, str(error)) from None
    except OSError as error:
        raise InputError("the input must be readable", found=str(error), where=str(path)) from None
    except Exception as error:  # a damaged file may break the parser anywhere
        raise ReadError(
            "the TIFF file must be complete",
            found=f"{type(error).__name__}: {error}",
            where=str(path),
        ) from error


@contextmanager
def decoding(path: Path, box: Box) -> Iterator[None]:
    """Turn any exception of a decoder into ReadError with file and box."""
    try:
        yield
    except Exception as error:
        found = error.found if isinstance(error, ReadError) else f"{type(error).__name__}: {error}"
        raise ReadError(
            "the TIFF file must be complete and undamaged",
            found=found[:300],
            where=f"{path} [{box}]",
        ) from error


def no_image(path: Path, found: str) -> InputError:
    """Return the error for a file without an image."""
    return InputError(
        "the input must be an image in a known format",
        found=found,
        where=str(path),
        cure=next((cure for begin, cure in _KNOWN if found.startswith(begin)), f"known: {KINDS}"),
    )


def _header(first: bytes) -> str:
    return f"not a TIFF file: header={first[:4]!r}"


_KNOWN = [
    (_header(b"vers"), "git lfs pull: this is a pointer to the file, not the file"),
    (_header(b"<!DO"), "download it again: this is a web page"),
    (_header(b"\x93NUM"), "from Python: give the array itself, numpy.load(...)"),
    (_header(b"PK\x03\x04"), "unpack it: this is a zip archive"),
    (_header(b"\x1f\x8b\x08\x00"), "unpack it: this is a gzip archive"),
    (_header(b"\x1f\x8b\x08\x08"), "unpack it: this is a gzip archive"),
]
"""How what is found begins in files that are often taken for images, and what to do."""

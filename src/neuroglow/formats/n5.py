"""N5, as written by Fiji, BigStitcher and Paintera: read by box, here or at an address.

The format: https://github.com/saalfeldlab/n5 (file-system specification).
"""

from __future__ import annotations

import bz2
import itertools
import json
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import InputError, NeuroglowError, ReadError
from neuroglow.files.remarks import listed
from neuroglow.files.remote import Place
from neuroglow.files.writing import file_stats, hash_of
from neuroglow.formats.chunked import Chunked
from neuroglow.space.axes import Axes, choose_axes, letters_of, unnamed_axes
from neuroglow.space.geometry import Box
from neuroglow.space.pieces import together
from neuroglow.space.units import read_voxel_size
from neuroglow.space.volume import Array, Choice, VoxelSize, check_dtype, check_inside

__all__ = ["N5Volume", "is_n5", "open_n5"]

ATTRIBUTES = "attributes.json"
FINEST = ("s0", "setup0/timepoint0/s0")
"""Where the finest level lies in a pyramid, and in BigDataViewer's layout."""

TOGETHER = 8
"""Blocks that are read at once: a store elsewhere answers slowly."""

_LZ4 = struct.Struct("<8sBiiI")


@dataclass(frozen=True)
class N5Volume(Chunked):
    """A dataset of an N5 container; blocks that are not there are zero.

    block: its shape in the order of the axes of the array, which is the reverse of N5's.
    """

    path: Place
    axes: Axes
    stored: tuple[int, ...]
    block: tuple[int, ...]
    big_endian: np.dtype[Any]
    compression: Mapping[str, Any]
    voxel_size_um: VoxelSize | None

    @property
    def kept_dtype(self) -> np.dtype[Any]:
        """Type of the voxels as they are stored."""
        return self.big_endian

    @property
    def kept_chunk(self) -> tuple[int, ...]:
        """Shape of a block."""
        return self.block

    @cached_property
    def identity(self) -> str:
        """Hash of the path and of each block's size and time; elsewhere, of some blocks' tags."""
        where = (self.path.name, self.axes.index, self.axes.order)
        if isinstance(self.path, Path):
            return hash_of(*where, file_stats(self.path))
        counts = [-(-n // m) for n, m in zip(self.stored, self.block, strict=True)]
        places = ([0] * len(counts), [n // 2 for n in counts], [n - 1 for n in counts])
        names = [ATTRIBUTES, *("/".join(map(str, at[::-1])) for at in places)]
        return hash_of(*where, [(name, (self.path / name).found()) for name in names])

    def read(self, box: Box) -> Array:
        """Read a box; raises ReadError if a block is damaged."""
        check_inside(box, self.shape)
        window = self.axes.window(box)
        spans = [slice(w, w + 1) if isinstance(w, int) else w for w in window]
        out = np.zeros([s.stop - s.start for s in spans], self.dtype)
        ranges = [
            range(s.start // n, -(-s.stop // n)) for s, n in zip(spans, self.block, strict=True)
        ]
        places = itertools.product(*ranges)
        at_once = together(self.piece_bytes, TOGETHER)
        with ThreadPoolExecutor(at_once) as threads:
            while some := list(itertools.islice(places, at_once)):
                for at, voxels in zip(some, threads.map(self._block, some), strict=True):
                    self._put(out, spans, at, voxels)
        kept = tuple(0 if isinstance(w, int) else slice(None) for w in window)
        return self.axes.arranged(out[kept], self.dtype)

    def _put(
        self, out: Array, spans: Sequence[slice], at: tuple[int, ...], voxels: Array | None
    ) -> None:
        """Copy the part of a block that lies in the window."""
        if voxels is None:
            return
        into, of = [], []
        for span, i, n, held in zip(spans, at, self.block, voxels.shape, strict=True):
            low, high = max(span.start, i * n), min(span.stop, i * n + held)
            into.append(slice(low - span.start, high - span.start))
            of.append(slice(low - i * n, high - i * n))
        out[tuple(into)] = voxels[tuple(of)]

    def _block(self, at: tuple[int, ...]) -> Array | None:
        """Read and decode one block; None if it is not there."""
        file = self.path / "/".join(map(str, at[::-1]))
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _decoded(data, self.big_endian, self.compression)
        except Exception as error:  # each codec fails in its own way
            raise ReadError(
                "every block must be complete and undamaged",
                found=f"{type(error).__name__}: {error}"[:200],
                where=str(file),
            ) from error


def is_n5(place: Place) -> bool:
    """Return whether a folder is an N5 dataset, or holds one where the finest level usually is."""
    if place.suffix.lower() == ".n5":
        return True
    return any("dimensions" in _attributes(place / inner) for inner in ("", *FINEST))


def open_n5(place: Place, choice: Choice) -> N5Volume:
    """Open a dataset, the finest level of a pyramid, or the only dataset of a container."""
    path = _dataset(place)
    said = _attributes(path)
    try:
        stored = tuple(int(n) for n in said["dimensions"][::-1])
        block = tuple(int(n) for n in said["blockSize"][::-1])
        kind = np.dtype(said["dataType"]).newbyteorder(">")
        packing = said.get("compression") or {"type": said.get("compressionType", "raw")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "an N5 dataset states its dimensions, blocks and type",
            found=f"{type(error).__name__}: {error}",
            where=str(path),
        ) from None
    check_dtype(kind, str(path))
    names = said.get("axes") or _attributes(_above(path)).get("axes")
    known = isinstance(names, list) and len(names) == len(stored)
    letters = letters_of(names[::-1], str(path)) if known and names else ""
    letters = letters or unnamed_axes(stored, str(path))
    return N5Volume(
        path=path,
        axes=choose_axes(letters, stored, choice, str(path)),
        stored=stored,
        block=block,
        big_endian=kind,
        compression=packing,
        voxel_size_um=choice.voxel_size_um or _voxel_size(path, said),
    )


def _dataset(place: Place) -> Place:
    """Find the dataset that a path stands for."""
    for inner in ("", *FINEST):
        if "dimensions" in _attributes(place / inner):
            return place / inner if inner else place
    files = sorted(place.rglob(ATTRIBUTES)) if isinstance(place, Path) else []
    found = [file.parent for file in files if "dimensions" in _attributes(file.parent)]
    finest = [path for path in found if path.name == "s0"] or found
    if len(finest) == 1:
        return finest[0]
    raise InputError(
        "one dataset of an N5 container must be chosen" if finest else "N5 holds datasets",
        found=listed([str(path) for path in finest]) or "none",
        where=str(place),
        cure=f"{finest[0]}, for example" if finest else "the path of a dataset inside",
    )


def _attributes(place: Place) -> dict[str, Any]:
    """Read the attributes of a folder; empty if there are none."""
    try:
        said = json.loads((place / ATTRIBUTES).read_bytes())
    except NeuroglowError:
        raise
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _above(path: Place) -> Place:
    above = path.parents
    return above[0] if len(above) else path


def _voxel_size(path: Place, said: Mapping[str, Any]) -> VoxelSize | None:
    """Read the voxel size of a dataset, or of its pyramid times the factors of this level."""
    own, of_all = _stated(said), _stated(_attributes(_above(path)))
    sizes, unit = own if own else of_all or (None, None)
    if sizes is None or len(sizes) < 3:
        return None
    factors = said.get("downsamplingFactors") or [1] * len(sizes)
    if not own:
        sizes = [float(s) * float(f) for s, f in zip(sizes, factors, strict=False)]
    return read_voxel_size(dict(zip("xyz", sizes, strict=False)), unit, str(path))


def _stated(said: Mapping[str, Any]) -> tuple[list[Any], Any] | None:
    """Find a size (x, y, z) and its unit: pixelResolution of n5-viewer, or resolution."""
    size: Any = said.get("pixelResolution") or said.get("resolution")
    unit: Any = said.get("units")
    if isinstance(size, Mapping):
        size, unit = size.get("dimensions"), size.get("unit")
    if not isinstance(size, list):
        return None
    return size, unit[0] if isinstance(unit, list) and unit else unit


def _decoded(data: bytes, kind: np.dtype[Any], packing: Mapping[str, Any]) -> Array:
    """Decode one block: header, compressed voxels; the first axis varies fastest."""
    mode, count = struct.unpack_from(">HH", data)
    if mode > 1:
        raise ValueError(f"a block of mode {mode}")
    sizes = struct.unpack_from(f">{count}I", data, 4)
    begin = 4 + 4 * count + (4 if mode else 0)
    size = math.prod(sizes) * kind.itemsize
    raw = _unpacked(data[begin:], packing, size)
    if len(raw) < size:
        raise ValueError(f"{len(raw)} bytes of {size}")
    return np.frombuffer(raw, kind, count=math.prod(sizes)).reshape(sizes[::-1])


def _unpacked(data: bytes, packing: Mapping[str, Any], size: int) -> bytes:
    kind = str(packing.get("type", "raw")).lower()
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "raw": bytes,
        "gzip": lambda data: zlib.decompress(data, zlib.MAX_WBITS | 32),  # also zlib's own header
        "bzip2": bz2.decompress,
        "xz": lzma.decompress,
        "lz4": _unpacked_lz4,
        "zstd": partial(_unpacked_zstd, size=size),
        "blosc": _unpacked_blosc,
    }
    if kind not in unpack:
        raise ValueError(f"compression {kind!r}")
    return unpack[kind](data)


def _unpacked_zstd(data: bytes, size: int) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.zstd_decode(data, out=size))


def _unpacked_blosc(data: bytes) -> bytes:
    import imagecodecs

    if len(data) < int.from_bytes(data[12:16], "little"):  # the length that its header states
        raise ValueError("a block that ends early")
    return bytes(imagecodecs.blosc_decode(data))


def _unpacked_lz4(data: bytes) -> bytes:
    """Decode the frames of lz4-java: `LZ4Block`, method, sizes, checksum, data."""
    import imagecodecs

    parts, at = [], 0
    while at < len(data):
        magic, method, packed, whole, _ = _LZ4.unpack_from(data, at)
        if magic != b"LZ4Block":
            raise ValueError("not the frames of lz4-java")
        at += _LZ4.size
        body = data[at : at + packed]
        parts.append(body if method & 0xF0 == 0x10 else imagecodecs.lz4_decode(body, out=whole))
        at += packed
    return b"".join(parts)

"""Chunks of a zarr array on this machine, decoded and encoded directly.

zarr itself takes two to four times as long as the decoding, and as long to write zeros as the rest.
Only what our own volumes use is known here: zarr 3, whole numbers of little-endian bytes,
compressed by Blosc or not at all, in shards or not; anything else is left to zarr.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

from neuroglow.errors import ReadError
from neuroglow.files.writing import appearing
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array

__all__ = ["is_blank", "keep_chunks", "read_window", "write_shards"]

Shape = tuple[int, ...]
Window = tuple[slice, ...]

NOWHERE = 2**64 - 1
"""Offset and length of a chunk that is not stored, in the index of a shard."""


LARGE = 1 << 20
"""Bytes of an array whose memory the system takes back as soon as it is freed."""

FREE = 2
"""References to an array that nobody else holds, while they are counted."""


def read_window(folder: Path, array: Any, window: Sequence[int | slice]) -> Array:
    """Read a window of a zarr array (open) in a folder, as array[window] does."""
    stored = _Stored.of(folder, array)
    if stored is None:
        return np.asarray(array[tuple(window)])
    found = stored.read(_whole(array, window))
    return found[tuple(slice(None) if isinstance(at, slice) else 0 for at in window)]


def write_shards(folder: Path, array: Any, box: Box, voxels: Array) -> None:
    """Write whole shards of a zarr array (open, zyx) in a folder, as array[box] = voxels does.

    Chunks of zeros are not stored, nor are shards of nothing else.
    """
    stored = _Stored.of(folder, array)
    if stored is None or not stored.indexed or stored.fill or voxels.dtype != stored.dtype:
        array[box.slices] = voxels
        return
    for place, inside in _cut(box.slices, stored.file):
        part = voxels[_moved(inside, box.start)]
        stored.write_file(place, part, array.metadata.codecs[0].codecs[-1])


def is_blank(folder: Path, array: Any, window: Sequence[int | slice]) -> bool:
    """Return whether no chunk of a window is stored; False where only zarr could tell."""
    stored = _Stored.of(folder, array)
    return stored is not None and not any(stored.holds(_whole(array, window)))


def _whole(array: Any, window: Sequence[int | slice]) -> Window:
    """Give a window as slices, from a start to a stop, along each axis of an array."""
    slices = (at if isinstance(at, slice) else slice(at, at + 1) for at in window)
    return tuple(slice(*at.indices(n)) for at, n in zip(slices, array.shape))  # noqa: B905  # fewer


def keep_chunks(size: int) -> None:
    """Keep so many bytes of decoded chunks in this process, which the next windows need; 0: none.

    Of what is read, those are kept that lie at the end of a window along an axis: blocks that
    overlap are read in the order of their places.
    """
    _recent.limit(size)


class _Recent:
    """Decoded chunks, those used last: by their file as it is now, and their place in it."""

    def __init__(self) -> None:
        self._chunks: OrderedDict[tuple[Any, ...], Array] = OrderedDict()
        self._lock, self._most, self._size = threading.Lock(), 0, 0
        self._windows = threading.local()

    def limit(self, most: int) -> None:
        """Set how many bytes are kept."""
        with self._lock:
            self._most = most
            self._shrink()
            if not most:
                self._windows = threading.local()

    def empty(self, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Make an array for a window: in the memory of this thread's last one, if that is free."""
        size = math.prod(shape) * dtype.itemsize
        if size < LARGE or not self._most:
            return np.empty(shape, dtype)
        mine: dict[str, Array] = self._windows.__dict__
        last = mine.pop("last", None)
        if last is None or last.nbytes < size or sys.getrefcount(last) > FREE:
            last = np.empty(size, np.uint8)
        mine["last"] = last
        return last[:size].view(dtype).reshape(shape)

    def get(self, key: tuple[Any, ...]) -> Array | None:
        """Return a chunk if it is kept."""
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
            return self._chunks.get(key)

    def keep(self, key: tuple[Any, ...], chunk: Array) -> bool:
        """Keep a chunk, if there is room for any."""
        with self._lock:
            if chunk.nbytes > self._most or key in self._chunks:
                return False
            self._chunks[key] = chunk
            self._size += chunk.nbytes
            self._shrink()
            return True

    def _shrink(self) -> None:
        while self._size > self._most:
            self._size -= self._chunks.popitem(last=False)[1].nbytes


_recent = _Recent()


@dataclass(frozen=True)
class _Stored:
    """How an array is stored: files of shards, of chunks; without shards a file is one chunk."""

    folder: Path
    key: Callable[[Shape], str]
    dtype: np.dtype[Any]
    fill: Any
    file: Shape
    chunk: Shape
    indexed: bool
    compressed: bool

    @classmethod
    def of(cls, folder: Path, array: Any) -> _Stored | None:
        """Describe an array; None if only zarr can read it."""
        about = array.metadata
        if about.zarr_format != 3 or about.storage_transformers:
            return None
        file = chunk = tuple(array.shards or array.chunks)
        codecs: Sequence[Any] = about.codecs
        indexed = len(codecs) == 1 and isinstance(codecs[0], ShardingCodec)
        if indexed:
            kinds = [type(codec) for codec in codecs[0].index_codecs]
            if kinds != [BytesCodec, Crc32cCodec] or codecs[0].index_location.value != "end":
                return None
            codecs, chunk = codecs[0].codecs, tuple(codecs[0].chunk_shape)
        if [type(codec) for codec in codecs] not in ([BytesCodec], [BytesCodec, BloscCodec]):
            return None
        big = codecs[0].endian is not None and codecs[0].endian.value != "little"
        if big or array.dtype.kind not in "iufb":
            return None
        dtype = np.dtype(array.dtype).newbyteorder("<")
        form = (about.encode_chunk_key, dtype, about.fill_value, file, chunk, indexed)
        return cls(folder, *form, compressed=len(codecs) == 2)

    def read(self, window: Window) -> Array:
        """Read a window, chunk by chunk."""
        out = _recent.empty([at.stop - at.start for at in window], self.dtype)
        for place, inside in _cut(window, self.file):
            part = out[_moved(inside, [at.start for at in window])]
            try:
                with (self.folder / self.key(place)).open("rb") as file:
                    origin = [i * n for i, n in zip(place, self.file, strict=True)]
                    ends = [at.stop - o for at, o in zip(window, origin, strict=True)]
                    self._read_file(file.fileno(), _moved(inside, origin), ends, part)
            except FileNotFoundError:
                part[...] = self.fill
        return out

    def _read_file(self, file: int, window: Window, ends: Sequence[int], out: Array) -> None:
        """Read a window of one file; ends: of all that is read, counted from its origin."""
        index, about = self._index(file), os.fstat(file)
        this = (about.st_dev, about.st_ino, about.st_mtime_ns, about.st_size)
        decoded = np.empty(self.chunk, self.dtype)
        for place, inside in _cut(window, self.chunk):
            offset, length = index[place].tolist()
            part = out[_moved(inside, [at.start for at in window])]
            if offset == length == NOWHERE:
                part[...] = self.fill
                continue
            origin = [i * n for i, n in zip(place, self.chunk, strict=True)]
            chunk = _recent.get((*this, place))
            if chunk is None:
                self._decode(_exactly(file, length, offset), chunk := decoded)
                if self._is_last(place, ends) and _recent.keep((*this, place), decoded):
                    decoded = np.empty(self.chunk, self.dtype)
            part[...] = chunk[_moved(inside, origin)]

    def _is_last(self, place: Shape, ends: Sequence[int]) -> bool:
        """Return whether what is read ends in a chunk along an axis, or in the next along y, x."""
        beyond = [(i + 1) * n - end for i, n, end in zip(place, self.chunk, ends, strict=True)]
        near = zip(beyond[-2:], self.chunk[-2:], strict=True)
        return any(after > 0 for after in beyond) or any(2 * after > -3 * n for after, n in near)

    def holds(self, window: Window) -> Iterator[bool]:
        """Tell of each chunk in a window whether it is stored."""
        for place, inside in _cut(window, self.file):
            with suppress(FileNotFoundError), (self.folder / self.key(place)).open("rb") as file:
                index = self._index(file.fileno())
                origin = [i * n for i, n in zip(place, self.file, strict=True)]
                for chunk, _ in _cut(_moved(inside, origin), self.chunk):
                    yield index[chunk].tolist() != [NOWHERE, NOWHERE]

    def write_file(self, place: Shape, voxels: Array, codec: Any) -> None:
        """Write one file from voxels that begin where it does; codec: the last of a chunk's."""
        counts = [n // m for n, m in zip(self.file, self.chunk, strict=True)]
        index = np.full((*counts, 2), NOWHERE, "<u8")
        path, at, pieces = self.folder / self.key(place), 0, list[bytes]()
        for chunk, inside in _cut(tuple(slice(0, n) for n in voxels.shape), self.chunk):
            if voxels[inside].any():
                whole = np.zeros(self.chunk, self.dtype)
                whole[tuple(slice(n) for n in voxels[inside].shape)] = voxels[inside]
                pieces.append(self._encode(whole, codec))
                index[chunk] = at, len(pieces[-1])
                at += len(pieces[-1])
        if not pieces:
            path.unlink(missing_ok=True)
            return
        data = index.tobytes()
        check = int(google_crc32c.value(data)).to_bytes(4, "little")
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as partial:
            partial.write_bytes(b"".join([*pieces, data, check]))

    def _encode(self, chunk: Array, codec: Any) -> bytes:
        """Encode a chunk."""
        if not self.compressed:
            return chunk.tobytes()
        shuffle = ("noshuffle", "shuffle", "bitshuffle").index(codec.shuffle.value)
        form = (codec.cname.value.encode(), codec.clevel, shuffle, codec.blocksize)
        return bytes(blosc.compress(chunk, *form))

    def _index(self, file: int) -> NDArray[np.uint64]:
        """Return offset and length of each chunk of a file."""
        counts = [n // m for n, m in zip(self.file, self.chunk, strict=True)]
        size = os.fstat(file).st_size
        if not self.indexed:
            return np.array([0, size], np.uint64).reshape(*counts, 2)
        length = 16 * math.prod(counts)
        data = _exactly(file, length + 4, size - length - 4)
        if int(google_crc32c.value(data[:length])) != int.from_bytes(data[length:], "little"):
            raise ReadError("damaged", found="the checksum of a shard's index is wrong")
        return np.frombuffer(data, "<u8", length // 8).reshape(*counts, 2)

    def _decode(self, data: bytes, decoded: Array) -> None:
        """Decode a chunk into an array."""
        if not self.compressed:
            decoded.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
            return
        if int.from_bytes(data[4:8], "little") != decoded.nbytes:  # Blosc's header
            raise ReadError("damaged", found="a chunk of another size")
        blosc.decompress(data, decoded)


def _exactly(file: int, length: int, offset: int) -> bytes:
    data = b""
    with suppress(OSError):  # of an offset that is wrong
        data = os.pread(file, length, offset) if offset >= 0 else b""
    if len(data) < length:
        raise ReadError("damaged", found="a file ends in the middle of a chunk")
    return data


def _cut(window: Window, shape: Shape) -> Iterator[tuple[Shape, Window]]:
    """Cut a window by a grid: the place of each piece in it, and the window that it covers."""
    spans = [range(at.start // n, -(-at.stop // n)) for at, n in zip(window, shape, strict=True)]
    for place in itertools.product(*spans):
        ends = [(i * n, (i + 1) * n) for i, n in zip(place, shape, strict=True)]
        yield (
            place,
            tuple(
                slice(max(at.start, a), min(at.stop, b))
                for at, (a, b) in zip(window, ends, strict=True)
            ),
        )


def _moved(window: Window, origin: Sequence[int]) -> Window:
    """Count a window from another origin."""
    return tuple(slice(at.start - o, at.stop - o) for at, o in zip(window, origin, strict=True))

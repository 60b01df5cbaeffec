"""Zarr arrays on this machine, read and written directly.

zarr itself takes two to four times as long as the decoding, as long to write zeros as the rest, and
a quarter of a CPU second to be imported. Only what our own volumes use is known here: zarr 3,
numbers of little-endian bytes, compressed by Blosc or not at all, in shards or not; anything else
is left to zarr (zarr_arrays.py).
"""

from __future__ import annotations

import itertools
import json
import math
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from neuroglow.errors import ReadError
from neuroglow.files.writing import appearing
from neuroglow.space.volume import Array

__all__ = [
    "LocalArray",
    "attributes_of",
    "create_local",
    "keep_chunks",
    "open_local",
    "write_group",
]

Shape = tuple[int, ...]
Window = tuple[slice, ...]

blosc.use_threads = False  # they would put the parts of a chunk in any order; zarr does so, too

NOWHERE = 2**64 - 1
"""Offset and length of a chunk that is not stored, in the index of a shard."""


LARGE = 1 << 20
"""Bytes of an array whose memory the system takes back as soon as it is freed."""

META = "zarr.json"
"""The file that describes an array or a group of zarr 3."""

SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
"""Blosc's, by their numbers."""

WINDOWS = 2
"""Windows whose memory a thread keeps: a block's, and a smaller one that is read meanwhile."""


def keep_chunks(size: int) -> None:
    """Keep so many bytes of decoded chunks in this process, which the next windows need; 0: none.

    Of what is read, those are kept that lie at the end of a window along an axis: blocks that
    overlap are read in the order of their places.
    """
    _recent.limit(size)


class _Memory:
    """Memory of windows, one after another: free as soon as no array shows any of the last one."""

    def __init__(self, size: int) -> None:
        self.held = np.empty(size, np.uint8)
        self._last: Callable[[], Array | None] = lambda: None

    @property
    def is_free(self) -> bool:
        """Return whether no part of the last window is in use."""
        return self._last() is None

    def window(self, size: int) -> Array:
        """Show the first bytes; every view of them, and of that, keeps this one array alive."""
        shown = np.frombuffer(self.held.data, np.uint8, size)
        self._last = weakref.ref(shown)
        return shown


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
        """Make an array for a window: in the memory of this thread's last ones, if one is free."""
        size = math.prod(shape) * dtype.itemsize
        if size < LARGE or not self._most:
            return np.empty(shape, dtype)
        kept: list[_Memory] = self._windows.__dict__.setdefault("kept", [])
        free = [memory for memory in kept if memory.is_free]
        fits = [memory for memory in free if memory.held.nbytes >= size]
        memory = min(fits, key=lambda one: one.held.nbytes) if fits else _Memory(size)
        if not fits:  # what is free goes first
            kept[:] = [*(one for one in kept if one not in free), memory][-WINDOWS:]
        return memory.window(size).view(dtype).reshape(shape)

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
class LocalArray:
    """An array on this machine. Indexed by a window, it is read; by a box of whole shards, written.

    fill: the value of what is not stored. file, chunk: the shapes of what a file holds, and of
    what is encoded together; both are one if there are no shards (indexed: there are). codec: how
    Blosc encodes a chunk; None: not at all.
    """

    folder: Path
    shape: Shape
    dtype: np.dtype[Any]
    fill: Any
    file: Shape
    chunk: Shape
    indexed: bool
    codec: Mapping[str, Any] | None
    separator: str = "/"

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def chunks(self) -> Shape:
        """Shape of what is encoded together."""
        return self.chunk

    @property
    def shards(self) -> Shape | None:
        """Shape of what a file holds; None if that is one chunk."""
        return self.file if self.indexed else None

    @property
    def fill_value(self) -> Any:
        """The value of what is not stored."""
        return self.fill

    def key(self, place: Shape) -> str:
        """Name the file at a place in the grid of files."""
        return self.separator.join(["c", *map(str, place)])

    def __getitem__(self, window: Sequence[int | slice]) -> Array:
        """Read a window, as zarr does; raises ReadError for what is damaged."""
        found = self.read(self._whole(window))
        return found[tuple(slice(None) if isinstance(at, slice) else 0 for at in window)]

    def __setitem__(self, window: Window, voxels: Array) -> None:
        """Write whole shards. Chunks of zeros are not stored, nor are shards of nothing else."""
        for place, inside in _cut(window, self.file):
            self.write_file(place, voxels[_moved(inside, [at.start for at in window])])

    def writes(self, voxels: Array) -> bool:
        """Return whether such voxels are written here; only zarr writes others."""
        return self.indexed and not self.fill and voxels.dtype == self.dtype

    def is_blank(self, window: Sequence[int | slice]) -> bool:
        """Return whether no chunk of a window is stored."""
        return not any(self.holds(self._whole(window)))

    def _whole(self, window: Sequence[int | slice]) -> Window:
        """Give a window as slices, from a start to a stop, along each axis."""
        slices = (at if isinstance(at, slice) else slice(at, at + 1) for at in window)
        return tuple(slice(*at.indices(n)) for at, n in zip(slices, self.shape))  # noqa: B905  # fewer

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

    def write_file(self, place: Shape, voxels: Array) -> None:
        """Write one file from voxels that begin where it does."""
        counts = [n // m for n, m in zip(self.file, self.chunk, strict=True)]
        index = np.full((*counts, 2), NOWHERE, "<u8")
        path, at, pieces = self.folder / self.key(place), 0, list[bytes]()
        for chunk, inside in _cut(tuple(slice(0, n) for n in voxels.shape), self.chunk):
            if voxels[inside].any():
                whole = np.zeros(self.chunk, self.dtype)
                whole[tuple(slice(n) for n in voxels[inside].shape)] = voxels[inside]
                pieces.append(self._encode(whole))
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

    def _encode(self, chunk: Array) -> bytes:
        """Encode a chunk."""
        if self.codec is None:
            return chunk.tobytes()
        form = (self.codec["cname"].encode(), self.codec["clevel"])
        shuffle = SHUFFLES.index(self.codec["shuffle"])
        return bytes(blosc.compress(chunk, *form, shuffle, self.codec["blocksize"]))

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
        if self.codec is None:
            decoded.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
            return
        size, length = (int.from_bytes(data[at : at + 4], "little") for at in (4, 12))
        if (size, length) != (decoded.nbytes, len(data)):  # Blosc's header; it reads on beyond data
            raise ReadError("damaged", found="a chunk of another size")
        # Blosc 2 reads Blosc's chunks, too, and zstd's in six tenths of the time
        imagecodecs.blosc2_decode(data, numthreads=1, out=decoded.reshape(-1).view(np.uint8).data)


def open_local(folder: Path) -> LocalArray | None:
    """Open an array in a folder; None if only zarr can, or if it is none."""
    try:
        about = json.loads((folder / META).read_text(encoding="utf-8"))
        return _described(folder, about)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None  # zarr says what is wrong with it


def _described(folder: Path, about: Mapping[str, Any]) -> LocalArray | None:
    """Read the description of an array, as far as it is known here."""
    keys, grid = about["chunk_key_encoding"], about["chunk_grid"]
    separator = keys.get("configuration", {}).get("separator", "/")
    expected = ("array", 3, "default", "regular", True, None)
    found = (about["node_type"], about["zarr_format"], keys["name"], grid["name"])
    plain = separator in {"/", "."} and type(about["fill_value"]) in {int, float, bool}
    if (*found, plain, about.get("storage_transformers") or None) != expected:
        return None
    dtype = np.dtype(about["data_type"]).newbyteorder("<")
    file = chunk = tuple(grid["configuration"]["chunk_shape"])
    codecs = about["codecs"]
    indexed = [codec["name"] for codec in codecs] == ["sharding_indexed"]
    if indexed:
        inner = codecs[0]["configuration"]
        whole = [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
        if not whole or _is_big(inner["index_codecs"][0]) or inner["index_location"] != "end":
            return None
        codecs, chunk = inner["codecs"], tuple(inner["chunk_shape"])
    if [codec["name"] for codec in codecs] not in (["bytes"], ["bytes", "blosc"]):
        return None
    codec = codecs[1]["configuration"] if len(codecs) == 2 else None
    if _is_big(codecs[0]) or dtype.kind not in "iufb":
        return None
    fill = dtype.type(about["fill_value"])
    form = (tuple(about["shape"]), dtype, fill, file, chunk, indexed, codec, separator)
    return LocalArray(folder, *form)


def _is_big(codec: Mapping[str, Any]) -> bool:
    return bool(codec.get("configuration", {}).get("endian", "little") != "little")


def create_local(
    folder: Path,
    shape: Sequence[int],
    shards: Sequence[int],
    chunks: Sequence[int],
    dtype: np.dtype[Any],
    *,
    compression: tuple[str, int] | None,
    names: Sequence[str],
) -> None:
    """Describe an empty array of zarr 3: chunks inside shards, zeros where nothing is stored.

    compression: Blosc's codec and its effort; None: chunks are stored as they are. names: of the
    axes. What is stored already stays.
    """
    little = {"configuration": {"endian": "little"}}
    codecs: list[Any] = [{"name": "bytes", **(little if dtype.itemsize > 1 else {})}]
    if compression:
        name, effort = compression
        form = {"typesize": dtype.itemsize, "cname": name, "clevel": effort}
        form |= {"shuffle": "shuffle", "blocksize": 0}
        codecs.append({"name": "blosc", "configuration": form})
    shard = {
        "chunk_shape": [*chunks],
        "codecs": codecs,
        "index_codecs": [{"name": "bytes", **little}, {"name": "crc32c"}],
        "index_location": "end",
    }
    about = {
        "shape": [*shape],
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [*shards]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": np.zeros((), dtype).item(),
        "codecs": [{"name": "sharding_indexed", "configuration": shard}],
        "attributes": {},
        "dimension_names": [*names],
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }
    _write_meta(folder, about)


def attributes_of(folder: Path) -> dict[str, Any] | None:
    """Return the attributes of a group of zarr 3; None if the folder is none."""
    with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
        about = json.loads((folder / META).read_text(encoding="utf-8"))
        if (about["node_type"], about["zarr_format"]) == ("group", 3):
            return dict(about.get("attributes", {}))
    return None


def write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Describe a group of zarr 3."""
    _write_meta(folder, {"attributes": {**attributes}, "zarr_format": 3, "node_type": "group"})


def _write_meta(folder: Path, about: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with appearing(folder / META) as partial:
        partial.write_text(json.dumps(about, indent=2), encoding="utf-8")


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

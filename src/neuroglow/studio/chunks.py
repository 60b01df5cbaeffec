"""Chunks of views, kept: in memory the newest, on disk those of levels that had to be made."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import imagecodecs

from neuroglow.files.writing import appearing, hash_of
from neuroglow.space.geometry import Box
from neuroglow.studio.state import State
from neuroglow.studio.volumes import Shown
from neuroglow.studio.zarr_view import chunk_bytes

__all__ = ["Chunks", "on_the_wire", "packed"]

MEMORY = 48_000_000
"""Bytes of compressed chunks kept in memory."""

DISK = 4_000_000_000
"""Bytes of chunks written to disk by one studio: when more are made, they are not kept there."""

AT_ONCE = 4
"""Chunks that are read at a time: each takes memory."""

WORTH = 4
"""A chunk that is compressed by so much is sent compressed: an SSH tunnel is slow."""


def on_the_wire(packed: bytes, *, gzip: bool) -> tuple[bytes, bool]:
    """Return a chunk as it is sent, and whether by gzip, which a browser undoes by itself."""
    voxels = bytes(imagecodecs.blosc_decode(packed, numthreads=1))
    if gzip and len(packed) * WORTH < len(voxels):
        return zlib.compress(voxels, level=1, wbits=31), True
    return voxels, False


def packed(voxels: bytes, itemsize: int) -> bytes:
    """Return voxels as they are kept: LZ4."""
    return bytes(
        imagecodecs.blosc_encode(
            voxels,
            level=1,
            compressor="lz4",
            shuffle=1 if itemsize > 1 else 0,
            typesize=itemsize,
            numthreads=1,
        )
    )


@dataclass
class Chunks:
    """Compressed chunks by volume, revision, level and box; each is made once."""

    state: State
    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _on_disk: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _making: dict[str, threading.Lock] = field(default_factory=dict)
    _turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def get(self, shown: Shown, level: int, box: Box) -> bytes:
        """Return a chunk as LZ4: kept, or made now. Raises ReadError if it cannot be read."""
        key = hash_of(shown.path, shown.revision, level, str(box))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            found = self._recall(key)
            if found is None:
                found = self._make(shown, level, box, key)
                self._remember(key, found)
        with self._lock:
            self._making.pop(key, None)
        return found

    def _recall(self, key: str) -> bytes | None:
        with self._lock:
            return self._kept.get(key)

    def _remember(self, key: str, chunk: bytes) -> None:
        with self._lock:
            self._kept[key] = chunk
            self._bytes += len(chunk)
            while self._bytes > MEMORY and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1])

    def _make(self, shown: Shown, level: int, box: Box, key: str) -> bytes:
        """Read a chunk from disk, or from the volume; those of made levels are written to disk."""
        lasting = not shown.levels[level].stored and not shown.growing
        file = self.state.folder / "levels" / key[:2] / key if lasting else None
        if file is not None and file.is_file():
            return file.read_bytes()
        with self._turn:
            chunk = packed(chunk_bytes(shown, level, box), shown.dtype.itemsize)
        if file is not None:
            self._write(file, chunk)
        return chunk

    def _write(self, file: Path, chunk: bytes) -> None:
        with self._lock:
            self._on_disk += len(chunk)
            full = self._on_disk > DISK
        if not full:
            file.parent.mkdir(parents=True, exist_ok=True)
            with appearing(file) as partial:
                partial.write_bytes(chunk)

"""A zarr store at an address, whose requests are those of `RemotePath`: retried, and checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype

from neuroglow.files.remote import RemotePath

__all__ = ["RemoteStore"]

_NO_NAMES: tuple[str, ...] = ()


class RemoteStore(Store):
    """The files below an address. They cannot be listed: zarr needs no list of an image."""

    supports_writes = True
    supports_deletes = False
    supports_listing = False

    def __init__(self, root: RemotePath, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        self.root = root

    def with_read_only(self, read_only: bool = False) -> RemoteStore:  # noqa: FBT001, FBT002 - the signature of Store
        """Return the same store, to be read only or not."""
        return type(self)(self.root, read_only=read_only)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteStore) and other.root == self.root

    def __hash__(self) -> int:
        return hash(self.root)

    def __repr__(self) -> str:
        return f"RemoteStore({self.root})"

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read a file, or a part of it; None if there is none."""
        start, stop = _limits(byte_range)
        try:
            data = await asyncio.to_thread((self.root / key).read_bytes, start, stop)
        except FileNotFoundError:
            return None
        return prototype.buffer.from_bytes(data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read parts of several files at once."""
        parts = [self.get(key, prototype, part) for key, part in key_ranges]
        return list(await asyncio.gather(*parts))

    async def exists(self, key: str) -> bool:
        """Return whether a file is there."""
        return await asyncio.to_thread((self.root / key).exists)

    async def set(self, key: str, value: Buffer) -> None:
        """Write a file."""
        self._check_writable()
        await asyncio.to_thread((self.root / key).write_bytes, value.to_bytes())

    async def delete(self, key: str) -> None:
        """Nothing is deleted: an empty chunk stays unwritten."""

    async def list(self) -> AsyncIterator[str]:
        """List nothing."""
        for name in _NO_NAMES:
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List nothing."""
        for name in _NO_NAMES:
            yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List nothing."""
        for name in _NO_NAMES:
            yield name


def _limits(part: Any) -> tuple[int | None, int | None]:
    if isinstance(part, RangeByteRequest):
        return part.start, part.end
    if isinstance(part, OffsetByteRequest):
        return part.offset, None
    if isinstance(part, SuffixByteRequest):
        return -part.suffix, None
    return None, None

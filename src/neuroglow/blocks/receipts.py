"""Receipts: what a block wrote, so that it can be checked later.

A receipt lists the files of a block in order: the bytes and a checksum of each, or `-` for a file
that is rightly absent, because zarr writes no shard of zeros. Work that leaves files has a method
`files(block)`, which names those that the block may write and no other block does, in order.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from neuroglow.blocks.ledger import Ledger
from neuroglow.progress import Progress, Tell
from neuroglow.space.geometry import Block

__all__ = ["damaged_blocks", "files_of", "looks_whole", "receipt_of"]

ABSENT = "-"

_PIECE = 1 << 20
_TOGETHER = 256
_MOMENT_S = 1.0


def files_of(work: object, block: Block) -> Sequence[Path]:
    """Name the files that the work on a block leaves; none if it does not say."""
    files = getattr(work, "files", None)  # isinstance of a Protocol takes longer than all the rest
    return files(block) if files else ()


def receipt_of(files: Sequence[Path], *, sync: bool = False) -> str:
    """Describe what is in the files now; sync: after it is on the disk."""
    return " ".join([_described(file, sync=sync) for file in files])


def looks_whole(work: object, block: Block, ledger: Ledger) -> bool:
    """Compare only the sizes of a finished block's files: a look at a million, reading none."""
    files = files_of(work, block)
    parts = ledger.receipts.get(block.index, "").split()
    return len(parts) == len(files) and all(
        _size(file) == part.partition(":")[0] for file, part in zip(files, parts, strict=True)
    )


def damaged_blocks(
    work: object, blocks: Sequence[Block], ledger: Ledger, tell: Tell
) -> Iterator[Block]:
    """Find the finished blocks whose files are not as their receipts say; every file is read."""
    if not hasattr(work, "files"):
        return

    def is_whole(block: Block) -> bool:
        try:
            return receipt_of(files_of(work, block)) == ledger.receipts.get(block.index, "")
        except OSError:  # it cannot be read
            return False

    told = time.monotonic()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for first in range(0, len(blocks), _TOGETHER):
            some = [b for b in blocks[first : first + _TOGETHER] if ledger.is_finished(b.index)]
            whole = list(threads.map(is_whole, some))
            yield from (block for block, ok in zip(some, whole, strict=True) if not ok)
            if time.monotonic() - told > _MOMENT_S:
                told = time.monotonic()
                tell(Progress("checking what was written", first, len(blocks), "blocks"))


def _size(file: Path) -> str:
    try:
        return str(os.stat(file).st_size)  # noqa: PTH116  # a million of them: a third faster
    except OSError:
        return ABSENT


def _described(file: Path, *, sync: bool) -> str:
    digest, size = hashlib.blake2b(digest_size=8), 0
    try:
        with file.open("rb", buffering=0) as opened:
            if sync:
                os.fsync(opened.fileno())
            while piece := opened.read(_PIECE):
                digest.update(piece)
                size += len(piece)
    except FileNotFoundError:
        return ABSENT
    return f"{size}:{digest.hexdigest()}"

"""Levels of a pyramid: each is written from the next finer one, one task a shard, in parallel.

FOLDER/.level-2.partial    which shards of level 2 are done; removed when the store is complete
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.executors import Workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import block_names, refuse_failures
from neuroglow.errors import OutputError
from neuroglow.files.remote import Place, RemotePath
from neuroglow.formats.zarr_arrays import is_blank, open_array, stored, write_shards
from neuroglow.formats.zarr_chunks import LocalArray, create_local
from neuroglow.progress import Progress, Tell, say_nothing
from neuroglow.space.geometry import Block, Blocks, Box, Zyx, tile
from neuroglow.space.pyramid import Level, halve
from neuroglow.space.volume import Array, VolumeSpec

if TYPE_CHECKING:
    from neuroglow.formats.remote_zarr import RemoteStore

__all__ = ["LevelBlock", "create_array", "write_levels", "write_levels_elsewhere"]

Create = Callable[[Path, Zyx, Zyx], object]
"""Makes the empty array of a level, from its path, its shape and its shards (all zyx)."""

FEW = 4
"""Levels of at most so many shards for each worker are written in this thread: that is sooner."""


@dataclass(frozen=True)
class LevelBlock:
    """The work on one shard of a level: read the finer voxels, average them, write.

    Arrays may have more axes before z, y and x, such as channels: each of them has its own level.
    """

    folder: Place
    finer: str
    level: str
    steps: tuple[int, ...]
    averaged: bool

    def __call__(self, block: Block) -> str:
        """Write one shard, unless all of it is zero."""
        source = open_array(self.folder / self.finer)
        spans = zip(block.write.start, block.write.stop, self.steps, source.shape[-3:], strict=True)
        window = tuple(slice(a * s, min(b * s, n)) for a, b, s, n in spans)
        found = False
        for lead in np.ndindex(source.shape[:-3]):
            if is_blank(source, (*lead, *window)):
                continue
            voxels = np.asarray(source[(*lead, *window)])
            if voxels.any():
                found = True
                nearest = voxels[tuple(slice(None, None, step) for step in self.steps)]
                coarse = halve(voxels, self.steps) if self.averaged else nearest
                self._write(lead, block.write, coarse)
        return "done" if found else "skipped"

    def _write(self, lead: tuple[int, ...], box: Box, voxels: Array) -> None:
        """Write whole shards of the level."""
        level = self.folder / self.level
        if isinstance(level, Path) and not lead:
            write_shards(level, box, voxels)
            return
        import zarr  # takes long

        target: Any = zarr.open_array(stored(level), mode="r+")
        target[(*lead, *box.slices)] = voxels

    def files(self, block: Block) -> list[Path]:
        """Name the files of a block, if they lie here; a shard of zeros is not there."""
        if not isinstance(self.folder, Path):
            return []
        shape, name = _files_of(self.folder / self.level)
        spans = zip(block.write.start, block.write.stop, shape[-3:], strict=True)
        numbers = [range(n) for n in _counts(self.folder / self.level)]
        numbers += [range(a // n, -(-b // n)) for a, b, n in spans]
        level = self.folder / self.level
        return [level / name(at) for at in itertools.product(*numbers)]


@lru_cache(maxsize=8)
def _files_of(path: Path) -> tuple[tuple[int, ...], Any]:
    """Return the shape that a file of an array covers, and the function that names the files."""
    array = open_array(path)
    name = array.key if isinstance(array, LocalArray) else array.metadata.encode_chunk_key
    return array.shards or array.chunks, name


@lru_cache(maxsize=8)
def _counts(path: Path) -> tuple[int, ...]:
    """Return the number of files along the axes before z, y and x."""
    array = open_array(path)
    each = array.shards or array.chunks
    return tuple(-(-n // m) for n, m in zip(array.shape[:-3], each[:-3], strict=True))


def write_levels(
    folder: Path,
    levels: Sequence[Level],
    spec: VolumeSpec,
    *,
    workers: Workers | None = None,
    tell: Tell | None = None,
    state: str = "",
    create: Create | None = None,
) -> None:
    """Write all levels but the first from the next finer one.

    state: a hash of the finest level; levels that an earlier start wrote of the same are kept.
    create: makes the empty array of a level; by default like `spec`.
    Raises BlocksFailedError that names the shards that failed, StoppedError, WriteError.
    """
    for finer, level in itertools.pairwise(levels):
        steps = tuple(b // a for a, b in zip(finer.factors, level.factors, strict=True))
        cz, cy, cx = spec.chunk_shape
        shards = (2 * cz, 2 * cy, 2 * cx)
        ledger = _begin(folder, level, shards, state, create or partial(_create, spec=spec))
        work = LevelBlock(folder, finer.name, level.name, steps, spec.coarser == "mean")
        _run(work, tile(Box.of(level.shape), shards), ledger, workers, tell or say_nothing)


def write_levels_elsewhere(
    place: RemotePath,
    finer: Level,
    level: Level,
    spec: VolumeSpec,
    *,
    workers: Workers | None,
    tell: Tell,
) -> None:
    """Write one level in a store elsewhere from the next finer one."""
    steps = tuple(b // a for a, b in zip(finer.factors, level.factors, strict=True))
    cz, cy, cx = spec.chunk_shape
    shards = (2 * cz, 2 * cy, 2 * cx)
    if not (place / level.name / "zarr.json").exists():
        create_array(RemoteStore(place / level.name), level.shape, shards, spec)
    work = LevelBlock(place, finer.name, level.name, steps, spec.coarser == "mean")
    workers = workers and replace(workers, limit_s=None)  # its notes lie next to a ledger
    _run(work, tile(Box.of(level.shape), shards), Ledger.create(None, {}), workers, tell)


def _begin(folder: Path, level: Level, shards: Zyx, state: str, create: Create) -> Ledger:
    """Continue the ledger of a level, or create the level anew."""
    path = folder / f".level-{level.name}.partial"
    same = {"input": state, "grid": f"{level.shape} {shards}"}
    if path.exists() and state:
        try:
            open_array(folder / level.name)
            return Ledger.resume(path, same)
        except (OutputError, FileNotFoundError):  # of other voxels, or begun and lost
            pass
    create(folder / level.name, level.shape, shards)
    _files_of.cache_clear()
    _counts.cache_clear()
    return Ledger.create(path, same)


def _run(
    work: LevelBlock, blocks: Blocks, ledger: Ledger, workers: Workers | None, tell: Tell
) -> None:
    many = workers is not None and len(blocks) > FEW * workers.count
    name = f"level {work.level} of the pyramid"
    report = run_blocks(
        work,
        blocks,
        ledger=ledger,
        workers=workers if many else None,
        on_progress=lambda p: tell(Progress(name, p.done, p.total, "shards")),
    )
    named = block_names(blocks)
    refuse_failures(report, lambda index: f"{name}, {named(index)}", Path(str(work.folder)))


def create_array(path: Path | RemoteStore, shape: Zyx, shards: Zyx, spec: VolumeSpec) -> None:
    """Create one level, here or elsewhere: chunks inside shards, compressed."""
    if isinstance(path, Path):
        packed = None if spec.compression == "none" else (spec.compression, spec.effort)
        chunks, dtype = spec.chunk_shape, np.dtype(spec.dtype)
        create_local(path, shape, shards, chunks, dtype, compression=packed, names="zyx")
        return
    import zarr  # takes long
    from zarr.codecs import BloscCodec

    codec = None
    if spec.compression != "none":
        codec = BloscCodec(cname=spec.compression, clevel=spec.effort, shuffle="shuffle")
    zarr.create_array(
        store=path,
        shape=shape,
        shards=shards,
        chunks=spec.chunk_shape,
        dtype=spec.dtype,
        compressors=codec,
        dimension_names=("z", "y", "x"),
    )


def _create(path: Path, shape: Zyx, shards: Zyx, *, spec: VolumeSpec) -> None:
    shutil.rmtree(path, ignore_errors=True)
    create_array(path, shape, shards, spec)

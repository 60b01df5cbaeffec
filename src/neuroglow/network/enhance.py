"""The work on one block: read, noise units, gate, network, crop, write."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuroglow.blocks.on_worker import threads_here
from neuroglow.errors import ModelError
from neuroglow.formats.zarr_chunks import keep_chunks
from neuroglow.imaging.noise_units import NoiseUnits, say_holes
from neuroglow.imaging.polarity import Polarity, look_at_levels, say_of_fixed
from neuroglow.network.engine import use_threads
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.seen import Seen, kept_array, see
from neuroglow.network.stored import read_model
from neuroglow.network.tiles import Tiles, join, margin, open_tiles
from neuroglow.progress import tell_share
from neuroglow.runs.tissue_mask import TissueMask
from neuroglow.space.geometry import Block, Box
from neuroglow.space.projections import Image, save_projections
from neuroglow.space.volume import Array, Volume, WritableVolume

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    from neuroglow.network.engine import Engine

__all__ = [
    "EnhanceBlock",
    "ModelOnDevice",
    "Parts",
    "begin_on_cluster",
    "begin_worker",
    "own_device",
    "reuse_memory",
    "run_alone",
    "settle_memory",
    "units_of",
]

READING, NETWORK = 0.1, 0.85
"""Approximate shares of a block's time: reading it in noise units, and the network."""

SEEN_BYTES = 8
"""Bytes of a voxel that is read, without the network: grey levels, noise units, means."""

KEEPS = 5
"""One in so many bytes of a worker's memory holds decoded chunks, at most."""

Parts = list[tuple[Box, Array]]
"""Boxes that do not overlap, and what is in each."""

_loading, _reading, _running = threading.Lock(), threading.Lock(), threading.Lock()
"""Blocks at once take turns: held while a model is loaded, a volume read, and the network run."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""glibc's names of its settings, malloc.h."""


@dataclass(frozen=True)
class ModelOnDevice:
    """The model that a worker loads, and its machine: an address, which is sent to workers.

    sha256: of the model's content (hash_in), so that a changed file is detected. machine: worker
    processes take its devices in turn.
    """

    path: Path
    sha256: str
    machine: Machine = field(default_factory=Machine)

    def load(self) -> Engine:
        """Load the model, once per worker process."""
        with _loading:
            return _load(self, own_device(self.machine.devices))


@dataclass(frozen=True)
class EnhanceBlock:
    """The work on one block; only addresses are sent to the worker.

    room: bytes of a worker for a block; what a block leaves of them holds decoded chunks, which the
    next ones need.
    """

    source: Volume
    output: WritableVolume
    roi: Box
    model: ModelOnDevice
    gated: bool
    projections: Path | None
    views: int = 1
    halo: int = 0
    within: TissueMask | None = None
    room: int = 0

    def __call__(self, block: Block) -> Literal["done", "skipped"]:
        """Read, normalise, gate, predict, crop, write."""
        if self.within is not None and not self.within.touches(block.write):
            return self._outside(block)
        self._keep_chunks(SEEN_BYTES * block.read.size)
        runner = self.model.load()
        seen = self._see(runner, block)
        tell_share(block.index, READING)
        tiles = self._open_tiles(runner, seen)
        place = block.write.relative_to(self.roi)
        parts = self._written(runner, seen, tiles) if tiles.opened else []
        if parts:
            self.output.write(place, self._voxels(parts, block.write))
        if self.projections:
            file = self._picture(self.projections, block)
            images: dict[str, Image] = {"raw": seen.x, "probability": parts}
            counted = {"tiles": tiles.counts} if self.gated else {}
            form: dict[str, Any] = {"middle": True, "others": counted, "floats": np.float16}
            save_projections(file, images, place, self.roi.shape, **form)
        return "done" if tiles.opened else "skipped"

    def _written(self, runner: Engine, seen: Seen, tiles: Tiles) -> Parts:
        """Return the probability in boxes: 0 where voxels are masked, or no tissue."""
        parts = self.predict(runner, seen, tiles)
        for box, probability in parts:
            if seen.mask is not None:
                probability[seen.mask[box.relative_to(seen.block.write).slices]] = 0
            if self.within is not None:
                np.multiply(probability, self.within.read(box), out=probability)
        return [(box.relative_to(seen.block.write), found) for box, found in parts]

    def _outside(self, block: Block) -> Literal["skipped"]:
        """Leave a block outside the tissue unread and zero; it is dark in the picture."""
        if self.projections:
            nothing = np.zeros(block.write.shape, np.float16)
            images: dict[str, Image] = {"raw": nothing, "probability": ()}
            place = block.write.relative_to(self.roi)
            file = self._picture(self.projections, block)
            save_projections(file, images, place, self.roi.shape, middle=True)
        return "skipped"

    def files(self, block: Block) -> list[Path]:
        """Name the files of a block: its shard, and its projections."""
        shards = self.output.files(block.write.relative_to(self.roi))
        return [*shards, *([self._picture(self.projections, block)] if self.projections else [])]

    def _picture(self, folder: Path, block: Block) -> Path:
        return folder / f"{block.index:08d}.npz"

    def predict(self, runner: Engine, seen: Seen, tiles: Tiles) -> Parts:
        """Return boxes around the open tiles, and the probability (zyx) in each.

        The network reads a halo around each box; the probability of closed tiles is 0.
        """
        block = seen.block

        def reads(box: Box) -> Box:
            return box.grow(self.halo, align=runner.stride).intersect(block.read)

        boxes = join(tiles.opened, lambda box: reads(box).size)
        x = seen.around([reads(box) for box in boxes])
        total, before = sum(reads(box).size for box in boxes), 0
        parts = []
        for box in boxes:
            read = reads(box)
            part = np.ascontiguousarray(x[read.relative_to(block.read).slices])
            told = partial(_tell_network, block.index, before / total, read.size / total)
            inner = box.relative_to(read)
            self._keep_chunks(self._needed(runner, block, read, box))
            form: dict[str, Any] = {"views": self.views, "inner": inner, "levels": self._levels}
            found = run_alone(runner, part, **form, tell=told)
            for closed in tiles.closed:
                if box.contains(closed):
                    found[closed.relative_to(box).slices] = 0
            parts.append((box, found))
            before += read.size
        return parts

    def _needed(self, runner: Engine, block: Block, read: Box, box: Box) -> int:
        """Return the bytes that a block takes while the network runs on a box of it."""
        each, rest = runner.bytes_per_voxel, block.read.size - read.size
        return SEEN_BYTES * rest + each.read * read.size + each.written * box.size

    def _keep_chunks(self, needed: int) -> None:
        """Keep decoded chunks in the memory that a block, which needs so much, leaves."""
        keep_chunks(max(0, min(self.room - needed, self.room // KEEPS)))

    def _open_tiles(self, runner: Engine, seen: Seen) -> Tiles:
        if not self.gated:
            return Tiles((seen.block.write,))
        return open_tiles(seen.shown, seen.block, partial(run_alone, runner), runner.afar)

    def _voxels(self, parts: Parts, write: Box) -> Array:
        """Return what is written: a probability in boxes of a block, which may be all, else 0."""
        if [box.shape for box, _ in parts] == [write.shape]:
            return self.as_dtype(parts[0][1], self.output.dtype)
        whole = kept_array("written", write.shape, self.output.dtype)
        whole[...] = 0
        for box, probability in parts:
            whole[box.slices] = self.as_dtype(probability, self.output.dtype)
        return whole

    @property
    def _levels(self) -> bool:
        """Whether the output holds whole numbers, as which the network then answers."""
        return bool(self.output.dtype == np.uint8)

    def as_dtype(self, probability: Array, dtype: np.dtype[Any]) -> Array:
        """Cast a probability to the output's type."""
        return np.asarray(probability, dtype)

    def _see(self, runner: Engine, block: Block) -> Seen:
        """Read a block; the halo of the network is converted where the gate lets it run."""
        normalisation = runner.normalisation
        if self.gated and normalisation.kind == "noise_units":
            return see(units_of(self.source, normalisation.cell), block, margin(runner.afar))
        x, shown, mask = self.normalised(runner, block.read)
        inner = block.inner.slices
        return Seen(block, x[inner], None if mask is None else mask[inner], shown)

    def normalised(self, runner: Engine, box: Box) -> tuple[Array, Array, Array | None]:
        """Read a box: the input, the input shown to the network, and which voxels are masked."""
        normalisation = runner.normalisation
        if normalisation.kind == "fixed":
            with _reading:
                voxels = self.source.read(box)
            x, known = normalisation.normalise(voxels), np.isfinite(voxels)
            say_holes([] if known.all() else [self.source.name])
            with _reading:
                say_of_fixed(self.source.name, _look(self.source, voxels, known))
            return x, x, None if known.all() else ~known
        return units_of(self.source, normalisation.cell).read_filled(box)


@lru_cache(maxsize=1)
def _load(model: ModelOnDevice, device: str) -> Engine:
    settle_memory()
    found = read_model(model.path)
    if model.sha256 not in ("", found.hash_in(model.machine.precision)):
        raise ModelError(
            "the workers of a run need its model",
            found="another model at its place",
            where=str(model.path),
            cure="put the model back, or --restart with the other one",
        )
    return prepare(found, model.machine, device)


def run_alone(runner: Engine, x: Array, **options: Any) -> Array:
    """Run the network while no other block does: it uses all cores, and most of the memory."""
    with _running:
        return runner.probability(x, **options)


def _tell_network(index: int, before: float, part: float, share: float) -> None:
    tell_share(index, READING + NETWORK * (before + part * share))


def settle_memory() -> None:
    """Make large arrays cheap and short-lived; call this before torch first makes one.

    torch requests huge pages from the kernel (Linux, if available), because page faults take
    a tenth of the time. glibc returns freed arrays to the system at once: by default the size above
    which it does so grows to 32 MB, and the memory of a long run grew by half. Here it stays at
    8 MB: smaller ones are kept, which saves a third of all page faults for a hundredth of memory.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _allocate(own=1 << 23, kept=1 << 26)


def reuse_memory() -> None:
    """Let freed arrays of up to 32 MB be used again: for pictures, which make many in turn."""
    _allocate(own=1 << 25, kept=1 << 28)


def _allocate(own: int, kept: int) -> None:
    """Set glibc's bytes from which an array has pages of its own, and that the heap may keep."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, own)
        mallopt(M_TRIM_THRESHOLD, kept)
    except (AttributeError, OSError, TypeError):  # no glibc: macOS, Windows, musl
        return


_looks: dict[str, Polarity] = {}


def _look(source: Volume, voxels: Array, known: Array) -> Polarity:
    """Look whether a volume is dark on bright; kept from block to block."""
    if source.identity not in _looks:
        _looks.clear()
    polarity = _looks.setdefault(source.identity, Polarity())
    look_at_levels(polarity, voxels, known)
    return polarity


_measured: dict[str, NoiseUnits] = {}


def units_of(source: Volume, cell: int) -> NoiseUnits:
    """Cache the cells of the volume: each is measured once per worker process."""
    key = f"{source.identity}/{cell}"
    with _loading:
        if key not in _measured:
            _measured.clear()
            _measured[key] = NoiseUnits(source, cell)
        return _measured[key]


_turn = [0]
"""Number of this worker process, in order of their start."""


def begin_worker(threads: int, turn: Synchronized[int]) -> None:
    """Limit the threads of this process, and take the next device in turn."""
    use_threads(threads)
    with turn.get_lock():
        _turn[0] = turn.value
        turn.value += 1


def begin_on_cluster(model: ModelOnDevice | None = None) -> None:
    """Use the threads that this worker of a cluster was given; load the model.

    Raises ModelError if the model is missing here, or another one.
    """
    use_threads(threads_here())
    if model is not None:
        model.load()


def own_device(devices: str) -> str:
    """Return this process's own device out of several, separated by commas."""
    names = devices.split(",")
    return names[_turn[0] % len(names)]

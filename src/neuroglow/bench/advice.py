"""Advice from a benchmark: the engine, the memory, the workers, the time of a brain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuroglow.bench.results import BlockTime, EngineTimes, WholeTimes, WorkersTime
from neuroglow.bench.settings import BenchSettings
from neuroglow.space.geometry import Box, Zyx, voxels_read

__all__ = ["Advice", "advise", "best_of"]

ALIKE = 0.95
"""Fewer megabytes are advised for a rate that is at least so large a share of the best."""


@dataclass(frozen=True)
class Others:
    """Seconds for one voxel that is read: besides the network, and where the gate skips it."""

    rest: float | None = None
    empty: float | None = None

    @classmethod
    def of(cls, whole: WholeTimes | None, engine: EngineTimes, halo: int) -> Others:
        """Derive them from a whole prediction with this engine."""
        if whole is None or not engine.blocks:
            return cls()
        size = Box.of(whole.block).size
        near = min(engine.blocks, key=lambda block: abs(Box.of(block.read).size - size))
        empty = whole.empty_rate
        return cls(whole.rest(near.rate, halo), empty and 1 / empty)


@dataclass(frozen=True)
class Advice:
    """What to use, and the seconds of a brain by it; None: not measured.

    network: seconds of the network alone. full: with neurites everywhere. empty: with none.
    usual: whether `predict` chooses all of it by itself.
    """

    engine: EngineTimes
    block: BlockTime
    workers: int
    network: float
    full: float | None
    empty: float | None
    usual: bool

    def command(self) -> str:
        """Return the command of a prediction."""
        machine = self.engine.machine
        words = ["neuroglow predict INPUT"]
        if not self.usual:
            words += [f"--engine {machine.engine}", f"--precision {machine.precision}"]
            words += [f"--device {machine.kind}"] if machine.kind != "cpu" else []
            words += [f"--max-memory {(self.block.max_memory or 0) / 1e6:.0f}MB"]
            words += [f"--workers {self.workers}"] if self.workers > 1 else []
        return " ".join(words)


def best_of(
    engines: Sequence[EngineTimes], brain: Zyx, halo: int
) -> tuple[EngineTimes, BlockTime] | None:
    """Choose the fastest engine, and its block of least memory that is about as fast."""
    choices = [
        (_seconds(brain, halo, b.write, b.rate), e, b)
        for e in engines
        for b in e.blocks
        if b.max_memory
    ]
    if not choices:
        return None
    best, fastest, _ = min(choices, key=lambda choice: choice[0])
    _, engine, block = min(
        (c for c in choices if c[1] is fastest and c[0] * ALIKE <= best),
        key=lambda choice: choice[2].max_memory or 0,
    )
    return engine, block


def advise(
    settings: BenchSettings,
    halo: int,
    chosen: tuple[EngineTimes, BlockTime],
    workers: Sequence[WorkersTime],
    others: Others,
) -> Advice:
    """Advise what to use, and estimate the time of the brain with it.

    The work besides the network is counted as if the workers shared none of it.
    """
    engine, block = chosen
    count, write = 1, block.write
    network = _seconds(settings.brain, halo, write, block.rate)
    for several in workers:
        seconds = _seconds(settings.brain, halo, several.write, several.rate)
        if seconds < ALIKE * network:
            count, write, network = several.count, several.write, seconds
    read = _voxels(settings.brain, halo, write)
    full = None if others.rest is None else network + read * others.rest
    empty = others.empty and read * others.empty
    usual = block.max_memory == USUAL and count == 1 and engine.usual
    return Advice(engine, block, count, network, full, empty, usual)


USUAL = BenchSettings().max_memory


def _voxels(brain: Zyx, halo: int, write: Zyx) -> int:
    whole = Box.of(brain)
    return voxels_read(whole, write, halo=halo, within=whole)


def _seconds(brain: Zyx, halo: int, write: Zyx, rate: float) -> float:
    return _voxels(brain, halo, write) / rate

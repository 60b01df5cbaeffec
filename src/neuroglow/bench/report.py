"""The result of a benchmark: one screen, and a file of all its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from neuroglow.bench.advice import Advice
from neuroglow.bench.computer import Computer
from neuroglow.bench.results import BlockTime, EngineTimes, WholeTimes, WorkersTime, of_shape
from neuroglow.bench.settings import BenchSettings
from neuroglow.printed import Printed, counted, duration
from neuroglow.space.geometry import Box

__all__ = ["BenchReport"]


@dataclass(frozen=True, repr=False)
class BenchReport(Printed):
    """What was measured. seconds: how long it took. bandwidth: bytes a second.

    whole, advice: None if there was no time. left_out: what was not measured, with the reason.
    """

    settings: BenchSettings
    computer: Computer
    seconds: float
    bandwidth: float
    engines: Sequence[EngineTimes]
    whole: WholeTimes | None
    workers: Sequence[WorkersTime]
    advice: Advice | None
    left_out: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """Return all numbers as plain values; seconds, bytes, voxels."""
        kept = {k: v for k, v in asdict(self).items() if k not in ("settings", "advice")}
        kept["settings"] = self.settings.model_dump(mode="json")
        if (advice := self.advice) is not None:
            kept["advice"] = {
                "command": advice.command(),
                "engine": advice.engine.name,
                "block": advice.block.write,
                "max_memory": advice.block.max_memory,
                "workers": advice.workers,
                "brain_seconds": {
                    "network": advice.network,
                    "neurites everywhere": advice.full,
                    "empty": advice.empty,
                },
            }
        return kept

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        yield from self._computer()
        yield _columns("engine", "block", "memory", "Mvoxel/s", "with halo", "of peak")
        for engine in self.engines:
            for block in engine.blocks:
                yield _row(engine, block)
        yield from self._peaks()
        yield from self._whole()
        yield from self._advice()
        if self.left_out:
            yield "not measured:"
            yield from (f"  {reason}" for reason in self.left_out)

    def _computer(self) -> Iterator[str]:
        here = self.computer
        memory = (
            "memory unknown" if here.memory is None else f"{here.memory / 1e9:.1f} GB of memory"
        )
        free = "" if here.available is None else f", {here.available / 1e9:.1f} GB of it free"
        yield f"{here.processor}, {counted(here.cores, 'core')}, {memory}{free}"
        if here.busy is not None and here.busy > 0.5:
            yield f"{here.busy:.1f} other processes were at work before: the rates are lower bounds"
        yield f"memory bandwidth {self.bandwidth / 1e9:.1f} GB/s"

    def _peaks(self) -> Iterator[str]:
        for engine in self.engines:
            if engine.peak:
                need = f"{(engine.operations or 0) / 1e3:.0f} thousand operations a voxel"
                peak = f"{engine.peak / 1e9:.0f} GFLOP/s"
                yield f"peak of {engine.name}: {peak}; the network needs {need}"

    def _whole(self) -> Iterator[str]:
        for several in self.workers:
            yield (
                f"{several.count} workers, blocks of {of_shape(several.write)}: "
                f"{several.rate / 1e6:.2f} Mvoxel/s with halo, together"
            )
        if (whole := self.whole) is None:
            return
        size = Box.of(whole.shape).size
        empty = whole.empty_rate
        skipped = "" if empty is None else f"; empty tissue {empty / 1e6:.1f} Mvoxel/s"
        yield (
            f"predict with {whole.engine}, file to file, {of_shape(whole.shape)}: "
            f"{size / 1e6 / max(whole.full - whole.fixed, 1e-9):.2f} Mvoxel/s{skipped}"
        )
        memory = "" if whole.memory is None else f", {whole.memory / 1e9:.2f} GB at most"
        yield f"  first small result after {whole.start:.1f} s{memory}"

    def _advice(self) -> Iterator[str]:
        if (advice := self.advice) is None:
            return
        usual = " (as chosen without any option)" if advice.usual else ""
        yield f"recommended: {advice.command()}{usual}"
        yield (
            f"  {advice.engine.name}, blocks of {of_shape(advice.block.write)}, "
            f"{counted(advice.workers, 'worker')}"
        )
        brain = self.settings.brain
        size = f"{Box.of(brain).size / 1e9:.3g} Gvoxel"
        yield f"a brain of {of_shape(brain)} voxels ({size}), estimated:"
        network = duration(advice.network)
        if advice.full is None:
            yield f"  {network} for the network alone"
        else:
            yield f"  {duration(advice.full)} with neurites everywhere (network {network})"
        if advice.empty is not None:
            yield f"  {duration(advice.empty)} where the gate skips everything"


def _row(engine: EngineTimes, block: BlockTime) -> str:
    share, memory = engine.share(block), block.memory
    return _columns(
        engine.name,
        of_shape(block.write),
        "?" if memory is None else f"{memory / 1e9:.2f} GB",
        f"{block.net / 1e6:.2f}",
        f"{block.rate / 1e6:.2f}",
        "?" if share is None else f"{share:.0%}",
    )


def _columns(engine: str, *others: str) -> str:
    widths = (17, 9, 10, 11, 9)
    return f"{engine:24}" + "".join(f"{t:>{w}}" for t, w in zip(others, widths, strict=True))

"""One benchmark at work: its parts one after the other, each within its share of the time."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.bench.advice import Others, advise, best_of
from neuroglow.bench.computer import Computer, bandwidth, this_computer
from neuroglow.bench.plans import Plan, PlannedBlock, candidates
from neuroglow.bench.processes import hear, together
from neuroglow.bench.report import BenchReport
from neuroglow.bench.results import BlockTime, EngineTimes, WholeTimes, WorkersTime, of_shape
from neuroglow.bench.settings import BenchSettings
from neuroglow.formats.opening import create_volume
from neuroglow.network.machine import Machine, process_bytes
from neuroglow.network.stored import read_model
from neuroglow.predict.memory import CORES
from neuroglow.progress import Progress, Tell
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import VolumeSpec

__all__ = ["Measuring"]

FIRST, WHOLE, WORKERS = 0.4, 0.65, 0.8
"""Shares of the time until which the first engine, a whole prediction and several workers run;
the rest is for the other engines."""

SHAPES: Sequence[Zyx] = (
    (128, 256, 256),
    (128, 128, 256),
    (128, 128, 128),
    (64, 128, 128),
    (64,) * 3,
)
"""Volumes of a whole prediction: the largest for which there is time."""

CHUNK = 64


@dataclass(frozen=True)
class Group:
    """Workers that share the cores."""

    count: int
    cores: int


@dataclass
class Measuring:
    """One benchmark at work. left_out: what was not measured so far, with the reason."""

    settings: BenchSettings
    tell: Tell
    begun: float = field(default_factory=time.monotonic)
    left_out: list[str] = field(default_factory=list)

    def run(self) -> BenchReport:
        """Measure all parts, as far as there is time."""
        self._say("the computer")
        machines, absent = candidates(self.settings)
        self.left_out += absent
        computer = this_computer()
        speed = bandwidth(computer.cores)
        plan = Plan(self.settings, read_model(self.settings.model), computer.available)
        usual = replace(self._engine(plan, machines[0], FIRST), usual=True)
        whole = self._whole(usual)
        workers = self._workers(plan, computer, usual)
        engines = [usual, *self._others(plan, machines[1:])]
        best = best_of(engines, self.settings.brain, plan.halo)
        if best and best[0] is not usual:
            workers = []
            self.left_out.append(f"several workers with {best[0].name}")
        others = Others.of(whole, usual, plan.halo)
        advice = best and advise(self.settings, plan.halo, best, workers, others)
        took = time.monotonic() - self.begun
        measured = (computer, took, speed, engines, whole, workers, advice)
        self.left_out.append("the storage of your own volumes: the temporary folder was read")
        return BenchReport(self.settings, *measured, self.left_out)

    def _left(self, share: float) -> float:
        """Return the seconds until this share of the time has passed."""
        return self.begun + share * self.settings.seconds - time.monotonic()

    def _say(self, what: str) -> None:
        done = round(min(self.settings.seconds, time.monotonic() - self.begun), 1)
        self.tell(Progress(f"measuring {what}", done, self.settings.seconds, "seconds"))

    def _others(self, plan: Plan, machines: Sequence[Machine]) -> list[EngineTimes]:
        """Measure the other engines, each in an equal share of the rest of the time."""
        found = []
        for number, machine in enumerate(machines, 1):
            until = WORKERS + (1 - WORKERS) * number / len(machines)
            found.append(self._engine(plan, machine, until))
        return found

    def _engine(self, plan: Plan, machine: Machine, share: float) -> EngineTimes:
        """Measure one engine: its start, its peak, its blocks from small to large."""
        found = EngineTimes(machine)
        self._say(found.name)
        blocks, left = plan.blocks(machine), self._left(share)
        shapes = [block.read for block in blocks]
        task = _task(plan, machine) | {"shapes": shapes, "until": time.time() + 0.95 * left}
        rows = []
        for row in hear(task, left):
            rows.append(row)
            self._say(f"{found.name}, blocks" if "prepared" in row or "read" in row else found.name)
        return self._gathered(found, blocks, rows)

    def _gathered(
        self, found: EngineTimes, blocks: Sequence[PlannedBlock], rows: Sequence[dict[str, Any]]
    ) -> EngineTimes:
        """Sort the results of one engine."""
        planned, times = {block.read: block for block in blocks}, []
        because = next((row["failed"] for row in rows if "failed" in row), "")
        for row in rows:
            if "prepared" in row:
                found = replace(found, start=row["after"])
            elif "peak" in row:
                found = replace(found, peak=row["peak"], operations=row["operations"])
            elif "seconds" in row:
                block = planned.pop(tuple(row["read"]))
                measured = (block.write, block.read, row["seconds"], row["memory"])
                times.append(BlockTime(*measured, block.max_memory))
            elif "left_out" in row:
                because = because or row["left_out"]
        if planned:
            first, *more = [of_shape(block.write) for block in planned.values()]
            larger = f" and {len(more)} larger" if more else ""
            self.left_out.append(f"{found.name}, blocks of {first}{larger}: {because}")
        return replace(found, blocks=tuple(times))

    def _whole(self, usual: EngineTimes) -> WholeTimes | None:
        """Measure a whole prediction of noise, from a file to a file."""
        if not usual.blocks:
            self.left_out.append("a whole prediction: no block was measured")
            return None
        self._say("a whole prediction")
        left = self._left(WHOLE)
        fits = [s for s in SHAPES if Box.of(s).size / usual.blocks[-1].rate < left / 3]
        with tempfile.TemporaryDirectory(prefix="neuroglow-bench-") as name:
            shape = (fits or SHAPES[-1:])[0]
            source = write_noise(Path(name) / "noise.ome.zarr", shape)
            task: dict[str, Any] = {
                "kind": "predict",
                "source": str(source),
                "folder": name,
                "shape": shape,
            }
            task |= {"model": self.settings.model, "machine": asdict(usual.machine)}
            task |= {"max_memory": int(self.settings.max_memory)}
            rows = list(hear(task, left))
        runs = {row["run"]: row for row in rows if "run" in row}
        if "full" not in runs:
            because = next((row["failed"] for row in rows if "failed" in row), "it ended early")
            self.left_out.append(f"a whole prediction of {of_shape(shape)}: {because}")
            return None
        return self._sorted(usual.name, shape, runs)

    def _sorted(self, engine: str, shape: Zyx, runs: dict[str, dict[str, Any]]) -> WholeTimes:
        tiles = runs["empty"]["tiles"]
        closed = tiles.get("total", 0) and tiles["total"] == tiles["skipped"]
        if not closed:
            self.left_out.append("empty tissue: the gate opened for noise, or the model has none")
        z, y, x = runs["full"]["block"]
        return WholeTimes(
            engine=engine,
            shape=shape,
            block=(z, y, x),
            start=runs["start"]["after"],
            fixed=runs["fixed"]["seconds"],
            empty=runs["empty"]["seconds"] if closed else None,
            full=runs["full"]["seconds"],
            memory=runs["full"]["memory"],
        )

    def _workers(self, plan: Plan, computer: Computer, usual: EngineTimes) -> list[WorkersTime]:
        """Measure several workers at once, which share the cores and the memory."""
        alone = any(block.max_memory for block in usual.blocks)
        if usual.machine.kind != "cpu" or not alone:
            self.left_out.append("several workers: one was measured, or the device is shared")
            return []
        found = []
        counts = sorted({n for n in (2, computer.cores // 8) if 2 <= n <= computer.cores // CORES})
        if not counts:
            self.left_out.append(f"several workers: one uses all {computer.cores} cores")
        for number, count in enumerate(counts, 1):
            until = WHOLE + (WORKERS - WHOLE) * number / len(counts)
            several = self._several(plan, usual, Group(count, computer.cores), self._left(until))
            if isinstance(several, str):
                self.left_out.append(f"{count} workers: {several}")
            else:
                found.append(several)
        return found

    def _several(
        self, plan: Plan, usual: EngineTimes, group: Group, left: float
    ) -> WorkersTime | str:
        """Run so many workers; return why not, if they cannot."""
        self._say(f"{group.count} workers")
        alone = [block for block in usual.blocks if block.max_memory][-1]
        limit = alone.max_memory or 0
        write = plan.chosen(usual.machine, limit, group.count)
        if write is None:
            needed = process_bytes(usual.machine) / 1e6
            return f"each needs {needed:.0f} MB and room for a block, of {limit / 1e6:.0f} MB"
        read = plan.read_shape(write)
        seconds = 2 * group.count * Box.of(read).size / alone.rate + 2 * (usual.start or 0)
        if seconds > left:
            return f"they would take {seconds:.0f} s"
        task = _task(plan, usual.machine, max(1, group.cores // group.count))
        task |= {"shapes": [read], "until": time.time() + left, "together": True, "peak": False}
        rows = together(task, group.count, left)
        if failed := next((row["failed"] for row in rows if "failed" in row), None):
            return str(failed)
        rate = group.count * Box.of(read).size / max(row["seconds"] for row in rows)
        memory = [row["memory"] for row in rows if row["memory"]]
        return WorkersTime(group.count, write, read, rate, sum(memory) if memory else None)


def _task(plan: Plan, machine: Machine, threads: int = 0) -> dict[str, Any]:
    """Describe what a probe of an engine does. threads: 0: all cores."""
    return {
        "kind": "engine",
        "model": str(plan.model.path),
        "machine": asdict(machine),
        "threads": threads,
        "together": False,
        "peak": True,
    }


def write_noise(path: Path, shape: Zyx) -> Path:
    """Write an OME-Zarr of noise, as a camera makes it: nothing stands out in it."""
    noise = np.random.default_rng(1).normal(300, 20, shape).astype(np.uint16)
    unit = (CHUNK,) * 3
    spec = VolumeSpec(shape, noise.dtype, None, block_shape=unit, chunk_shape=unit)
    volume = create_volume(path, spec)
    volume.write(Box.of(shape), noise)
    done: Path = volume.finish()
    return done

"""A probe: one process in which an engine or a whole prediction is measured, a line per result.

    python -m neuroglow.bench.probe TASK     (JSON; started by __init__.py, through processes.py)

A process of its own shows its start and its memory, as the operating system counts them; and it
can be ended when its time is over.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.bench.computer import peak_memory
from neuroglow.errors import NeuroglowError
from neuroglow.network.engine import Engine, use_threads
from neuroglow.network.enhance import settle_memory
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.matrix_peak import matrix_peak, operations
from neuroglow.network.stored import read_model
from neuroglow.space.geometry import Zyx

__all__ = ["blocks_of", "main", "probe"]

Row = dict[str, Any]

REPEATS, ENOUGH_S = 3, 2.0
"""A block is timed so often at most, or for so many seconds, after a run that is not counted."""


def main() -> None:
    """Run the task of the command line; print each result as a line of JSON."""
    try:
        for row in probe(json.loads(sys.argv[1]), sys.stdin.readline):
            _say(row)
    except NeuroglowError as error:
        _say({"failed": f"{error.rule}: {error.found}"})


def _say(row: Row) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def probe(task: Row, wait: Callable[[], object]) -> Iterator[Row]:
    """Run a task. wait: returns when all probes of a group are to begin."""
    settle_memory()
    yield from _predictions(task) if task["kind"] == "predict" else _engine(task, wait)


def _engine(task: Row, wait: Callable[[], object]) -> Iterator[Row]:
    """Prepare an engine; measure its peak (if asked), then its blocks, from small to large."""
    if task["threads"]:
        use_threads(task["threads"])
    model, machine = read_model(task["model"]), Machine(**task["machine"])
    before = time.perf_counter()
    engine = prepare(model, machine, machine.devices.split(",")[0])
    yield {"prepared": time.perf_counter() - before, "memory": peak_memory()}
    if task["peak"]:
        yield {"peak": matrix_peak(machine, 1.0), "operations": operations(model, machine)}
    yield from blocks_of(engine, task["shapes"], task["until"], wait if task["together"] else None)


def blocks_of(
    engine: Engine,
    shapes: Sequence[Zyx],
    until: float,
    wait: Callable[[], object] | None = None,
) -> Iterator[Row]:
    """Time an engine on blocks of noise of these shapes, as they are read.

    until: a block that would end later (by `time.time`) is left out, and named. The first run of a
    block counts only if there is no time for another. wait: called before the run that counts.
    """
    pace = 0.0
    for shape in shapes:
        size = int(np.prod(shape))
        if time.time() + pace * size > until:
            yield {"read": shape, "left_out": f"it would take {pace * size:.0f} s more"}
            continue
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        taken = [_seconds(engine, x)]
        if wait:
            yield {"ready": shape}
            wait()
        taken += _again(engine, x, until, 1 if wait else REPEATS, taken[0])
        counted = statistics.median(taken[1:] or taken)
        pace = counted / size
        yield {"read": shape, "seconds": counted, "runs": taken, "memory": peak_memory()}


def _again(
    engine: Engine, x: np.ndarray[Any, Any], until: float, most: int, first: float
) -> list[float]:
    """Time a block after its first run, as often as there is time."""
    taken: list[float] = []
    while len(taken) < most and sum(taken) < ENOUGH_S:
        if time.time() + (taken or [first])[-1] > until:
            break
        taken.append(_seconds(engine, x))
    return taken


def _seconds(engine: Engine, x: np.ndarray[Any, Any]) -> float:
    before = time.perf_counter()
    engine.probability(x)
    return time.perf_counter() - before


def _predictions(task: Row) -> Iterator[Row]:
    """Predict a volume as `predict` does: a corner twice, empty tissue, and all of it."""
    from neuroglow.predict import predict

    machine, folder = Machine(**task["machine"]), Path(task["folder"])
    chosen: dict[str, Any] = {
        "engine": machine.engine,
        "device": machine.kind,
        "precision": machine.precision,
    }
    chosen |= {"model": task["model"], "max_memory": task["max_memory"], "progress": False}
    corner = ",".join(f"0:{min(n, 64)}" for n in task["shape"])
    for name, options in (
        ("start", {"roi": corner}),
        ("fixed", {"roi": corner}),
        ("empty", {"gate": True}),
        ("full", {"gate": False}),
    ):
        wall, cpu = time.perf_counter(), time.process_time()
        predict(task["source"], out=folder / f"{name}.ome.zarr", **chosen, **options)
        record = json.loads((folder / f"{name}_run.json").read_text(encoding="utf-8"))
        row = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        row |= {"tiles": record["tiles"], "block": record["used"]["block_shape"]}
        yield {"run": name, "memory": peak_memory()} | row


if __name__ == "__main__":
    main()

"""Measure what a run on a cluster costs for each block: the real driver, ledger, Dask, no work.

    python benchmarks/cluster_cost.py [BLOCKS]

BLOCKS blocks (1000) that do nothing run in this thread, in processes of this machine, and on a Dask
scheduler with 1 and with 2 workers over loopback. CPU seconds are those of the driver, and of the
scheduler and workers; the rate is by the clock, and only means something on an idle machine. Then
blocks that compute for 0.1 CPU seconds: the rate with 1 and with 2 workers, in this thread (1) and
processes (2), whose start is counted, and on the scheduler. Last, blocks that wait for a second
(as if they computed elsewhere) on 6 workers: handed over singly, and as a run does it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.cluster import work_at
from neuroglow.blocks.executors import Workers, local_workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.space.geometry import Block, Box, tile

HEAVY_S, LONG_S, MANY = 0.1, 1.0, 6


def nothing(block: Block) -> str:
    """Do nothing."""
    return "done"


def something(block: Block) -> str:
    """Compute for a while, in this process alone."""
    began = time.process_time()
    while time.process_time() - began < HEAVY_S:
        sum(range(10_000))
    return "done"


def waiting(block: Block) -> str:
    """Take a while, without a core."""
    time.sleep(LONG_S)
    return "done"


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Start a scheduler and workers over loopback; yield the address and the processes."""
    file = folder / f"{workers}.json"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    python = [sys.executable, "-m"]
    here = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    each = ["--nworkers", str(workers), "--nthreads", "1", "--memory-limit", "0"]
    commands = [
        [*python, "distributed.cli.dask_scheduler", "--port", "0", *here],
        [*python, "distributed.cli.dask_worker", *here, *each, "--local-directory", str(folder)],
    ]
    with Path(os.devnull).open("w") as silent:
        started = [
            subprocess.Popen(c, stdout=silent, stderr=silent, env=os.environ | {"PYTHONPATH": path})
            for c in commands
        ]
    while not file.exists() or not file.read_text().strip().endswith("}"):
        time.sleep(0.2)
    try:
        yield json.loads(file.read_text())["address"], [psutil.Process(p.pid) for p in started]
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def cpu_of(processes: list[psutil.Process]) -> float:
    """Sum the CPU seconds of processes and their children, and of ended children of this one."""
    every = [q for p in processes for q in (p, *p.children(recursive=True))]
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(sum(q.cpu_times()[:2]) for q in every) + ended.ru_utime + ended.ru_stime


def measure(
    name: str, work: object, count: int, workers: Workers, others: list[psutil.Process]
) -> None:
    """Run so many blocks and print what each cost."""
    blocks = tile(Box.of((64, 64, 64 * count)), (64, 64, 64))
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.create(Path(folder) / "ledger.jsonl", {"model": "none"})
        cpu, other, wall = time.process_time(), cpu_of(others), time.monotonic()
        report = run_blocks(work, blocks, ledger=ledger, workers=workers)  # type: ignore[arg-type]
    assert report.ok
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    other = cpu_of(others) - other
    print(
        f"{name}: driver {1000 * cpu / count:.2f} ms, others {1000 * other / count:.2f} ms CPU"
        f" a block; {count / wall:.0f} blocks a second"
    )


def main() -> None:
    """Measure all."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    from cluster_cost import nothing, something, waiting  # by name: workers cannot import __main__

    measure("this thread", nothing, 10 * count, local_workers(1), [])
    measure("2 processes", nothing, count, local_workers(2), [])
    for workers in (1, 2):
        here = f"{workers} of this machine, blocks of {HEAVY_S} s"
        measure(here, something, max(20, count // 10), local_workers(workers), [])
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2):
            with cluster(Path(folder), workers) as (address, processes), work_at(address) as place:
                seen = place.workers(1)
                while len(place.client.nthreads()) < workers:  # type: ignore[attr-defined]
                    time.sleep(0.2)
                measure(f"Dask, {workers} workers", nothing, count, seen, processes)
                heavy = f"Dask, {workers} workers, blocks of {HEAVY_S} s"
                measure(heavy, something, max(20, count // 10), seen, processes)
        with cluster(Path(folder), MANY) as (address, processes), work_at(address) as place:
            seen = place.workers(1)
            while len(place.client.nthreads()) < MANY:  # type: ignore[attr-defined]
                time.sleep(0.2)
            for name, workers in (("singly", replace(seen, together_s=0)), ("", seen)):
                long = f"Dask, {MANY} workers, blocks of {LONG_S} s {name}"
                measure(long, waiting, max(60, count), workers, processes)


if __name__ == "__main__":
    main()

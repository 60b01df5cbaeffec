"""A Dask scheduler and its workers on this machine, as processes that tests may kill and stop."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from distributed import Client

QUICK = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s",  # a stopped worker is given up after that
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
    "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__STATUS__TASK_STREAM_LENGTH": "1",
    "OMP_NUM_THREADS": "1",
}
DEADLINE_S = 120


class Loopback:
    """A scheduler with workers; `address` is what `--scheduler` takes."""

    def __init__(self, folder: Path, workers: int = 3) -> None:
        self.folder, self.processes = folder, []
        known = folder / "scheduler.json"
        self.start("dask_scheduler", "--port", 0, "--host", "127.0.0.1", "--scheduler-file", known)
        until(lambda: known.exists() and known.read_text().strip().endswith("}"))
        self.address = json.loads(known.read_text())["address"]
        self.client = Client(self.address, set_as_default=False, timeout=DEADLINE_S)
        self.join(workers)
        self.wait_for(workers)

    def start(self, module, *words, **environment):
        """Start a process in a group of its own, with what it prints in a file."""
        log = (self.folder / f"{len(self.processes)}.log").open("w")
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard"]
        path = os.pathsep.join(sys.path)
        self.processes.append(
            subprocess.Popen(
                [*command, *map(str, words)],
                env=os.environ | QUICK | {"PYTHONPATH": path} | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        )
        log.close()
        return self.processes[-1]

    def join(self, count=1, **environment):
        """Start workers, each with a nanny; they come when they have started."""
        words = ("--nworkers", count, "--nthreads", 1, "--memory-limit", 0)
        folder = ("--local-directory", self.folder)
        return self.start("dask_worker", self.address, *words, *folder, **environment)

    def wait_for(self, count):
        """Wait until there are just so many workers."""
        until(lambda: len(self.client.nthreads()) == count)

    def pids(self):
        """Give the process of each worker."""
        return list(self.client.run(os.getpid).values())

    def close(self):
        self.client.close()
        for process in reversed(self.processes):
            end(process)


def end(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(true):
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"still waiting for {true}"
        time.sleep(0.1)

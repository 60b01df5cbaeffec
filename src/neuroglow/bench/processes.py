"""Processes of a benchmark: probes that are started, heard, and ended when their time is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Probe", "hear", "together"]

Row = dict[str, Any]

SOURCE = Path(__file__).parents[2]
"""Where the probes import this package from: from here, however it was found."""


class Probe:
    """One probe at work."""

    def __init__(self, task: Mapping[str, Any], seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuroglow.bench.probe", json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), *_paths()])},
        )
        self.late = False
        self.clock = threading.Timer(max(0.1, seconds), self._end)
        self.clock.start()
        self.said: list[str] = []
        self.ear = threading.Thread(target=self._listen, daemon=True)
        self.ear.start()

    def rows(self) -> Iterator[Row]:
        """Give the results as they come; at the end, why there are no more, if it failed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
        status = self.process.wait()
        self.ear.join()
        if self.late:
            yield {"failed": "there was no time left"}
        elif status:
            said = "".join(self.said).strip().splitlines()
            yield {"failed": said[-1] if said else f"its process ended with {status}"}

    def go(self) -> None:
        """Let a probe that waits go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End the process, if it is still at work."""
        self.clock.cancel()
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _end(self) -> None:
        self.late = True
        self.process.kill()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            self.said.extend(lines)


def _paths() -> list[str]:
    return [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]


@contextmanager
def _started(task: Mapping[str, Any], seconds: float) -> Iterator[Probe]:
    probe = Probe(task, seconds)
    try:
        yield probe
    finally:
        probe.close()


def hear(task: Mapping[str, Any], seconds: float) -> Iterator[Row]:
    """Start a probe, and give its results as they come; it is ended after so many seconds."""
    begun = time.perf_counter()
    with _started(task, seconds) as probe:
        for row in probe.rows():
            yield row | {"after": time.perf_counter() - begun}


def together(task: Mapping[str, Any], count: int, seconds: float) -> list[Row]:
    """Run probes at the same time, which begin to count when all are ready; their last results."""
    with ExitStack() as stack:
        probes = [stack.enter_context(_started(task, seconds)) for _ in range(count)]
        results = [probe.rows() for probe in probes]
        firsts = [next((r for r in rows if {"ready", "failed"} & {*r}), {}) for rows in results]
        if failed := [row for row in firsts if "ready" not in row]:
            return failed
        for probe in probes:
            probe.go()
        return [[{}, *rows][-1] for rows in results]

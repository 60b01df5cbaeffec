"""The computer: processor, cores, memory as the system states them; the bandwidth, measured."""

from __future__ import annotations

import os
import platform
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroglow.cores import cores_here
from neuroglow.runs.free_memory import machine_memory

__all__ = ["Computer", "bandwidth", "busy_cores", "peak_memory", "this_computer"]

COPIED = 1 << 27
"""Bytes that are copied at once: more than processors keep in their caches."""


@dataclass(frozen=True)
class Computer:
    """What the system states. Bytes; None: it does not say. busy: cores that others use."""

    processor: str
    cores: int
    memory: int | None
    available: int | None
    busy: float | None


def this_computer() -> Computer:
    """Ask the system."""
    total, available = machine_memory()
    return Computer(_processor(), cores_here(), total, available, busy_cores())


def busy_cores() -> float | None:
    """Return how many processes wanted a core within the last minute, on average."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def peak_memory() -> int | None:
    """Return the most memory that this process has had, in bytes, as the system counts it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def bandwidth(cores: int) -> float:
    """Measure the memory bandwidth: bytes read and written in a second by a copy on all cores."""
    source = np.zeros((cores, COPIED // 8 // cores))
    target = np.zeros_like(source)
    with ThreadPoolExecutor(cores) as threads:
        taken = [_timed_copy(threads, target, source) for _ in range(5)]
    return 2 * source.nbytes / min(taken)


def _timed_copy(
    threads: ThreadPoolExecutor,
    target: np.ndarray[tuple[int, int]],
    source: np.ndarray[tuple[int, int]],
) -> float:
    begun = time.perf_counter()
    list(threads.map(np.copyto, target, source))
    return time.perf_counter() - begun


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

"""Cores: how many this process may use, by its affinity and by the quotas of its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from neuroglow.cgroups import groups_of

__all__ = ["cores_here"]

ROOT = Path("/")


def cores_here(root: Path = ROOT) -> int:
    """Return the cores that this process may use, at least 1.

    A job of a cluster or a container often has few of those that `os.cpu_count` counts.
    """
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *_quotas(root)]))


def _quotas(root: Path) -> Iterator[int]:
    """Yield the whole cores of each cgroup that this process is in."""
    for folder, old in groups_of("cpu", root):
        with suppress(OSError, ValueError):  # "max" where there is no limit
            quota, period = _quota(folder, old=old)
            if quota > 0:  # -1 where there is none
                yield quota // period


def _quota(folder: Path, *, old: bool) -> tuple[int, int]:
    """Return the microseconds of CPU in each period, and the period."""
    if old:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [(folder / name).read_text(encoding="utf-8") for name in names]
    else:
        words = (folder / "cpu.max").read_text(encoding="utf-8").split()
    return int(words[0]), int(words[1])

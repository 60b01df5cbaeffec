"""Memory: what this machine has, what is free, and how much of it a run takes if it is not told."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ByteSize, Field

from neuroglow.blocks.ledger import read_entries
from neuroglow.cgroups import groups_of
from neuroglow.errors import OutputError
from neuroglow.runs.shards import shard_ledgers
from neuroglow.runs.unfinished import Unfinished

__all__ = ["Memory", "machine_memory", "remembered_memory", "spare_memory", "usual_memory"]

EACH, SHARE = 1_600_000_000, 0.5
"""Bytes of a worker if there is room; and the most that a run takes of what is free."""

ROOT = Path("/")


class Memory(BaseModel):
    """Settings of a verb that has a limit of memory.

    max_memory: bytes, for all workers together; by default 1600 MB each, but at most half of what
    is free; an unfinished run goes on with its own. (`predict` takes more for large volumes.)
    """

    max_memory: ByteSize | None = Field(default=None, gt=0)

    def with_memory(
        self, workers: int, output: Path | None, ask: Callable[..., int] | None = None
    ) -> Self:
        """Choose the memory if none was given: that of an unfinished run, or the usual one.

        ask: calls a function where the workers are; by default here.
        """
        known = self.known_memory(output)
        if known is None:
            known = ask(usual_memory, workers) if ask else usual_memory(workers)
        return self.model_copy(update={"max_memory": ByteSize(known)})

    def known_memory(self, output: Path | None) -> int | None:
        """Return the memory that was given, or that an unfinished run has; None: neither."""
        return self.max_memory or (remembered_memory(output) if output else None)

    @property
    def memory(self) -> int:
        """Bytes for all workers, as given or chosen."""
        assert self.max_memory is not None
        return self.max_memory


def usual_memory(workers: int) -> int:
    """Return the bytes that workers on this machine take together, at most SHARE of the free."""
    return min(EACH * workers, spare_memory() or EACH * workers)


def spare_memory() -> int:
    """Return the bytes that a run on this machine takes at most; 0 if the system does not say."""
    _, available = machine_memory()
    return int(SHARE * (available or 0))


def remembered_memory(output: Path) -> int | None:
    """Return what an unfinished run of this output takes, as its ledger says; None: there is none.

    Its blocks were planned for that: with another value, it could not go on.
    """
    unfinished = Unfinished(output)
    for ledger in (unfinished.ledger, *shard_ledgers(unfinished)):
        with suppress(OutputError):  # none, or damaged: found by who resumes it
            about = read_entries(ledger, only_header=True)[0].get("about", {})
            return int(about.get("max_memory", EACH))  # older ones took EACH, whatever the workers
    return None


def machine_memory(root: Path = ROOT) -> tuple[int | None, int | None]:
    """Return the bytes of this machine, and those free now, within the limits of its cgroups."""
    total: int | None = None
    available: int | None = None
    with suppress(OSError, ValueError):
        lines = (root / "proc/meminfo").read_text(encoding="utf-8").splitlines()
        split = (line.partition(":") for line in lines)
        sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in split}
        total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    if total is None and root == ROOT and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for limit, used in _limits(root):
        total = limit if total is None else min(total, limit)
        free = max(0, limit - used)
        available = free if available is None else min(available, free)
    return total, total if available is None else available


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit and the use of each cgroup that this process is in."""
    new = ("memory.max", "memory.current", "inactive_file")
    old = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    for folder, is_old in groups_of("memory", root):
        limit, used, cache = old if is_old else new
        with suppress(OSError, ValueError):  # "max" where there is no limit
            most = int((folder / limit).read_text())
            yield most, int((folder / used).read_text()) - _cached(folder, cache)


def _cached(folder: Path, name: str) -> int:
    """Return the bytes of files that a cgroup holds only as long as nobody needs the room."""
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0

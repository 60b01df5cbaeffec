"""Growing outputs: the voxels so far of a run that is at work, or was stopped."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from neuroglow.blocks.ledger import read_entries
from neuroglow.errors import NeuroglowError
from neuroglow.runs.shards import shard_ledgers
from neuroglow.runs.unfinished import Unfinished

__all__ = ["about_growing", "growing_voxels", "is_growing", "ledgers_of"]


def is_growing(output: Path) -> bool:
    """Return whether an output is not there yet, but some of its voxels are."""
    return not output.exists() and (growing_voxels(output) / "zarr.json").is_file()


def growing_voxels(output: Path) -> Path:
    """Return the array of an unfinished output."""
    return Unfinished(output).folder / "volume.ome.zarr.partial/0"


def ledgers_of(output: Path) -> list[Path]:
    """List the ledgers of an unfinished output."""
    unfinished = Unfinished(output)
    return [unfinished.ledger] if unfinished.ledger.exists() else shard_ledgers(unfinished)


def about_growing(output: Path) -> dict[str, Any]:
    """Return what the ledger of an unfinished output says of its run; empty if there is none."""
    with contextlib.suppress(NeuroglowError, OSError, IndexError):
        for ledger in ledgers_of(output):
            return dict(next(iter(read_entries(ledger))).get("about") or {})
    return {}

"""How a run ends, in the same words in every verb: stopped, or blocks of it failed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroglow.errors import BlocksFailedError, StoppedError, first_of
from neuroglow.space.blockwise import BlockReport
from neuroglow.space.geometry import Block
from neuroglow.space.writing import file_sha256

__all__ = ["block_names", "fingerprint_of", "refuse_failures", "resumable"]


def fingerprint_of(settings: Any, seed: int, swc: str | None) -> dict[str, str]:
    """Name all that decides the voxels: settings (plain values), seed, and trees that are read."""
    plain = json.dumps(settings, sort_keys=True)
    trees = "".join(file_sha256(f) for f in sorted(Path(swc).glob("*.swc"))) if swc else ""
    return {
        "settings": hashlib.sha256(plain.encode()).hexdigest(),
        "seed": str(seed),
        "input": hashlib.sha256(trees.encode()).hexdigest() if trees else "",
    }


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say how a run goes on that is stopped in here, between blocks too."""
    try:
        yield
    except (StoppedError, KeyboardInterrupt) as stopped:
        raise StoppedError(
            "the work was stopped before its end",
            found=getattr(stopped, "found", "all that was done is kept"),
            where=str(folder),
            cure="the same command with --resume goes on where it stopped",
        ) from None


def block_names(blocks: Sequence[Block]) -> list[str]:
    """Name blocks by number and place."""
    return [f"block {block.index} [{block.write}]" for block in blocks]


def refuse_failures(
    report: BlockReport, names: Sequence[str], where: Path, *, rest: str = ""
) -> None:
    """Raise BlocksFailedError that names the first of those that failed, if any did.

    names: of all, by index. rest: where the others are named.
    """
    if report.ok:
        return
    reasons = [f"{names[i]}: {why}" for i, why in sorted(report.failed.items())]
    raise BlocksFailedError(
        "every block must succeed; the others are complete",
        found=f"{report}{first_of(reasons, rest=rest) if rest else first_of(reasons)}",
        where=str(where),
        cure="mend the cause, then the same command with --resume does the failed ones alone; "
        "where the input itself was changed for that, --restart",
    )

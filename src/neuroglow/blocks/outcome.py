"""How a run ends, with the same words in every verb: stopped, or with failed blocks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neuroglow.blocks.blockwise import BlockReport
from neuroglow.errors import BlocksFailedError, StoppedError, first_of
from neuroglow.files.writing import file_sha256
from neuroglow.space.geometry import Blocks

__all__ = ["block_names", "fingerprint_of", "refuse_failures", "resumable"]


def fingerprint_of(settings: Any, seed: int, swc: str | None) -> dict[str, str]:
    """Return everything that determines the voxels: settings (plain values), seed, and trees."""
    plain = json.dumps(settings, sort_keys=True)
    trees = "".join(file_sha256(f) for f in sorted(Path(swc).glob("*.swc"))) if swc else ""
    return {
        "settings": hashlib.sha256(plain.encode()).hexdigest(),
        "seed": str(seed),
        "input": hashlib.sha256(trees.encode()).hexdigest() if trees else "",
    }


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Explain how to continue a run that is stopped in here, also between blocks."""
    try:
        yield
    except (StoppedError, KeyboardInterrupt) as stopped:
        raise StoppedError(
            "the work was stopped before its end",
            found=getattr(stopped, "found", "all that was done is kept"),
            where=str(folder),
            cure="the same command with --resume goes on where it stopped",
        ) from None


def block_names(blocks: Blocks) -> Callable[[int], str]:
    """Name blocks by number and place."""
    return lambda index: f"block {index} [{blocks.at(index).write}]"


def refuse_failures(
    report: BlockReport, name: Callable[[int], str], where: Path, *, rest: str = ""
) -> None:
    """Raise BlocksFailedError that names the first failed blocks, if any failed.

    name: of a block, by its index. rest: where the others are listed.
    """
    if report.ok:
        return
    reasons = [f"{name(i)}: {why}" for i, why in sorted(report.failed.items())]
    raise BlocksFailedError(
        "every block must succeed; the others are complete",
        found=f"{report}{first_of(reasons, rest=rest) if rest else first_of(reasons)}",
        where=str(where),
        cure="fix the cause, then repeat the command with --resume, which does the failed ones; "
        "if the input itself was changed for that, --restart",
    )

"""The run that finds the middle lines of a trace: its blocks run anywhere, and can be resumed.

OUTPUT.partial/ledger.jsonl    which blocks are done
OUTPUT.partial/middles/        the middle lines of each
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroglow.blocks.blockwise import BlockReport, run_blocks
from neuroglow.blocks.cluster import Place
from neuroglow.blocks.executors import Workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import block_names, refuse_failures, resumable
from neuroglow.files.writing import hash_of, writing
from neuroglow.progress import Progress, Tell, counted_as
from neuroglow.runs.shards import Shard
from neuroglow.runs.unfinished import (
    CONTINUED,
    Unfinished,
    check_begun,
    check_ended,
    refuse_shards,
)
from neuroglow.skeleton.middle_blocks import MiddleBlock
from neuroglow.skeleton.middles import HALO, ReadBox
from neuroglow.space.geometry import Block, Blocks, Box, Zyx, tile
from neuroglow.trace.files import Mode
from neuroglow.trace.settings import TraceSettings

__all__ = ["MiddleRun"]


@dataclass(frozen=True)
class MiddleRun:
    """Where the blocks of a trace run, and where they leave their lines.

    identity: of the probability. again: what `finish` needs to go on where shards are complete.
    """

    output: Path
    identity: str
    settings: TraceSettings
    mode: Mode
    place: Place
    again: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of all unfinished files."""
        return Unfinished(self.output).folder

    def find(
        self,
        read: ReadBox,
        shape: Zyx,
        unit_um: Sequence[float],
        *,
        detected_from: float,
        tell: Callable[[Box], object] = lambda _: None,
    ) -> tuple[MiddleBlock, Blocks]:
        """Find the middle lines as find_middles does, and leave them in a file for each block.

        `read` must reach other processes. Returns the work, which reads them, and the blocks.
        """
        blocks = self._blocks(shape)
        work = self._work(read, unit_um, detected_from)
        with resumable(self.folder):
            ledger = self._ledger(self._decides(read, work), blocks)
            report = self._run(work, blocks, ledger, _in_order(blocks, tell))
        refuse_failures(report, block_names(blocks), self.folder)
        return work, blocks

    def find_part(
        self,
        shard: Shard,
        read: ReadBox,
        shape: Zyx,
        unit_um: Sequence[float],
        *,
        detected_from: float,
        tell: Tell | None,
    ) -> BlockReport:
        """Find the middle lines in the blocks of one shard, and leave them in files."""
        unfinished, blocks = Unfinished(self.output), self._blocks(shape)
        part = shard.of(blocks)
        work = self._work(read, unit_um, detected_from)
        with resumable(unfinished.folder), shard.claimed(unfinished):
            about = self._about(blocks) | {"shard": str(shard), "shard_blocks": len(part)}
            ledger = shard.prepare(unfinished, self.mode, self._decides(read, work), about)
            report = self._run(work, part, ledger, counted_as(tell, f"shard {shard}", part.voxels))
        refuse_failures(report, block_names(blocks), unfinished.folder)
        return report

    def workers(self, blocks: int = 1) -> Workers:
        """Describe the workers; each piece of work may take as long as so many blocks."""
        limit_s = self.settings.time_limit
        limit_s = None if limit_s is None else limit_s * blocks
        return self.place.workers(self.settings.workers, limit_s=limit_s)

    def ledger_of(
        self, path: Path, fingerprint: Mapping[str, str], about: Mapping[str, Any]
    ) -> Ledger:
        """Return the ledger of a later pass: a new one, or that of an earlier start."""
        if self.mode in CONTINUED and path.exists():
            return Ledger.resume(path, fingerprint)
        return Ledger.create(path, fingerprint, {"kind": "trace", **about})

    def _blocks(self, shape: Zyx) -> Blocks:
        return tile(Box.of(shape), (self.settings.block,) * 3, halo=HALO)

    def _work(self, read: ReadBox, unit_um: Sequence[float], detected_from: float) -> MiddleBlock:
        folder = Unfinished(self.output).folder / "middles"
        return MiddleBlock(read, tuple(unit_um), detected_from, folder)

    def _decides(self, read: ReadBox, work: MiddleBlock) -> dict[str, str]:
        """Return everything that determines the lines of a block."""
        whole = getattr(read, "whole", 1.0)
        decides = hash_of(self.identity, work.unit_um, work.detected_from, whole)
        return {"input": decides, "grid": f"{(self.settings.block,) * 3}"}

    def _run(self, work: MiddleBlock, blocks: Blocks, ledger: Ledger, tell: Tell) -> BlockReport:
        with writing(work.folder):
            work.folder.mkdir(parents=True, exist_ok=True)
        return run_blocks(work, blocks, ledger=ledger, workers=self.workers(), on_progress=tell)

    def _about(self, blocks: Blocks) -> dict[str, Any]:
        size = {"blocks": len(blocks), "grid": list(blocks.grid)}
        size |= {"max_memory": self.settings.memory}
        about = {"kind": "trace", "input": self.identity, "pass": "middle lines"}
        return about | size | {"again": dict(self.again)}

    def _ledger(self, fingerprint: dict[str, str], blocks: Blocks) -> Ledger:
        unfinished = Unfinished(self.output)
        check_begun(unfinished.ledger, self.mode)
        if self.mode in CONTINUED and unfinished.ledger.exists():
            ledger = Ledger.resume(unfinished.ledger, fingerprint)
            check_ended(ledger, self.mode, len(blocks))
            return ledger
        refuse_shards(unfinished, self.mode)
        unfinished.empty()
        return Ledger.create(unfinished.ledger, fingerprint, self._about(blocks))


def _in_order(
    blocks: Sequence[Block], tell: Callable[[Box], object]
) -> Callable[[Progress], object]:
    """Tell as many boxes as blocks are done, in the order of the volume."""
    told = 0

    def hear(progress: Progress) -> None:
        nonlocal told
        while progress.work == "blocks" and told < int(progress.done):
            tell(blocks[told].write)
            told += 1

    return hear

"""The run that finds the middle lines of a trace: its blocks run anywhere, and can be resumed.

OUTPUT.partial/ledger.jsonl    which blocks are done
OUTPUT.partial/middles/        the middle lines of each
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuroglow.progress import Progress
from neuroglow.skeleton.middle_blocks import MiddleBlock
from neuroglow.skeleton.middles import HALO, ReadBox
from neuroglow.space.blockwise import run_blocks
from neuroglow.space.cluster import Place
from neuroglow.space.geometry import Block, Blocks, Box, Zyx, tile
from neuroglow.space.ledger import Ledger
from neuroglow.space.outcome import block_names, refuse_failures, resumable
from neuroglow.space.unfinished import Unfinished
from neuroglow.space.writing import hash_of, writing
from neuroglow.trace.files import Mode
from neuroglow.trace.settings import TraceSettings

__all__ = ["MiddleRun"]


@dataclass(frozen=True)
class MiddleRun:
    """Where the blocks of a trace run, and where they leave their lines.

    identity: of the probability.
    """

    output: Path
    identity: str
    settings: TraceSettings
    mode: Mode
    place: Place

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
        folder = self.folder / "middles"
        blocks = tile(Box.of(shape), (self.settings.block,) * 3, halo=HALO)
        work = MiddleBlock(read, tuple(unit_um), detected_from, folder)
        decides = hash_of(self.identity, unit_um, detected_from)
        with resumable(self.folder):
            ledger = self._ledger({"input": decides, "grid": f"{blocks.shape}"}, len(blocks))
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            report = run_blocks(
                work,
                blocks,
                ledger=ledger,
                workers=self.place.workers(self.settings.workers),
                on_progress=_in_order(blocks, tell),
            )
        refuse_failures(report, block_names(blocks), self.folder)
        return work, blocks

    def _ledger(self, fingerprint: dict[str, str], count: int) -> Ledger:
        unfinished = Unfinished(self.output)
        if self.mode == "resume" and unfinished.ledger.exists():
            return Ledger.resume(unfinished.ledger, fingerprint)
        unfinished.empty()
        about = {"kind": "trace", "input": self.identity, "blocks": count}
        return Ledger.create(unfinished.ledger, fingerprint, about)


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

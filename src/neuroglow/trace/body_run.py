"""The search for somata of a trace as a run over the tiles near its lines, which can be resumed.

OUTPUT.partial/passes/somata.jsonl    which tiles are done
OUTPUT.partial/somata/                the bodies of each
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.outcome import block_names, refuse_failures, resumable
from neuroglow.files.writing import hash_of, writing
from neuroglow.progress import Progress
from neuroglow.skeleton.bodies import Body, BodySearch, without_doubles
from neuroglow.skeleton.body_blocks import BodyBlock
from neuroglow.trace.middle_run import MiddleRun
from neuroglow.trace.searches import SKIN

__all__ = ["BodyRun"]


@dataclass(frozen=True)
class BodyRun:
    """Where the tiles of a search run, and where they leave their bodies.

    seen: identity of what is searched. tell: called with the share that is done.
    """

    middles: MiddleRun
    search: BodySearch
    seen: str
    tell: Callable[[float], object]

    def __call__(self, places: NDArray[np.float64]) -> list[Body]:
        """Find the bodies near places (n, 3; voxels zyx), as the search alone does."""
        parts, tiles = self.search.around(places), self.search.tiles
        folder = self.middles.folder
        work = BodyBlock(self.search, folder / "somata")
        with resumable(folder):
            with writing(work.folder):
                work.folder.mkdir(parents=True, exist_ok=True)
            report = run_blocks(
                work,
                parts,
                ledger=self.middles.ledger_of(
                    folder / "passes" / "somata.jsonl",
                    {"input": self._decides, "grid": f"{tiles.shape}"},
                    {"blocks": len(parts), "pass": "somata"},
                ),
                workers=self.middles.workers(),
                on_progress=self._hear,
            )
        refuse_failures(report, block_names(tiles), folder)
        return without_doubles([*work.found(parts)])

    @property
    def _decides(self) -> str:
        """A hash of all that decides on the bodies of a tile."""
        search = self.search
        return hash_of(self.seen, search.levels, search.unit_um.tolist(), search.least, SKIN)

    def _hear(self, progress: Progress) -> None:
        self.tell(progress.done / (progress.total or 1))

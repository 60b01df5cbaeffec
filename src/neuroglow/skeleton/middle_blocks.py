"""Middle lines of one block, left in a file: the work of a run whose blocks run anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from neuroglow.files.writing import writing
from neuroglow.skeleton.middles import Middles, ReadBox, middles_of_block
from neuroglow.space.geometry import Block

__all__ = ["MiddleBlock"]


@dataclass(frozen=True)
class MiddleBlock:
    """The work on one block; writes FOLDER/00000012.npz if it has any line.

    read: reads a box of the probability. unit_um: size of a voxel, zyx.
    """

    read: ReadBox
    unit_um: Sequence[float]
    detected_from: float
    folder: Path

    def __call__(self, block: Block) -> Literal["done", "skipped"]:
        """Read, threshold, peel, write."""
        if self.read(block.write).max() < self.detected_from:  # its halo need not be read
            return "skipped"
        values = self.read(block.read)
        unit_um = np.asarray(self.unit_um, np.float64)
        found = middles_of_block(values, block, self.detected_from, unit_um)
        file = self._file(block)
        with writing(file):
            np.savez(file, **{part.name: getattr(found, part.name) for part in fields(found)})
        return "done"

    def files(self, block: Block) -> list[Path]:
        """Name the file of a block."""
        return [self._file(block)]

    def found(self, blocks: Sequence[Block]) -> Iterator[Middles]:
        """Read what the blocks have left, in their order."""
        for block in blocks:
            if self._file(block).exists():
                with np.load(self._file(block)) as kept:
                    yield Middles(**kept)

    def _file(self, block: Block) -> Path:
        return self.folder / f"{block.index:08d}.npz"

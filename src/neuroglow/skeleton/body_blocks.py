"""The bodies of one tile, left in a file: the work of a run whose blocks run anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from neuroglow.files.writing import writing
from neuroglow.skeleton.bodies import Body, BodySearch
from neuroglow.space.geometry import Block

__all__ = ["BodyBlock"]


@dataclass(frozen=True)
class BodyBlock:
    """The work on one tile of a search; writes FOLDER/00000012.npy if it has any body.

    A row is a ball: the number of its body in the tile, its place and its radius (um).
    """

    search: BodySearch
    folder: Path

    def __call__(self, part: Block) -> Literal["done", "skipped"]:
        """Search, write."""
        found = self.search.in_tile(part)
        if not found:
            return "skipped"
        balls = [
            np.column_stack([np.full(len(body.radii), number), body.places, body.radii])
            for number, body in enumerate(found)
        ]
        file = self._file(part)
        with writing(file):
            np.save(file, np.concatenate(balls))
        return "done"

    def files(self, part: Block) -> list[Path]:
        """Name the file of a tile."""
        return [self._file(part)]

    def found(self, parts: Sequence[Block]) -> Iterator[Body]:
        """Read what was found in the tiles, in their order."""
        for file in (self._file(part) for part in parts):
            if file.exists():
                balls = np.load(file)
                starts = np.flatnonzero(np.diff(balls[:, 0])) + 1
                for own in np.split(balls, starts):
                    yield Body(own[:, 1:4], own[:, 4], self.search.lines)

    def _file(self, part: Block) -> Path:
        return self.folder / f"{part.index:08d}.npy"

"""The result of a prediction, as it prints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from neuroglow.printed import Printed
from neuroglow.space.blockwise import BlockReport

__all__ = ["PredictReport"]


@dataclass(frozen=True, repr=False)
class PredictReport(Printed):
    """The result of a prediction: the output, its picture, its record, and the state of blocks.

    outside: the share of blocks outside the `mask` of the settings, if there was one.
    """

    output: Path
    picture: Path
    record: Path
    blocks: BlockReport
    mask: Path | None = None
    shard: str | None = None
    outside: float | None = None

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        if self.shard:
            yield f"shard {self.shard} of {self.output}"
            yield str(self.blocks)
            yield f"when all shards are complete: neuroglow finish {self.output}"
            return
        yield str(self.output)
        yield str(self.blocks)
        if self.outside is not None:
            share = f"{self.outside:.0%} of the blocks"
            yield f"{share} lie outside the tissue, and were neither read nor predicted"
        if self.mask is not None:
            yield f"mask    {self.mask}"
        yield f"picture {self.picture}"
        yield f"record  {self.record}"

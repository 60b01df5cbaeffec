"""The result of a prediction, as it prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from neuroglow.blocks.blockwise import BlockReport
from neuroglow.printed import Printed
from neuroglow.runs.shards import lines_of_shard

__all__ = ["PredictReport"]


@dataclass(frozen=True, repr=False)
class PredictReport(Printed):
    """The result of a prediction: the output, its picture, its record, and the state of blocks.

    tiles: `total` and `skipped` by the gate; empty without one. outside: the share of
    blocks outside the `mask` of the settings, if there was one.
    """

    output: Path
    picture: Path
    record: Path
    blocks: BlockReport
    mask: Path | None = None
    shard: str | None = None
    tiles: Mapping[str, int] = field(default_factory=dict)
    outside: float | None = None

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        if self.shard:
            yield from lines_of_shard(self.shard, self.output, self.blocks)
            return
        yield str(self.output)
        yield str(self.blocks)
        if total := self.tiles.get("total"):
            skipped = self.tiles["skipped"]
            yield f"{skipped} of {total} tiles of 64 voxels skipped: nothing stands out in them"
        if self.outside is not None:
            share = f"{self.outside:.0%} of the blocks"
            yield f"{share} lie outside the tissue, and were neither read nor predicted"
        if self.mask is not None:
            yield f"mask    {self.mask}"
        yield f"picture {self.picture}"
        yield f"record  {self.record}"

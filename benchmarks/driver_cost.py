"""Measure what the driver of a run costs for each block: the real driver and ledger, no work.

    python benchmarks/driver_cost.py [BLOCKS]

A volume is cut into BLOCKS blocks (1,500,000), each of which does nothing and leaves no voxels.
The run is then resumed with 14 of 15 blocks done: the ledger is read, and two files of each block
are looked for. Seconds are CPU seconds of the driver's process.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.ledger import Ledger
from neuroglow.space.geometry import Block, Box, plan_block_shape, tile

FINGERPRINT = {"model": "none"}


class Nothing:
    """Work that does nothing, on blocks of zeros: no shard and no picture is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, block: Block) -> str:
        """Do nothing."""
        return "done"

    def files(self, block: Block) -> list[Path]:
        """Name two files."""
        z, y, x = block.write.start
        name = f"{self.folder}/volume.ome.zarr.partial/0/c/{z // 64}/{y // 64}/{x // 64}"
        return [Path(name), Path(f"{self.folder}/{block.index:08d}.npz")]


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_500_000
    began = time.process_time()
    vast = Box.of((100_000,) * 3)
    shape = plan_block_shape(vast, halo=16, unit=64, voxels=10**8, within=vast)
    planned = len(tile(vast, shape or (64, 64, 64), halo=16))
    print(f"10^15 voxels planned, {planned} blocks: {time.process_time() - began:.2f} s")
    blocks = tile(Box.of((64, 64 * 1000, 64 * (count // 1000))), (64, 64, 64), halo=16, align=8)
    with tempfile.TemporaryDirectory() as folder:
        work, path = Nothing(Path(folder)), Path(folder) / "ledger.jsonl"
        before, began = megabytes(), time.process_time()
        report = run_blocks(work, blocks, ledger=Ledger.create(path, FINGERPRINT))
        seconds, grown = time.process_time() - began, megabytes() - before
        print(f"{report}")
        print(
            f"{1000 * seconds / len(blocks):.3f} ms and {1e6 * grown / len(blocks):.0f} B a block"
        )
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[: 1 + len(blocks) * 14 // 15]), encoding="utf-8")
        del lines
        began = time.process_time()

        def stop(_: object) -> None:
            print(f"resumed after {time.process_time() - began:.1f} s")
            raise KeyboardInterrupt

        ledger = Ledger.resume(path, FINGERPRINT)
        print(f"ledger read after {time.process_time() - began:.1f} s")
        try:
            run_blocks(work, blocks, ledger=ledger, on_progress=stop)
        except Exception as error:
            print(getattr(error, "found", error))


if __name__ == "__main__":
    main()

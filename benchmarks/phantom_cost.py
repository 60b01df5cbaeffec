"""Time and memory of phantoms, and whether a brain is the same for any block size.

    OMP_NUM_THREADS=1 python benchmarks/phantom_cost.py [--size 512] [--cubes 24]

One brain is rendered in blocks of 64, 128 and 200 voxels, each run in a process of its own, end to
end through the command line, with one worker; image, label, trees and table of all three are
compared. A brain of an eighth of the volume shows whether memory grows. Then a pool of cubes is
made with one worker, with 64 and with 96 voxels per axis. CPU seconds are user + system, which
other work on the machine hardly changes; memory is the peak resident size of the process. All
synthetic.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from neuroglow.formats.opening import open_volume
from neuroglow.space.geometry import Box, tile


class Cost(NamedTuple):
    """Time and memory of one process."""

    seconds: float
    cpu: float
    peak_gb: float


def cost(*words: str) -> Cost:
    """Run neuroglow phantom and measure it."""
    command = [sys.executable, "-m", "neuroglow", "phantom", *words]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, dict(os.environ))
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    seconds = time.perf_counter() - began
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)


def digest(folder: Path) -> str:
    """Hash the voxels of image and label, the trees and the table of a brain."""
    total = hashlib.sha256()
    for name in ("image", "label"):
        volume = open_volume(folder / f"{name}.ome.zarr")
        for block in tile(Box.of(volume.shape), (128, 128, 128)):
            total.update(volume.read(block.write).tobytes())
    for name in ("tree.swc", "neurites.csv"):
        total.update((folder / name).read_bytes())
    return total.hexdigest()


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--cubes", type=int, default=24)
    asked = parser.parse_args()
    half = asked.size // 2
    digests = []
    with tempfile.TemporaryDirectory() as name:
        print("| voxels per axis | block size | elapsed s | CPU-s | Mvoxel / CPU-s | peak GB |")
        print("|---|---|---|---|---|---|", flush=True)
        for size, block in ((half, 128), (asked.size, 64), (asked.size, 128), (asked.size, 200)):
            out = Path(name) / f"{size}-{block}"
            used = cost("brain", "-o", str(out), "--size", str(size), "--block", str(block))
            if size == asked.size:
                digests.append(digest(out))
            rates = f"{size**3 / 1e6 / used.cpu:.2f} | {used.peak_gb:.2f}"
            print(
                f"| {size} | {block} | {used.seconds:.0f} | {used.cpu:.0f} | {rates} |", flush=True
            )
        print(f"\nidentical: {len(set(digests)) == 1} ({digests[0][:16]})\n")
        print("| cube size | elapsed s per cube | CPU-s per cube | peak GB |\n|---|---|---|---|")
        for size in (64, 96):
            out = Path(name) / f"pool{size}"
            used = cost("pool", "-o", str(out), "--cubes", str(asked.cubes), "--size", str(size))
            each, cpu = used.seconds / asked.cubes, used.cpu / asked.cubes
            print(f"| {size} | {each:.2f} | {cpu:.2f} | {used.peak_gb:.2f} |", flush=True)
    if len(set(digests)) != 1:
        raise SystemExit("the brains differ")


if __name__ == "__main__":
    main()

"""Time and memory of a survey of 1024 voxels per axis (OME-Zarr), compared with only reading it.

    python benchmarks/survey_cost.py [--side 1024] [--workers 2]

The volume is one phantom of 128 voxels per axis, repeated (in mirror images, so that it has no
seams): it is quick to make, and a survey of it costs as much as one of a brain that is crowded
everywhere. For comparison, the same cubes are only read. Each is a process of its own; memory is
the peak of the largest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from neuroglow.formats.opening import create_volume
from neuroglow.phantom import PhantomSettings, make_phantom
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import VolumeSpec

BLOCK = 128

READ = """
import sys
from neuroglow.space.geometry import Box, tile
from neuroglow.formats.opening import open_volume
volume = open_volume(sys.argv[1])
for block in tile(Box.of(volume.shape), (128, 128, 128)):
    volume.read(block.write)
"""


def make_volume(path: Path, side: int) -> Path:
    """Write the repeated phantom."""
    settings = PhantomSettings(shape=(BLOCK,) * 3, neurites=(20, 20))
    image = make_phantom(np.random.default_rng(1), settings).image
    shape = (side, side, side)
    spec = VolumeSpec(shape, image.dtype, (1.0, 1.0, 1.0), (BLOCK,) * 3)
    volume = create_volume(path, spec)
    for block in tile(Box.of(shape), (BLOCK,) * 3):
        odd = [axis for axis in range(3) if block.write.start[axis] // BLOCK % 2]
        inside = tuple(slice(n) for n in block.write.shape)
        volume.write(block.write, np.flip(image, odd)[inside] if odd else image[inside])
    volume.finish()
    return path


def cost(command: list[str]) -> tuple[float, float, float]:
    """Run a command; give (seconds, CPU seconds, peak resident GB of the largest process)."""
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, dict(os.environ))
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        volume = make_volume(Path(name) / "brain.ome.zarr", asked.side)
        survey = [sys.executable, "-m", "neuroglow", "survey", str(volume)]
        survey += ["-o", f"{name}/s.csv", "--workers", str(asked.workers)]
        runs = {
            "reading alone": cost([sys.executable, "-c", READ, str(volume)]),
            f"survey, {asked.workers} workers": cost(survey),
        }
    megavoxels = asked.side**3 / 1e6
    print("| | s | Mvoxel/s | CPU-s | Mvoxel per CPU-s | peak GB |\n|---|---|---|---|---|---|")
    for what, (seconds, cpu, peak) in runs.items():
        rate = megavoxels / seconds
        busy = megavoxels / cpu
        print(f"| {what} | {seconds:.0f} | {rate:.1f} | {cpu:.1f} | {busy:.1f} | {peak:.2f} |")
    alone, surveyed = runs.values()
    print(f"\na survey takes {surveyed[1] / alone[1]:.1f} times the CPU seconds of only reading")


if __name__ == "__main__":
    main()

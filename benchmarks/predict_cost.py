"""Time and memory of a prediction, compared with DB-Enhance's network and tiling.

    python benchmarks/predict_cost.py ../shared/data/trailmap/example_chunk.tif [--repeats 3]

Each run is a process of its own, through the command line, end to end: start, read, predict,
write, picture, record. The two programs run alternately within one run of this script; the medians
and their ratio are printed. The same follows for a volume eight times as large (the input and
its mirror images), to show how much memory grows. CPU seconds are user + system of the process
and its children.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

HERE = Path(__file__).parent


def cost(command: list[str]) -> tuple[float, float]:
    """Run a command; give (CPU seconds, peak resident GB of the largest process)."""
    child = os.posix_spawn(command[0], command, dict(os.environ))
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def neuroglow(source: Path, folder: Path) -> tuple[float, float]:
    """Predict through the command line."""
    out = folder / "out.ome.zarr"
    shutil.rmtree(out, ignore_errors=True)
    return cost([sys.executable, "-m", "neuroglow", "predict", str(source), "-o", str(out)])


def db_enhance(source: Path, folder: Path) -> tuple[float, float]:
    """Predict with DB-Enhance's network and tiling."""
    script = str(HERE / "db_enhance_way.py")
    return cost([sys.executable, script, str(source), str(folder / "db.tif")])


def eightfold(source: Path, folder: Path) -> Path:
    """Write the volume and its mirror images: twice as long along each axis."""
    image = tifffile.imread(source)
    for axis in range(3):
        image = np.concatenate([image, np.flip(image, axis)], axis)
    large = folder / "eightfold.tif"
    tifffile.imwrite(large, image, compression="zlib")
    return large


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [
            (neuroglow(asked.source, folder), db_enhance(asked.source, folder))
            for _ in range(asked.repeats)
        ]
        large = [
            neuroglow(eightfold(asked.source, folder), folder) for _ in range(min(2, asked.repeats))
        ]
    ours, theirs = (
        [statistics.median(v) for v in zip(*side, strict=True)] for side in zip(*runs, strict=True)
    )
    eight = [statistics.median(v) for v in zip(*large, strict=True)]
    ratio = statistics.median(t[0] / o[0] for o, t in runs)
    print("| | CPU-s | peak GB |\n|---|---|---|")
    print(f"| DB-Enhance's network and tiling | {theirs[0]:.1f} | {theirs[1]:.2f} |")
    print(f"| neuroglow | {ours[0]:.1f} | {ours[1]:.2f} |")
    print(f"| neuroglow, eight times the volume | {eight[0]:.1f} | {eight[1]:.2f} |")
    print(
        f"\nratio of CPU seconds {ratio:.1f}; "
        f"memory for eight times the volume: {eight[1] / ours[1]:.2f} times as much"
    )


if __name__ == "__main__":
    main()

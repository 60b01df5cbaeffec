"""VoxResNet in whole processes: DB-Enhance's way, and this package in each precision.

    neuroglow train POOL -o run --network voxresnet --steps 60 --batch 2 --patch 48
    neuroglow models optimise run/checkpoints/best VOLUME.tif
    OMP_NUM_THREADS=1 python benchmarks/voxresnet.py run/checkpoints/best VOLUME.tif [--rounds 3]
        [--patches 1]

The ways run alternately, start included, without a gate; CPU seconds (user + system) are medians,
ratios medians of those within a round. DB-Enhance's way has random weights: the cost is the same.
The volume has at least 120 voxels along each axis: of these, its way makes eight patches already;
with --patches only so many of them are run, and their CPU seconds are multiplied.
Differences are those of the probability from this package's float32.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from peers import run
from predict_cost import cost, db_enhance

from neuroglow.network.db_enhance_facts import PATCH

DB_ENHANCE = "DB-Enhance's way"


def theirs(volume: Path, folder: Path, patches: int) -> tuple[float, float]:
    """Return CPU seconds and gigabytes of DB-Enhance's way; of so many patches: extrapolated."""
    if not patches:
        return db_enhance(volume, folder)
    asked = argparse.Namespace(patches=patches, monai=None, neurofly=None)
    whole = run("db-enhance", volume, folder, asked)
    return whole.cpu, whole.memory


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patches", type=int, default=0)
    asked = parser.parse_args()
    if min(tifffile.imread(asked.volume).shape) < PATCH:
        parser.error(f"DB-Enhance's way needs {PATCH} voxels along each axis: no patch fits")
    precisions = ["float32", "bfloat16"] + ["int8"] * (asked.model / "int8.json").exists()
    costs: dict[str, list[tuple[float, float]]] = {DB_ENHANCE: []}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(asked.rounds):
            costs[DB_ENHANCE].append(theirs(asked.volume, Path(name), asked.patches))
            for precision in precisions:
                words = ["predict", str(asked.volume), "-o", f"{name}/{precision}.tif"]
                words += ["--model", str(asked.model), "--precision", precision, "--no-gate"]
                words += ["--dtype", "float32", "--restart"]
                own = cost([sys.executable, "-m", "neuroglow", *words])
                costs.setdefault(precision, []).append(own)
        found = {p: tifffile.imread(f"{name}/{p}.tif") for p in precisions}
    print("| | CPU-s | ratio | GB | largest difference | mean |\n|---|---|---|---|---|---|")
    for way, runs in costs.items():
        pairs = zip(costs[DB_ENHANCE], runs, strict=True)
        ratio = statistics.median(other[0] / ours[0] for other, ours in pairs)
        seconds, memory = (statistics.median(values) for values in zip(*runs, strict=True))
        apart = np.abs(found[way] - found["float32"]) if way in found else np.full(1, np.nan)
        print(f"| {way} | {seconds:.1f} | {ratio:.1f} | {memory:.2f} ", end="")
        print(f"| {apart.max():.4f} | {apart.mean():.5f} |")


if __name__ == "__main__":
    main()

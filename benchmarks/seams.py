"""The seam error: how far a prediction in blocks differs from one of the whole, at several halos.

    python benchmarks/seams.py --shared ../shared [--model light-microscopy] [--halos 16 24 32 40]

Blocks of 64 voxels per axis (the smallest possible, with the most seams) are compared with a single
block, in float32, on a phantom and on a real volume. Mean and maximum are over all voxels, of
probabilities from 0 to 1. Without ../shared only the phantom is measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import tifffile

import neuroglow
from neuroglow.network.machine import bytes_per_voxel, choose_machine, process_bytes
from neuroglow.network.stored import read_model
from neuroglow.phantom import PhantomSettings

WHOLE = 16 * 10**9


def volumes(shared: Path) -> dict[str, np.ndarray]:
    """Give the volumes."""
    settings = PhantomSettings(shape=(160, 160, 160), neurites=(40, 40), snr=(1.5, 10.0))
    found = {"phantom": neuroglow.make_phantom(np.random.default_rng(7), settings).image}
    real = shared / "data/trailmap/example_chunk.tif"
    if real.exists():
        found["TRAILMAP"] = tifffile.imread(real)[60:220, 60:220, 60:220]
    return found


def seam_error(image: np.ndarray, model: str, halo: int) -> tuple[float, float]:
    """Give (mean, worst) difference between blocks of 64 and the whole."""
    known = read_model(model).settings
    machine = choose_machine(known, engine="auto", device="auto", precision="float32")
    per_voxel = bytes_per_voxel(known.network, machine)
    common = {"model": model, "precision": "float32", "gate": False}
    whole = neuroglow.predict(image, max_memory=WHOLE, halo=128, **common)
    small = process_bytes(machine) + per_voxel.read * (64 + 2 * halo) ** 3
    small += per_voxel.written * 64**3 + per_voxel.read  # a voxel more: it is rounded down
    blocked = neuroglow.predict(image, max_memory=small, halo=halo, **common)
    error = np.abs(whole - blocked)
    return float(error.mean()), float(error.max())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--halos", type=int, nargs="+", default=[16, 24, 32, 40])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    print("| volume | halo | mean | worst |\n|---|---|---|---|")
    for name, image in volumes(asked.shared).items():
        for halo in asked.halos:
            mean, worst = seam_error(image, asked.model, halo)
            print(f"| {name} | {halo} | {mean:.6f} | {worst:.4f} |", flush=True)
            rows.append({"halo": halo, "mean": mean, "worst": worst, "where": name})
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

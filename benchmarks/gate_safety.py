"""The gate's safety: the share of detected voxels that lie where the gate would have skipped.

    OMP_NUM_THREADS=1 python benchmarks/gate_safety.py [--shared ../shared] [--side 96]

Every volume is predicted without the gate, in blocks as `predict` reads them; of each block the
gate is asked. Volumes: one phantom of each region (synthetic), and real volumes in ../shared/data.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import neuroglow
from neuroglow.imaging.gate import gate
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.network.machine import choose_machine, prepare
from neuroglow.network.stored import read_model
from neuroglow.phantom.region import REGIONS
from neuroglow.space.geometry import Box, tile
from neuroglow.space.opening import open_volume
from neuroglow.space.volume import Volume

MODEL, HALO = "light-microscopy", 16


def counted(volume: Volume, side: int) -> tuple[int, int, int, int]:
    """Count blocks, blocks that the gate skips, detected voxels, and those in skipped blocks."""
    model = read_model(MODEL)
    machine = choose_machine(model.settings, engine="auto", device="cpu", precision="float32")
    engine, units = prepare(model, machine, "cpu"), NoiseUnits(volume, tells=False)
    whole = Box.of(volume.shape)
    found = []
    for block in tile(whole, (side, side, side), halo=HALO, align=model.stride, within=whole):
        x = units.read_filled(block.read)[1]
        probability = engine.probability(x)[block.inner.slices]
        found.append((not gate(x), int((probability > model.settings.threshold).sum())))
    lost = sum(count for skipped, count in found if skipped)
    skips = sum(skipped for skipped, _ in found)
    return len(found), skips, sum(count for _, count in found), lost


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--side", type=int, default=96)
    asked = parser.parse_args()
    real = sorted(p for p in (asked.shared / "data").rglob("*.tif") if "label" not in p.name)
    print("| volume | blocks | skipped | detected voxels | lost |\n|---|---|---|---|---|")
    total = np.zeros(4, np.int64)
    with tempfile.TemporaryDirectory() as folder:
        for region in REGIONS:
            made = Path(folder, region)
            neuroglow.phantom_cube(made, region=region, seed=5)
            real.append(made / "image.tif")
        for path in real:
            volume = open_volume(path)
            numbers = counted(volume, asked.side)
            total += numbers
            name = f"phantom: {path.parent.name}" if path.name == "image.tif" else path.stem
            print(f"| {name} | {' | '.join(map(str, numbers))} |", flush=True)
    print(f"| all | {' | '.join(map(str, total))} |")


if __name__ == "__main__":
    main()

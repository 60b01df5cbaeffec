"""CPU seconds of each part of a prediction: reading, noise units, gate, network, pictures, writing.

    OMP_NUM_THREADS=1 python benchmarks/predict_parts.py INPUT [--roi BOX] [--max-memory 1600MB]

One prediction by OpenVINO in this process, into a temporary OME-Zarr. A part's seconds are those of
the process while it runs, without the parts within it.
"""

from __future__ import annotations

import argparse
import functools
import resource
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import neuroglow
from neuroglow.formats.ome_zarr import NewOmeZarr, OmeZarrVolume
from neuroglow.formats.tiff import TiffVolume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.polarity import Polarity
from neuroglow.network import enhance, tiles
from neuroglow.network.openvino_engine import OpenVinoEngine
from neuroglow.predict import planned
from neuroglow.runs.run import Run

PARTS = {
    "reading": [(TiffVolume, "read"), (OmeZarrVolume, "read")],
    "noise units: cells": [(NoiseUnits, "_combined"), (NoiseUnits, "read_grey")],
    "noise units: voxels": [(NoiseUnits, "_convert")],
    "look for dark neurites": [(Polarity, "look")],
    "gate": [(tiles, "judge")],
    "network": [(OpenVinoEngine, "_run")],
    "projections": [(enhance, "save_projections")],
    "writing": [(NewOmeZarr, "write")],
    "picture": [(planned, "draw_overlay")],
    "coarser levels, publishing": [(NewOmeZarr, "finish")],
    "blocks, the rest": [(enhance.EnhanceBlock, "__call__")],
    "run, the rest": [(Run, "execute")],
}

seconds: dict[str, float] = defaultdict(float)
within: list[float] = []


def watch(owner: Any, name: str, part: str) -> None:
    """Count the CPU seconds of a function."""
    usual = getattr(owner, name)

    @functools.wraps(usual)
    def counted(*args: Any, **options: Any) -> Any:
        begun = time.process_time()
        within.append(0.0)
        try:
            return usual(*args, **options)
        finally:
            taken = time.process_time() - begun
            seconds[part] += taken - within.pop()
            if within:
                within[-1] += taken

    setattr(owner, name, counted)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("--roi")
    parser.add_argument("--max-memory", default="1600MB")
    asked = parser.parse_args()
    for part, functions in PARTS.items():
        for owner, name in functions:
            watch(owner, name, part)
    with tempfile.TemporaryDirectory() as folder:
        form = {"engine": "openvino", "max_memory": asked.max_memory, "roi": asked.roi}
        neuroglow.predict(asked.source, out=Path(folder) / "p.ome.zarr", progress=False, **form)
    seconds["start, plan and the rest"] = time.process_time() - sum(seconds.values())
    print("| part | CPU-s |\n|---|---|")
    for part in [*PARTS, "start, plan and the rest"]:
        print(f"| {part} | {seconds[part]:.2f} |")
    units = sum(seconds[part] for part in list(PARTS)[1:5])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"\nnoise units and gate: {units / seconds['network']:.1%} of the network's; ", end="")
    print(f"{sum(seconds.values()):.1f} CPU-s, peak {peak:.2f} GB")


if __name__ == "__main__":
    main()

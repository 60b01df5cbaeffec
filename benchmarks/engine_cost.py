"""CPU seconds of each engine on one block, and how far their probabilities differ.

    OMP_NUM_THREADS=1 python benchmarks/engine_cost.py [--model light-microscopy] [--rounds 3]
        [--halo 16]

A block of 64 x 128 x 128 voxels of noise, one thread, float32, without reading or writing; and in
int8, if the model has that variant. Each engine answers the whole block, and its middle within a
halo (what around it need not be decoded is left out). They run alternately; medians of the rounds
are printed; rates are those of the voxels of the whole block.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from neuroglow.network.engine import use_threads
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.stored import read_model
from neuroglow.space.geometry import Box

MACHINES = {"torch": Machine("torch"), "openvino": Machine("openvino")}
INT8 = {"openvino, int8": Machine("openvino", precision="int8")}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--halo", type=int, default=16)
    asked = parser.parse_args()
    use_threads(1)
    model = read_model(asked.model)
    machines = MACHINES | (INT8 if model.int8 else {})
    ready = {name: prepare(model, machine, "cpu") for name, machine in machines.items()}
    x = np.random.default_rng(0).normal(size=(64, 128, 128)).astype(np.float32)
    whole = Box.of(x.shape)
    middle = Box((asked.halo,) * 3, whole.grow(-asked.halo).stop)
    ways = {
        name + said: (engine, box)
        for name, engine in ready.items()
        for said, box in (("", whole), (", middle", middle))
    }
    found = {name: engine.probability(x, inner=box) for name, (engine, box) in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, (engine, box) in ways.items():
            before = time.process_time()
            engine.probability(x, inner=box)
            seconds[name].append(time.process_time() - before)
    seconds_of = {name: statistics.median(times) for name, times in seconds.items()}
    print("| engine | CPU-s | Mvoxel / CPU-s | largest difference from torch |\n|---|---|---|---|")
    for name, middle in seconds_of.items():
        apart = float(np.abs(found["torch"][ways[name][1].slices] - found[name]).max())
        print(f"| {name} | {middle:.2f} | {x.size / 1e6 / middle:.2f} | {apart:.1g} |")


if __name__ == "__main__":
    main()

"""CPU seconds of each engine on one block, and how far their probabilities differ.

    OMP_NUM_THREADS=1 python benchmarks/engine_cost.py [--model light-microscopy] [--rounds 3]

A block of 64 x 128 x 128 voxels of noise, one thread, float32, without reading or writing; and in
int8, if the model has that variant. The engines run alternately; medians of the rounds are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from neuroglow.network.engine import use_threads
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.stored import read_model

MACHINES = {"torch": Machine("torch"), "openvino": Machine("openvino")}
INT8 = {"openvino, int8": Machine("openvino", precision="int8")}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    use_threads(1)
    model = read_model(asked.model)
    machines = MACHINES | (INT8 if model.int8 else {})
    ready = {name: prepare(model, machine, "cpu") for name, machine in machines.items()}
    x = np.random.default_rng(0).normal(size=(64, 128, 128)).astype(np.float32)
    found = {name: engine.probability(x) for name, engine in ready.items()}  # not counted
    seconds: dict[str, list[float]] = {name: [] for name in machines}
    for _ in range(asked.rounds):
        for name, engine in ready.items():
            before = time.process_time()
            engine.probability(x)
            seconds[name].append(time.process_time() - before)
    seconds_of = {name: statistics.median(times) for name, times in seconds.items()}
    print("| engine | CPU-s | Mvoxel / CPU-s | largest difference from torch |\n|---|---|---|---|")
    for name, middle in seconds_of.items():
        apart = float(np.abs(found["torch"] - found[name]).max())
        print(f"| {name} | {middle:.2f} | {x.size / 1e6 / middle:.2f} | {apart:.1g} |")


if __name__ == "__main__":
    main()

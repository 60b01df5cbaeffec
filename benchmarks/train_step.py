"""Time and memory of a training step, and the share of time spent waiting for data.

    python benchmarks/train_step.py [--steps N] [--batch N] [--patch N] [--seed N]

Each network is trained on phantoms (four cubes of 128^3, synthetic) in a process of its own, with
one torch thread; patches are made by the loader threads of the run. The first steps are left out,
until memory and the supply of patches are steady. CPU seconds: of all threads, the loaders' too.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTLING = 4
CASES = tuple((n, p) for n in ("glow", "voxresnet") for p in ("bfloat16", "float32"))


def make_pool(folder: Path, *, cubes: int = 4, size: int = 128) -> None:
    """Write phantoms in the layout image/, label/."""
    import numpy as np
    import tifffile

    from neuroglow.phantom import PhantomSettings, make_phantom

    for kind in ("image", "label"):
        (folder / kind).mkdir(parents=True)
    for number in range(cubes):
        made = make_phantom(np.random.default_rng([3, number]), PhantomSettings(shape=(size,) * 3))
        tifffile.imwrite(folder / f"image/c{number}.tif", made.image)
        tifffile.imwrite(folder / f"label/c{number}.tif", made.label)


def measure(pool: Path, network: str, precision: str, asked: argparse.Namespace) -> None:
    """Train in this process; print one line of JSON."""
    import torch

    import neuroglow

    torch.set_num_threads(1)
    cpu: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        neuroglow.train(
            pool,
            out=run,
            network=network,
            precision=precision,
            steps=asked.steps,
            batch=asked.batch,
            patch=asked.patch,
            checkpoint_every=asked.steps,
            val_fraction=0,
            seed=asked.seed,
            on_progress=lambda told: cpu.append(time.process_time()) if told.row else None,
            label_map="0=background,1=neurite,2=ignore",
        )
        lines = (run / "log.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines][SETTLING:]
    seconds = [row["seconds"] for row in rows]
    result = {
        "network": network,
        "precision": precision,
        "seconds": statistics.median(seconds),
        "cpu": (cpu[-1] - cpu[SETTLING - 1]) / (len(cpu) - SETTLING),
        "losses": [row["loss"] for row in rows],
        "waiting": sum(row["waiting"] for row in rows) / sum(seconds),
        "memory_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


def main() -> None:
    """Measure each network in turn, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", nargs=3, metavar=("POOL", "NETWORK", "PRECISION"))
    asked = parser.parse_args()
    if asked.case:
        measure(Path(asked.case[0]), asked.case[1], asked.case[2], asked)
        return
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool"
        make_pool(pool)
        print("| network | precision | seconds a step | CPU-s | peak memory | waiting for data |")
        print("|---|---|---|---|---|---|")
        for network, precision in CASES:
            command = [sys.executable, __file__, "--case", str(pool), network, precision]
            command += [f"--{n}={getattr(asked, n)}" for n in ("steps", "batch", "patch", "seed")]
            alone = os.environ | {"OMP_NUM_THREADS": "1"}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
            row = json.loads(done.stdout.splitlines()[-1])
            memory = f"{row['memory_MB']:.0f} MB"
            figures = f"{row['seconds']:.2f} | {row['cpu']:.2f} | {memory} | {row['waiting']:.1%}"
            print(f"| {network} | {precision} | {figures} |", flush=True)


if __name__ == "__main__":
    main()

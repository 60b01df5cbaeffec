"""Which augmentation helps where: four sets, compared on phantoms of a microscope without defects.

    python benchmarks/augmentation.py OUT [--steps 600] [--seeds 1 2 3]

A small GlowNet is trained on a phantom pool whose microscope has none of the defects below, once
with each `augment` and seed; everything else is the same. It is tested on phantoms of other seeds:
without defects, with each defect alone, and with all of them. A test cube shows the same tissue
with each defect. Score: average precision over voxels, averaged over cubes; mean and standard
deviation over training seeds. Everything is synthetic. Finished work is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import neuroglow
from neuroglow import metrics
from neuroglow.phantom import IGNORE, NEURITE, PhantomCube, make_cube

SETS = ("none", "db_enhance", "full", "microscope")
REGIONS = ("sparse", "plexus", "bundle", "cells")
TEST_SEEDS = (7001, 7002, 7003)
SIZE = 64

Values = dict[str, Any]

CLEAN: Values = {
    "snr": (2.0, 12.0),
    "stripes": (0.0, 0.0),
    "tiles": (0.0, 0.0),
    "bleaching": (0.0, 0.0),
    "correlation": (0.0, 0.0),
    "compression": (0.0, 0.0),
    "illumination": (0.0, 0.05),
}
DEFECTS: dict[str, Values] = {
    "stripes": {"stripes": (0.08, 0.15)},
    "bleaching": {"bleaching": (0.5, 0.8)},
    "stitching": {"tiles": (0.08, 0.15)},
    "correlated noise": {"correlation": (0.7, 1.0)},
}
CONDITIONS: dict[str, Values] = {
    "clean": {},
    **DEFECTS,
    "all four": {name: value for one in DEFECTS.values() for name, value in one.items()},
}


def make_pool(out: Path) -> Path:
    """Make the training pool, once."""
    pool = out / "pool"
    if not pool.exists():
        mode = "resume" if (out / "pool.partial").exists() else "new"
        neuroglow.phantom_pool(
            pool, cubes=40, seed=51, regions=REGIONS, mode=mode, shape=(SIZE,) * 3, **CLEAN
        )
    return pool


def train(out: Path, augment: str, seed: int, steps: int) -> Path:
    """Train one network, unless it is trained; give the folder of its last model."""
    run = out / f"{augment}-{seed}"
    if not (run / "report.html").exists():
        begun = (run / "run.json").exists()
        neuroglow.train(
            make_pool(out),
            out=run,
            mode="resume" if begun else "new",
            steps=steps,
            checkpoint_every=steps,
            seed=seed,
            augment=augment,
            widths=(12, 24, 48),
            patch=32,
            precision="float32",
        )
    return run / "checkpoints/last"


def test_cubes(values: Values) -> list[PhantomCube]:
    """Make the test cubes of one condition."""
    return [
        make_cube({"region": region, "shape": (SIZE,) * 3, **CLEAN, **values}, seed=seed)
        for region in REGIONS
        for seed in TEST_SEEDS
    ]


def score(model: Path, cubes: list[PhantomCube]) -> float:
    """Give the mean average precision over cubes."""
    figures = []
    for cube in cubes:
        probability = neuroglow.predict(cube.image, model=model, dtype="float32")
        counted = cube.label != IGNORE
        truth = cube.label[counted] == NEURITE
        figures.append(metrics.average_precision(probability[counted], truth))
    return float(np.nanmean(figures))


def table(scores: dict[str, dict[str, float]]) -> str:
    """Give mean and spread over seeds in Markdown, one row for each set."""
    lines = [f"| `augment` | {' | '.join(CONDITIONS)} |", f"|---|{'---|' * len(CONDITIONS)}"]
    for name in SETS:
        runs = [row for run, row in scores.items() if run.startswith(f"{name}-")]
        cells = []
        for condition in CONDITIONS:
            values = [row[condition] for row in runs]
            cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Read the command line; make, train, score, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    out = asked.out / f"steps-{asked.steps}"
    out.mkdir(parents=True, exist_ok=True)
    cubes = {name: test_cubes(values) for name, values in CONDITIONS.items()}
    file = out / "scores.json"
    scores = json.loads(file.read_text()) if file.exists() else {}
    for seed in asked.seeds:
        for name in SETS:
            run = f"{name}-{seed}"
            if run not in scores:
                model = train(out, name, seed, asked.steps)
                scores[run] = {condition: score(model, some) for condition, some in cubes.items()}
                file.write_text(json.dumps(scores, indent=1))
            print(run, {k: round(v, 3) for k, v in scores[run].items()}, flush=True)
    print(table(scores))


if __name__ == "__main__":
    main()

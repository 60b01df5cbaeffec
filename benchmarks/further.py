"""How the peak learning rate affects a model that is trained further (train --from).

The bundled model is trained further on phantoms of a region that is hard for it, with one cycle for
each of several peaks. For each peak, one line gives the average precision on the same held-out
cubes: of the original model, the lowest during training, and the last; and the loss of the worst
stretch of ten steps, as a multiple of that of the first ten.

    python benchmarks/further.py --steps 60
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import neuroglow

PEAKS = (2e-3, 6e-4, 2e-4, 6e-5)
STRETCH = 10


def main() -> None:
    """Make the cubes, train with each peak, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--size", type=int, default=64, help="voxels along each axis of a cube")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool"
        neuroglow.phantom_pool(
            pool, cubes=6, seed=given.seed, regions=("near_noise",), shape=(given.size,) * 3
        )
        print("peak      started  lowest   last     worst loss / first", flush=True)
        for peak in PEAKS:
            print(_line(pool, Path(folder) / f"run-{peak:g}", peak, given), flush=True)


def _line(pool: Path, run: Path, peak: float, given: argparse.Namespace) -> str:
    """Train with one peak; give its line."""
    neuroglow.train(
        pool / "manifest.csv",
        out=run,
        from_model="light-microscopy",
        learning_rate=peak,
        steps=given.steps,
        checkpoint_every=max(1, given.steps // 6),
        batch=2,
        patch=32,
        val_fraction=0.34,
        seed=given.seed,
    )
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    checks = [r["validation"]["average_precision"] for r in rows if "validation" in r]
    jump = _jump([r["loss"] for r in rows if "validation" not in r])
    return f"{peak:<9g} {checks[0]:.4f}   {min(checks):.4f}   {checks[-1]:.4f}   {jump:.2f}"


def _jump(losses: Sequence[float]) -> float:
    """Give the mean loss of the worst stretch divided by that of the first."""
    width = min(STRETCH, len(losses))
    means = np.convolve(losses, np.full(width, 1 / width), mode="valid")
    return float(means.max() / means[0])


if __name__ == "__main__":
    main()

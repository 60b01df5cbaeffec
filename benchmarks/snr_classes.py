"""Recall by SNR: networks and methods without a network, on held-out phantoms.

    python benchmarks/snr_classes.py OUT [--minutes 15] [--model light-microscopy]

Two networks are trained from scratch on a phantom pool of 128^3 cubes, each for the same time on
this machine: GlowNet with the defaults of `neuroglow train`, and VoxResNet with DB-Enhance's recipe
(its patches, normalisation, augmentation, loss and schedule). The number of steps follows from the
speed of the first few. A second pool, of another seed, tests them, the bundled model, raw
intensity, noise units and a Sato filter on noise units. Everything is synthetic. Finished work is
kept.

Each method has one threshold for all cubes, the one with the highest mean F1 within 2 voxels. It is
chosen on the test cubes themselves, which favours all methods alike. Recall: the share of the
middle lines of a class within 2 voxels of a detected voxel; a class holds pieces of neurites by the
median of their blurred peak over the local noise. Precision: the share of detected voxels within 2
voxels of a neurite.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.filters import sato

import neuroglow
from neuroglow import metrics
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.phantom import IGNORE, NEURITE, REGIONS, make_cube

Score = Callable[[np.ndarray], np.ndarray]

NETWORKS = {
    "GlowNet, trained here": {},
    "VoxResNet by DB-Enhance's recipe": {
        "network": "voxresnet",
        "normalisation": "db_enhance",
        "sampling": "db_enhance",
        "augment": "db_enhance",
        "loss": "db_enhance",
        "optimiser": "sgd",
        "patch": 120,
        "batch": 3,
        "ema": 0,
    },
}
CLASSES = ((0.0, 2.0), (2.0, 3.0), (3.0, 5.0), (5.0, np.inf))
TOLERANCE = 2
SHAPE = (128, 128, 128)
TEST_SEEDS = (9001, 9002, 9003)


@dataclass(frozen=True)
class Case:
    """A test cube. points: (n, zyx) voxels of the middle lines; snr: of each point's neurite."""

    image: np.ndarray
    truth: np.ndarray
    ignore: np.ndarray
    points: np.ndarray
    snr: np.ndarray


def make_pool(out: Path) -> None:
    """Make the training pool, once."""
    if not (out / "pool/manifest.csv").exists():
        begun = (out / "pool.partial").exists()
        neuroglow.phantom_pool(
            out / "pool",
            cubes=48,
            seed=41,
            workers=2,
            mode="resume" if begun else "new",
            shape=SHAPE,
        )


def pace(out: Path, name: str) -> float:
    """Measure the seconds per step of a network, once: the median of five, without the first."""
    run = out / f"pace-{slug(name)}"
    if not (run / "report.html").exists():
        neuroglow.train(out / "pool", out=run, steps=6, val_fraction=0.0, **NETWORKS[name])
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines if "loss" in line and "seconds" in line]
    return statistics.median(seconds[1:])


def train(out: Path, name: str, minutes: float) -> Path:
    """Train a network for this time, or continue; give its model."""
    run = out / slug(name)
    if not (run / "report.html").exists():
        steps = max(1, round(60 * minutes / pace(out, name)))
        begun = (run / "run.json").exists()
        wanted = {"steps": steps, "val_fraction": 0.1, "checkpoint_every": max(1, steps // 4)}
        neuroglow.train(
            out / "pool",
            out=run,
            mode="resume" if begun else "new",
            **({} if begun else wanted | NETWORKS[name]),
        )
    return run / "checkpoints/last"


def slug(name: str) -> str:
    """Give a folder's name."""
    return name.split(maxsplit=1)[0].strip(",").lower()


def make_cases() -> Iterator[Case]:
    """Make the test cubes, and give each point of their trees the SNR of its piece."""
    for region in sorted(REGIONS):
        for seed in TEST_SEEDS:
            cube = make_cube({"region": region, "shape": SHAPE}, seed=seed)
            points, parents = np.rint(cube.tree.points).astype(int), cube.tree.parents
            child = np.flatnonzero(parents >= 0)
            links = coo_array((np.ones(len(child)), (child, parents[child])), (len(points),) * 2)
            piece = connected_components(links, directed=False)[1]
            local = metrics.spread(cube.target, 1)[tuple(points.T)]
            snr = ndimage.median(local, piece, np.arange(piece.max(initial=-1) + 1))
            yield Case(cube.image, cube.label == NEURITE, cube.label == IGNORE, points, snr[piece])


def methods(out: Path, minutes: float, models: list[str]) -> Iterator[tuple[str, Score]]:
    """Give the methods one after the other."""
    yield "raw", lambda image: image.astype(np.float32)
    yield "noise units", to_noise_units
    yield "Sato", lambda image: sato(to_noise_units(image), sigmas=(1, 2), black_ridges=False)
    for name in NETWORKS if minutes else ():
        yield name, prediction(str(train(out, name, minutes)))
    for model in models:
        yield model, prediction(model)


def prediction(model: str) -> Score:
    """Score with a model."""
    return lambda image: neuroglow.predict(image, model=model, dtype="float32")


def score(method: Score, cases: list[Case]) -> dict[str, float]:
    """Give precision and recall by class at the best threshold."""
    values = [method(case.image) for case in cases]
    sample = np.concatenate([v[::4, ::4, ::4].ravel() for v in values])
    best = max(
        np.unique(np.quantile(sample, 1 - np.geomspace(0.002, 0.3, 24))),
        key=lambda t: np.mean([_found(v, c, t).f1 for v, c in zip(values, cases, strict=True)]),
    )
    found = [_found(v, c, best) for v, c in zip(values, cases, strict=True)]
    near = np.concatenate([_near(v > best, c.points) for v, c in zip(values, cases, strict=True)])
    snr = np.concatenate([case.snr for case in cases])
    rows = {
        f"recall {low:g}-{high:g}": float(near[(snr >= low) & (snr < high)].mean())
        for low, high in CLASSES
    }
    precision = float(np.nanmean([f.precision for f in found]))
    return rows | {"precision": precision, "f1": float(np.mean([f.f1 for f in found]))}


def _found(values: np.ndarray, case: Case, threshold: float) -> metrics.Detection:
    return metrics.detection(values > threshold, case.truth, ignore=case.ignore)


def _near(lit: np.ndarray, points: np.ndarray) -> np.ndarray:
    inside = np.clip(points, 0, np.subtract(lit.shape, 1))
    return np.asarray(ndimage.distance_transform_edt(~lit)[tuple(inside.T)] <= TOLERANCE)


def main() -> None:
    """Read the command line; make, train, score; print a row for each method."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=15.0, help="0: without the two networks")
    parser.add_argument("--model", action="append", default=[])
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.minutes:
        make_pool(asked.out)
    cases = list(make_cases())
    table = {}
    for name, method in methods(asked.out, asked.minutes, asked.model or ["light-microscopy"]):
        table[name] = score(method, cases)
        if len(table) == 1:
            print(f"| method | {' | '.join(table[name])} |\n|{'---|' * (1 + len(table[name]))}")
        cells = " | ".join(f"{value:.2f}" for value in table[name].values())
        print(f"| {name} | {cells} |", flush=True)
        (asked.out / "table.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()

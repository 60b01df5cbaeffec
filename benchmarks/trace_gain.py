"""How much more length can be followed: the same tracer on four scores of the same phantoms.

    python benchmarks/trace_gain.py [--seeds 101 102 103] [--cubes 4] [--model light-microscopy]

Each seed makes synthetic cubes (96 voxels per axis) of `mid` SNR (the median peak of the neurites
is 2 to 6 standard deviations of the noise) with at least ten neurites, which no model was trained
on. Raw intensity, noise units and a Sato filter on noise units become probabilities by isotonic
regression against the truth, and are traced, cube by cube, at the threshold that gives the best F1
of tree length: both make them look better than they are. The model's probability is traced at its
own threshold, and at its best one. Tracing the voxels that are labelled as neurite shows the losses
of the tracer itself. Everything else has the tracer's defaults, which were chosen on other seeds.

recovered: share of the true length within 2 voxels of a traced tree. false: traced length farther
than that from any true one (and outside the ignored margin of the label), over the true length.
run: expected run length as a share of the greatest possible (a merged tree counts 0). The table
gives the mean over seeds, and their standard deviation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression
from skimage.filters import sato

import neuroglow
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.metrics import trees
from neuroglow.metrics.skeletons import length_scores
from neuroglow.phantom.cube import PhantomCube, make_cube
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import join_trees

THRESHOLDS = (0.08, 0.12, 0.17, 0.25, 0.35, 0.5, 0.65, 0.8, 0.9)
MID, LEAST = (2.0, 6.0), 10
TOLERANCE = 2.0
SHOWN = ("recovered", "false", "f1", "run", "trees")
Score = Callable[[np.ndarray], np.ndarray]


def mid_cube(seed: tuple[int, ...], size: int) -> PhantomCube:
    """Make the first cube of a seed (whole numbers) with mid SNR and enough neurites."""
    rng = np.random.default_rng([44, *seed])
    while True:
        regions = ("sparse", "plexus", "deep")
        given = {"shape": (size,) * 3, "region": regions[int(rng.integers(3))], "snr": (2.5, 8.0)}
        cube = make_cube({**given, "density": (0.8, 2.5)}, seed=int(rng.integers(2**40)))
        if len(cube.table) >= LEAST and MID[0] <= cube.snr < MID[1]:
            return cube


def without_network() -> dict[str, Score]:
    """Give the methods without a network."""
    return {
        "raw": lambda image: image.astype(np.float32),
        "noise units": neuroglow.to_noise_units,
        "Sato": lambda image: sato(
            neuroglow.to_noise_units(image), sigmas=(1, 2), black_ridges=False
        ),
    }


def calibrated(score: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Turn a score into the probability of a neurite by this label."""
    known = label != IGNORE
    edges = np.unique(np.quantile(score, 1 - np.geomspace(1, 1e-4, 300)))
    place = np.searchsorted(edges, score, side="right")
    counts = np.bincount(place[known], minlength=len(edges) + 1)
    lit = np.bincount(place[known], label[known] == NEURITE, len(edges) + 1)
    share = isotonic_regression(lit / np.maximum(counts, 1), weights=counts + 1e-9).x
    return share[place].astype(np.float32)


def score_trees(probability: np.ndarray, cube: PhantomCube, **settings: object) -> dict[str, float]:
    """Trace and score."""
    unit = cube.settings.voxel_size
    box = Box.of(cube.label.shape)
    found = neuroglow.trace(probability, voxel_size=unit, **settings)
    strand, truth = (
        trees.cut_to_box(trees.to_strand(tree, unit), box)
        for tree in (join_trees(list(found.trees)), cube.tree)
    )
    at = tuple(np.clip(np.rint(strand.points).astype(int), 0, np.subtract(box.stop, 1)).T)
    line = length_scores(
        truth.line, strand.line, TOLERANCE, unit=(1, 1, 1), counted=cube.label[at] != IGNORE
    )
    run = trees.tree_scores(truth, strand, box=box)["erl"] if len(strand.points) else 0.0
    return {
        "recovered": line["recall"],
        "false": line["false"] / truth.line.length,
        "f1": line["f1"],
        "run": run,
        "trees": float(len(found.trees)),
    }


def best(probability: np.ndarray, cube: PhantomCube, settings: Mapping[str, object]) -> dict:
    """Score at the threshold whose F1 is best on this truth."""
    tried = []
    for threshold in THRESHOLDS:
        try:
            scores = score_trees(probability, cube, threshold=threshold, **settings)
        except neuroglow.NeuroglowError:  # nearly everything is detected
            continue
        tried.append({"threshold": threshold, **scores})
    return max(tried, key=lambda scores: scores["f1"])


def score_cube(
    seed: tuple[int, int], size: int, model: str, settings: Mapping[str, object]
) -> dict[str, dict]:
    """Give the scores of each method on one cube."""
    cube = mid_cube(seed, size)
    about = f"{cube.settings.region}, {len(cube.table)} neurites, median SNR {cube.snr:.1f}"
    print(f"seed {seed[0]}, cube {seed[1]}: {about}", flush=True)
    rows = {}
    for name, method in without_network().items():
        rows[name] = best(calibrated(method(cube.image), cube.label), cube, settings)
    probability = neuroglow.predict(cube.image, model=model, dtype="float32")
    own = neuroglow.load_model(model).settings.threshold
    rows[f"{model}, its own threshold"] = {
        "threshold": own,
        **score_trees(probability, cube, threshold=own, **settings),
    }
    rows[f"{model}, best threshold"] = best(probability, cube, settings)
    truth = (cube.label == NEURITE).astype(np.float32)
    rows["the truth's own voxels"] = {
        "threshold": 0.5,
        **score_trees(truth, cube, threshold=0.5, **settings),
    }
    for name, row in rows.items():
        print(f"  {name:34}", *(f"{k} {v:.3f}" for k, v in row.items()), flush=True)
    return rows


def main() -> None:
    """Read the command line, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--cubes", type=int, default=4, help="cubes for each seed")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    settings = {name: float(value) for name, value in (text.split("=") for text in asked.set)}
    names = [(seed, number) for seed in asked.seeds for number in range(asked.cubes)]
    cubes = [score_cube(name, asked.size, asked.model, settings) for name in names]
    print("\n| method | " + " | ".join(SHOWN) + " |\n|---" + "|---" * len(SHOWN) + "|")
    for name in cubes[0]:
        table = np.array([[cube[name][key] for key in SHOWN] for cube in cubes])
        values = table.reshape(len(asked.seeds), asked.cubes, len(SHOWN)).mean(axis=1).T
        print(f"| {name} | " + " | ".join(f"{v.mean():.2f} ± {v.std():.2f}" for v in values) + " |")
    if asked.out:
        asked.out.write_text(json.dumps(cubes, indent=1))


if __name__ == "__main__":
    main()

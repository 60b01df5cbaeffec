"""How well one neuron becomes one tree: the tracer on phantoms, from four kinds of voxels.

    python benchmarks/trees.py [--seeds 1 2 3] [--regions sparse cells plexus] [--keep FOLDER]

Each seed makes one synthetic cube of 128 voxels per axis for each region: the first with a median
SNR of 3 to 10 and at least ten neurites.
Four kinds of voxels are traced with the tracer's defaults: the bundled model's probability; the
same, set to 0 where the label is not a neurite; the labelled voxels; and the voxels through which
the true middle lines pass (one voxel thin). The last two show the losses of the tracer itself.
A kind followed by ", raw" is traced with the raw image as well.

recovered: share of the true length within 2 voxels of a tree. false: found length farther away and
outside the ignored margin of the label, over the true length. splits, merges: see
docs/reference/scores.md. run: expected run length as a share of the greatest possible. seconds: of
the processor, for tracing. The table gives means over the cubes. --keep: cubes and predictions are
read from there, if they exist, so that several versions of the tracer are compared on the same
voxels.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import neuroglow
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.metrics import trees
from neuroglow.metrics.skeletons import length_scores
from neuroglow.phantom.cube import PhantomCube, make_cube
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import NEURON, Tree, join_trees

UNIT = (1.0, 1.0, 1.0)
SNR, LEAST, SIZE, TOLERANCE = (3.0, 10.0), 10, 128, 2.0
SHOWN = ("recovered", "false", "splits", "merges", "run", "seconds")
KINDS = ("probability", "its true voxels", "true labels", "one voxel thin")
RAW = ", raw"


def mid_cube(region: str, seed: int, size: int) -> PhantomCube:
    """Make the first cube of a seed whose median SNR is 3 to 10, with enough neurites."""
    rng = np.random.default_rng([47, seed])
    while True:
        cube = make_cube({"region": region, "shape": (size,) * 3}, seed=int(rng.integers(2**40)))
        if len(cube.table) >= LEAST and SNR[0] <= cube.snr < SNR[1]:
            return cube


def make(region: str, seed: int, size: int, model: str) -> dict[str, np.ndarray]:
    """Make a cube and predict it."""
    cube = mid_cube(region, seed, size)
    tree = cube.tree
    return {
        "image": cube.image,
        "label": cube.label,
        "probability": neuroglow.predict(cube.image, model=model),
        "points": tree.points,
        "radii": tree.radii,
        "kinds": tree.kinds,
        "parents": tree.parents,
        "neuron": tree.columns[NEURON],
    }


def kept(folder: Path | None, region: str, seed: int, size: int, model: str) -> Mapping:
    """Read a cube that was kept, or make it and keep it."""
    path = None if folder is None else folder / f"{region}_{seed}_{size}.npz"
    if path is not None and path.exists():
        return dict(np.load(path))
    made = make(region, seed, size, model)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **made)
    return made


def thin(truth: trees.Strand, shape: tuple[int, ...]) -> np.ndarray:
    """Draw the voxels through which middle lines pass."""
    drawn = np.zeros(shape, np.float32)
    at = np.rint(truth.points).astype(int)
    drawn[tuple(at[((at >= 0) & (at < shape)).all(axis=1)].T)] = 1
    return drawn


def score(found: Tree, truth: trees.Strand, label: np.ndarray) -> dict[str, float]:
    """Score found trees against true ones."""
    box = Box.of(label.shape)
    strand = trees.cut_to_box(trees.to_strand(found, UNIT), box)
    at = tuple(np.clip(np.rint(strand.points).astype(int), 0, np.subtract(box.stop, 1)).T)
    counted = label[at] != IGNORE
    line = length_scores(truth.line, strand.line, TOLERANCE, unit=UNIT, counted=counted)
    more = trees.tree_scores(truth, strand, box=box)
    return {
        "recovered": line["recall"],
        "false": line["false"] / truth.line.length,
        "run": more["erl"],
        **{name: value for name, value in more.items() if name != "erl"},
    }


def true_trees(cube: Mapping) -> Tree:
    """Return the truth of a cube."""
    columns = {NEURON: cube["neuron"]}
    return Tree(*(cube[name] for name in ("points", "radii", "kinds", "parents")), columns)


def rows_of(cube: Mapping, threshold: float, kinds: list[str], settings: Mapping) -> dict:
    """Trace the kinds of voxels of one cube, and score them."""
    label, probability = cube["label"], cube["probability"]
    strand = trees.cut_to_box(trees.to_strand(true_trees(cube), UNIT), Box.of(label.shape))
    neurite = (label == NEURITE).astype(np.float32)
    voxels = {
        "probability": (probability, threshold),
        "its true voxels": (probability * neurite, threshold),
        "true labels": (neurite, 0.5),
        "one voxel thin": (thin(strand, label.shape), 0.5),
    }
    rows = {}
    for kind in kinds:
        values, peak = voxels[kind.removesuffix(RAW)]
        raw = {"raw": cube["image"]} if kind.endswith(RAW) else {}
        start = time.process_time()
        found = neuroglow.trace(values, voxel_size=UNIT, threshold=peak, **raw, **settings)
        seconds = time.process_time() - start
        rows[kind] = score(join_trees(list(found.trees)), strand, label) | {"seconds": seconds}
    return rows


def show(cubes: Mapping[str, Mapping[str, Mapping[str, float]]], kinds: list[str]) -> None:
    """Print the table of means."""
    print("\n| traced | " + " | ".join(SHOWN) + " |\n|---" + "|---" * len(SHOWN) + "|")
    for kind in kinds:
        means = [np.nanmean([cube[kind][name] for cube in cubes.values()]) for name in SHOWN]
        numbers = " | ".join(
            f"{m:.3f}" if m < 5 and n != "seconds" else f"{m:.1f}"
            for m, n in zip(means, SHOWN, strict=True)
        )
        print(f"| {kind} | {numbers} |", flush=True)


def main() -> None:
    """Read the command line, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--regions", nargs="+", default=["sparse", "cells", "plexus"])
    parser.add_argument(
        "--kinds", nargs="+", default=list(KINDS), choices=[*KINDS, *(kind + RAW for kind in KINDS)]
    )
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    settings = {name: float(value) for name, value in (text.split("=") for text in asked.set)}
    threshold = settings.pop("threshold", None)
    if threshold is None:
        threshold = neuroglow.load_model(asked.model).settings.threshold
    cubes = {}
    for region in asked.regions:
        for seed in asked.seeds:
            cube = kept(asked.keep, region, seed, asked.size, asked.model)
            cubes[f"{region} {seed}"] = rows_of(cube, threshold, asked.kinds, settings)
            for kind, row in cubes[f"{region} {seed}"].items():
                numbers = (f"{name} {row[name]:.3f}" for name in SHOWN)
                print(f"{region} {seed} {kind:16}", *numbers, flush=True)
    show(cubes, asked.kinds)
    if asked.out:
        asked.out.write_text(json.dumps(cubes, indent=1))


if __name__ == "__main__":
    main()

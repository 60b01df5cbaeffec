"""One soma, one tree: synthetic neurons with a soma, traced from the truth and from a model.

    python benchmarks/soma_trees.py [--seeds 1 2] [--radii 4 6 9 12] [--snr 6]

Each neuron has a soma and five dendrites that bend at random, in a cube of 96 voxels per axis
(1 um): drawn as tubes, blurred, with white noise. The brightness of a dendrite's axis after the
blur is `snr` times the noise, that of the soma eight times as much; a hollow soma is as dark inside
as the tissue, but for a wall of two voxels. Traced are the true labels, a model's probability, and
the same with the raw image (`trace --raw`). trees: traced trees of at least 15 um. one tree: a
single tree with one soma. whole: the same, and a run length of at least 0.9. run: expected run
length as a share of the greatest possible (docs/reference/scores.md).
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from trees import UNIT

import neuroglow
from neuroglow.metrics import trees
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree, join_trees

SIDE, DENDRITES, THICK, BLUR, WALL, BRIGHTER = 96, 5, 1.2, 1.0, 2.0, 8.0
"""Voxels per axis; number of dendrites, their radius, standard deviation of the blur, wall of a
hollow soma (voxels); brightness of a soma over that of a dendrite."""


def dendrite(rng: np.random.Generator, start: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Return points half a voxel apart, from a place to a face of the cube."""
    points = [start]
    while ((points[-1] >= 0) & (points[-1] <= SIDE - 1)).all():
        way = way + rng.normal(0, 0.04, 3)
        way /= np.linalg.norm(way)
        points.append(points[-1] + way / 2)
    return np.array(points[:-1])


def neuron(rng: np.random.Generator) -> Tree:
    """Make the true tree; its soma is the first node."""
    middle = SIDE / 2 + rng.uniform(-3, 3, 3)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    ways = np.array([(1, 0, 0), (-1, 0.3, 0.2), (0, 1, 0.3), (0.2, -1, 0.4), (0, 0.1, -1)]) @ turn
    lines = [dendrite(rng, middle, way / np.linalg.norm(way)) for way in ways[:DENDRITES]]
    parents, count = [-1], 1
    for line in lines:
        parents += [0, *range(count, count + len(line) - 2)]
        count += len(line) - 1
    points = np.concatenate([middle[None], *(line[1:] for line in lines)])
    size = len(points)
    return Tree(points, np.full(size, THICK), np.zeros(size, np.int64), np.array(parents))


def image_of(
    tree: Tree, radius: float, snr: float, rng: np.random.Generator, *, hollow: bool
) -> np.ndarray:
    """Draw a neuron with its soma: blurred, with noise."""
    places = np.argwhere(np.ones((SIDE,) * 3, bool))
    near = cKDTree(tree.points).query(places)[0].reshape((SIDE,) * 3)
    light = gaussian_filter((near <= THICK).astype(np.float32), BLUR)
    axis = np.median(light[tuple(np.rint(tree.points[20::20]).astype(int).T)])
    away = np.linalg.norm(places - tree.points[0], axis=1).reshape((SIDE,) * 3)
    body = (away <= radius) & ((away > radius - WALL) | (not hollow))
    inside = gaussian_filter((away <= radius).astype(np.float32), BLUR) > 0.5
    soma = BRIGHTER * gaussian_filter(body.astype(np.float32), BLUR)
    bright = np.where(inside, soma, np.maximum(light / axis, soma))
    noise = rng.normal(0, 1, bright.shape)
    return np.asarray(np.clip(200 + 20 * (snr * bright + noise), 0, 65535), np.uint16)


def label_of(tree: Tree, radius: float, *, hollow: bool) -> np.ndarray:
    """Draw the true voxels."""
    places = np.argwhere(np.ones((SIDE,) * 3, bool))
    away = np.linalg.norm(places - tree.points[0], axis=1)
    body = (away > radius - WALL) | (not hollow)
    near = cKDTree(tree.points).query(places)[0] <= THICK
    return np.where(away <= radius, body, near).reshape((SIDE,) * 3).astype(np.float32)


def rows_of(
    seed: int, radius: float, snr: float, model: str, *, hollow: bool
) -> dict[str, dict[str, float]]:
    """Make, predict, trace and score one neuron, from each kind of voxels."""
    rng = np.random.default_rng([19, seed, int(radius), hollow])
    tree = neuron(rng)
    image = image_of(tree, radius, snr, rng, hollow=hollow)
    probability = neuroglow.predict(image, model=model, dtype="float32")
    label = label_of(tree, radius, hollow=hollow)
    return {
        "true labels": scored(tree, neuroglow.trace(label, voxel_size=UNIT, threshold=0.5)),
        "probability": scored(tree, neuroglow.trace(probability, voxel_size=UNIT)),
        "with --raw": scored(tree, neuroglow.trace(probability, voxel_size=UNIT, raw=image)),
    }


def scored(tree: Tree, found: neuroglow.TraceReport) -> dict[str, float]:
    """Score the trees of one neuron."""
    if not found.trees:
        return {"trees": 0, "somata": 0, "run": 0.0, "one tree": 0, "whole": 0}
    box = Box.of((SIDE,) * 3)
    truth, strand = (
        trees.cut_to_box(trees.to_strand(one, UNIT), box)
        for one in (tree, join_trees(list(found.trees)))
    )
    run = trees.tree_scores(truth, strand, box=box)["erl"]
    one = found.summary["trees"] == 1 and found.summary["somata"] == 1
    counts = {name: found.summary[name] for name in ("trees", "somata")}
    return {**counts, "run": run, "one tree": int(one), "whole": int(one and run >= 0.9)}


def main() -> None:
    """Read the command line, print one row for each radius."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--radii", type=float, nargs="+", default=[4, 6, 9, 12])
    parser.add_argument("--snr", type=float, default=6.0)
    parser.add_argument("--model", default="light-microscopy")
    asked = parser.parse_args()
    names = ("trees", "somata", "run", "one tree", "whole")
    print("| soma | radius | traced | " + " | ".join(names) + " |\n|---" + "|---" * 7 + "|")
    for hollow in (False, True):
        for radius in asked.radii:
            rows = [rows_of(s, radius, asked.snr, asked.model, hollow=hollow) for s in asked.seeds]
            for kind in rows[0]:
                means = " | ".join(f"{np.mean([r[kind][n] for r in rows]):.2f}" for n in names)
                soma = "hollow" if hollow else "solid"
                print(f"| {soma} | {radius:g} | {kind} | {means} |", flush=True)


if __name__ == "__main__":
    main()

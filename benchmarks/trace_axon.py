"""A millimetre of a real axon, rendered dim in a noisy volume: is it traced whole, in any blocks?

    python benchmarks/trace_axon.py [--shared ../shared] [--seeds 1 2 3] [--snr 3]

Each seed takes the last millimetre before another tip of the axon of `18455_00011.swc` (traced in
a fMOST brain, steps of 1 um), without its branches, and draws another microscope of the region
`sparse`. The axon, whose calibre and unevenness are drawn too, is the only bright structure in a
tissue of texture, grain and noise; its median SNR (blurred peak over the standard deviation of the
noise) is given. The model predicts it at its own threshold; `trace`, with its defaults and the raw
image, traces it in blocks of 64 voxels and as a whole.

SNR: median, and tenth percentile. blocks: of 64 voxels that the axon crosses. recovered: share of
its length within 2 voxels of a tree. longest: share that one tree follows without a gap, in the
longest such piece. trees: the number that follow it. false: micrometres of all trees farther
than 2 voxels from it (and outside the ignored margin of the label). same: whether blocks and whole
gave the same trees, node for node.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

import neuroglow
from neuroglow.imaging.neurites import Neurite, beads, log_uniform
from neuroglow.labels.labels import IGNORE
from neuroglow.metrics import trees
from neuroglow.metrics.skeletons import length_scores
from neuroglow.phantom.marks import NEURITE_MARK, lines
from neuroglow.phantom.microscope import Microscope
from neuroglow.phantom.morphology import to_tree
from neuroglow.phantom.neurons import resample_path
from neuroglow.phantom.region import RegionSettings
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree, join_trees, read_swc

AXON, REACH_UM, BLOCK, MARGIN = 2, 1000.0, 64, 16
TOLERANCE, STEP, LARGEST = 2.0, 0.5, 24e6
UNIT = (1.0, 1.0, 1.0)
WIGGLE = 1.5
"""Micrometres by which the tracing is smoothed: a hand wiggles below what its width lets see."""


@dataclass(frozen=True)
class Scene:
    """A rendered axon: image and label (zyx), its middle line as a tree, its SNR along it."""

    image: np.ndarray
    label: np.ndarray
    truth: Tree
    snr: np.ndarray


def axon_path(tree: Tree, rng: np.random.Generator) -> np.ndarray:
    """Give the last millimetre (k, 3; um) before an axon's tip that crosses eight blocks."""
    tips = np.setdiff1d(np.flatnonzero(tree.kinds == AXON), tree.parents)
    for tip in rng.permutation(tips):
        run, way = [int(tip)], 0.0
        while way < REACH_UM and tree.kinds[run[-1]] == AXON and tree.parents[run[-1]] >= 0:
            run.append(int(tree.parents[run[-1]]))
            way += float(np.linalg.norm(tree.points[run[-1]] - tree.points[run[-2]]))
        points = gaussian_filter1d(tree.points[run], WIGGLE, axis=0, mode="nearest")
        points = points - points.min(axis=0) + MARGIN
        voxels = np.prod(np.ptp(points, axis=0) + 2 * MARGIN)
        crossed = len(np.unique(points.astype(int) // BLOCK, axis=0))
        if way >= REACH_UM and crossed >= 8 and voxels <= LARGEST:
            return points
    raise SystemExit("no axon of a millimetre that crosses eight blocks")


def render(points: np.ndarray, seed: int, snr: float) -> Scene:
    """Render an axon alone, of this median SNR."""
    z, y, x = (int(n) for n in np.ceil(points.max(axis=0)) + MARGIN)
    nothing = dict.fromkeys(("puncta", "somata", "vessels", "tracts", "edge"), 0)
    settings = RegionSettings.of({"shape": (z, y, x), "voxel_size": UNIT, **nothing})
    scope = Microscope.draw(settings, seed)
    rng = np.random.default_rng([45, seed])
    path = resample_path(points, STEP)
    radius = log_uniform(rng, settings.radius)
    shine = beads(rng, len(path), share=1.0)
    at = tuple(np.rint(path).astype(int).T)

    def look(peak: float) -> tuple[object, np.ndarray]:
        neurite = Neurite(path, radius, peak * shine)
        seen = scope.look(lines(neurite, NEURITE_MARK), Box.of(settings.shape))
        return seen, neurite.snr * scope.dimming(path[:, 0], radius) * seen.visibility[at]

    _, first = look(snr)
    seen, along = look(snr * snr / float(np.median(first)))
    return Scene(seen.image, seen.label, to_tree([Neurite(path, radius, shine)]), along)


def score(scene: Scene, model: str) -> dict[str, float | str]:
    """Predict, trace in blocks and whole, score."""
    probability = neuroglow.predict(scene.image, model=model, dtype="float32")
    threshold = neuroglow.load_model(model).settings.threshold
    settings = {"threshold": threshold, "voxel_size": UNIT, "raw": scene.image}
    blocked = neuroglow.trace(probability, block=BLOCK, **settings).trees
    whole = neuroglow.trace(probability, block=512, **settings).trees
    same = len(blocked) == len(whole) and all(
        np.array_equal(a.points, b.points) and np.array_equal(a.parents, b.parents)
        for a, b in zip(blocked, whole, strict=True)
    )
    found, truth = (trees.to_strand(t, UNIT) for t in (join_trees(list(blocked)), scene.truth))
    at = np.rint(found.points).astype(int)
    at = tuple(np.clip(at, 0, np.subtract(scene.label.shape, 1)).T)
    counted = scene.label[at] != IGNORE
    line = length_scores(truth.line, found.line, TOLERANCE, unit=UNIT, counted=counted)
    follows = trees.fragments(truth, found, TOLERANCE, UNIT)
    return {
        "recovered": line["recall"],
        "longest": longest_run(follows, truth.steps),
        "trees": float(len(np.unique(follows[follows >= 0]))),
        "false": line["false"],
        "same": "yes" if same else "NO",
    }


def longest_run(follows: np.ndarray, steps: np.ndarray) -> float:
    """Give the share of a path (nodes in order) in the longest piece that one tree follows."""
    breaks = np.flatnonzero(np.diff(follows)) + 1
    pieces = np.split(np.arange(len(follows)), breaks)
    return float(max(steps[p[1:]].sum() for p in pieces if follows[p[0]] >= 0) / steps.sum())


def main() -> None:
    """Read the command line, print the table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--snr", type=float, nargs="+", default=[3.0])
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    neuron = read_swc(asked.shared / "data/morphologies/18455_00011.swc")
    rows = []
    print("| seed | SNR | voxels | blocks | recovered | longest | trees | false, um | same |")
    print("|---|---|---|---|---|---|---|---|---|")
    for snr in asked.snr:
        for seed in asked.seeds:
            points = axon_path(neuron, np.random.default_rng([46, seed]))
            scene = render(points, seed, snr)
            row = {
                "seed": seed,
                "snr": [round(float(np.quantile(scene.snr, q)), 2) for q in (0.5, 0.1)],
                "shape": list(scene.image.shape),
                "blocks": len(np.unique(points.astype(int) // BLOCK, axis=0)),
                **score(scene, asked.model),
            }
            rows.append(row)
            print(
                f"| {seed} | {row['snr'][0]:.1f} ({row['snr'][1]:.1f}) "
                f"| {' x '.join(map(str, row['shape']))} | {row['blocks']} "
                f"| {row['recovered']:.2f} | {row['longest']:.2f} | {row['trees']:.0f} "
                f"| {row['false']:.0f} | {row['same']} |",
                flush=True,
            )
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

"""How much of the run length the middle lines still allow, before any tree is decided on.

    python benchmarks/tree_losses.py [--seeds 1 2 3] [--regions sparse cells plexus] [--keep FOLDER]

On the cubes of benchmarks/trees.py, middle lines are drawn as `trace` draws them, up to the pruning
of spurs. Each point of them belongs to the nearest true neurite. The truth is followed where a
line of its own lies within TOLERANCE, and also where only another neurite's line does, if such a
stretch is not longer than the limit: as if each neurite had a line of its own there. Then every
decision is right, so that the run length is the most that any decisions can reach.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from trees import SIZE, TOLERANCE, UNIT, kept, true_trees

from neuroglow.labels.labels import NEURITE
from neuroglow.metrics import trees
from neuroglow.skeleton.graph import Graph, graph_of
from neuroglow.skeleton.middles import find_middles
from neuroglow.skeleton.somata import gather_somata
from neuroglow.skeleton.spurs import prune_spurs
from neuroglow.skeleton.tracer import Rules
from neuroglow.space.geometry import Box

LIMITS = (0, 3, 6, 10, 20, 50, 999)
"""Longest shared stretches, in nodes of the truth (about a voxel each)."""


def lines_of(values: np.ndarray, rules: Rules) -> Graph:
    """Draw middle lines, with somata as nodes and without spurs."""
    middles = find_middles(
        lambda box: values[box.slices], values.shape, UNIT, detected_from=rules.low, block=SIZE
    )
    graph = gather_somata(graph_of(middles, values.shape, UNIT, peak=rules.peak), rules.soma)
    return prune_spurs(graph, length_um=rules.spur, probability=rules.peak)


def most(graph: Graph, truth: trees.Strand) -> dict[str, float]:
    """Return the share of the truth near a line, near its own, and the run lengths."""
    ends = graph.places[graph.edges]
    points = np.concatenate([graph.places, ends.mean(axis=1)])
    _, nearest = cKDTree(truth.points).query(points)
    covered = cKDTree(points).query(truth.points)[0] <= TOLERANCE
    own = np.zeros(len(truth.points), bool)
    for name in np.unique(truth.trees[nearest]):
        mine = np.flatnonzero(truth.trees == name)
        away, _ = cKDTree(points[truth.trees[nearest] == name]).query(truth.points[mine])
        own[mine] = away <= TOLERANCE
    rows = {"near a line": float(covered.mean()), "near its own": float(own.mean())}
    stretch = stretches(truth, covered & ~own)
    for limit in LIMITS:
        rows[f"<= {limit}"] = run(truth, own | (covered & ~own & (stretch <= limit)))
    return rows


def stretches(truth: trees.Strand, shared: np.ndarray) -> np.ndarray:
    """Return, for each node of the truth, the number of nodes of its shared stretch."""
    ends, starts = truth.edges
    alone = shared[ends] & shared[starts]
    apart = np.where(alone, starts, -1)
    parents = np.full(len(truth.points), -1)
    parents[ends] = apart
    part = trees.Strand(truth.points, parents, truth.steps, truth.trees).pieces
    return np.bincount(part)[part]


def run(truth: trees.Strand, followed: np.ndarray) -> float:
    """Return the expected run length as a share of the greatest possible."""
    ends, starts = truth.edges
    whole = followed[ends] & followed[starts]
    parents = np.full(len(truth.points), -1)
    parents[ends[whole]] = starts[whole]
    runs = trees.Strand(truth.points, parents, truth.steps, truth.trees).pieces
    lengths = np.bincount(runs[ends[whole]], truth.steps[ends[whole]])
    possible = np.bincount(truth.pieces, truth.steps)
    return float(np.square(lengths).sum() / np.square(possible).sum())


def rows_of(cube: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Measure one cube: the model's probability, and the labelled voxels."""
    box = Box.of(cube["label"].shape)
    truth = trees.cut_to_box(trees.to_strand(true_trees(cube), UNIT), box)
    kinds = {
        "the model's probability": cube["probability"],
        "true labels": (cube["label"] == NEURITE).astype(np.float32),
    }
    rules = Rules.usual(0.5, UNIT)
    return {kind: most(lines_of(values, rules), truth) for kind, values in kinds.items()}


def main() -> None:
    """Read the command line, print the table of means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--regions", nargs="+", default=["sparse", "cells", "plexus"])
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    cubes = [
        rows_of(kept(asked.keep, region, seed, SIZE, asked.model))
        for region in asked.regions
        for seed in asked.seeds
    ]
    names = list(cubes[0]["true labels"])
    print("\n| lines of | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for kind in cubes[0]:
        means = (np.mean([cube[kind][name] for cube in cubes]) for name in names)
        print(f"| {kind} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")


if __name__ == "__main__":
    main()

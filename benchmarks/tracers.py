"""How well one neuron becomes one tree: neuroglow's tracer and others, on the same voxels.

    OMP_NUM_THREADS=1 python benchmarks/tracers.py [--seeds 1 2 3] [--keep FOLDER] [--others FOLDER]

The cubes (synthetic), the scores and the table are those of trees.py; `seconds` is a median here.
Three kinds of voxels are traced: the bundled model's probability; the labelled voxels; and, for
kimimaro alone, which is made for such labels, each labelled voxel with the number of the nearest
true neuron, so that the truth decides what is one tree. Each tracer has the settings that it comes
with, and gets the voxels from the same threshold, 0.5:

- neuroglow: `trace`, which also looks at the values of the probability.
- kimimaro: its defaults are in nanometres, for electron microscopy. "nm": a voxel has a side of
  1000 nm, which is true of the cubes. "scaled": 100 instead, and pieces from 20 voxels instead of
  1000, so that a neurite has about the diameter in nanometres that the defaults were made for.
- skan: the graph of the skeleton that scikit-image thins; its loops are cut (the shortest spanning
  trees), since skan leaves them. "pruned": without end branches of up to 5 voxels.
  "cut": the same, cut at all branch points, as a tracer that never joins two pieces there.

kimimaro and skan are used if they can be imported (`pip install kimimaro skan`, into an environment
of their own: kimimaro is GPL and no dependency). Other tracers: --write FOLDER writes each volume
as `plexus_1_probability.tif` (uint8, 255 is 1); --others FOLDER scores the SWC files (voxels) of
the same names in FOLDER/NAME for each NAME.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize
from trees import SHOWN, SIZE, UNIT, kept, score, true_trees

import neuroglow
from neuroglow.labels.labels import NEURITE
from neuroglow.metrics.trees import Strand, cut_to_box, to_strand
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree, join_trees, read_swc

THRESHOLD = 0.5
SPUR = 5.0
KINDS = ("probability", "true labels", "true neurons")


def neurons(neurite: np.ndarray, truth: Strand) -> np.ndarray:
    """Number the voxels of neurites by the nearest true neuron."""
    numbers = np.zeros(neurite.shape, np.uint32)
    numbers[neurite] = 1 + truth.trees[cKDTree(truth.points).query(np.argwhere(neurite))[1]]
    return numbers


def forest(points: np.ndarray, edges: np.ndarray) -> Tree:
    """Make trees of a graph: the shortest spanning trees, each from any of its nodes."""
    count = len(points)
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    graph = minimum_spanning_tree(coo_array((lengths, edges.T), (count, count))).tocoo()
    roots = np.unique(connected_components(graph, directed=False)[1], return_index=True)[1]
    starts = np.append(graph.coords[0], np.full(len(roots), count))
    ends = np.append(graph.coords[1], roots)
    rooted = coo_array((np.ones(len(starts)), (starts, ends)), (count + 1, count + 1))
    order, before = breadth_first_order(rooted.tocsr(), count, directed=False)
    order = order[1:]
    place = np.full(count + 1, -1)
    place[order] = np.arange(count)
    none = np.zeros(count)
    return Tree(points[order], none, none.astype(np.int64), place[before[order]])


def own(values: np.ndarray) -> Tree:
    """Trace with neuroglow."""
    found = neuroglow.trace(values, voxel_size=UNIT, threshold=THRESHOLD)
    return join_trees(list(found.trees))


def kimimaro(values: np.ndarray, side: float, **settings: int) -> Tree:
    """Trace with kimimaro, whose voxels have a side of so many nanometres."""
    labels = (values >= THRESHOLD).astype(np.uint8) if values.dtype.kind == "f" else values
    made = importlib.import_module("kimimaro").skeletonize(
        labels, anisotropy=(side,) * 3, progress=False, **settings
    )
    return join_trees(
        [forest(each.vertices / side, each.edges.astype(int)) for each in made.values()]
    )


def skan(values: np.ndarray, spur: float, *, cut: bool = False) -> Tree:
    """Trace with skan, without end branches of up to so many voxels, or cut at branch points."""
    package = importlib.import_module("skan")
    graph = package.Skeleton(skeletonize(values >= THRESHOLD))
    if spur:
        table = package.summarize(graph, separator="_")
        short = table.index[(table.branch_type == 1) & (table.branch_distance <= spur)]
        graph = graph.prune_paths(list(short))
    edges = np.stack(graph.graph.tocoo().coords, axis=1)
    if cut:
        edges = edges[(np.asarray(graph.degrees)[edges] <= 2).all(axis=1)]
    return forest(np.asarray(graph.coordinates, float), edges[edges[:, 0] < edges[:, 1]])


TRACERS: dict[str, Callable[[np.ndarray], Tree]] = {
    "neuroglow": own,
    "kimimaro, nm": partial(kimimaro, side=1000.0),
    "kimimaro, scaled": partial(kimimaro, side=100.0, dust_threshold=20),
    "skan": partial(skan, spur=0.0),
    "skan, pruned": partial(skan, spur=SPUR),
    "skan, cut": partial(skan, spur=SPUR, cut=True),
}


def installed() -> list[str]:
    """Say which packages are used, and return their tracers."""
    there = []
    for name in TRACERS:
        package = name.split(",")[0]
        if importlib.util.find_spec(package) is None:
            print(f"{name}: left out, {package} is not installed")
        else:
            print(f"{name}: {package} {importlib.metadata.version(package)}")
            there.append(name)
    return there


def traced(values: np.ndarray, name: str, tracers: list[str], others: Path | None) -> Iterator:
    """Yield each tracer, its trees of a volume, and its seconds (none for SWC files)."""
    for tracer in tracers:
        if values.dtype.kind != "f" and not tracer.startswith("kimimaro"):
            continue
        start = time.process_time()
        found = TRACERS[tracer](values)
        yield tracer, found, time.process_time() - start
    for path in sorted(others.glob(f"*/{name}.swc")) if others else ():
        yield path.parent.name, read_swc(path), np.nan


def show(rows: dict[str, dict[str, dict[str, float]]], kind: str) -> None:
    """Print the table of one kind of voxels: means, and the median of the seconds."""
    print(f"\n| {kind} | " + " | ".join(SHOWN) + " |\n|---" + "|---" * len(SHOWN) + "|")
    for tracer in dict.fromkeys(name for found in rows.values() for name in found):
        cubes = [found[tracer] for found in rows.values() if tracer in found]
        means = {name: np.mean([cube[name] for cube in cubes]) for name in SHOWN[:-1]}
        cells = [f"{m:.1f}" if n in {"splits", "merges"} else f"{m:.3f}" for n, m in means.items()]
        cells.append(f"{np.median([cube['seconds'] for cube in cubes]):.2f}")
        print(f"| {tracer} | {' | '.join(cells)} |")


def main() -> None:
    """Read the command line, print the tables, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--regions", nargs="+", default=["sparse", "cells", "plexus"])
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    tracers = installed()
    rows: dict[str, dict] = {kind: {} for kind in KINDS}
    for region in asked.regions:
        for seed in asked.seeds:
            cube = kept(asked.keep, region, seed, asked.size, asked.model)
            label = cube["label"]
            truth = cut_to_box(to_strand(true_trees(cube), UNIT), Box.of(label.shape))
            neurite = label == NEURITE
            volumes = (cube["probability"], neurite.astype(np.float32), neurons(neurite, truth))
            for kind, values in zip(KINDS, volumes, strict=True):
                name = f"{region}_{seed}_{kind.replace(' ', '_')}"
                if asked.write and values.dtype.kind == "f":
                    asked.write.mkdir(parents=True, exist_ok=True)
                    grey = np.rint(values * 255).astype(np.uint8)
                    tifffile.imwrite(asked.write / f"{name}.tif", grey)
                found = rows[kind][f"{region} {seed}"] = {}
                for tracer, tree, seconds in traced(values, name, tracers, asked.others):
                    found[tracer] = score(tree, truth, label) | {"seconds": seconds}
                    numbers = (f"{shown} {found[tracer][shown]:.3f}" for shown in SHOWN)
                    print(f"{name:24} {tracer:16}", *numbers, flush=True)
    for kind in KINDS:
        show(rows[kind], kind)
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

"""Fit the tracer's odds that arms which meet are one neurite (skeleton/bonds.json).

    python benchmarks/tree_odds.py [--seeds 21 ... 30] [--judged 31 32 33] [--regions ...]
        [--keep FOLDER] [--workers 2]

On cubes as in benchmarks/trees.py, of other seeds, lines are drawn from the bundled model's
probability and from the true labels, each without and with the light of the raw image. Each arm
belongs to the true tree that most of its nodes are nearest to. Boosted decision trees learn which
pairs of arms belong to one tree: first at crossings, then, with these in use, where the partition
decides (ties). Printed, on the judged seeds: how many pairs, the share that are one neurite, the
mean log loss, and the share that is right. Needs scikit-learn, which the tracer does not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from scipy.spatial import cKDTree
from sklearn.ensemble import HistGradientBoostingClassifier
from tree_losses import lines_of
from trees import SIZE, UNIT, kept, true_trees

import neuroglow.skeleton.bonds as bonds_module
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.labels.labels import NEURITE
from neuroglow.metrics import trees
from neuroglow.skeleton import crossings, partition, tracer
from neuroglow.skeleton.arms import Arm
from neuroglow.skeleton.bonds import Boosted, Where, bond_traits
from neuroglow.skeleton.bridges import Bricks, bridge_gaps
from neuroglow.skeleton.graph import Graph, pieces_of
from neuroglow.skeleton.light import with_light
from neuroglow.space.geometry import Box
from neuroglow.trace.searches import Glow

NEAR, NODES = 3.0, slice(3, 25)
"""Voxels within which a node belongs to a true tree, and the nodes of an arm that count."""

MOST = 12
"""Largest number of arms of a meeting that is fitted."""

SHAPE = (SIZE,) * 3
RULES = tracer.Rules.usual(0.5, UNIT)
FIT = {"max_depth": 3, "learning_rate": 0.1, "l2_regularization": 3.0, "min_samples_leaf": 40}
DIGITS = 4

T = TypeVar("T")
Two = tuple[T, T]
Samples = tuple[np.ndarray, np.ndarray, np.ndarray]
"""The traits of pairs, whether they are one neurite, and their weights."""


class Truth:
    """The true tree of each arm."""

    def __init__(self, cube: Mapping[str, np.ndarray]) -> None:
        strand = trees.to_strand(true_trees(cube), UNIT)
        self.strand = trees.cut_to_box(strand, Box.of(cube["label"].shape))
        self.near = cKDTree(self.strand.points)

    def of(self, graph: Graph, arm: Arm) -> int:
        """Return the number of a true tree, or -1 for an arm that is none."""
        chosen = arm.nodes[NODES] if len(arm.nodes) > NODES.start else arm.nodes[-1:]
        away, at = self.near.query(graph.places[chosen])
        owners = self.strand.trees[at[away < NEAR]]
        return Counter(owners.tolist()).most_common(1)[0][0] if len(owners) else -1


class Lines:
    """Lines of a cube, with their light, and what they were drawn from."""

    def __init__(self, cube: Mapping[str, np.ndarray], values: np.ndarray) -> None:
        glow = Glow(NoiseUnits(open_volume(cube["image"])), None)
        self.truth, self.values = Truth(cube), values
        self.graph = with_light(lines_of(values, RULES).in_order(), glow, SHAPE)

    def crossings(self) -> Iterator[Two[Samples]]:
        """Describe the crossings."""
        for one in crossings.find_crossings(self.graph, SHAPE):
            yield from self._described(self.graph, one)

    def ties(self) -> Iterator[Two[Samples]]:
        """Describe where the partition decides, after all that the tracer does before it.

        Light is not used for crossings.
        """

        def read(box: Box) -> np.ndarray:
            return self.values[box.slices]

        dark = replace(self.graph, lights=np.full(len(self.graph.places), np.nan))
        parted, _ = crossings.part_crossings(dark, SHAPE, angle=RULES.crossing)
        forest = tracer.cleaned(parted.as_forest(), RULES, read, SHAPE)
        joined = bridge_gaps(forest, Bricks(read, SHAPE).read, SHAPE, RULES.gap)
        graph = self._bright_again(tracer.tidied(joined, RULES))
        whole = pieces_of(graph)
        parts = [partition.parts_of(graph, piece) for piece in whole]
        everywhere = np.ones(len(graph.places), bool)
        for one in partition.junctions_of(graph, SHAPE, everywhere, whole, parts):
            yield from self._described(graph, one)

    def _bright_again(self, graph: Graph) -> Graph:
        """Give the nodes of another graph the light of the nearest node."""
        _, nearest = cKDTree(self.graph.places).query(graph.places)
        return replace(graph, lights=self.graph.lights[nearest])

    def _described(
        self, graph: Graph, one: crossings.Crossing | partition.Junction
    ) -> Iterator[Two[Samples]]:
        """Describe the pairs of arms of a meeting, without and with light."""
        if not 1 < len(one.arms) <= MOST:
            return
        owners = [self.truth.of(graph, arm) for arm in one.arms]
        pairs = list(itertools.combinations(owners, 2))
        known = np.array([min(pair) >= 0 for pair in pairs])
        if known.any():
            same = np.array([a == b for a, b in pairs])[known]
            weights = np.full(len(same), 2 / len(one.arms))
            dark = [replace(arm, light=math.nan) for arm in one.arms]
            traits = [bond_traits(arms, one.densities)[known] for arms in (dark, one.arms)]
            yield (traits[0], same, weights), (traits[1], same, weights)


def described(
    which: tuple[str, int], where: Where, keep: Path | None, model: str
) -> Two[Sequence[Samples]]:
    """Describe the crossings or the ties of a cube, without and with light."""
    cube = kept(keep, *which, SIZE, model)
    found: tuple[list[Samples], list[Samples]] = [], []
    for values in (cube["probability"], (cube["label"] == NEURITE).astype(np.float32)):
        lines = Lines(cube, values)
        for both in lines.crossings() if where == "crossing" else lines.ties():
            for some, one in zip(found, both, strict=True):
                some.append(one)
    return found


def stacked(parts: Iterable[Samples]) -> Samples:
    """Stack samples."""
    traits, same, weights = (np.concatenate(some) for some in zip(*parts, strict=True))
    return traits, same, weights


def fitted(samples: Samples, count: int) -> Boosted:
    """Fit decision trees, each made complete: a leaf too early is repeated."""
    traits, same, weights = samples
    model = HistGradientBoostingClassifier(max_iter=count, early_stopping=False, **FIT)
    model.fit(traits, same, sample_weight=weights)
    rows = [complete(one[0].nodes) for one in model._predictors]
    which, limits, values = (np.array(some) for some in zip(*rows, strict=True))
    return Boosted(which, limits, values, float(model._baseline_prediction.item()))


def complete(nodes: np.ndarray) -> tuple[list[int], list[float], list[float]]:
    """Return the traits and limits of the seven nodes of a tree, and the values of its leaves."""
    level, which, limits = [0], [], []
    for _ in range(3):
        below = []
        for at in level:
            leaf = bool(nodes[at]["is_leaf"])
            which.append(0 if leaf else int(nodes[at]["feature_idx"]))
            limits.append(0.0 if leaf else rounded(nodes[at]["num_threshold"]))
            below += [at, at] if leaf else [int(nodes[at]["left"]), int(nodes[at]["right"])]
        level = below
    return which, limits, [rounded(nodes[at]["value"]) for at in level]


def rounded(value: float) -> float:
    """Round to some significant digits."""
    return float(f"{value:.{DIGITS}g}")


def judged(table: Boosted, samples: Samples) -> str:
    """Say how good a table is."""
    traits, same, weights = samples
    odds = table.odds(traits)
    loss = np.average(np.logaddexp(0, np.where(same, -odds, odds)), weights=weights)
    right = np.average((odds > 0) == same, weights=weights)
    return f"{len(same)} pairs, {same.mean():.3f} one; loss {loss:.4f}, right {right:.3f}"


def written(tables: Mapping[str, Boosted], path: Path) -> None:
    """Write tables as JSON, a tree a line."""
    parts = []
    for name, table in tables.items():
        rows = [
            json.dumps([*t.tolist(), *limits.tolist(), *values.tolist()], separators=(",", ":"))
            for t, limits, values in zip(table.traits, table.limits, table.values, strict=True)
        ]
        start = rounded(table.start)
        parts.append(f'"{name}": {{"start": {start}, "trees": [\n' + ",\n".join(rows) + "\n]}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


def main() -> None:
    """Read the command line, fit, print, write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(21, 31)))
    parser.add_argument("--judged", type=int, nargs="+", default=[31, 32, 33])
    parser.add_argument("--regions", nargs="+", default=["sparse", "cells", "plexus"])
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    path = Path(bonds_module.__file__).with_name("bonds.json")
    tables: dict[str, Boosted] = {}
    places: Sequence[Where] = ("crossing", "tie")
    for where in places:
        given = {"where": where, "keep": asked.keep, "model": asked.model}
        cubes = [(region, seed) for seed in asked.seeds + asked.judged for region in asked.regions]
        with ProcessPoolExecutor(asked.workers) as pool:
            found = dict(zip(cubes, pool.map(partial(described, **given), cubes), strict=True))
        for bright, name in enumerate((where, f"{where}, bright")):
            fit, test = (
                stacked(one for cube in cubes if cube[1] in seeds for one in found[cube][bright])
                for seeds in (asked.seeds, asked.judged)
            )
            tables[name] = fitted(fit, asked.trees)
            print(f"{name}: fitted to {len(fit[1])}; {judged(tables[name], test)}", flush=True)
        written(tables, path)


if __name__ == "__main__":
    main()

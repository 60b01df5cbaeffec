"""Doubtful places of a trace, in the order in which a person should look at them.

bridge    a gap that was bridged; the least probable first
crossing  a branch point or crossing at which the tracer was not sure (decisions.csv)
faint     a stretch of low probability
end       an end in the middle of the tissue; those of the longest pieces first
mark      a place that a person marked; of no tracer (skeleton/proofreading.py)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.files.csv_tables import read_csv, real_number
from neuroglow.skeleton.editing import Forest, edges_of, roots_of
from neuroglow.skeleton.trees import SOMA

__all__ = ["Doubt", "Kind", "Uncertain", "find_doubts", "read_uncertain"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Kind = Literal["bridge", "crossing", "faint", "end", "mark"]

FAINT = 0.5
"""Probability below which a stretch is doubtful."""

NEAR_FACE = 2.0
"""Nodes' radii, and at least this many units, from a face of the volume: an end there is one of
the volume, not of the neurite."""


@dataclass(frozen=True)
class Doubt:
    """One place: its name, kind, point (zyx), node, and how sure the tracer was (0..1, or NaN).

    bridge: its number, 0 for other kinds. said: what the tracer did there. node: -1 for a mark.
    """

    name: str
    kind: Kind
    place: Floats
    node: int
    probability: float
    bridge: int = 0
    said: str = ""


@dataclass(frozen=True)
class Uncertain:
    """A row of decisions.csv: a place (zyx), its probability of being one neuron, the decision."""

    place: Floats
    probability: float
    decision: str


def read_uncertain(path: Path) -> list[Uncertain]:
    """Read the decisions that a trace left; none if there is no such file."""
    if not path.is_file():
        return []
    found = []
    for _, row in read_csv(path, {"x", "y", "z", "probability", "decision"}):
        place = np.array([real_number(row[axis]) for axis in "zyx"])
        found.append(Uncertain(place, real_number(row["probability"]), row.get("decision", "")))
    return found


def find_doubts(
    forest: Forest,
    uncertain: Sequence[Uncertain] = (),
    extent: tuple[Floats, Floats] | None = None,
) -> list[Doubt]:
    """List the doubtful places of trees.

    uncertain: decisions of the tracer. extent: first and last point (zyx) of the volume, in the
    unit of the trees; by default the box around the trees.
    """
    if not forest.alive.any():
        return []
    kinds = (
        _bridges(forest),
        _crossings(forest, uncertain),
        _faint(forest),
        _ends(forest, extent),
    )
    return list(chain.from_iterable(kinds))


def _bridges(forest: Forest) -> Iterator[Doubt]:
    numbers = forest.columns.get("bridge", np.zeros(len(forest.alive))).astype(np.int64)
    numbers = np.where(forest.alive, numbers, 0)
    found = []
    for number in np.unique(numbers[numbers > 0]).tolist():
        nodes = np.flatnonzero(numbers == number)
        node = int(nodes[len(nodes) // 2])
        mean = _mean(forest, nodes)
        place = forest.points[node]
        found.append(Doubt(f"bridge-{number}", "bridge", place, node, mean, number, "bridged"))
    yield from sorted(found, key=lambda d: (d.probability, d.bridge))


def _crossings(forest: Forest, uncertain: Sequence[Uncertain]) -> Iterator[Doubt]:
    from scipy.spatial import cKDTree

    living = np.flatnonzero(forest.alive)
    tree = cKDTree(forest.points[living])
    for number, one in enumerate(uncertain, start=1):
        node = int(living[tree.query(one.place)[1]])
        name = f"crossing-{number}"
        yield Doubt(name, "crossing", one.place, node, one.probability, said=one.decision)


def _faint(forest: Forest) -> Iterator[Doubt]:
    """List stretches of consecutive nodes below FAINT, the least probable first."""
    probability = forest.columns.get("probability")
    if probability is None:
        return
    bridges = forest.columns.get("bridge", np.zeros(len(forest.alive)))
    low = forest.alive & (probability < FAINT) & (bridges == 0)
    found = []
    for nodes in _connected(forest, low):
        node = int(nodes[int(np.argmin(probability[nodes]))])
        mean = float(probability[nodes].mean())
        found.append(Doubt(f"faint-{node}", "faint", forest.points[node], node, mean))
    yield from sorted(found, key=lambda d: (d.probability, d.node))


def _connected(forest: Forest, chosen: NDArray[np.bool_]) -> list[Integers]:
    """Group chosen nodes that edges join."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = edges_of(forest)
    edges = edges[chosen[edges].all(axis=1)]
    count = len(chosen)
    links = coo_array((np.ones(len(edges)), edges.T), shape=(count, count))
    label = connected_components(links, directed=False)[1][chosen]
    own = np.flatnonzero(chosen)
    order = np.argsort(label, kind="stable")
    _, first = np.unique(label[order], return_index=True)
    return np.split(own[order], first[1:]) if len(own) else []


def _ends(forest: Forest, extent: tuple[Floats, Floats] | None) -> Iterator[Doubt]:
    """List ends away from the volume's faces, those of the largest trees first."""
    edges = edges_of(forest)
    degrees = np.bincount(edges.ravel(), minlength=len(forest.alive))
    tips = np.flatnonzero(forest.alive & (degrees == 1) & (forest.kinds != SOMA))
    living = forest.points[forest.alive]
    low, high = extent if extent is not None else (living.min(axis=0), living.max(axis=0))
    margin = NEAR_FACE * np.maximum(1.0, forest.radii[tips])[:, None]
    inside = ((forest.points[tips] > low + margin) & (forest.points[tips] < high - margin)).all(1)
    roots = roots_of(forest)
    sizes = np.bincount(roots[forest.alive], minlength=len(roots))
    for node in sorted(tips[inside].tolist(), key=lambda n: (-sizes[roots[n]], n)):
        yield Doubt(
            f"end-{node}", "end", forest.points[node], node, _mean(forest, np.array([node]))
        )


def _mean(forest: Forest, nodes: Integers) -> float:
    values = forest.columns.get("probability")
    return float("nan") if values is None else float(values[nodes].mean())

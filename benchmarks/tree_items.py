"""The tracer on drawn lines: what issue 19 said was wrong with it, one figure for each.

    python benchmarks/tree_items.py [--keep FOLDER]

Lines are drawn as tubes without noise (probability 0.9), at places and in directions drawn from a
seed. --keep: the cubes of `benchmarks/trees.py`, from whose true labels ends are counted.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import neuroglow
from neuroglow.metrics.skeletons import length_scores
from neuroglow.metrics.trees import to_strand
from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import Tree, join_trees

SIDE, VALUE, TRIALS = 64, 0.9, 20
Points = NDArray[np.float64]


def straight(start: Sequence[float], stop: Sequence[float], radius: float = 1.0) -> Tree:
    """Make a straight line."""
    points = np.linspace(start, stop, 300)
    return Tree(points, np.full(300, radius), np.full(300, 2), np.arange(-1, 299))


def draw(*lines: Tree, unit: Sequence[float] = (1, 1, 1), value: float = VALUE) -> np.ndarray:
    """Draw lines in a cube of SIDE um."""
    z, y, x = (int(SIDE / side) for side in unit)
    seen = np.zeros((z, y, x), bool)
    for line in lines:
        seen |= rasterise(line, seen.shape, tuple(unit), margin_vox=0) == 1
    return np.where(seen, np.float32(value), np.float32(0))


def trace(seen: np.ndarray, unit: Sequence[float] = (1, 1, 1)) -> neuroglow.TraceReport:
    """Trace with the defaults."""
    return neuroglow.trace(seen, threshold=0.5, voxel_size=tuple(unit))


def turned(rng: np.random.Generator, degrees: float) -> tuple[Points, Points]:
    """Draw two directions at an angle."""
    one, side, _ = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn = np.radians(degrees)
    return one, np.cos(turn) * one + np.sin(turn) * side


def bridges(rng: np.random.Generator, gap: float, bend: float, between: float) -> str:
    """Count the trials in which a gap is bridged, and those that leave a branch point."""
    closed, stubs = 0, 0
    for _ in range(TRIALS):
        one, other = turned(rng, bend)
        middle = SIDE / 2 + rng.uniform(-0.5, 0.5, 3)
        ends = middle - gap / 2 * one, middle + gap / 2 * other
        seen = draw(straight(middle - 26 * one, ends[0]), straight(ends[1], middle + 26 * other))
        seen = np.maximum(seen, draw(straight(*ends), value=between)) if between else seen
        summary = trace(seen).summary
        closed += summary["bridges"] == summary["trees"] == 1
        stubs += summary["branch_points"] > 0
    return f"{closed} of {TRIALS}, {stubs} with a stub"


def crossings(rng: np.random.Generator, degrees: float, apart: float) -> str:
    """Count the trials in which two fibres stay two whole trees."""
    whole = 0
    for _ in range(TRIALS):
        one, other = turned(rng, degrees)
        across = np.cross(one, other if degrees else turned(rng, 90)[1])
        off = apart / 2 * across / np.linalg.norm(across)
        middle = SIDE / 2 + rng.uniform(-0.5, 0.5, 3)
        pairs = ((one, off), (other, -off))
        lines = [straight(middle + o - 27 * w, middle + o + 27 * w) for w, o in pairs]
        found = trace(draw(*lines))
        length = [np.linalg.norm(np.ptp(tree.points, axis=0)) for tree in found.trees]
        whole += len(length) == 2 and min(length) > 48
    return f"{whole} of {TRIALS}"


def opposite(rng: np.random.Generator, away: float) -> str:
    """Count the trials in which two branches on opposite sides of a trunk stay in its tree."""
    whole = 0
    for _ in range(TRIALS):
        trunk, side = turned(rng, 90)
        middle = SIDE / 2 + rng.uniform(-0.5, 0.5, 3)
        lines = [straight(middle - 27 * trunk, middle + 27 * trunk)]
        for sign in (1, -1):
            start = middle + sign * away / 2 * trunk
            lines.append(straight(start, start + sign * 25 * side))
        whole += trace(draw(*lines)).summary["trees"] == 1
    return f"{whole} of {TRIALS}"


def along_z(unit: Sequence[float], radius: float) -> str:
    """Measure lines near z: the error of their lengths, and the largest of an end."""
    short, ends = [], []
    for slope in (0, 0.1, 0.25):
        start, stop = np.array((8, 30, 30.3)), np.array((56, 30 + 48 * slope, 30.3))
        (tree, *_) = trace(draw(straight(start, stop, radius), unit=unit), unit).trees
        length = np.linalg.norm(np.diff(tree.points, axis=0), axis=1).sum()
        short.append(length / np.linalg.norm(stop - start) - 1)
        ends += [np.linalg.norm(tree.points - end, axis=1).min() for end in (start, stop)]
    return f"{min(short):+.3f} to {max(short):+.3f}, ends within {max(ends):.1f} um"


def radii(radius: float) -> str:
    """Measure the median radius of lines at different places between voxels."""
    found = [
        np.median(trace(draw(straight((29 + o, 30, 5), (31 + o, 33, 55), radius))).trees[0].radii)
        for o in (0, 0.25, 0.5)
    ]
    return f"{np.mean(found):.2f}"


def offset_nodes() -> str:
    """Score a line against the same, with nodes half a plane off, in voxels of 5 x 1 x 1 um."""
    unit = (5.0, 1.0, 1.0)
    one, other = (
        to_strand(Tree(p, np.ones(len(p)), np.full(len(p), 2), np.arange(-1, len(p) - 1)), unit)
        for p in (np.outer(at, (1.0, 0, 0)) for at in (np.arange(0, 101, 5), np.arange(2.5, 99, 5)))
    )
    counted = np.ones(len(other.points), bool)
    scores = length_scores(one.line, other.line, 1.0, unit=unit, counted=counted)
    return f"recall {scores['recall']:.2f} within 1 um"


def end_branches(folder: Path) -> str:
    """Count branch points and short end branches in true labels, and true branch points."""
    short, total, forks, true = 0, 0, 0, 0
    for file in sorted(folder.glob("*.npz")):
        cube = dict(np.load(file))
        tree = join_trees(list(trace((cube["label"] == 1).astype(np.float32)).trees))
        lengths = ends_of(tree)
        short, total = short + int((lengths < 3).sum()), total + len(lengths)
        forks += int((np.bincount(tree.parents[tree.parents >= 0]) > 1).sum())
        parents = cube["parents"]
        true += int((np.bincount(parents[parents >= 0]) > 1).sum())
    return f"{short} of {total} end branches below 3 um; {forks} branch points, {true} are true"


def ends_of(tree: Tree) -> Points:
    """Return the lengths of the branches that end freely, each from its branch point."""
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(tree.parents))
    found = []
    for node in np.flatnonzero(children == 0).tolist():
        length, here = 0.0, node
        while (up := int(tree.parents[here])) >= 0:
            length += float(np.linalg.norm(tree.points[here] - tree.points[up]))
            here = up
            if children[up] > 1:
                found.append(length)
                break
    return np.array(found)


def main() -> None:
    """Read the command line, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    rng = np.random.default_rng(19)
    if asked.keep:
        print("1 ends:", end_branches(asked.keep), flush=True)
    print("3 nodes half a plane off:", offset_nodes(), flush=True)
    for radius in (1.5, 2.5, 4.0):
        print(f"4 radius {radius}:", radii(radius), flush=True)
    for degrees in (20, 30, 90):
        print(f"6 crossing at {degrees} degrees:", crossings(rng, degrees, 0), flush=True)
    for apart in (3, 4):
        print(f"6 parallel, {apart} voxels apart:", crossings(rng, 0, apart), flush=True)
    for away in (3, 6):
        print(f"6 opposite branches, {away} voxels apart:", opposite(rng, away), flush=True)
    for gap, between in itertools.product((4, 8), (0, 0.15)):
        print(f"7 gap {gap}, {between} between:", bridges(rng, gap, 0, between), flush=True)
    for bend in (50, 70, 90):
        print(f"7 gap 8, bend of {bend}:", bridges(rng, 8, bend, 0.15), flush=True)
    for unit, radius in itertools.product(((4, 1, 1), (2, 0.5, 0.5)), (1.0, 2.0)):
        print(f"8 along z, {unit} um, radius {radius}:", along_z(unit, radius), flush=True)


if __name__ == "__main__":
    main()

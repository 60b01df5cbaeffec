"""Scores of reconstructed trees against true ones.

Both are cut into steps of at most one unit first, so that scores are of length and not of how
sparsely somebody has put nodes (denser ones weigh more in ESA, DSA and PDS). The unit is a voxel
(or a micrometre, as asked).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.skeletons import ROUNDING, Line, nearest, within
from neuroglow.space.geometry import Box
from neuroglow.space.swc import Tree

__all__ = [
    "Merge",
    "Strand",
    "cut_to_box",
    "fragments",
    "merges_of",
    "structure_distances",
    "to_strand",
    "tree_scores",
]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

VISIBLE = 2.0
"""Units from which on two structures differ visibly (Peng et al. 2010)."""

MERGED_LENGTH = 10.0
"""Units of each of two true trees that one found tree must cover to count as their merge."""

ENDS_WITHIN = 2.0
"""Times the tolerance within which a found tip or branch point answers a true one: a skeleton
ends short of its tip, by about the radius."""


@dataclass(frozen=True)
class Strand:
    """Trees in steps of at most a unit.

    points: (n, 3) zyx in voxels. parents: (n,) index of the parent, -1 at a root.
    steps: (n,) length of the edge to the parent, in micrometres (0 at a root).
    trees: (n,) the number of the tree.
    """

    points: Floats
    parents: Integers
    steps: Floats
    trees: Integers

    @property
    def edges(self) -> tuple[Integers, Integers]:
        """Nodes that have a parent, and those parents."""
        ends = np.flatnonzero(self.parents >= 0)
        return ends, self.parents[ends]

    @property
    def line(self) -> Line:
        """The same as points with lengths: half of each edge goes to either end."""
        ends, starts = self.edges
        count = len(self.points)
        halves = (np.bincount(i, self.steps[ends] / 2, count) for i in (ends, starts))
        return Line(self.points, np.asarray(sum(halves)))

    @property
    def degrees(self) -> Integers:
        """Number of edges at each node."""
        ends, starts = self.edges
        return np.bincount(np.append(ends, starts), minlength=len(self.points))


@dataclass(frozen=True)
class Merge:
    """A place (zyx, voxels) where one found tree goes from a true tree to another.

    length: how much it follows of the other, in the unit of the scores.
    """

    place: Floats
    length: float


def to_strand(tree: Tree, unit_um: Sequence[float], *, step: float = 1.0) -> Strand:
    """Cut each edge of a tree (micrometres) into steps of at most `step` voxels.

    unit_um: size of a voxel; nodes stay where they are.
    """
    points = tree.points / unit_um
    nodes = np.arange(len(points))
    ends = np.flatnonzero(tree.parents >= 0)
    starts = tree.parents[ends]
    across = np.linalg.norm(points[ends] - points[starts], axis=1)
    pieces = np.maximum(1, np.ceil(across / step - 1e-9).astype(np.int64))
    edge = np.repeat(np.arange(len(ends)), pieces - 1)
    rank = np.arange(len(edge)) - np.repeat(np.cumsum(pieces - 1) - (pieces - 1), pieces - 1) + 1
    share = (rank / pieces[edge])[:, None]
    between = points[starts[edge]] * (1 - share) + points[ends[edge]] * share
    first_new = len(points) + np.cumsum(pieces - 1) - (pieces - 1)
    new_parents = np.where(rank == 1, starts[edge], first_new[edge] + rank - 2)
    parents = tree.parents.copy()
    longer = pieces > 1
    parents[ends[longer]] = (first_new + pieces - 2)[longer]
    steps = np.zeros(len(points))
    steps[ends] = np.linalg.norm((points[ends] - points[starts]) * unit_um, axis=1) / pieces
    numbers = _components(len(nodes), ends, starts)
    return Strand(
        np.concatenate([points, between]),
        np.concatenate([parents, new_parents]),
        np.concatenate([steps, steps[ends[edge]]]),
        np.concatenate([numbers, numbers[ends[edge]]]),
    )


def cut_to_box(strand: Strand, box: Box) -> Strand:
    """Leave out what lies outside a box of voxels; what falls apart becomes trees of its own."""
    low, high = np.subtract(box.start, 0.5), np.subtract(box.stop, 0.5)
    inside = ((strand.points >= low) & (strand.points < high)).all(axis=1)
    place = np.append(np.cumsum(inside) - 1, -1)
    parents = strand.parents[inside]
    kept = (parents >= 0) & np.append(inside, False)[parents]
    parents = np.where(kept, place[parents], -1)
    ends = np.flatnonzero(kept)
    return Strand(
        strand.points[inside],
        parents,
        np.where(kept, strand.steps[inside], 0.0),
        _components(int(inside.sum()), ends, parents[ends]),
    )


def structure_distances(
    one: Strand, other: Strand, *, unit: Sequence[float] = (1, 1, 1), threshold: float = VISIBLE
) -> dict[str, float]:
    """Give ESA, DSA and PDS of one tree from another, one way (Peng et al. 2010, Vaa3D).

    esa: mean distance of each node to the nearest of the other, in units. dsa: the same over
    the nodes at `threshold` or more alone, 0 where there is none. pds: their share.
    NaN where either is empty.
    """
    away = nearest(one.points, other.points, unit)
    if not away.size or not np.isfinite(away).all():
        return {"esa": float("nan"), "dsa": float("nan"), "pds": float("nan")}
    far = away[away >= threshold - ROUNDING]
    return {
        "esa": float(away.mean()),
        "dsa": float(far.mean()) if far.size else 0.0,
        "pds": float(far.size / away.size),
    }


def fragments(truth: Strand, found: Strand, tolerance: float, unit: Sequence[float]) -> Integers:
    """Name, for each true node, the found tree that follows it; -1 where none does.

    Of the found trees within the tolerance it is the one that follows most nodes of the same
    true tree: where neurites cross, each keeps its own.
    """
    nodes, near = _neighbours(truth.points * unit, found.points * unit, tolerance + ROUNDING)
    chosen = np.full(len(truth.points), -1, np.int64)
    if not len(nodes):
        return chosen
    pairs = np.unique(np.column_stack([nodes, found.trees[near]]), axis=0)
    owners = np.column_stack([truth.trees[pairs[:, 0]], pairs[:, 1]])
    _, which, coverage = np.unique(owners, axis=0, return_inverse=True, return_counts=True)
    order = np.lexsort((pairs[:, 1], -coverage[which.ravel()], pairs[:, 0]))
    first, at = np.unique(pairs[order, 0], return_index=True)
    chosen[first] = pairs[order[at], 1]
    return chosen


def tree_scores(
    truth: Strand,
    found: Strand,
    *,
    tolerance: float = VISIBLE,
    unit: Sequence[float] = (1, 1, 1),
    box: Box | None = None,
) -> dict[str, float]:
    """Score found trees against true ones; lengths in micrometres.

    unit: what a voxel counts along z, y and x. box: the volume, at whose faces a tip is none.

    - esa, dsa, pds: structure_distances, the mean of both ways (as in Vaa3D); `_recall` from the
      truth to what is found, `_precision` the reverse.
    - gaps_100um: pieces of the truth that no found node follows and that part two followed
      ones, a 100 micrometres of truth.
    - splits: found trees that follow one true tree, less one, summed over true trees (as
      segmentation-skeleton-metrics counts them). merges: true trees of which one found tree
      follows MERGED_LENGTH units or more, less one, summed over found trees.
    - erl_um: expected run length (Januszewski et al. 2018): mean, over the points of the truth,
      of the length of the piece around them that one found tree follows without a gap; 0 where
      none does, or where that tree is a merge. erl: its share of what is possible.
    - tip_recall, branch_recall: share of the true tips and branch points that have a found one
      within ENDS_WITHIN tolerances; NaN where the truth has none.
    """
    named = _both_ways(truth, found, unit)
    label = fragments(truth, found, tolerance, unit)
    total = truth.line.length
    merged, merges = _merges(truth, label, unit)
    run, possible = _run_lengths(truth, np.where(np.isin(label, merged), -1, label))
    ends = {
        "tip_recall": _answered(
            _tips(truth, box, tolerance / np.asarray(unit)), _tips(found), tolerance, unit
        ),
        "branch_recall": _answered(_branch_points(truth), _branch_points(found), tolerance, unit),
    }
    return {
        **named,
        "gaps_100um": 100 * _gaps(truth, label >= 0) / total if total else float("nan"),
        "splits": _splits(truth, label),
        "merges": merges,
        "erl_um": run,
        "erl": run / possible if possible else float("nan"),
        **ends,
    }


def merges_of(
    truth: Strand, found: Strand, *, tolerance: float = VISIBLE, unit: Sequence[float] = (1, 1, 1)
) -> list[Merge]:
    """Say where found trees merge true ones: as many places as tree_scores counts merges.

    Of the true trees that one found tree follows, the longest comes first; each other one meets
    those before it where what is followed of both comes nearest.
    """
    label = fragments(truth, found, tolerance, unit)
    pairs, lengths = _followed(truth, label, unit)
    merges = []
    for name in np.unique(pairs[:, 0]).tolist():
        chosen = pairs[:, 0] == name
        order = np.argsort(-lengths[chosen], kind="stable")
        first, *others = pairs[chosen, 1][order].tolist()
        followed = label == name
        joined = truth.points[followed & (truth.trees == first)]
        for other, length in zip(others, lengths[chosen][order][1:].tolist(), strict=True):
            own = truth.points[followed & (truth.trees == other)]
            merges.append(Merge(_meeting(own, joined, unit), length))
            joined = np.concatenate([joined, own])
    return merges


def _meeting(own: Floats, others: Floats, unit: Sequence[float]) -> Floats:
    """Give the place midway between two sets of points where they come nearest."""
    from scipy.spatial import cKDTree

    away, nearest_of = cKDTree(others * unit).query(own * unit)
    at = int(np.argmin(away))
    return np.asarray((own[at] + others[nearest_of[at]]) / 2)


def _both_ways(truth: Strand, found: Strand, unit: Sequence[float]) -> dict[str, float]:
    there = structure_distances(truth, found, unit=unit)
    back = structure_distances(found, truth, unit=unit)
    return {
        key: value
        for name in ("esa", "dsa", "pds")
        for key, value in (
            (name, (there[name] + back[name]) / 2),
            (f"{name}_recall", there[name]),
            (f"{name}_precision", back[name]),
        )
    }


def _neighbours(points: Floats, others: Floats, reach: float) -> tuple[Integers, Integers]:
    """List pairs of a point and another within reach."""
    from scipy.spatial import cKDTree

    if not len(points) or not len(others):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    near = cKDTree(others).query_ball_point(points, reach)
    counts = [len(n) for n in near]
    return np.repeat(np.arange(len(points)), counts), np.concatenate(
        [np.empty(0, np.int64), *(np.asarray(n, np.int64) for n in near)]
    )


def _components(count: int, ends: Integers, starts: Integers) -> Integers:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not count:
        return np.empty(0, np.int64)
    graph = coo_array((np.ones(len(ends), bool), (ends, starts)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _gaps(truth: Strand, followed: Mask) -> int:
    ends, starts = truth.edges
    lost = ~followed[ends] & ~followed[starts]
    piece = _components(len(truth.points), ends[lost], starts[lost])
    border = followed[ends] != followed[starts]
    lost_end = np.where(followed[ends], starts, ends)[border]
    touches = np.bincount(piece[lost_end], minlength=1)
    return int((touches > 1).sum())


def _splits(truth: Strand, label: Integers) -> int:
    known = label >= 0
    pairs = np.unique(np.column_stack([truth.trees[known], label[known]]), axis=0)
    return len(pairs) - len(np.unique(pairs[:, 0]))


def _merges(truth: Strand, label: Integers, unit: Sequence[float]) -> tuple[Integers, int]:
    """Give the found trees that merge true ones, and how many true trees too many they follow."""
    followed, _ = _followed(truth, label, unit)
    found, trees = np.unique(followed[:, 0], return_counts=True)
    return found[trees > 1], int((trees - 1).sum())


def _followed(truth: Strand, label: Integers, unit: Sequence[float]) -> tuple[Integers, Floats]:
    """List (found, true) trees of which the one follows MERGED_LENGTH or more, and that length."""
    ends, starts = truth.edges
    same = (label[ends] == label[starts]) & (label[ends] >= 0)
    ends, starts = ends[same], starts[same]
    length = np.linalg.norm((truth.points[ends] - truth.points[starts]) * unit, axis=1)
    owners = np.column_stack([label[ends], truth.trees[ends]])
    pairs, which = np.unique(owners, axis=0, return_inverse=True)
    covered = np.bincount(which.ravel(), length, len(pairs))
    enough = covered >= MERGED_LENGTH
    return np.asarray(pairs[enough]), np.asarray(covered[enough], np.float64)


def _run_lengths(truth: Strand, label: Integers) -> tuple[float, float]:
    """Give the expected run length, and what it is where nothing is missed or wrong."""
    ends, starts = truth.edges
    same = (label[ends] == label[starts]) & (label[ends] >= 0)
    run = _components(len(truth.points), ends[same], starts[same])
    lengths = np.bincount(run[ends[same]], truth.steps[ends[same]])
    whole = np.bincount(truth.trees, truth.steps)
    total = whole.sum()
    if not total:
        return float("nan"), float("nan")
    return float(np.square(lengths).sum() / total), float(np.square(whole).sum() / total)


def _tips(strand: Strand, box: Box | None = None, margin: Floats | float = 0) -> Floats:
    """Give the tips, without those of a cut: at the faces of the box."""
    tips = np.asarray(strand.points[strand.degrees == 1])
    if box is None:
        return tips
    low, high = np.add(box.start, margin), np.subtract(box.stop, np.add(1, margin))
    return np.asarray(tips[((tips >= low) & (tips <= high)).all(axis=1)])


def _branch_points(strand: Strand) -> Floats:
    return np.asarray(strand.points[strand.degrees > 2])


def _answered(truth: Floats, found: Floats, tolerance: float, unit: Sequence[float]) -> float:
    if not len(truth):
        return float("nan")
    return float(within(truth, found, ENDS_WITHIN * tolerance, unit).mean())

"""Scores of reconstructed trees against true ones.

Both are first cut into steps of at most one unit, so that scores measure length and do not
depend on the spacing of nodes (dense nodes weigh more in ESA, DSA and PDS). The unit is a voxel,
or a micrometre if requested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.skeletons import ROUNDING, Line, cut_segments, nearest, within
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import NEURON, Tree

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
"""Distance, in units, from which two structures differ visibly (Peng et al. 2010)."""

MERGED_LENGTH = 10.0
"""Length, in units, of each of two true trees that a found tree must follow to count as a merge."""

FINE = 0.5
"""Longest step, in units, of a found tree when true nodes are assigned to it."""

ENDS_WITHIN = 2.0
"""Multiple of the tolerance within which a found tip or branch point matches a true one: a
skeleton ends short of the tip, by about the radius."""


@dataclass(frozen=True)
class Strand:
    """Trees in steps of at most one unit.

    points: (n, 3) zyx in voxels. parents: (n,) index of the parent, -1 at a root.
    steps: (n,) length of the edge to the parent, in micrometres (0 at a root).
    trees: (n,) number of the tree.
    """

    points: Floats
    parents: Integers
    steps: Floats
    trees: Integers

    @property
    def edges(self) -> tuple[Integers, Integers]:
        """Nodes that have a parent, and these parents."""
        ends = np.flatnonzero(self.parents >= 0)
        return ends, self.parents[ends]

    @property
    def pieces(self) -> Integers:
        """Number of the connected piece of each node: more than trees where a box cuts one."""
        return _components(len(self.points), *self.edges)

    @property
    def line(self) -> Line:
        """The same as points with lengths: half of each edge is assigned to each end."""
        ends, starts = self.edges
        count = len(self.points)
        halves = (np.bincount(i, self.steps[ends] / 2, count) for i in (ends, starts))
        return Line(self.points, np.asarray(sum(halves)), np.stack([ends, starts], axis=1))

    @property
    def degrees(self) -> Integers:
        """Number of edges at each node."""
        ends, starts = self.edges
        return np.bincount(np.append(ends, starts), minlength=len(self.points))


@dataclass(frozen=True)
class Merge:
    """A place (zyx, voxels) where one found tree changes from one true tree to another.

    length: the length of the other tree that it follows, in the unit of the scores.
    """

    place: Floats
    length: float


def to_strand(tree: Tree, unit_um: Sequence[float], *, step: float = 1.0) -> Strand:
    """Cut each edge of a tree (micrometres) into steps of at most `step` voxels.

    unit_um: size of a voxel; existing nodes are kept. Parts with the same value in a column
    `neuron` are one tree.
    """
    points = tree.points / unit_um
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
    numbers = _numbers(tree)
    return Strand(
        np.concatenate([points, between]),
        np.concatenate([parents, new_parents]),
        np.concatenate([steps, steps[ends[edge]]]),
        np.concatenate([numbers, numbers[ends[edge]]]),
    )


def _numbers(tree: Tree) -> Integers:
    """Number the trees from 0: connected parts, joined where they are one neuron."""
    ends = np.flatnonzero(tree.parents >= 0)
    links = [np.stack([ends, tree.parents[ends]])]
    if NEURON in tree.columns:
        names, first = np.unique(tree.columns[NEURON], return_index=True)
        known = np.flatnonzero(np.isfinite(tree.columns[NEURON]))
        links.append(np.stack([known, first[np.searchsorted(names, tree.columns[NEURON][known])]]))
    return _components(len(tree.parents), *np.concatenate(links, axis=1))


def cut_to_box(strand: Strand, box: Box) -> Strand:
    """Remove everything outside a box of voxels; a tree that leaves and comes back stays one."""
    low, high = np.subtract(box.start, 0.5), np.subtract(box.stop, 0.5)
    inside = ((strand.points >= low) & (strand.points < high)).all(axis=1)
    place = np.append(np.cumsum(inside) - 1, -1)
    parents = strand.parents[inside]
    kept = (parents >= 0) & np.append(inside, False)[parents]
    parents = np.where(kept, place[parents], -1)
    return Strand(
        strand.points[inside],
        parents,
        np.where(kept, strand.steps[inside], 0.0),
        np.unique(strand.trees[inside], return_inverse=True)[1].ravel().astype(np.int64),
    )


def structure_distances(
    one: Strand, other: Strand, *, unit: Sequence[float] = (1, 1, 1), threshold: float = VISIBLE
) -> dict[str, float]:
    """Return ESA, DSA and PDS from one tree to another, in one direction (Peng et al. 2010, Vaa3D).

    esa: mean distance of each node to the nearest node of the other, in units. dsa: the same over
    nodes at a distance of `threshold` or more, 0 if there are none. pds: the share of these nodes.
    NaN if either tree is empty.
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
    """Return, for each true node, the number of the found tree that follows it; -1 if none does.

    Among the found trees within the tolerance it is the one that follows most nodes of the same
    true tree, so that crossing neurites are not confused.
    """
    ends, starts = found.edges
    between, _, which = cut_segments(found.points[ends] * unit, found.points[starts] * unit, FINE)
    points = np.concatenate([found.points * unit, between])
    owner = np.concatenate([found.trees, found.trees[ends[which]]])
    nodes, near = _neighbours(truth.points * unit, points, tolerance + ROUNDING)
    chosen = np.full(len(truth.points), -1, np.int64)
    if not len(nodes):
        return chosen
    pairs = np.unique(np.column_stack([nodes, owner[near]]), axis=0)
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

    unit: distance that one voxel counts for along z, y and x. box: the volume; where a tree is
    cut at its faces there is no tip.

    - esa, dsa, pds: structure_distances, the mean of both directions (as in Vaa3D); `_recall` from
      the truth to the found trees, `_precision` the reverse.
    - gaps_100um: stretches of the truth that no found node follows, between two stretches that
      are followed, per 100 micrometres of truth.
    - splits: found trees that follow one connected piece of a true tree, minus one, summed over
      pieces (as segmentation-skeleton-metrics counts them). merges: true trees that one found tree
      follows over MERGED_LENGTH units or more, minus one, summed over found trees.
    - erl_um: expected run length (Januszewski et al. 2018): for each point of the truth, the length
      of the stretch around it that one found tree follows without a gap, averaged over points; 0
      if none does, or if that tree is a merge. erl: the same as a share of the maximum.
    - tip_recall, branch_recall: share of the true tips and branch points with a found one
      within ENDS_WITHIN tolerances; NaN if the truth has none. branch_precision: the reverse.
    - doubled: found length along the truth over the true length that it follows, minus one: 1
      if each neurite is traced twice. Wiggles count too.
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
        "branch_precision": _answered(
            _branch_points(found), _branch_points(truth), tolerance, unit
        ),
    }
    return {
        **named,
        "gaps_100um": 100 * _gaps(truth, label >= 0) / total if total else float("nan"),
        "splits": _splits(truth, label),
        "merges": merges,
        "erl_um": run,
        "erl": run / possible if possible else float("nan"),
        "doubled": _doubled(truth, found, tolerance, unit),
        **ends,
    }


def merges_of(
    truth: Strand, found: Strand, *, tolerance: float = VISIBLE, unit: Sequence[float] = (1, 1, 1)
) -> list[Merge]:
    """Locate where found trees merge true ones: as many places as tree_scores counts merges.

    The true trees that a found tree follows are taken in order of length. Each further one joins
    the earlier ones where the followed parts come closest.
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
    """Return the midpoint between two sets of points where they come closest."""
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
    """List pairs of a point and another point within reach."""
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
    pairs = np.unique(np.column_stack([truth.pieces[known], label[known]]), axis=0)
    return len(pairs) - len(np.unique(pairs[:, 0]))


def _merges(truth: Strand, label: Integers, unit: Sequence[float]) -> tuple[Integers, int]:
    """Return the found trees that merge true ones, with the number of surplus true trees."""
    followed, _ = _followed(truth, label, unit)
    found, trees = np.unique(followed[:, 0], return_counts=True)
    return found[trees > 1], int((trees - 1).sum())


def _followed(truth: Strand, label: Integers, unit: Sequence[float]) -> tuple[Integers, Floats]:
    """List (found, true) pairs in which the one follows MERGED_LENGTH or more, and the length."""
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
    """Return the expected run length, and its maximum for a perfect reconstruction."""
    ends, starts = truth.edges
    same = (label[ends] == label[starts]) & (label[ends] >= 0)
    run = _components(len(truth.points), ends[same], starts[same])
    lengths = np.bincount(run[ends[same]], truth.steps[ends[same]])
    whole = np.bincount(truth.pieces, truth.steps)
    total = whole.sum()
    if not total:
        return float("nan"), float("nan")
    return float(np.square(lengths).sum() / total), float(np.square(whole).sum() / total)


def _doubled(truth: Strand, found: Strand, tolerance: float, unit: Sequence[float]) -> float:
    true, drawn = truth.line, found.line
    followed = true.where(within(true.points, drawn, tolerance, unit)).length
    along = drawn.where(within(drawn.points, true, tolerance, unit)).length
    return along / followed - 1 if followed else float("nan")


def _tips(strand: Strand, box: Box | None = None, margin: Floats | float = 0) -> Floats:
    """Return the tips, except where trees are cut at the faces of the box."""
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

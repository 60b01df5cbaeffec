"""Scores of middle lines: how much of the length of one lies near the other.

A line is a set of points, each with the length that it stands for. Lines from skeletons and
from trees are therefore scored in the same way, and lines from blocks can be concatenated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Line",
    "cldice",
    "cut_segments",
    "distance_to",
    "length_scores",
    "nearest",
    "skeleton_line",
    "thin",
    "within",
]


Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]

NEIGHBOUR = 1.74
"""Distance in voxels of the farthest of the 26 neighbours of a voxel."""

TRIED = 8
"""Pieces of a line, the nearest by their middles, to which a distance is computed."""

ROUNDING = 1e-6
"""Margin above a tolerance, so that a point exactly at the tolerance counts as within it."""

FORWARD = [o for o in itertools.product((-1, 0, 1), repeat=3) if o > (0, 0, 0)]
"""One of each two opposite neighbours of a voxel: 13 of 26."""


@dataclass(frozen=True)
class Line:
    """Points (n, 3) zyx in voxels, and the length (n,) that each stands for, in micrometres.

    Lengths are in voxels if the voxel size is not known. links: (m, 2) points that the line joins;
    None joins points of neighbouring voxels.
    """

    points: Floats
    lengths: Floats
    links: Integers | None = None

    @classmethod
    def joined(cls, parts: Iterable[Line]) -> Line:
        """Concatenate the lines of blocks, whose points are those of voxels."""
        kept = [cls(np.empty((0, 3)), np.empty(0)), *parts]
        return cls(
            np.concatenate([p.points for p in kept]), np.concatenate([p.lengths for p in kept])
        )

    def segments(self) -> tuple[Floats, Floats]:
        """Return both ends of each segment (m, 3); a point without any is a segment too."""
        from scipy.spatial import cKDTree

        links = self.links
        if links is None:
            links = cKDTree(self.points).query_pairs(NEIGHBOUR, output_type="ndarray")
        alone = np.ones(len(self.points), bool)
        alone[links] = False
        lone = np.flatnonzero(alone)
        ends = np.concatenate([links, np.stack([lone, lone], axis=1)]).astype(np.int64)
        return self.points[ends[:, 0]], self.points[ends[:, 1]]

    @property
    def length(self) -> float:
        """Total length."""
        return float(self.lengths.sum())

    def where(self, chosen: Mask) -> Line:
        """Return the points for which `chosen` (n,) is true."""
        return Line(self.points[chosen], self.lengths[chosen])


def thin(mask: Mask) -> Mask:
    """Thin a mask (zyx) to its middle lines (Lee, Kashyap and Chu 1994, in scikit-image)."""
    from skimage.morphology import skeletonize

    if not mask.any():
        return np.zeros(mask.shape, bool)
    return np.asarray(skeletonize(mask), bool)


def skeleton_line(skeleton: Mask, unit_um: Sequence[float]) -> Line:
    """Return the line of a skeleton (zyx): each voxel stands for half of each step to a neighbour.

    A diagonal step counts only if no shorter steps connect the same voxels, so that corners are
    not counted twice. unit_um: size of a voxel. A voxel without neighbours has no length.
    """
    padded = np.pad(skeleton, 1)
    flat, places = padded.ravel(), np.flatnonzero(padded)
    lengths = np.zeros(len(places))
    for offset in FORWARD:
        step = flat[places + _apart(padded, offset)]
        for shorter in _parts(offset):
            step &= ~flat[places + _apart(padded, shorter)]
        half = float(np.linalg.norm(np.multiply(offset, unit_um))) / 2
        lengths[step] += half
        lengths[np.searchsorted(places, places[step] + _apart(padded, offset))] += half
    points = np.stack(np.unravel_index(places, padded.shape), axis=1) - 1
    return Line(points.astype(float), lengths)


def _apart(padded: Mask, offset: Sequence[int]) -> int:
    """Return how far a neighbour at `offset` lies in the flat array of voxels (of one byte)."""
    return int(np.dot(padded.strides, offset))


def _parts(offset: Sequence[int]) -> list[tuple[int, ...]]:
    """Return the shorter steps that together replace a diagonal one."""
    choices = itertools.product(*((0, o) if o else (0,) for o in offset))
    return [part for part in choices if any(part) and part != tuple(offset)]


def nearest(points: Floats, others: Floats, unit: Sequence[float]) -> Floats:
    """Return the distance from each point (n, 3) to the nearest of others; infinite without any.

    unit: distance that one voxel counts for along z, y and x.
    """
    from scipy.spatial import cKDTree

    if not len(others) or not len(points):
        return np.full(len(points), np.inf)
    distance, _ = cKDTree(others * unit).query(points * unit)
    return np.asarray(distance)


def distance_to(points: Floats, line: Line, unit: Sequence[float]) -> Floats:
    """Return the distance from each point (n, 3) to a line, between its points too.

    Its segments are cut into pieces of at most one unit; the distance is computed to the nearest.
    """
    from scipy.spatial import cKDTree

    if not len(line.points) or not len(points):
        return np.full(len(points), np.inf)
    starts, stops = (np.asarray(ends * unit) for ends in line.segments())
    starts, steps = cut_segments(starts, stops)[:2]
    middles = cKDTree(starts + steps / 2)
    own = np.asarray(points * unit)
    _, which = middles.query(own, k=min(TRIED, len(starts)))
    which = which.reshape(len(own), -1)
    off = own[:, None] - starts[which]
    along = (off * steps[which]).sum(axis=2)
    square = np.maximum(np.square(steps).sum(axis=1), 1e-12)[which]
    share = np.clip(along / square, 0, 1)[..., None]
    return np.asarray(np.linalg.norm(off - share * steps[which], axis=2).min(axis=1))


def cut_segments(
    starts: Floats, stops: Floats, longest: float = 1.0
) -> tuple[Floats, Floats, Integers]:
    """Cut segments (m, 3) into equal pieces; return starts, steps, and the segment of each."""
    counts = np.ceil(np.linalg.norm(stops - starts, axis=1) / longest - ROUNDING)
    pieces = np.maximum(1, counts).astype(np.int64)
    which = np.repeat(np.arange(len(starts)), pieces)
    rank = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    steps = (stops - starts) / pieces[:, None]
    return starts[which] + rank[:, None] * steps[which], steps[which], which


def within(points: Floats, others: Floats | Line, reach: float, unit: Sequence[float]) -> Mask:
    """Return which points (n, 3) have another point, or a line, within reach."""
    if isinstance(others, Line):
        return np.asarray(distance_to(points, others, unit) <= reach + ROUNDING)
    return np.asarray(nearest(points, others, unit) <= reach + ROUNDING)


def length_scores(
    truth: Line, found: Line, tolerance: float, *, unit: Sequence[float], counted: Mask
) -> dict[str, float]:
    """Score a found line by the length within a tolerance of the true line, and vice versa.

    tolerance: in voxels if `unit` is 1, 1, 1; in micrometres if it is the voxel size.
    counted: (n,) which points of the found line lie where the truth is known. The others are
    neither right nor wrong, but a true point near them counts as found.

    recall: share of the true length within the tolerance of the found line. precision: share of
    the found (and counted) length within the tolerance of the true line; 0 if nothing is found,
    NaN without a truth. missed, false: the remaining lengths. The tolerance follows
    Heipke et al. (1997), who define completeness and correctness of roads.
    """
    hit = within(truth.points, found, tolerance, unit)
    known = found.where(counted)
    right = within(known.points, truth, tolerance, unit)
    recovered, correct = truth.where(hit).length, known.where(right).length
    recall = _ratio(recovered, truth.length, float("nan"))
    precision = _ratio(correct, known.length, 0.0) if truth.length else float("nan")
    return {
        "recall": recall,
        "precision": precision,
        "f1": _harmonic(recall, precision),
        "missed": truth.length - recovered,
        "false": known.length - correct,
    }


def cldice(inside_truth: int, found: int, inside_found: int, truth: int) -> float:
    """Return clDice (Shit et al. 2021, equations 1 and 2) from counts of skeleton voxels.

    inside_truth: voxels of the found skeleton inside the true mask, out of `found`;
    inside_found: voxels of the true skeleton inside the found mask, out of `truth`.
    0 if nothing is found; NaN without a true skeleton.
    """
    precision = _ratio(inside_truth, found, 0.0)
    return _harmonic(precision, _ratio(inside_found, truth, float("nan")))


def _ratio(part: float, whole: float, otherwise: float) -> float:
    return float(part / whole) if whole else otherwise


def _harmonic(a: float, b: float) -> float:
    if np.isnan(a + b):
        return float("nan")
    return 2 * a * b / (a + b) if a + b else 0.0

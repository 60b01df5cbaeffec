"""Two passes over a pair, block by block: voxels are counted, then middle lines are drawn.

Only counts, cells and points are kept, so memory grows with the length of the neurites, not
with the volume.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.evaluate.blocks import Found
from neuroglow.evaluate.sources import ScoreSource
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE, LabelReader
from neuroglow.metrics.counts import ScoreCounts
from neuroglow.metrics.signal import CellSignal, measure_cells
from neuroglow.metrics.skeletons import Line, skeleton_line, thin
from neuroglow.space.geometry import Block, Box, Zyx, tile

__all__ = [
    "HALO",
    "CountBlock",
    "DrawBlock",
    "Drawing",
    "Lines",
    "add_counts",
    "join_lines",
    "points_counted",
]

Array = NDArray[Any]
Mask = NDArray[np.bool_]

HALO = 16
"""Margin in voxels in which a block is also thinned: middle lines of neurites up to twice as
thick do not depend on the blocks."""


@dataclass
class Lines:
    """The middle lines of one method.

    line: with the length of each point. counted: whether the truth is known there.
    inside, skeleton: skeleton voxels inside the other mask, and all of them (clDice).
    """

    parts: list[Line] = field(default_factory=list)
    known: list[Mask] = field(default_factory=list)
    inside: int = 0
    skeleton: int = 0

    def add(self, points: Array, lengths: Array, known: Mask, inside: Mask) -> None:
        """Add the lines of a block."""
        self.parts.append(Line(points, lengths))
        self.known.append(known)
        self.skeleton += int(known.sum())
        self.inside += int(inside.sum())

    @property
    def line(self) -> Line:
        """All points."""
        return Line.joined(self.parts)

    @property
    def counted(self) -> Mask:
        """The points at which the truth is known."""
        return np.concatenate([np.empty(0, bool), *self.known])


@dataclass
class Drawing:
    """The middle lines of the truth and of each method; those of the truth for each method."""

    truth: Lines
    methods: dict[str, Lines]
    truth_inside: dict[str, int]


@dataclass(frozen=True)
class CountBlock:
    """Count the voxels of a block by score; measure the cells of sources that have a floor."""

    truth: LabelReader
    sources: Mapping[str, ScoreSource]
    floors: Mapping[str, float]

    def __call__(self, part: Block) -> Found:
        """Return counts by source, and cells as rows of numbers."""
        label, inner = self.truth.read(part.read), part.inner.slices
        found: dict[str, Array] = {}
        scores = {name: source.read(part.write) for name, source in self.sources.items()}
        for name, score in scores.items():
            both = (score[label[inner] == v] for v in (NEURITE, BACKGROUND))
            counts = ScoreCounts.of(self.sources[name].levels, *both)
            found |= {f"{name}/neurites": counts.neurites, f"{name}/background": counts.background}
        cells = measure_cells({n: (scores[n], f) for n, f in self.floors.items()}, label, inner)
        rows = [[astuple(cell[name]) for name in self.floors] for cell in cells]
        return found | {"cells": np.array(rows, np.float64)}


def add_counts(
    found: Iterable[Found], sources: Mapping[str, ScoreSource], floors: Mapping[str, float]
) -> tuple[dict[str, ScoreCounts], list[dict[str, CellSignal]]]:
    """Add up what CountBlock found in the blocks of a volume."""
    counts = {name: ScoreCounts.nothing(source.levels) for name, source in sources.items()}
    cells: list[dict[str, CellSignal]] = []
    for one in found:
        for name, source in sources.items():
            both = (one[f"{name}/neurites"], one[f"{name}/background"])
            counts[name] += ScoreCounts(source.levels, *both)
        for row in one["cells"].tolist():
            cells.append(
                {n: CellSignal(int(c[0]), *c[1:]) for n, c in zip(floors, row, strict=True)}
            )
    return counts, cells


@dataclass(frozen=True)
class DrawBlock:
    """Thin the truth of a block, and the voxels of each source that reach its threshold."""

    truth: LabelReader
    sources: Mapping[str, tuple[ScoreSource, float]]
    unit_um: Sequence[float]

    def __call__(self, part: Block) -> Found:
        """Return the lines of the truth ("") and of each source."""
        label = self.truth.read(part.read)
        both = (label == NEURITE, label != IGNORE)
        skeleton = thin(both[0])
        true_voxels = skeleton[part.inner.slices]
        found = _lines_of("", skeleton, part, self.unit_um, both)
        for name, (source, threshold) in self.sources.items():
            detected = source.levels.detected(source.read(part.read), threshold)
            found |= _lines_of(name, thin(detected), part, self.unit_um, both)
            inside = int((true_voxels & detected[part.inner.slices]).sum())
            found[f"{name}/truth inside"] = np.array(inside)
        return found


def _lines_of(
    name: str, skeleton: Mask, part: Block, unit_um: Sequence[float], truth: tuple[Mask, Mask]
) -> dict[str, Array]:
    """Return the inner part of a block's skeleton, with lengths measured in the whole block."""
    whole = skeleton_line(skeleton, unit_um)
    low, high = part.inner.start, part.inner.stop
    inside = np.asarray(((whole.points >= low) & (whole.points < high)).all(axis=1))
    line = whole.where(inside)
    at = tuple(line.points.astype(int).T)
    neurite, counted = (mask[at] for mask in truth)
    return {
        f"{name}/points": line.points + part.read.start,
        f"{name}/lengths": line.lengths,
        f"{name}/known": counted,
        f"{name}/inside": neurite,
    }


def join_lines(found: Iterable[Found], methods: Iterable[str]) -> Drawing:
    """Join what DrawBlock found in the blocks of a volume."""
    names = list(methods)
    drawing = Drawing(Lines(), {name: Lines() for name in names}, dict.fromkeys(names, 0))
    for one in found:
        for name, lines in {"": drawing.truth, **drawing.methods}.items():
            lines.add(*(one[f"{name}/{what}"] for what in ("points", "lengths", "known", "inside")))
        for name in names:
            drawing.truth_inside[name] += int(one[f"{name}/truth inside"])
    return drawing


def points_counted(points: NDArray[np.float64], truth: LabelReader, shape: Zyx, block: int) -> Mask:
    """Return which points (n, 3) lie where the truth is known; points outside do not."""
    known = np.zeros(len(points), bool)
    at = np.rint(points).astype(int)
    for part, inside in _by_block(at, shape, block):
        label = truth.read(part)
        known[inside] = label[tuple((at[inside] - part.start).T)] != IGNORE
    return known


def _by_block(
    at: NDArray[np.int64], shape: Zyx, block: int
) -> Iterator[tuple[Box, NDArray[np.int64]]]:
    """Return the blocks that contain points, each with the indices of its points."""
    blocks = tile(Box.of(shape), (block,) * 3)
    counts = np.ceil(np.divide(shape, block)).astype(int)
    inside = np.flatnonzero(((at >= 0) & (at < shape)).all(axis=1))
    place = np.ravel_multi_index(tuple((at[inside] // block).T), tuple(counts))
    order = np.argsort(place, kind="stable")
    for index in np.unique(place):
        first, last = np.searchsorted(place[order], [index, index + 1])
        yield blocks[int(index)].write, inside[order[first:last]]

"""Two passes over a pair, block by block: voxels are counted, then middle lines are drawn.

Only counts, cells and points are kept, so memory grows with the length of the neurites, not
with the volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.evaluate.census import See
from neuroglow.evaluate.sources import ScoreSource
from neuroglow.metrics.counts import ScoreCounts
from neuroglow.metrics.signal import REACH, CellSignal, measure_cells
from neuroglow.metrics.skeletons import Line, skeleton_line, thin
from neuroglow.space.geometry import Block, Box, Zyx, tile
from neuroglow.space.labels import BACKGROUND, IGNORE, NEURITE, LabelReader

__all__ = ["Drawing", "Lines", "count_voxels", "draw_lines", "points_counted"]

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


def count_voxels(
    shape: Zyx,
    truth: LabelReader,
    sources: Mapping[str, ScoreSource],
    floors: Mapping[str, float],
    *,
    block: int,
    see: See,
) -> tuple[dict[str, ScoreCounts], list[dict[str, CellSignal]]]:
    """Count the scores of each source by truth; measure the cells of sources that have a floor."""
    counts = {name: ScoreCounts.nothing(source.levels) for name, source in sources.items()}
    cells: list[dict[str, CellSignal]] = []
    for part in tile(Box.of(shape), (block,) * 3, halo=int(REACH)):
        label = truth.read(part.read)
        inner = part.inner.slices
        scores = {name: source.read(part.write) for name, source in sources.items()}
        for name, score in scores.items():
            neurites, background = (score[label[inner] == v] for v in (NEURITE, BACKGROUND))
            counts[name] += ScoreCounts.of(sources[name].levels, neurites, background)
        cells += measure_cells({n: (scores[n], f) for n, f in floors.items()}, label, inner)
        see(part.write)
    return counts, cells


def draw_lines(
    shape: Zyx,
    truth: LabelReader,
    sources: Mapping[str, tuple[ScoreSource, float]],
    unit_um: Sequence[float],
    *,
    block: int,
    see: See,
) -> Drawing:
    """Thin the truth, and the voxels of each source that reach its threshold."""
    drawing = Drawing(Lines(), {name: Lines() for name in sources}, dict.fromkeys(sources, 0))
    for part in tile(Box.of(shape), (block,) * 3, halo=HALO):
        label = truth.read(part.read)
        neurite, counted = label == NEURITE, label != IGNORE
        skeleton = thin(neurite)
        _add(drawing.truth, skeleton, part, unit_um, (neurite, counted))
        true_voxels = skeleton[part.inner.slices]
        for name, (source, threshold) in sources.items():
            detected = source.levels.detected(source.read(part.read), threshold)
            _add(drawing.methods[name], thin(detected), part, unit_um, (neurite, counted))
            drawing.truth_inside[name] += int((true_voxels & detected[part.inner.slices]).sum())
        see(part.write)
    return drawing


def _add(
    lines: Lines, skeleton: Mask, part: Block, unit_um: Sequence[float], truth: tuple[Mask, Mask]
) -> None:
    """Add the inner part of a block's skeleton, with lengths measured in the whole block."""
    whole = skeleton_line(skeleton, unit_um)
    low, high = part.inner.start, part.inner.stop
    inside = np.asarray(((whole.points >= low) & (whole.points < high)).all(axis=1))
    line = whole.where(inside)
    at = tuple(line.points.astype(int).T)
    neurite, counted = (mask[at] for mask in truth)
    lines.parts.append(Line(line.points + part.read.start, line.lengths))
    lines.known.append(counted)
    lines.skeleton += int(counted.sum())
    lines.inside += int(neurite.sum())


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

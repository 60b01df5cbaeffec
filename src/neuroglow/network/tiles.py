"""The gate by tile: the tiles of a block that hold something, joined into boxes for the network.

Tiles are cut from the start of the region that is predicted, and a tile is judged by its own voxels
and few around them, so that it is open or closed whatever the blocks are. A closed tile has
probability 0 everywhere, even where a box of the network covers it.

A tile is judged twice. The gate (imaging/gate.py) closes it where nothing stands out from white
noise. Where noise is correlated, it cannot; there the network itself looks at the tile from afar:
at means over two voxels along each axis, which takes an eighth of the time for as large a box.
What it detects at full resolution is fainter from afar, but hardly ever invisible. This is done
for models for which it was measured (benchmarks/gate.py), which say so in their settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroglow.imaging.cells import hull
from neuroglow.imaging.gate import coarse, judge
from neuroglow.space.geometry import Block, Box, tile
from neuroglow.space.pyramid import halve
from neuroglow.space.volume import Array

__all__ = ["TILE", "Tiles", "count_tiles", "join", "margin", "open_tiles"]

TILE = 64
"""Voxels per axis of a tile; blocks are whole multiples of it."""

MARGIN = 8
"""Voxels around a tile in which something opens it too: a neurite next to it reaches into it."""

AFAR, NEAR = 16, 4
"""Voxels around a tile that are looked at from afar, and in which what is found opens the tile."""

EACH_RUN = 1_000_000
"""Voxels that cost as much as starting the network once more. For a new shape OpenVINO compiles its
graph: 0.2 CPU-s, the time of two million voxels in int8. About half of the shapes are new."""


@dataclass(frozen=True)
class Tiles:
    """The tiles of a block: those in which something stands out, and the others."""

    opened: tuple[Box, ...]
    closed: tuple[Box, ...] = ()

    @property
    def counts(self) -> Array:
        """Count the tiles of the block, and those that are skipped."""
        return np.array([len(self.opened) + len(self.closed), len(self.closed)])


Predict = Callable[[Array], Array]


def open_tiles(
    x: Array, block: Block, predict: Predict | None = None, least: float | None = None
) -> Tiles:
    """Find the tiles of a block that hold something; x: what the network is shown of block.read.

    predict: runs the network on a part of x. least: probability from afar that opens a tile; None:
    no tile is looked at from afar.
    """
    opened: list[Box] = []
    closed: list[Box] = []
    whole = _around(block.write, MARGIN, block)
    means = coarse(x[whole.slices])  # once, for tiles that overlap by their margins
    for part in tile(block.write, (TILE, TILE, TILE)):
        around = _around(part.write, MARGIN, block)
        found = judge(x[around.slices], means[_halved(around, whole)])
        if found == "something" and predict and least is not None:
            shows = _most_from_afar(x, part.write, block, predict) >= least
        else:
            shows = found != "nothing"
        (opened if shows else closed).append(part.write)
    return Tiles(tuple(opened), tuple(closed))


def margin(least: float | None) -> int:
    """Return how far open_tiles looks around what a block writes; least: as there."""
    return MARGIN if least is None else AFAR


def _most_from_afar(x: Array, box: Box, block: Block, predict: Predict) -> float:
    """Return the highest probability in a tile on means over two voxels along each axis."""
    seen, core = _around(box, AFAR, block), _around(box, NEAR, block)
    found = predict(halve(x[seen.slices], (2, 2, 2)))
    return float(found[_halved(core, seen)].max())


def _halved(box: Box, whole: Box) -> tuple[slice, ...]:
    """Index means over two voxels along each axis of a box with another one in it."""
    inside = box.relative_to(whole)
    ends = zip(inside.start, inside.stop, strict=True)
    return tuple(slice(a // 2, -(-b // 2)) for a, b in ends)


def _around(box: Box, margin: int, block: Block) -> Box:
    """Grow a box within what the block reads, relative to that; by an even number at its start."""
    grown = box.grow(margin).intersect(block.read)
    z, y, x = (b - (b - a) // 2 * 2 for a, b in zip(grown.start, box.start, strict=True))
    return Box((z, y, x), grown.stop).relative_to(block.read)


def join(tiles: Sequence[Box], reads: Callable[[Box], int]) -> list[Box]:
    """Join tiles into few boxes for which a network reads the least: cut where that saves voxels.

    reads: the voxels that are read for a box. The boxes do not overlap, and cover all tiles.
    """
    if not tiles:
        return []
    whole = hull(tiles)
    cuts = [(_cost(low, reads) + _cost(high, reads), low, high) for low, high in _cuts(tiles)]
    best = min(cuts, key=lambda cut: cut[0], default=None)
    if best is None or best[0] >= reads(whole) + EACH_RUN:
        return [whole]
    return join(best[1], reads) + join(best[2], reads)


def count_tiles(files: Iterable[Path]) -> dict[str, int]:
    """Add up the tiles of a run, from the files that its blocks wrote next to their projections."""
    total = np.zeros(2, np.int64)
    for file in files:
        with np.load(file) as parts:
            total += parts.get("tiles", 0)
    return {"total": int(total[0]), "skipped": int(total[1])}


def _cuts(tiles: Sequence[Box]) -> list[tuple[list[Box], list[Box]]]:
    """List the ways to part tiles by a plane."""
    found = []
    for axis in range(3):
        for at in sorted({box.start[axis] for box in tiles})[1:]:
            low = [box for box in tiles if box.start[axis] < at]
            found.append((low, [box for box in tiles if box.start[axis] >= at]))
    return found


def _cost(tiles: Sequence[Box], reads: Callable[[Box], int]) -> int:
    return reads(hull(tiles)) + EACH_RUN

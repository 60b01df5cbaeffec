"""Which blocks of a volume are examined: a seeded sample in tissue, spread over depth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, ReadError
from neuroglow.imaging.noise_units import measure_cell
from neuroglow.selection.tissue import tissue_level
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Volume

__all__ = ["Sample", "draw_sample"]

CANDIDATES = 4
"""Number of candidate blocks per block of the sample; only a small box of each is read."""

GLANCE = 32
"""Side of that box, in voxels."""


@dataclass(frozen=True)
class Sample:
    """Blocks of a volume (boxes of voxels), in the order z, y, x.

    whole: the blocks cover the whole volume, and are not a sample.
    """

    blocks: tuple[Box, ...]
    whole: bool


def draw_sample(volume: Volume, *, block: int, count: int, seed: int) -> Sample:
    """Draw blocks of about `block` voxels per axis, spread over the volume, z first.

    Only a box in the middle of each candidate is read. Candidates outside tissue (by the rule of
    `survey`), or in which nothing varies, are left out. Raises InputError if nothing varies
    anywhere.
    """
    grid = _grid(volume.shape, block)
    total = int(np.prod(grid))
    rng = np.random.default_rng([seed, 0])
    numbers = _one_of_each(rng, np.arange(total), min(total, CANDIDATES * count))
    boxes = [_tile(volume.shape, grid, int(number)) for number in numbers]
    inside = np.flatnonzero(_in_tissue(volume, boxes))
    if not len(inside):
        raise InputError(
            "a volume must have some contrast for neurites to be found in it",
            found=f"a single value in all {len(boxes)} boxes that were read",
            where=volume.name,
        )
    chosen = _one_of_each(rng, inside, min(count, len(inside)))
    blocks = tuple(boxes[int(i)] for i in chosen)
    return Sample(blocks, whole=len(blocks) == total)


def _grid(shape: Zyx, block: int) -> Zyx:
    z, y, x = (max(1, round(n / block)) for n in shape)
    return z, y, x


def _tile(shape: Zyx, grid: Zyx, number: int) -> Box:
    """Return one of the tiles that divide a volume evenly."""
    at = np.unravel_index(number, grid)
    (a, b, c), (d, e, f) = (
        tuple(int(n * (i + end) // g) for n, i, g in zip(shape, at, grid, strict=True))
        for end in (0, 1)
    )
    return Box((a, b, c), (d, e, f))


def _one_of_each(
    rng: np.random.Generator, items: NDArray[np.int64], count: int
) -> NDArray[np.int64]:
    """Cut a list into runs of equal length, and draw one element of each."""
    edges = np.linspace(0, len(items), count + 1).astype(int)
    picks = [int(rng.integers(a, b)) for a, b in pairwise(edges)]
    return items[picks]


def _in_tissue(volume: Volume, boxes: list[Box]) -> NDArray[np.bool_]:
    cells = np.array([_glance(volume, box) for box in boxes])
    background, noise, varies = cells.T
    level = tissue_level(background, noise) if len(boxes) > 1 else -np.inf
    return np.asarray((varies > 0) & (background > level))


def _glance(volume: Volume, box: Box) -> tuple[float, float, float]:
    """Measure the middle of a block: background, noise, and whether anything varies in it."""
    middle = [(a + b) // 2 for a, b in zip(box.start, box.stop, strict=True)]
    half = GLANCE // 2
    start, stop = [m - half for m in middle], [m + half for m in middle]
    small = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])).intersect(box)
    try:
        voxels = volume.read(small)
    except ReadError:
        return float("nan"), float("nan"), 0.0
    background, noise = measure_cell(voxels)
    known = voxels[np.isfinite(voxels)]
    return background, noise, float(known.size > 0 and known.max() > known.min())

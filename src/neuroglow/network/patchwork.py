"""DB-Enhance's tiling: patches of 120 voxels that overlap by 10 and are averaged there.

It reproduces the original numbers, seams included (dataset/generatePatches.py): the patches have
the same positions, some twice, and outside the volume the voxels at its faces are repeated. A
block computes each patch that reaches into it, so patches at block faces are computed repeatedly.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.network.db_enhance_facts import OVERLAP, PATCH
from neuroglow.network.enhance import EnhanceBlock, Parts, run_alone
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Array

if TYPE_CHECKING:
    from neuroglow.network.engine import Engine
    from neuroglow.network.seen import Seen
    from neuroglow.network.tiles import Tiles

__all__ = ["PatchworkBlock", "average", "patch_starts", "plan_patchwork", "read_patch"]

BYTES_PER_VOXEL = 24
"""Peak memory of a block: sum in float64, probability, grey levels, picture."""

Start = tuple[int, int, int]


def patch_starts(size: int, patch: int = PATCH, overlap: int = OVERLAP) -> list[int]:
    """Return the starts of the patches along an axis, in DB-Enhance's order.

    The last one is moved back to end at the face: one may therefore occur twice, or start below 0.
    """
    starts = list(range(0, size, patch - overlap))
    starts[-1] = size - patch
    return starts


def read_patch(read: Callable[[Box], Array], shape: Zyx, start: Start, patch: int) -> Array:
    """Read a cubic patch; outside the volume (of this shape) it repeats the voxels at the faces."""
    whole = Box.of((patch,) * 3).shift(start)
    inside = whole.intersect(Box.of(shape))
    pad = [
        (i - a, b - j)
        for a, b, i, j in zip(whole.start, whole.stop, inside.start, inside.stop, strict=True)
    ]
    return np.pad(read(inside), pad, mode="edge")


def average(
    predict: Callable[[Start], Array], shape: Zyx, block: Box, *, patch: int, overlap: int
) -> NDArray[np.float64]:
    """Average the patches of a volume (zyx) in a block of it.

    predict: returns the result of a patch from its start. A patch that occurs twice counts twice.
    """
    axes = [Counter(patch_starts(size, patch, overlap)) for size in shape]
    total = np.zeros(block.shape)
    for start, times in _reaching(axes, block, patch):
        inside = Box.of((patch,) * 3).shift(start).intersect(block)
        part = predict(start)[inside.relative_to(_corner(start)).slices]
        total[inside.relative_to(block).slices] += times * part.astype(np.float64)
    for axis, starts in enumerate(axes):
        counts = _coverage(starts, patch, block.start[axis], block.stop[axis])
        total /= counts.reshape([-1 if a == axis else 1 for a in range(3)])
    return total


def plan_patchwork(
    roi: Box, shape: Zyx, *, unit: int, voxels: int, longest: int = 512
) -> Zyx | None:
    """Choose the block shape, in multiples of `unit`, that needs the fewest patches.

    None if even the smallest has more than the allowed number of voxels.
    """
    costs: list[dict[int, int]] = []
    for axis, size in enumerate(roi.shape):
        starts = set(patch_starts(shape[axis]))
        sides = range(unit, min(longest, -(-size // unit) * unit) + 1, unit)
        costs.append({side: _patches(roi, axis, side, starts) for side in sides})
    possible: list[tuple[int, Zyx]] = []
    for z, y, x in itertools.product(*costs):
        if math.prod(min(side, n) for side, n in zip((z, y, x), roi.shape, strict=True)) <= voxels:
            possible.append((costs[0][z] * costs[1][y] * costs[2][x], (z, y, x)))
    return min(possible)[1] if possible else None


@dataclass(frozen=True)
class PatchworkBlock(EnhanceBlock):
    """The work on one block in DB-Enhance's tiling; as there, values are truncated, not rounded."""

    patch: int = PATCH
    overlap: int = OVERLAP

    def predict(self, runner: Engine, seen: Seen, tiles: Tiles) -> Parts:
        """Return a block, and the average of the patches that reach into it (float64 in 0..1)."""
        shape, block = self.source.shape, seen.block

        def one(start: Start) -> Array:
            part = read_patch(lambda box: self.normalised(runner, box)[1], shape, start, self.patch)
            return run_alone(runner, part, views=self.views)

        found = average(one, shape, block.write, patch=self.patch, overlap=self.overlap)
        return [(block.write, found)]

    def as_dtype(self, probability: Array, dtype: np.dtype[Any]) -> Array:
        """Cast as DB-Enhance does: np.uint8(255 * probability)."""
        return (probability * 255 if dtype == np.uint8 else probability).astype(dtype)


def _reaching(axes: Sequence[Counter[int]], block: Box, patch: int) -> Iterator[tuple[Start, int]]:
    """Return the patches that reach into a block, and how often each occurs."""
    near = [
        [(s, n) for s, n in starts.items() if s < stop and s + patch > begin]
        for starts, begin, stop in zip(axes, block.start, block.stop, strict=True)
    ]
    for (z, a), (y, b), (x, c) in itertools.product(*near):
        yield (z, y, x), a * b * c


def _coverage(starts: Counter[int], patch: int, begin: int, stop: int) -> NDArray[np.int64]:
    """Count the patches over each voxel of an axis, from begin to stop."""
    counts = np.zeros(stop - begin, np.int64)
    for start, times in starts.items():
        counts[max(0, start - begin) : max(0, start + patch - begin)] += times
    return counts


def _corner(start: Start) -> Box:
    return Box(start, start)


def _patches(roi: Box, axis: int, side: int, starts: set[int]) -> int:
    """Count the patches along an axis that blocks of this side compute in total."""
    begin, stop = roi.start[axis], roi.stop[axis]
    ends = ((a, min(a + side, stop)) for a in range(begin, stop, side))
    return sum(s < b and s + PATCH > a for a, b in ends for s in starts)

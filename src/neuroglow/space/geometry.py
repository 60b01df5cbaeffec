"""Boxes, blocks and the only halo arithmetic of the package.

Everything is zyx, in voxels, half-open.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

from neuroglow.errors import SettingsError

__all__ = [
    "Block",
    "Blocks",
    "Box",
    "Roi",
    "Zyx",
    "box_text",
    "count_blocks",
    "most_read",
    "parse_box",
    "plan_block_shape",
    "tile",
    "voxels_read",
]

Zyx = tuple[int, int, int]


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A half-open box of voxels: `start` is inside, `stop` is not."""

    start: Zyx
    stop: Zyx

    @classmethod
    def of(cls, shape: Sequence[int]) -> Box:
        """Return the box of a whole volume of this shape."""
        z, y, x = shape
        return cls((0, 0, 0), (int(z), int(y), int(x)))

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x; zero where the box is empty."""
        z, y, x = (max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def size(self) -> int:
        """Number of voxels."""
        z, y, x = self.shape
        return z * y * x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index an array with this box."""
        (z, y, x), (c, b, a) = self.start, self.stop
        return slice(z, c), slice(y, b), slice(x, a)

    def intersect(self, other: Box) -> Box:
        """Return the part that both boxes cover (possibly empty)."""
        (z, y, x), (k, j, i) = self.start, other.start
        (c, b, a), (f, e, d) = self.stop, other.stop
        return Box((max(z, k), max(y, j), max(x, i)), (min(c, f), min(b, e), min(a, d)))

    def contains(self, other: Box) -> bool:
        """Return whether the other box lies wholly inside this one."""
        return self.intersect(other) == other

    def without(self, inner: Box) -> list[Box]:
        """Cut what lies around a box inside this one into boxes that do not overlap."""
        found, left = [], self
        for axis in range(3):
            low, high = list(left.stop), list(left.start)
            low[axis], high[axis] = inner.start[axis], inner.stop[axis]
            found += [Box(left.start, _zyx(low)), Box(_zyx(high), left.stop)]
            left = Box(
                _zyx(inner.start[a] if a == axis else n for a, n in enumerate(left.start)),
                _zyx(inner.stop[a] if a == axis else n for a, n in enumerate(left.stop)),
            )
        return [box for box in found if box.size]

    def shift(self, by: Sequence[int]) -> Box:
        """Move the box by so many voxels."""
        (z, y, x), (c, b, a), (k, j, i) = self.start, self.stop, map(int, by)
        return Box((z + k, y + j, x + i), (c + k, b + j, a + i))

    def relative_to(self, origin: Box) -> Box:
        """Return the same box with the start of `origin` as zero."""
        return self.shift([-a for a in origin.start])

    def grow(self, halo: int, *, align: int = 1) -> Box:
        """Widen the box by the halo, then outward to multiples of `align`."""
        start = _zyx((a - halo) // align * align for a in self.start)
        stop = _zyx(-(-(b + halo) // align) * align for b in self.stop)
        return Box(start, stop)

    def __str__(self) -> str:
        return ",".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True))


@dataclass(frozen=True, slots=True, order=True)
class Block:
    """One unit of work: the box that is read, and the part of it that is written."""

    index: int
    read: Box
    write: Box

    @property
    def inner(self) -> Box:
        """The write box, counted from the start of the read box."""
        return self.write.relative_to(self.read)


@dataclass(frozen=True)
class Blocks(Sequence[Block]):
    """Blocks that write each voxel of a box exactly once, computed by index and never listed.

    roi: the box that is written. shape: of what a block writes, fewer at the far faces. halo,
    align, bounds: of what it reads (see tile). numbers: of the blocks that this part of them has.
    """

    roi: Box
    shape: Zyx
    halo: int
    align: int
    bounds: Box
    numbers: range

    @cached_property
    def grid(self) -> Zyx:
        """Blocks along z, y and x, of all parts together."""
        return _zyx(-(-n // s) for n, s in zip(self.roi.shape, self.shape, strict=True))

    @property
    def voxels(self) -> int:
        """How many are written; of a part, its share."""
        return self.roi.size * len(self.numbers) // (math.prod(self.grid) or 1)

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> Block: ...
    @overload
    def __getitem__(self, at: slice) -> Blocks: ...
    def __getitem__(self, at: int | slice) -> Block | Blocks:
        if isinstance(at, slice):
            return replace(self, numbers=self.numbers[at])
        return self.at(self.numbers[at])

    def __iter__(self) -> Iterator[Block]:
        return map(self.at, self.numbers)

    def at(self, index: int) -> Block:
        """Return a block by its own number."""
        _, rows, columns = self.grid
        (z, y, x), (a, b, c), (d, e, f) = self.roi.start, self.shape, self.roi.stop
        z += index // (rows * columns) * a
        y += index // columns % rows * b
        x += index % columns * c
        write = Box((z, y, x), (min(z + a, d), min(y + b, e), min(x + c, f)))
        if not self.halo and self.align == 1:
            return Block(index, write, write)
        read = write.grow(self.halo, align=self.align).intersect(self.bounds)
        return Block(index, read, write)


Roi = str | Box | Sequence[slice]
"""A region: `Z0:Z1,Y0:Y1,X0:X1`, a box, or three slices as `numpy.s_` makes them."""


def tile(
    roi: Box, block_shape: Zyx, *, halo: int = 0, align: int = 1, within: Box | None = None
) -> Blocks:
    """Cut `roi` into blocks that write each of its voxels exactly once.

    roi: the box to write; the blocks' grid starts at its start.
    block_shape: zyx voxels that a block writes (fewer at the far faces).
    halo: voxels read around the written box, on each side.
    align: read boxes start and stop at multiples of this, counted from the volume's
        origin, or at the volume's faces, so that a strided network sees the same grid
        of voxels in every block.
    within: the whole volume; read boxes never leave it. Default: the roi.

    Raises SettingsError if a number is too small, or if the roi leaves the volume.
    """
    bounds = roi if within is None else within
    if min(block_shape) < 1 or halo < 0 or align < 1:
        raise SettingsError(
            "a block has at least one voxel, and a halo is not negative",
            found=f"block {block_shape}, halo {halo}, align {align}",
        )
    if roi.size and not bounds.contains(roi):
        raise SettingsError("a region must lie inside its volume", found=f"{roi} in {bounds}")
    blocks = Blocks(roi, block_shape, halo, align, bounds, range(0))
    return replace(blocks, numbers=range(math.prod(blocks.grid)))


def plan_block_shape(
    roi: Box,
    *,
    halo: int,
    unit: int,
    voxels: int,
    written: float = 0.0,
    within: Box | None = None,
    longest: int = 512,
) -> Zyx | None:
    """Choose the block shape, in multiples of `unit`, that reads the fewest voxels in total.

    No block reads more than `voxels`, to which each voxel that it writes adds `written`; voxels in
    overlapping halos count repeatedly. Among equal shapes, the one whose blocks read least. None if
    not even the smallest fits.
    """
    bounds = roi if within is None else within
    sides = [range(unit, min(longest, -(-n // unit) * unit) + 1, unit) for n in roi.shape]
    costs: list[tuple[int, int, Zyx]] = []
    reads = [
        {side: _reads(roi, bounds, axis, side, halo) for side in sides[axis]} for axis in range(3)
    ]
    for shape in itertools.product(*sides):
        (z, a), (y, b), (x, c) = (lengths[side] for lengths, side in zip(reads, shape, strict=True))
        writes = math.prod(min(side, n) for side, n in zip(shape, roi.shape, strict=True))
        if a * b * c + written * writes <= voxels:
            costs.append((z * y * x, a * b * c, _zyx(shape)))
    return min(costs)[2] if costs else None


def count_blocks(shape: Sequence[int], block_shape: Zyx) -> int:
    """Count the blocks of a box of this shape."""
    return math.prod(-(-n // side) for n, side in zip(shape, block_shape, strict=True))


def voxels_read(roi: Box, block_shape: Zyx, *, halo: int, within: Box) -> int:
    """Count the voxels that blocks of this shape read in total, those in halos repeatedly."""
    z, y, x = (_reads(roi, within, axis, block_shape[axis], halo)[0] for axis in range(3))
    return z * y * x


def most_read(roi: Box, block_shape: Zyx, *, halo: int, within: Box) -> int:
    """Return the most voxels that one block of this shape reads."""
    return math.prod(_reads(roi, within, axis, block_shape[axis], halo)[1] for axis in range(3))


def _reads(roi: Box, bounds: Box, axis: int, side: int, halo: int) -> tuple[int, int]:
    """Return the voxels that blocks of this side read along one axis: in total, and at most."""
    first, last = roi.start[axis], roi.stop[axis]
    low, high = bounds.start[axis], bounds.stop[axis]
    count = -(-(last - first) // side)
    inner = range(
        max(0, -(-(low + halo - first) // side)),
        min(count, (min(last, high - halo) - first) // side),
    )  # those that read a whole halo on both sides
    outer = [*range(min(inner.start, count)), *range(max(inner.start, inner.stop), count)]
    lengths = [
        min(min(start + side, last) + halo, high) - max(start - halo, low)
        for start in (first + side * i for i in outer)
    ]
    if inner:
        lengths.append(side + 2 * halo)
    repeated = max(0, len(inner) - 1) * (side + 2 * halo)
    return sum(lengths) + repeated, max(lengths)


def parse_box(text: str, shape: Zyx, where: str = "--roi") -> Box:
    """Read `Z0:Z1,Y0:Y1,X0:X1`; an empty end means the volume's own.

    where: it was given, for messages.
    Raises SettingsError if the text does not have that form, or leaves the volume.
    """
    wrong = SettingsError(
        "a region is written Z0:Z1,Y0:Y1,X0:X1 in voxels, inside the volume, not empty",
        found=repr(text),
        where=where,
        cure=f"the volume is {Box.of(shape)}",
    )
    axes = [axis.split(":") for axis in text.split(",")]
    if len(axes) != 3 or any(len(axis) != 2 for axis in axes):
        raise wrong
    try:
        start = _zyx(int(a) if a.strip() else 0 for a, _ in axes)
        stop = _zyx(int(b) if b.strip() else n for (_, b), n in zip(axes, shape, strict=True))
    except ValueError:
        raise wrong from None
    box = Box(start, stop)
    if not box.size or not Box.of(shape).contains(box):
        raise wrong
    return box


def box_text(roi: Any) -> Any:
    """Convert a box, or three slices, to the text that parse_box reads; keep other values.

    Raises SettingsError for slices that skip voxels, or count from the end.
    """
    if isinstance(roi, Box):
        return str(roi)
    if not (isinstance(roi, Sequence) and roi and all(isinstance(part, slice) for part in roi)):
        return roi
    for part in roi:
        if part.step not in (None, 1) or any(end is not None and end < 0 for end in _ends(part)):
            raise SettingsError(
                "slices of a region must take every voxel, and count from the start",
                found=repr(part),
                where="roi",
                cure="slice(start, stop), for example numpy.s_[0:64, :, 32:96]",
            )
    return ",".join(":".join("" if n is None else str(n) for n in _ends(part)) for part in roi)


def _ends(part: slice) -> tuple[Any, Any]:
    return part.start, part.stop


def _zyx(numbers: Iterable[int]) -> Zyx:
    z, y, x = numbers
    return int(z), int(y), int(x)

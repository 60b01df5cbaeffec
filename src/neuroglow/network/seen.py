"""What a block's work sees: the voxels it reads, converted to the network's input where needed.

Voxels are read once. The gate needs what is written and little around it; the halo of the network
is converted only where the network runs.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.cells import hull
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.space.geometry import Block, Box, Zyx
from neuroglow.space.volume import Array

__all__ = ["Seen", "kept_array", "see"]

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass
class Seen:
    """A block as it is read, in the network's input.

    x: what is written of it. mask: which voxels of that are masked; None: none are. shown: all of
    it, as a network is shown it, with values where it was converted. rest: converts a box more.
    """

    block: Block
    x: Floats
    mask: Bools | None
    shown: Floats
    rest: _Rest | None = None

    def around(self, boxes: Sequence[Box]) -> Floats:
        """Return what a network is shown of the block, complete in these boxes of the volume."""
        if self.rest:
            for part in self.block.read.without(self.rest.near):
                wanted = [both for box in boxes if (both := box.intersect(part)).size]
                if wanted:
                    self.rest.convert(hull(wanted), self.shown)
            self.rest = None  # the grey levels are not needed any more
        return self.shown


@dataclass(frozen=True)
class _Rest:
    """Grey levels of a block, of which a box is converted already."""

    units: NoiseUnits
    voxels: Array
    read: Box
    near: Box

    def convert(self, box: Box, shown: Floats) -> None:
        """Convert a box more."""
        part = box.relative_to(self.read).slices
        filled, mask = self.units.convert_filled(self.voxels[part], box, shown[part], looks=False)
        if mask is not None:
            shown[part] = filled


class _Kept(threading.local):
    """Memory that each thread keeps from block to block, by its use and type: it is taken once."""

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, np.dtype[Any]], Array] = {}


_kept = _Kept()


def kept_array(use: str, shape: Zyx, dtype: np.dtype[Any]) -> Array:
    """Return an array of any content, until the next call in this thread for the same use."""
    size, key = math.prod(shape), (use, dtype)
    if key not in _kept.arrays or _kept.arrays[key].size < size:
        _kept.arrays.pop(key, None)  # freed before more is taken
        _kept.arrays[key] = np.empty(size, dtype)
    return _kept.arrays[key][:size].reshape(shape)


def see(units: NoiseUnits, block: Block, margin: int) -> Seen:
    """Read a block, and convert to noise units what is written and a margin around that.

    What was seen before in this thread is overwritten.
    """
    voxels = units.read_grey(block.read)
    near = block.write.grow(margin).intersect(block.read)
    shown = kept_array("seen", block.read.shape, np.dtype(np.float32))
    part = near.relative_to(block.read).slices
    x, written = shown[part], block.write.relative_to(near).slices
    filled, mask = units.convert_filled(voxels[part], near, x)
    rest = _Rest(units, voxels, block.read, near) if near != block.read else None
    if mask is None:
        return Seen(block, x[written], None, shown, rest)
    seen = Seen(block, x[written].copy(), mask[written], shown, rest)
    shown[part] = filled
    return seen

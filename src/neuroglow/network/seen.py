"""What a block's work sees: the voxels it reads, converted to the network's input where needed.

Voxels are read once. The gate needs what is written and little around it; the halo of the network
is converted only where the network runs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.cells import hull
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.space.geometry import Block, Box
from neuroglow.space.volume import Array

__all__ = ["Seen", "see"]

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
    """An array that each thread keeps from block to block: its memory is taken once."""

    voxels: Floats = np.empty(0, np.float32)


_kept = _Kept()


def _kept_array(box: Box) -> Floats:
    """Return an array for a box, of any content; the next call in this thread takes it back."""
    if _kept.voxels.size < box.size:
        _kept.voxels = np.empty(0, np.float32)  # freed before more is taken
        _kept.voxels = np.empty(box.size, np.float32)
    return _kept.voxels[: box.size].reshape(box.shape)


def see(units: NoiseUnits, block: Block, margin: int) -> Seen:
    """Read a block, and convert to noise units what is written and a margin around that.

    What was seen before in this thread is overwritten.
    """
    voxels = units.read_grey(block.read)
    near = block.write.grow(margin).intersect(block.read)
    shown = _kept_array(block.read)
    part = near.relative_to(block.read).slices
    x, written = shown[part], block.write.relative_to(near).slices
    filled, mask = units.convert_filled(voxels[part], near, x)
    rest = _Rest(units, voxels, block.read, near) if near != block.read else None
    if mask is None:
        return Seen(block, x[written], None, shown, rest)
    seen = Seen(block, x[written].copy(), mask[written], shown, rest)
    shown[part] = filled
    return seen

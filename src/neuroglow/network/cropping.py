"""What a decoder computes for the middle of a box: only what its answer there depends on.

A network reads a halo around the voxels that are kept. Its encoder must see all of it; its decoder,
which works at the finest levels and costs most memory, need not answer there.
"""

from __future__ import annotations

from neuroglow.space.geometry import Box

__all__ = ["LEVEL_HALO", "decoded"]

LEVEL_HALO = 1
"""Cells, at its own level, around what a convolution of the decoder must answer exactly."""


def decoded(inner: Box, whole: Box, levels: int) -> list[Box]:
    """Return the box (voxels) of each level of a decoder, finest first, with strides 2, 4, 8 ...

    A level consists of one convolution of three cells per axis; the finest is followed by another,
    the head. Each box holds all on which `inner` depends, and is a multiple of the next stride.
    """
    boxes: list[Box] = []
    needed = inner.grow(2 * LEVEL_HALO)  # by the head
    for level in range(levels):
        stride = 2 ** (level + 1)
        needed = needed.grow(stride * LEVEL_HALO, align=2 * stride).intersect(whole)
        boxes.append(needed)
    return boxes

"""Whether volumes belong together: the same shape, and the same voxel size where it is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroglow.errors import InputError
from neuroglow.space.volume import Volume, VoxelSize

__all__ = ["check_alike", "check_one_shape", "same_size", "size_text"]

SAME_SIZE = 0.01
"""Relative difference of voxel sizes that is accepted: files round them."""


def check_alike(volumes: Sequence[Volume], names: str, *, cure: str) -> None:
    """Refuse volumes of different shapes, or with known voxel sizes that differ.

    names: their common name in messages (`probability and raw image`).
    cure: for different shapes. Raises InputError that names the first that differs.
    """
    for other in volumes[1:]:
        check_one_shape(volumes[0], other, f"{names} have one shape", cure=cure)
    sized = [(v, v.voxel_size_um) for v in volumes if v.voxel_size_um]
    for other, size in sized[1:]:
        first, expected = sized[0]
        if expected and size and not same_size(expected, size):
            raise InputError(
                f"{names} have the same voxel size",
                found=f"{size_text(size)}, but {size_text(expected)} in {first.name}",
                where=other.name,
                cure="--voxel-size Z,Y,X, if the metadata is wrong",
            )


def check_one_shape(first: Volume, other: Volume, rule: str, *, cure: str) -> None:
    """Refuse a volume of another shape than the first. Raises InputError."""
    if other.shape != first.shape:
        raise InputError(
            rule,
            found=f"{other.shape}, but {first.shape} in {first.name}",
            where=other.name,
            cure=cure,
        )


def same_size(one: VoxelSize, other: VoxelSize) -> bool:
    """Tell whether two voxel sizes are the same, but for rounding."""
    return bool(np.allclose(one, other, rtol=SAME_SIZE))


def size_text(size: VoxelSize) -> str:
    """Write a voxel size: `2 x 0.5 x 0.5 um`."""
    return " x ".join(f"{v:g}" for v in size) + " um"

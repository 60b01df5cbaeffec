"""The values in a volume, which tell whether it is a mask, a legend or a probability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.space.geometry import Box, tile
from neuroglow.space.label_values import FEW
from neuroglow.space.volume import Array, Volume, check_finite

__all__ = ["Census", "See", "take_census"]

See = Callable[[Box], object]
"""Called with each box that was worked on."""
"""Called with each box that has been worked on."""


@dataclass(frozen=True)
class Census:
    """Distinct values of a volume: all if at most FEW, otherwise the FEW lowest and the highest."""

    values: tuple[float, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, voxels: Array) -> Census:
        """Collect the values of an array."""
        return cls(_shortened(np.unique(voxels).astype(float).tolist()), voxels.dtype)

    def __or__(self, other: Census) -> Census:
        """Combine two censuses."""
        values = _shortened(sorted({*self.values, *other.values}))
        return Census(values, np.promote_types(self.dtype, other.dtype))

    @property
    def is_few(self) -> bool:
        """Return whether these are all values."""
        return len(self.values) <= FEW

    @property
    def is_mask(self) -> bool:
        """Return whether there is at most one value besides 0."""
        return len({*self.values} - {0.0}) <= 1


def _shortened(values: list[float]) -> tuple[float, ...]:
    return tuple(values) if len(values) <= FEW else (*values[:FEW], values[-1])


def take_census(volume: Volume, block: int, see: See) -> Census:
    """Collect the values of a volume, block by block.

    Raises ReadError for a value that is not finite.
    """
    found = Census((), volume.dtype)
    for part in tile(Box.of(volume.shape), (block,) * 3):
        voxels = volume.read(part.read)
        check_finite(voxels, volume, part.read)
        found |= Census.of(voxels)
        see(part.write)
    return found

"""The values in a volume, which tell whether it is a mask, a legend or a probability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.labels.label_values import FEW
from neuroglow.space.geometry import Block, Box
from neuroglow.space.volume import Array, Volume, check_finite

__all__ = ["Census", "CensusBlock", "See", "add_censuses"]

See = Callable[[Box], object]
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


@dataclass(frozen=True)
class CensusBlock:
    """Collect the values of a block. Raises ReadError for a value that is not finite."""

    volume: Volume

    def __call__(self, block: Block) -> dict[str, Array]:
        """Read, check, collect."""
        voxels = self.volume.read(block.read)
        check_finite(voxels, self.volume, block.read)
        return {"values": np.array(Census.of(voxels).values, np.float64)}


def add_censuses(found: Iterable[Mapping[str, Array]], volume: Volume) -> Census:
    """Combine what CensusBlock found in the blocks of a volume."""
    whole = Census((), volume.dtype)
    for one in found:
        whole |= Census(tuple(one["values"].tolist()), volume.dtype)
    return whole

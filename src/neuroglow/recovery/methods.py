"""The methods of a trial: a model, and methods without a network, all on the same blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.ridges import ridges
from neuroglow.metrics.counts import Levels
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array

if TYPE_CHECKING:
    from neuroglow.network.engine import Engine

__all__ = ["FILTERS", "Method", "ModelMethod", "filter_methods"]

Floats = NDArray[np.float32]

FILTERS = ("raw", "noise units", "Sato")
"""The methods without a network, the same as in `evaluate`."""


PROBABILITY = Levels(0, 1, 1001)


class Method(Protocol):
    """Assigns a score to each voxel."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    @property
    def levels(self) -> Levels:
        """The score levels that are distinguished."""

    @property
    def threshold(self) -> float | None:
        """Its own threshold, if it has one."""

    def score(self, voxels: Array, box: Box) -> Floats:
        """Score voxels (zyx, grey levels) that lie at `box`, or replace it in a trial."""


@dataclass(frozen=True)
class ModelMethod:
    """A network. units: of the unchanged volume, so that a trial is normalised like the volume."""

    name: str
    runner: Engine
    units: NoiseUnits
    threshold: float | None
    levels: Levels = PROBABILITY

    def score(self, voxels: Array, box: Box) -> Floats:
        """Predict a block."""
        normalisation = self.runner.normalisation
        if normalisation.kind == "fixed":
            return self.runner.probability(normalisation.normalise(voxels))
        return self.runner.probability(self.units.convert(voxels, box))


def filter_methods(units: NoiseUnits, bounds: tuple[float, float]) -> list[Method]:
    """Return the methods without a network; bounds: grey levels below and above the volume's."""
    kind = units.volume.dtype
    if kind.kind in "iu" and kind.itemsize <= 2:
        low, high = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
        grey = Levels(low, high, int(high - low) + 1)
    else:
        grey = Levels(bounds[0], max(bounds[1], bounds[0] + 1e-30), 65536)
    return [
        _Filter("raw", units, grey),
        _Filter("noise units", units, Levels(-2.5, 12.5, 3001)),
        _Filter("Sato", units, Levels(0, 8, 3201)),
    ]


@dataclass(frozen=True)
class _Filter:
    name: str
    units: NoiseUnits
    levels: Levels
    threshold: float | None = None

    def score(self, voxels: Array, box: Box) -> Floats:
        if self.name == "raw":
            return np.nan_to_num(voxels.astype(np.float32), nan=self.levels.low)
        x = self.units.convert(voxels, box)
        return ridges(x) if self.name == "Sato" else x

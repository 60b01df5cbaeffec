"""Searches for somata in what a trace reads: the raw image, where it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.skeleton.bodies import Body, BodySearch
from neuroglow.skeleton.somata import SMALL
from neuroglow.skeleton.tracer import Rules
from neuroglow.space.geometry import Box
from neuroglow.space.tissue_mask import TissueMask
from neuroglow.space.volume import Volume
from neuroglow.trace.source import Source

__all__ = ["Searches"]

Floats = NDArray[np.float32]

TIMES_NOISE = (64.0, 32.0, 16.0, 8.0, 4.0)
"""Levels, in noise above the background, at which bodies are searched for."""


@dataclass(frozen=True)
class Glow:
    """The raw image less its background, over its noise, read by box."""

    units: NoiseUnits
    within: TissueMask | None

    def __call__(self, box: Box) -> Floats:
        """Read a box (zyx, float32)."""
        glow = np.sinh(self.units.read(box))
        if self.within:
            glow[~self.within.read(box)] = 0
        return glow


@dataclass(frozen=True)
class Searches:
    """Searches whose bodies are somata, the surest first."""

    searches: Sequence[BodySearch]

    @classmethod
    def of(cls, source: Source, rules: Rules) -> Searches:
        """Return those that a source allows."""
        unit, least = np.asarray(source.unit_um, np.float64), SMALL * rules.soma
        if source.units is None or not rules.soma:
            return cls(())
        begin = partial(_glow, source.units.volume, source.within)
        return cls((BodySearch(begin, TIMES_NOISE, source.shape, unit, least),))

    def __call__(self, places: NDArray[np.float64]) -> list[Body]:
        """Find the bodies near places (n, 3; voxels zyx)."""
        found: list[Body] = []
        for search in self.searches:
            more = search.near(places)
            found += [b for b in more if not any(b.overlaps(other) for other in found)]
        return found


def _glow(volume: Volume, within: TissueMask | None) -> Glow:
    """Return what reads the raw image, which holds nothing yet."""
    return Glow(NoiseUnits(volume), within)

"""Searches for somata in what a trace reads: the raw image, or else the probability."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.runs.tissue_mask import TissueMask
from neuroglow.skeleton.bodies import Body, BodySearch
from neuroglow.skeleton.middles import ReadBox
from neuroglow.skeleton.somata import SMALL
from neuroglow.skeleton.tracer import Rules
from neuroglow.skeleton.widened import widened
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.volume import Volume
from neuroglow.trace.source import Source

__all__ = ["Searches"]

Floats = NDArray[np.float32]

TIMES_NOISE = (64.0, 16.0, 4.0)
"""Levels, in noise above the background, at which bodies are searched for."""

FAINT, CRACK, VEILED, LINES = 0.04, 0.4, 0.96, 4
"""Of a model that suppresses somata: share of the upper threshold that their voxels reach; half the
width of the cracks between those, and the least radius of what they fill, over that of a soma; and
how many lines run to one."""

SKIN = 0.85
"""Share of a body's skin, of half a crack's width, that reaches the level: somata have 0.9 and
more, crowded neurites with closed cracks between them mostly 0.4 to 0.8."""


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
class Veil:
    """Where a probability is not quite 0: 1, read by box; cracks are closed.

    level: of the probability. unit_um: size of a voxel. crack: half the width of cracks, um.
    """

    probability: ReadBox
    shape: Zyx
    unit_um: NDArray[np.float64]
    level: float
    crack: float

    def __call__(self, box: Box) -> Floats:
        """Read a box (zyx, float32, 0 or 1)."""
        halves = np.floor(self.crack / self.unit_um).astype(np.int64).tolist()
        wide = box.grow(4 * max(halves)).intersect(Box.of(self.shape))
        seen = self.probability(wide) >= self.level
        if not seen.any():
            return np.zeros(box.shape, np.float32)
        closed = ~_widened(~_widened(seen, halves), halves)
        return closed[box.relative_to(wide).slices].astype(np.float32)

    def covers(self, body: Body) -> bool:
        """Return whether a body is more than neurites with closed cracks between them.

        Its skin reaches the level nearly everywhere; a soma may be dark inside.
        """
        z, y, x = np.rint(body.centre / self.unit_um).astype(np.int64).tolist()
        reach = int(body.reach / self.unit_um.min()) + 1
        box = Box((z, y, x), (z + 1, y + 1, x + 1)).grow(reach).intersect(Box.of(self.shape))
        some = np.indices(box.shape)[:, ::2, ::2, ::2].reshape(3, -1).T  # tells as much as all
        places = some + box.start
        deep = body.depths(places * self.unit_um)
        skin = (deep >= self.crack / 4) & (deep < self.crack * 5 / 4)
        seen = self.probability(box)[tuple(some[skin].T)] >= self.level
        return bool(seen.size and seen.mean() >= SKIN)


def _widened(mask: NDArray[np.bool_], by: Sequence[int]) -> NDArray[np.bool_]:
    """Widen a mask by about a ball: by a cube of half the radius, then by a cross."""
    halves = [half // 2 for half in by]
    for axis, half in enumerate(halves):
        mask = widened(mask, half, axis)
    found = mask.copy()
    for axis, (half, whole) in enumerate(zip(halves, by, strict=True)):
        found |= widened(mask, whole - half, axis)
    return found


@dataclass(frozen=True)
class Searches:
    """The search whose bodies are somata: in the raw image, or else in the probability.

    glow: gives what reads the raw image, if there is one.
    """

    search: BodySearch | None = None
    glow: Callable[[], Glow] | None = None

    @classmethod
    def of(cls, source: Source, rules: Rules) -> Searches:
        """Return the search that a source allows."""
        unit, raw = np.asarray(source.unit_um, np.float64), source.units
        begin = None if raw is None else partial(_glow, raw.volume, source.within)
        if not rules.soma:
            return cls(glow=begin)
        if begin is not None:
            search = BodySearch(begin, TIMES_NOISE, source.shape, unit, SMALL * rules.soma)
            return cls(search, begin)
        veil = Veil(source.reader, source.shape, unit, FAINT * rules.peak, CRACK * rules.soma)
        least = VEILED * rules.soma
        whole = 1.0  # a veil is 0 or 1: no body is larger than it is deep
        seen = partial(_same, veil), (0.5,), source.shape, unit, least
        return cls(BodySearch(*seen, LINES, whole, veil.covers))

    def __call__(self, places: NDArray[np.float64]) -> list[Body]:
        """Find the bodies near places (n, 3; voxels zyx)."""
        return self.search.near(places) if self.search else []


def _glow(volume: Volume, within: TissueMask | None) -> Glow:
    """Return what reads the raw image, which holds nothing yet."""
    return Glow(NoiseUnits(volume), within)


def _same(veil: Veil) -> Veil:
    return veil

"""Dark on bright: told from signal over noise, a box at a time.

Fluorescence shows neurites brighter than their surroundings; stains (DAB, Golgi) and brightfield
show them darker. There, thin structures lie far below the background, and hardly any as far
above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.files.remarks import listed, remark
from neuroglow.imaging.box_means import box_means

__all__ = ["ENOUGH", "Polarity", "look_at_levels", "say_of", "say_of_fixed"]

Bools = NDArray[np.bool_]

ENOUGH = 20_000_000
"""Voxels that are looked at of a volume, at most."""

LEAST = 100_000
"""Voxels that must have been looked at before anything is concluded."""

SAMPLED = 7
"""The background and noise of a box are measured on every so manieth of its voxels."""

MEAN = 3
"""Voxels per axis over which noise is averaged first: most of what then stands out is structure."""

CUT = 30.0
"""Signal over noise is cut here, so that a single voxel makes no structure."""

FAR = 6.0
"""How far from the background a voxel stands out, in the noise of such means."""

BROAD, MOST = 7, 0.75
"""Voxels along two axes, and the dark share of them, of what is too broad for a neurite: a hole,
a stripe, the far side of an edge."""

SHARE = 1e-4
"""So many of the voxels, at least, are dark and thin where it is dark on bright."""

EARLY = 3e-4
"""So many, while little of a large volume was looked at: the grain of one region is not the volume.
(Of 29 real volumes inverted, 18 show more, and 5 more than SHARE.)"""

LITTLE, PART = ENOUGH // 2, 20
"""Little are fewer voxels than this, and fewer than one of so many of the volume's."""

FEW = 10
"""Where the share of dark voxels is this many times below SHARE, or where fewer are dark than
bright, a box counts as without any: it could not decide."""

TIMES = 5
"""And so many times more than are bright."""


@dataclass
class Polarity:
    """Counts voxels that stand out: those that are bright, and those that are dark and thin.

    side: voxels per axis that are looked at of one box, at most: its middle. of: voxels of the
    volume; 0: nobody looks at more of it.
    """

    side: int = 128
    of: int = 0
    seen: int = 0
    bright: int = 0
    dark: int = 0

    @property
    def looks(self) -> bool:
        """Tell whether a box more is looked at."""
        return self.seen < ENOUGH

    @property
    def is_dark(self) -> bool:
        """Tell whether structures are darker than the background, as far as was seen."""
        early = self.seen < min(LITTLE, self.of // PART)
        least = max((EARLY if early else SHARE) * self.seen, TIMES * self.bright)
        return self.seen >= LEAST and self.dark > least

    def __add__(self, other: Polarity) -> Polarity:
        """Count what was seen of two volumes together."""
        sums = (self.seen + other.seen, self.bright + other.bright, self.dark + other.dark)
        return Polarity(self.side, 0, *sums)

    def look(self, signal: NDArray[np.floating[Any]], mask: Bools | None) -> None:
        """Look at a box of signal over noise (zyx, not the asinh of it), but for masked voxels."""
        if not self.looks or min(signal.shape) < BROAD:
            return
        starts = [max(0, n - self.side) // 2 for n in signal.shape]
        middle = tuple(slice(start, start + self.side) for start in starts)
        means = box_means(np.clip(signal[middle], -CUT, CUT), MEAN)
        known = None if mask is None else ~mask[middle]
        counted = means.ravel() if known is None else means[known]
        if not counted.size:
            return
        sample = counted[::SAMPLED]
        centre = _median(sample)
        reach = FAR * 1.4826 * _median(np.abs(sample - centre))
        if not reach > 0:  # nothing varies: there is no noise to compare with
            return
        self.seen += counted.size
        bright = int(np.count_nonzero(counted > centre + reach))
        self.bright += bright
        dark = means < centre - reach
        if known is not None:
            dark &= known
        if np.count_nonzero(dark) > max(bright, SHARE * counted.size / FEW):
            self.dark += _thin(dark)  # the most costly part, and seldom needed


def _median(values: NDArray[np.floating[Any]]) -> float:
    """Return the upper median: np.median, which also looks for NaN, takes four times as long."""
    return float(np.partition(values, values.size // 2)[values.size // 2])


def look_at_levels(polarity: Polarity, voxels: NDArray[Any], known: Bools) -> None:
    """Look at a box of grey levels (zyx), with the noise of the box as a whole."""
    values = voxels[known].astype(np.float64)
    if not values.size:
        return
    centre = float(np.median(values))
    below = values[values <= centre]
    noise = 1.4826 * float(np.median(centre - below))
    if noise > 0:
        signal = np.where(known, (voxels.astype(np.float64) - centre) / noise, 0)
        polarity.look(signal.astype(np.float32), ~known)


def _thin(dark: Bools) -> int:
    """Count the voxels that lie in no flat square, nor at the rim of one."""
    from scipy.ndimage import maximum_filter, uniform_filter

    values, broad = dark.astype(np.float32), np.zeros_like(dark)
    for axis in range(3):
        square = [1 if a == axis else BROAD for a in range(3)]
        broad |= maximum_filter(uniform_filter(values, square) > MOST, square)
    return int(np.count_nonzero(dark & ~maximum_filter(broad, MEAN)))


def say_of(names: list[str], polarity: Polarity, *, inverted: bool) -> None:
    """Warn of volumes (by their names) that look dark on bright, as they are read."""
    if not polarity.is_dark:
        return
    looks = "it looks as if neurites were darker than the background"
    if inverted:
        remark(f"{listed(names)}: read inverted, {looks}: is --invert meant?")
    else:
        remark(
            f"{listed(names)}: {looks}, and only brighter ones are detected: --invert "
            "(in Python invert=True) reads the image inverted"
        )


def say_of_fixed(name: str, polarity: Polarity) -> None:
    """Warn of a volume for a model of one camera's grey levels, which are not inverted."""
    if polarity.is_dark:
        remark(
            f"{name}: it looks as if neurites were darker than the background, and only brighter "
            "ones are detected: a model in noise units (light-microscopy) with --invert reads it"
        )

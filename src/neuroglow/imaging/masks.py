"""Masked tissue: values that are not measurements, recognised by their arrangement in a cell.

Deskewing, stitching, registration and padding leave voxels of a single value: zeros, ones, the
largest number, the median. In a cell such a value is a **fill** if it forms flat pieces,
larger than noise produces, and if the voxels next to them are like those farther away. If the
values rise or fall towards such a piece, it is real: a saturated soma, a background clipped to 0.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.volume import Array

__all__ = [
    "FAR",
    "Correlation",
    "Fills",
    "find_fills",
    "neighbour_correlation",
    "sigma_of",
    "spread_of",
    "without",
]

Bools = NDArray[np.bool_]
Correlation = tuple[float, float, float]

FAR = 6.0
"""Distance from the background, in noise, beyond which a fill is recognised by its value alone."""

APART = 1.5
"""Distance from the background, in noise, of a value beyond which there is hardly any voxel."""

WITHIN = 0.05
"""Share of the other voxels that lie on either side of a value within their range."""

ALIKE = 0.5
"""Maximum difference, in noise, between voxels next to a fill and those farther away."""

FEW = 512
"""A fill has at least one voxel in this many of a cell; and so must the others, to be judged."""

LEAST = 27
"""Minimum number of voxels of a fill, and of others."""

BY_CHANCE = 0.5
"""Maximum rate, relative to chance, at which neighbours along an axis differ at a fill."""

OFTEN = 4
"""Ratio by which a fill is more frequent than any value near it, if it is not far from others."""

SOLID = 0.5
"""Share of the few voxels next to a value that lie in boxes of 3 voxels per axis, if they are
tissue."""

LEVELS = 2.0
"""Minimum noise in grey levels for recognising a fill by more than its distance."""


class Fills(NamedTuple):
    """Constant values in a cell.

    fills: values that are a mask here. real: values that form pieces, but are signal. alone: a
    value with hardly any other in the cell, so that only neighbouring cells can tell.
    """

    fills: tuple[Any, ...] = ()
    real: tuple[Any, ...] = ()
    alone: Any = None


def find_fills(voxels: Array, ordered: Array) -> Fills:
    """Return which values of a cell are a mask.

    voxels: the cell (zyx). ordered: its finite voxels, sorted.
    """
    least = max(LEAST, ordered.size // FEW)
    if ordered.size < 8 * least:
        return Fills()
    fills: list[Any] = []
    real: list[Any] = []
    alone = None
    for value in _frequent(ordered, least):
        others = ordered.size - _count(ordered, value)
        verdict = None if others < least else _is_fill(voxels, ordered, value)
        if verdict is not None:
            (fills if verdict else real).append(value)
        elif others < max(least, ordered.size // 16):
            if others and not _is_solid(voxels != value):
                real.append(value)
            else:
                alone = value
    return Fills(tuple(fills), tuple(real), alone)


def spread_of(ordered: Array) -> tuple[float, float]:
    """Take the median, and the spread below it, from sorted values (sorted: no second pass)."""
    background = ordered[ordered.size // 2]
    below = int(np.searchsorted(ordered, background, side="left"))
    if below == 0:
        return background.item(), 0.0  # whole numbers stay whole: 64 bits exceed a float
    return background.item(), 1.4826 * (background.item() - ordered[below // 2].item())


def without(ordered: Array, value: Any) -> Array:
    """Remove one value from sorted ones."""
    low, high = _span(ordered, value)
    return np.concatenate([ordered[:low], ordered[high:]])


def _frequent(ordered: Array, least: int) -> list[Any]:
    """List values that may be a fill: the lowest, the highest, and the most frequent."""
    sampled = ordered[:: max(1, ordered.size // 32)]
    again = sampled[1:][sampled[1:] == sampled[:-1]].tolist()
    ends = {
        ordered[a].item() for a, b in ((0, least - 1), (-1, -least)) if ordered[a] == ordered[b]
    }
    return sorted(ends.union(value for value, _ in Counter(again).most_common(1)))


def _span(ordered: Array, value: Any) -> tuple[int, int]:
    same = ordered.dtype.type(value)  # another type would convert all of them
    low, high = (int(np.searchsorted(ordered, same, side=side)) for side in ("left", "right"))
    return low, high


def _count(ordered: Array, value: Any) -> int:
    low, high = _span(ordered, value)
    return high - low


def _is_fill(voxels: Array, ordered: Array, value: Any) -> bool | None:
    """Return whether a frequent value is a mask; None where it forms no pieces."""
    others = without(ordered, value)
    if not _may_be_fill(others, value) or not _coherent(voxels == value):
        return None
    piece = _flat_pieces(voxels == value)
    if FEW * np.count_nonzero(piece) < ordered.size:
        return None
    others = np.sort(voxels[~piece & np.isfinite(voxels)])
    if not _may_be_fill(others, value):
        return None
    background, noise = spread_of(others)
    distance = (value - background) / noise
    if distance < -FAR:
        return True
    if distance < FAR and np.count_nonzero(piece) < OFTEN * _often(others, value, noise):
        return None
    return _leads_nowhere((voxels.astype(np.float64) - background) / noise, piece)


def _may_be_fill(others: Array, value: Any) -> bool:
    """Return whether a value is far from others (sorted), or within many grey levels of them."""
    background, noise = spread_of(others)
    if not noise > 0:
        return False
    distance = abs(value - background) / noise
    low, high = _span(others, value)
    inside = min(low, others.size - high) > WITHIN * others.size
    levels = LEVELS * (1 + inside) if others.dtype.kind in "iu" else 0.0
    return distance > FAR or (noise >= levels and (inside or distance > APART))


def _often(others: Array, value: Any, noise: float) -> int:
    """Count the most frequent of the values (sorted) that lie within the noise of one."""
    low, high = (int(np.searchsorted(others, value + side * noise)) for side in (-1, 1))
    return int(np.unique_counts(others[low:high]).counts.max(initial=0))


def _coherent(equal: Bools) -> bool:
    """Return whether voxels are adjacent along at least two axes, more than by chance."""
    share = np.count_nonzero(equal) / equal.size
    changes = sorted(
        float((equal[_along(axis, 1, None)] != equal[_along(axis, 0, -1)]).mean())
        for axis in range(3)
        if equal.shape[axis] > 1
    )
    return bool(changes[1:2] and changes[1] < BY_CHANCE * 2 * share * (1 - share))


def _along(axis: int, start: int, stop: int | None) -> tuple[slice, ...]:
    return tuple(slice(start, stop) if a == axis else slice(None) for a in range(3))


def _flat_pieces(equal: Bools) -> Bools:
    """Keep voxels in a flat square of 3 x 3 voxels, across any axis; outside the cell all count."""
    from scipy import ndimage

    padded = np.pad(equal, 1, mode="edge")
    kept = np.zeros_like(padded)
    for axis in range(3):
        square = np.ones([1 if a == axis else 3 for a in range(3)], bool)
        kept |= ndimage.binary_opening(padded, square)
    return kept[1:-1, 1:-1, 1:-1]


def _is_solid(rest: Bools) -> bool:
    """Return whether the few voxels next to a value are thick, as tissue next to a mask is.

    A background that was clipped to one value leaves thin lines and single voxels.
    """
    from scipy import ndimage

    padded = np.pad(rest, 2, mode="edge")
    thick = ndimage.binary_opening(padded, np.ones((3, 3, 3), bool))[2:-2, 2:-2, 2:-2]
    return bool(np.count_nonzero(thick) > SOLID * np.count_nonzero(rest))


def _leads_nowhere(units: NDArray[np.float64], piece: Bools) -> bool:
    """Return whether voxels next to a piece resemble those farther away, and the background."""
    from scipy import ndimage

    near = ndimage.binary_dilation(piece)
    far = ndimage.binary_dilation(near, iterations=2)
    known = np.isfinite(units)
    rim, shell = units[near & ~piece & known], units[far & ~near & known]
    if not rim.size or not shell.size:
        return False
    at_rim, at_shell = (float(np.clip(part, -3, 3).mean()) for part in (rim, shell))
    return abs(at_rim) < 3 * ALIKE and abs(at_rim - at_shell) < ALIKE


def neighbour_correlation(voxels: Array, masked: Bools) -> tuple[float, float, float]:
    """Return the correlation of the noise of voxels with the next along z, y and x (0 to 1).

    From unmasked voxels, with bright ones clipped, so that neurites have little weight.
    """
    known = np.sort(voxels[~masked])
    if not known.size or not (spread := spread_of(known))[1] > 0:
        return 0.0, 0.0, 0.0
    units = np.clip((np.where(masked, known[0], voxels) - spread[0]) / spread[1], -3, 3)
    units = units - units[~masked].mean()
    z, y, x = (_correlation(units, ~masked, axis) for axis in range(3))
    return z, y, x


def _correlation(units: NDArray[np.float64], known: Bools, axis: int) -> float:
    one, other = _along(axis, 1, None), _along(axis, 0, -1)
    both = known[one] & known[other]
    variance = float((units[known] ** 2).mean())
    if not both.any() or not variance > 0:
        return 0.0
    return float(np.clip((units[one][both] * units[other][both]).mean() / variance, 0, 1))


def sigma_of(correlations: Sequence[float]) -> tuple[float, float, float]:
    """Return the blur (voxels, along z, y, x) that gives white noise this correlation."""
    sigmas, known = _blurs()
    z, y, x = (float(np.interp(c, known, sigmas)) for c in correlations)
    return z, y, x


@functools.cache
def _blurs() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Pair blurs with the resulting correlation of neighbours."""
    sigmas = (0.0, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0)
    known = []
    for sigma in sigmas:
        at = np.arange(-8, 9)
        kernel = np.exp(-(at**2) / (2 * max(sigma, 1e-3) ** 2))
        known.append(float((kernel[1:] * kernel[:-1]).sum() / (kernel**2).sum()))
    return sigmas, tuple(known)

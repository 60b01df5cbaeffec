"""Indicators of one cube without labels: provisional neurites, and their shape.

Ridges are found in noise units at half the resolution: that is an eighth of the work, and
downsampling reduces a faint neurite less than the noise. A ridge is kept if it is longer than
ridges in correlated noise, and is widened to half of its contrast. Pure functions on arrays (zyx).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.selection.indicators import LOW_UNITS

__all__ = ["Found", "Shape", "contrast_of", "find_neurites", "low_snr_share", "shape_of", "texture"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

BRIGHT, DEEP = 3.0, -3.0
"""Noise units are clipped here, so that the edge of a soma is not a ridge next to a neurite."""

BLUR_VOX = 0.85
FAINT, SURE = 2.0, 3.5
"""A ridge must reach SURE and is followed down to FAINT, in spreads of the response. At 2 a
fortieth of pure noise is above FAINT, in short pieces; at 1.5 the pieces nearly percolate."""

LEAST_VOXELS, LEAST_REACH = 12, 10
"""Smaller or shorter objects (in halved voxels, along every axis) are not neurites."""

SHARP_VOX, AROUND_VOX = 0.6, 9
"""Contrast: brightness after a small blur, above the mean of a cube of this side (halved)."""

LEAST_CONTRAST, OF_CREST = 0.35, 0.5
"""Voxels of a neurite have this contrast, and this share of the contrast at the nearest crest."""

CLEAR = 0.6
"""A crest with less contrast is as often noise as dim neurite: its SNR is not counted."""

EVERYWHERE = np.ones((3, 3, 3), bool)
OFFSETS = np.array([o for o in itertools.product((-1, 0, 1), repeat=3) if any(o)])
"""A voxel's 26 neighbours."""

EACH = 4
"""The texture is measured in one of this many planes."""

PIECE = 8
"""Minimum number of voxels of a middle line for which a tortuosity is measured."""


class Found(NamedTuple):
    """Provisional neurites (a mask, halved voxels), and the number of bright spots."""

    neurites: Mask
    spots: int


class Shape(NamedTuple):
    """Shape of the middle lines of neurites.

    length_vox: voxels of the middle lines. tortuosity: length over distance of the ends, mean
    over pieces (1: straight, or no pieces). crossings: places where lines meet or
    branch, per 1000 voxels of length.
    """

    length_vox: float
    tortuosity: float
    crossings: float


def contrast_of(halved: Floats) -> Floats:
    """Return the brightness above the surroundings, in noise units at half the resolution (zyx)."""
    calm = np.clip(halved, DEEP, BRIGHT)
    sharp = ndimage.gaussian_filter(calm, SHARP_VOX)
    return np.asarray(sharp - ndimage.uniform_filter(calm, AROUND_VOX))


def find_neurites(halved: Floats, contrast: Floats) -> Found:
    """Find bright lines and spots in noise units at half the resolution (zyx), with contrast_of.

    A line curves down along two directions, so the middle eigenvalue of the Hessian detects it
    (Sato et al., 1998); a spot curves down along all, so the largest does. The spread of the
    first over all voxels is taken as its noise.
    """
    calm = np.clip(halved, DEEP, BRIGHT)
    line, spot = _bent_down(_hessian(ndimage.gaussian_filter(calm, BLUR_VOX)))
    faint, sure = _levels(line[::2, ::2, ::2])
    spots = ndimage.label(spot > sure, EVERYWHERE)[1]
    return Found(_grow(_follow(line, faint, sure), contrast), int(spots))


def low_snr_share(halved: Floats, contrast: Floats, neurites: Mask) -> float:
    """Return the share of the neurites' crests where half the SNR is below 2; 0 without any.

    A crest is a local brightness maximum that is CLEAR. The noise of a voxel at half the
    resolution is smaller than for the labelled indicator, so values differ; their order agrees.
    """
    inside = np.where(neurites, halved, -np.inf)
    crest = neurites & (contrast > CLEAR) & (inside == ndimage.maximum_filter(inside, 3))
    return float((halved[crest] < LOW_UNITS).mean()) if crest.any() else 0.0


def shape_of(neurites: Mask) -> Shape:
    """Measure length, tortuosity and crossings of the neurites' skeleton (Lee et al., 1994)."""
    from skimage.morphology import skeletonize

    skeleton = np.asarray(skeletonize(neurites), bool)
    length = int(skeleton.sum())
    if not length:
        return Shape(0.0, 1.0, 0.0)
    at = np.argwhere(skeleton)
    junction = np.zeros_like(skeleton)
    junction[tuple(at.T)] = _beside(skeleton, at).sum(axis=0) > 2
    crossings = ndimage.label(junction, EVERYWHERE)[1]
    bends = _bends(skeleton & ~junction)
    tortuosity = float(bends.mean()) if bends.size else 1.0
    return Shape(float(length), tortuosity, 1000 * crossings / length)


def texture(x: Floats) -> float:
    """Return the correlation of neighbouring voxels in plane: 0 for white noise, at most 1."""
    calm = np.clip(x[::EACH], -2, 2)
    spread = float(calm.var())
    if not spread:
        return 1.0
    steps = np.mean([np.square(np.diff(calm, axis=axis)).mean() for axis in (1, 2)])
    return 1 - float(steps) / (2 * spread)


def _levels(response: Floats) -> tuple[float, float]:
    """Return the levels FAINT and SURE of a response, from its middle and the spread below it."""
    quarter, middle = np.quantile(response, [0.25, 0.5])
    spread = max(float(middle - quarter) / 0.6745, 1e-6)
    return float(middle) + FAINT * spread, float(middle) + SURE * spread


def _follow(line: Floats, faint: float, sure: float) -> Mask:
    """Keep components that reach SURE somewhere and extend far enough to be a neurite."""
    labels, count = ndimage.label(line > faint, EVERYWHERE)
    keep = np.zeros(count + 1, bool)
    keep[np.unique(labels[line > sure])] = True
    keep &= np.bincount(labels.ravel(), minlength=count + 1) >= LEAST_VOXELS
    keep[0] = False
    places = ndimage.find_objects(labels) if keep.any() else []
    for number in np.flatnonzero(keep):
        keep[number] = max(s.stop - s.start for s in places[number - 1]) >= LEAST_REACH
    return np.asarray(keep[labels])


def _grow(lines: Mask, contrast: Floats) -> Mask:
    """Widen middle lines to neurites: voxels with at least half of the contrast there."""
    crest = ndimage.maximum_filter(np.where(lines, contrast, 0), 3)
    least = np.maximum(OF_CREST * crest, LEAST_CONTRAST)
    return np.asarray((crest > 0) & (contrast > least))


def _beside(mask: Mask, at: NDArray[np.int64]) -> Mask:
    """Return which of their 26 neighbours voxels have (26, voxels)."""
    padded = np.pad(mask, 1)
    return np.stack([padded[tuple((at + 1 + offset).T)] for offset in OFFSETS])


def _bends(pieces: Mask) -> NDArray[np.float64]:
    """Return length over distance of the ends, for each piece that is long enough."""
    at = np.argwhere(pieces)
    number, count = ndimage.label(pieces, EVERYWHERE)
    piece = number[tuple(at.T)] - 1
    beside = _beside(pieces, at)
    half_steps = np.linalg.norm(OFFSETS, axis=1) @ beside / 2
    length = np.bincount(piece, half_steps, minlength=count)
    ends = np.flatnonzero(beside.sum(axis=0) == 1)
    first, last = np.zeros((2, count, 3))
    first[piece[ends[::-1]]], last[piece[ends]] = at[ends[::-1]], at[ends]
    reach = np.linalg.norm(last - first, axis=1)
    known = (reach > 0) & (np.bincount(piece, minlength=count) >= PIECE)
    return np.asarray(np.maximum(1.0, length[known] / reach[known]))


def _hessian(field: Floats) -> list[Floats]:
    """Return the second differences of a field: zz, yy, xx, zy, zx, yx."""
    first = np.gradient(field)
    twice = []
    for axis in range(3):
        padded = np.pad(field, [(1, 1) if a == axis else (0, 0) for a in range(3)], "edge")
        twice.append(np.diff(padded, 2, axis=axis))
    crossed = [np.gradient(first[a], axis=b) for a, b in ((0, 1), (0, 2), (1, 2))]
    return [*twice, *crossed]


def _bent_down(hessian: list[Floats]) -> tuple[Floats, Floats]:
    """Return the middle and the largest eigenvalue, sign changed (Smith, 1961: in closed form)."""
    zz, yy, xx, zy, zx, yx = hessian
    mean = (zz + yy + xx) / 3
    z, y, x = zz - mean, yy - mean, xx - mean
    off = zy * zy + zx * zx + yx * yx
    size = np.sqrt((z * z + y * y + x * x + 2 * off) / 6) + np.float32(1e-12)
    det = z * (y * x - yx * yx) - zy * (zy * x - yx * zx) + zx * (zy * yx - y * zx)
    angle = np.arccos(np.clip(det / (2 * size**3), -1, 1)) / 3
    largest = 2 * size * np.cos(angle)
    least = 2 * size * np.cos(angle + np.float32(2 * np.pi / 3))
    return largest + least - mean, -largest - mean

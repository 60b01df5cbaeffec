"""What one cube is like before anyone has labelled it: provisional neurites, and their shape.

Ridges are found in noise units at half the resolution: an eighth of the work, and a faint
neurite loses less by it than its noise does. A ridge is kept where it is longer than noise of
any correlation makes one, and grows to the half of its contrast. Pure functions on arrays (zyx).
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
"""Noise units are clipped here, so that a soma's shoulders are no ridge beside a neurite."""

BLUR_VOX = 0.85
FAINT, SURE = 2.0, 3.5
"""A ridge is followed down to FAINT from where it is SURE, in spreads of the response. At 2 a
fortieth of pure noise is above FAINT, and its pieces stay short; at 1.5 they nearly percolate."""

LEAST_VOXELS, LEAST_REACH = 12, 10
"""What is smaller, in halved voxels, or reaches less far along every axis, is no neurite."""

SHARP_VOX, AROUND_VOX = 0.6, 9
"""Contrast: brightness after a small blur, above the mean of so many halved voxels an axis."""

LEAST_CONTRAST, OF_CREST = 0.35, 0.5
"""A neurite's voxels have that contrast, and that share of the crest's beside them."""

CLEAR = 0.6
"""A crest of less contrast is as often noise as it is dim: its SNR is not counted."""

EVERYWHERE = np.ones((3, 3, 3), bool)
OFFSETS = np.array([o for o in itertools.product((-1, 0, 1), repeat=3) if any(o)])
"""A voxel's 26 neighbours."""

EACH = 4
"""The texture is measured in one plane of so many."""

PIECE = 8
"""Voxels from which on a piece of a middle line has a tortuosity."""


class Found(NamedTuple):
    """Provisional neurites (a mask, halved voxels), and how many bright spots there are."""

    neurites: Mask
    spots: int


class Shape(NamedTuple):
    """What the middle lines of neurites are like.

    length_vox: voxels of the middle lines. tortuosity: length over distance of the ends, a mean
    over pieces (1: straight, and where there is none). crossings: places where lines meet or
    branch, per 1000 voxels of length.
    """

    length_vox: float
    tortuosity: float
    crossings: float


def contrast_of(halved: Floats) -> Floats:
    """Give the brightness above what is around, of noise units at half the resolution (zyx)."""
    calm = np.clip(halved, DEEP, BRIGHT)
    sharp = ndimage.gaussian_filter(calm, SHARP_VOX)
    return np.asarray(sharp - ndimage.uniform_filter(calm, AROUND_VOX))


def find_neurites(halved: Floats, contrast: Floats) -> Found:
    """Find bright lines and spots in noise units at half the resolution (zyx), with contrast_of.

    A line bends down across two directions, so the middle eigenvalue of the Hessian tells it
    (Sato et al., 1998); a spot bends down every way, so the largest does. The spread of the
    first over all voxels is what noise does.
    """
    calm = np.clip(halved, DEEP, BRIGHT)
    line, spot = _bent_down(_hessian(ndimage.gaussian_filter(calm, BLUR_VOX)))
    faint, sure = _levels(line[::2, ::2, ::2])
    spots = ndimage.label(spot > sure, EVERYWHERE)[1]
    return Found(_grow(_follow(line, faint, sure), contrast), int(spots))


def low_snr_share(halved: Floats, contrast: Floats, neurites: Mask) -> float:
    """Give the share of the neurites' crests where the SNR over 2 is below 2; 0 without any.

    A crest is a brightest voxel among its neighbours, and CLEAR. The noise of a voxel at half the
    resolution is smaller than the labelled indicator's, so values differ; the order agrees.
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
    """Give the correlation of neighbouring voxels in plane: 0 for white noise, 1 for none."""
    calm = np.clip(x[::EACH], -2, 2)
    spread = float(calm.var())
    if not spread:
        return 1.0
    steps = np.mean([np.square(np.diff(calm, axis=axis)).mean() for axis in (1, 2)])
    return 1 - float(steps) / (2 * spread)


def _levels(response: Floats) -> tuple[float, float]:
    """Give the levels FAINT and SURE of a response, from its middle and the spread below it."""
    quarter, middle = np.quantile(response, [0.25, 0.5])
    spread = max(float(middle - quarter) / 0.6745, 1e-6)
    return float(middle) + FAINT * spread, float(middle) + SURE * spread


def _follow(line: Floats, faint: float, sure: float) -> Mask:
    """Keep what is connected, sure somewhere, and reaches far enough to be a neurite."""
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
    """Give the neurites of which these are the middle: what has half of the contrast there."""
    crest = ndimage.maximum_filter(np.where(lines, contrast, 0), 3)
    least = np.maximum(OF_CREST * crest, LEAST_CONTRAST)
    return np.asarray((crest > 0) & (contrast > least))


def _beside(mask: Mask, at: NDArray[np.int64]) -> Mask:
    """Tell which of their 26 neighbours voxels have (26, voxels)."""
    padded = np.pad(mask, 1)
    return np.stack([padded[tuple((at + 1 + offset).T)] for offset in OFFSETS])


def _bends(pieces: Mask) -> NDArray[np.float64]:
    """Give the length over the distance of the ends, of each piece that is long enough."""
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
    """Give the second differences of a field: zz, yy, xx, zy, zx, yx."""
    first = np.gradient(field)
    twice = []
    for axis in range(3):
        padded = np.pad(field, [(1, 1) if a == axis else (0, 0) for a in range(3)], "edge")
        twice.append(np.diff(padded, 2, axis=axis))
    crossed = [np.gradient(first[a], axis=b) for a, b in ((0, 1), (0, 2), (1, 2))]
    return [*twice, *crossed]


def _bent_down(hessian: list[Floats]) -> tuple[Floats, Floats]:
    """Give the middle and the largest eigenvalue, sign turned (Smith, 1961: in closed form)."""
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

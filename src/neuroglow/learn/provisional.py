"""What one cube is like before anyone has labelled it: provisional neurites, and their shape.

Ridges are found in noise units at half the resolution: an eighth of the work, and a faint
neurite loses less by it than its noise does. Pure functions on arrays (zyx).
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.learn.indicators import LOW_UNITS

__all__ = ["Found", "Shape", "find_neurites", "low_snr_share", "shape_of", "texture"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

BRIGHT, DEEP = 3.0, -3.0
"""Noise units are clipped here, so that a soma's shoulders are no ridge beside a neurite."""

BLUR_VOX = 0.85
FAINT, SURE = 1.5, 3.5
"""A ridge is followed down to FAINT from where it is SURE, in spreads of the response."""

LEAST_VOXELS, LEAST_REACH = 12, 10
"""What is smaller, in halved voxels, or reaches less far along every axis, is no neurite."""

EVERYWHERE = np.ones((3, 3, 3), bool)
OFFSETS = [o for o in itertools.product((-1, 0, 1), repeat=3) if o > (0, 0, 0)]
"""Half of a voxel's 26 neighbours: each pair of neighbours once."""

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


def find_neurites(halved: Floats) -> Found:
    """Find bright lines and spots in noise units at half the resolution (zyx).

    A line bends down across two directions, so the middle eigenvalue of the Hessian tells it
    (Sato et al., 1998); a spot bends down every way, so the largest does. The spread of the
    first over all voxels is what noise does.
    """
    hessian = _hessian(ndimage.gaussian_filter(np.clip(halved, DEEP, BRIGHT), BLUR_VOX))
    sample = -np.linalg.eigvalsh(hessian[::2, ::2, ::2].reshape(-1, 3, 3))[:, 1]
    faint, sure = _levels(sample)
    bent = -np.trace(hessian, axis1=-2, axis2=-1) > 1.5 * faint  # others cannot reach it
    line, spot = np.zeros((2, *halved.shape), np.float32)
    values = -np.linalg.eigvalsh(hessian[bent])
    line[bent], spot[bent] = values[:, 1], values[:, 2]
    spots = ndimage.label(spot > sure, EVERYWHERE)[1]
    return Found(_follow(line, faint, sure), int(spots))


def low_snr_share(halved: Floats, neurites: Mask) -> float:
    """Give the share of the neurites' crests where the SNR over 2 is below 2; 0 without any.

    A crest is a brightest voxel among its neighbours. The noise of a voxel at half the
    resolution is smaller than the labelled indicator's, so values differ; the order agrees.
    """
    inside = np.where(neurites, halved, -np.inf)
    crest = neurites & (inside == ndimage.maximum_filter(inside, 3))
    return float((halved[crest] < LOW_UNITS).mean()) if crest.any() else 0.0


def shape_of(neurites: Mask) -> Shape:
    """Measure length, tortuosity and crossings of the neurites' skeleton (Lee et al., 1994)."""
    from skimage.morphology import skeletonize

    skeleton = np.asarray(skeletonize(neurites), bool)
    length = int(skeleton.sum())
    if not length:
        return Shape(0.0, 1.0, 0.0)
    neighbours = (
        ndimage.convolve(skeleton.astype(np.int8), EVERYWHERE.astype(np.int8), mode="constant") - 1
    )
    junction = skeleton & (neighbours > 2)
    crossings = ndimage.label(junction, EVERYWHERE)[1]
    pieces, count = ndimage.label(skeleton & ~junction, EVERYWHERE)
    bends = [_bend(np.asarray(pieces[place] == i)) for i, place in _places(pieces)] if count else []
    known = [bend for bend in bends if bend]
    return Shape(float(length), float(np.mean(known or [1.0])), 1000 * crossings / length)


def texture(x: Floats) -> float:
    """Give the correlation of neighbouring voxels in plane: 0 for white noise, 1 for none."""
    calm = np.clip(x, -2, 2)
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
    for number, place in _places(labels):
        keep[number] &= max(s.stop - s.start for s in place) >= LEAST_REACH
    return np.asarray(keep[labels])


def _places(labels: NDArray[np.int32]) -> list[tuple[int, tuple[slice, ...]]]:
    return [(i, p) for i, p in enumerate(ndimage.find_objects(labels), start=1) if p is not None]


def _bend(piece: Mask) -> float:
    """Give the length of a piece over the diagonal of its box; 0 where it is too short."""
    if piece.sum() < PIECE:
        return 0.0
    padded = np.pad(piece, 1)
    inner = (slice(1, -1),) * 3
    pairs = [(padded & np.roll(padded, offset, (0, 1, 2)))[inner].sum() for offset in OFFSETS]
    length = float(np.linalg.norm(OFFSETS, axis=1) @ pairs)
    ends = np.argwhere(
        piece
        & (
            ndimage.convolve(piece.astype(np.int8), EVERYWHERE.astype(np.int8), mode="constant")
            == 2
        )
    )
    reach = np.linalg.norm(ends[-1] - ends[0]) if len(ends) > 1 else 0.0
    return max(1.0, length / float(reach)) if reach else 0.0


def _hessian(field: Floats) -> Floats:
    """Give the second differences of a field (zyx) as matrices (zyx33)."""
    first = np.gradient(field)
    hessian = np.empty((*field.shape, 3, 3), np.float32)
    for row, column in itertools.combinations_with_replacement(range(3), 2):
        if row == column:
            padded = np.pad(field, [(1, 1) if axis == row else (0, 0) for axis in range(3)], "edge")
            values = np.diff(padded, 2, axis=row)
        else:
            values = np.gradient(first[row], axis=column)
        hessian[..., row, column] = hessian[..., column, row] = values
    return hessian

"""Marks: everything bright, as points with a brightness; rendered into any box.

A mark is a row of nine float32: z, y, x (voxels); dz, dy, dx; value; radius; role. For a line, d
is the step to the next mark, and `value` is the SNR of the blurred line's peak.
A filling mark fills a box of the size d. For a punctum d is zero, and `value` is its peak.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging.fields import enlarge
from neuroglow.imaging.neurites import Neurite
from neuroglow.imaging.rendering import splat
from neuroglow.space.geometry import Box

__all__ = [
    "BODY",
    "CROWD",
    "FILLING",
    "LINE",
    "NEURITE_MARK",
    "PUNCTUM",
    "REACH",
    "Glow",
    "Marks",
    "lines",
    "render_marks",
]

Floats = NDArray[np.float32]
Marks = NDArray[np.float32]

NEURITE_MARK, CROWD, FILLING, LINE, PUNCTUM, BODY = range(6)
"""Roles: a neurite; a line too crowded to label; a soma's filling (both ignored); a line
that is no neurite; a punctum; the filling of a body that is background."""

RADII = (0.4, 1.0, 1.8, 3.0, 5.0, 8.0, 13.0, 20.0)
"""Radii, in finest voxels, that are rendered together: each mark takes the nearest."""

REACH = 40
"""Distance in voxels beyond which a mark is not visible: three times the widest blur, or haze."""

COARSE, HAZE_VOX, HAZE_REACH = 4, 8.0, 28
"""Haze: voxels per axis of its grid, its standard deviation, how far it comes from."""


class Glow(NamedTuple):
    """What shines in a box, each zyx float32.

    target: SNR of neurites. extent: the same if each peaked at 1. other: SNR of all else.
    ignored: extent of structures that are neither neurite nor background. haze: all, widely
    blurred.
    """

    target: Floats
    extent: Floats
    other: Floats
    ignored: Floats
    haze: Floats


def lines(neurite: Neurite, role: int) -> Marks:
    """Return the marks of a path of at least two points."""
    marks = np.empty((len(neurite.points), 9), np.float32)
    marks[:, :3] = neurite.points
    marks[:, 3:6] = np.gradient(neurite.points, axis=0)
    marks[:, 6], marks[:, 7], marks[:, 8] = neurite.snr, neurite.radius_vox, role
    return marks


def render_marks(
    marks: Marks, box: Box, sigma_vox: NDArray[np.float64], stretch: NDArray[np.float64]
) -> Glow:
    """Render the marks that reach into a box.

    sigma_vox: zyx, of the optics. stretch: zyx, size of a voxel over that of the finest axis.
    The result depends only on the box and on the order of the marks.
    """
    glow = Glow(*np.zeros((5, *box.shape), np.float32))
    if not len(marks):
        return glow
    light = []
    for radius, chosen in _by_radius(marks):
        sigma = np.sqrt(sigma_vox**2 + (0.6 * radius / stretch) ** 2)
        weight = _weights(chosen, sigma)
        value, role = chosen[:, 6].astype(np.float64), chosen[:, 8]
        neurite, ignored = role == NEURITE_MARK, (role == CROWD) | (role == FILLING)
        for grid, part, scale in (
            (glow.target, neurite, value),
            (glow.extent, neurite, None),
            (glow.other, ~neurite, value),
            (glow.ignored, ignored, None),
        ):
            shares = weight if scale is None else weight * scale
            _shine(grid, chosen[part, :3], shares[part], (box, sigma))
        light.append((chosen[:, :3], weight * value))
    return glow._replace(haze=_haze(light, box))


def _by_radius(marks: Marks) -> Iterator[tuple[float, Marks]]:
    middles = np.sqrt(np.multiply(RADII[:-1], RADII[1:]))
    nearest = np.searchsorted(middles, marks[:, 7])
    for index, radius in enumerate(RADII):
        chosen = marks[nearest == index]
        if len(chosen):
            yield radius, chosen


def _weights(marks: Marks, sigma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights with which blurred marks peak at 1 (see render.line).

    Sharing a point among the voxels around it is a blur too, of variance 1/6 on average.
    """
    sigma = np.sqrt(sigma**2 + 1 / 6)
    step, role = marks[:, 3:6].astype(np.float64), marks[:, 8]
    weight = 2 * np.pi * np.prod(sigma) * np.sqrt(np.sum(np.square(step / sigma), axis=1))
    weight[role == PUNCTUM] = (2 * np.pi) ** 1.5 * np.prod(sigma)
    filling = (role == FILLING) | (role == BODY)
    return np.asarray(np.where(filling, np.prod(step, axis=1), weight))


def _shine(
    grid: Floats,
    points: Floats,
    weights: NDArray[np.float64],
    where: tuple[Box, NDArray[np.float64]],
) -> None:
    """Add blurred points to the grid of a box, working no further than they reach."""
    box, sigma = where
    reach = (3 * sigma + 0.5).astype(int)
    low, high = np.subtract(box.start, reach + 1), np.add(box.stop, reach)
    near = ((points >= low) & (points < high)).all(axis=1)
    if not near.any():
        return
    points, weights = points[near], weights[near]
    first = np.maximum(np.floor(points.min(0)).astype(int) - reach, low)
    last = np.minimum(np.floor(points.max(0)).astype(int) + reach + 2, high)
    z, y, x = (int(n) for n in last - first)
    shared = splat(points.astype(np.float64) - first, weights, (z, y, x))
    blurred = ndimage.gaussian_filter(shared, sigma, mode="constant", truncate=3)
    start, stop = np.maximum(first, box.start), np.minimum(last, box.stop)
    if (start < stop).all():
        inside = tuple(
            slice(a, b) for a, b in zip(start - box.start, stop - box.start, strict=True)
        )
        grid[inside] += blurred[
            tuple(slice(a, b) for a, b in zip(start - first, stop - first, strict=True))
        ]


def _haze(light: Sequence[tuple[Floats, NDArray[np.float64]]], box: Box) -> Floats:
    """Blur points with their weights as widely as scattered light, by way of a coarse grid."""
    start = np.subtract(box.start, HAZE_REACH)
    count = [-(-(n + 2 * HAZE_REACH) // COARSE) for n in box.shape]
    coarse = np.zeros(count, np.float32)
    for points, weights in light:
        at = (np.floor(points).astype(np.int64) - start) // COARSE
        inside = ((at >= 0) & (at < count)).all(axis=1)
        np.add.at(coarse, tuple(at[inside].T), weights[inside] / COARSE**3)
    sigma = HAZE_VOX / COARSE
    coarse = ndimage.gaussian_filter(coarse, sigma, mode="constant", truncate=3)
    margin = HAZE_REACH // COARSE - 1
    coarse = coarse[margin:-margin, margin:-margin, margin:-margin]
    return np.ascontiguousarray(
        enlarge(coarse, COARSE)[tuple(slice(COARSE, COARSE + n) for n in box.shape)]
    )

"""Somata found in a volume: bodies into which a ball of a given radius fits, the largest first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.geometry import Box
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.studio import Studio
from neuroglow.studio.volumes import Shown

__all__ = ["Soma", "find_somata", "level_of_noise"]

FINE = 2.5
"""Voxels that the least radius has at the level that is searched."""

LARGEST = 2**26
"""Voxels of the largest level, or box, that is searched."""

MOST = 1000
"""Somata that are returned."""

NOISE = 8.0
"""Times the noise above the background from which a voxel of an image is of a soma."""


@dataclass(frozen=True)
class Soma:
    """A body: the centre (zyx, micrometres) and the radius of the largest ball in it."""

    at: tuple[float, float, float]
    radius: float


def level_of_noise(studio: Studio, shown: Shown) -> float:
    """Return the grey level from which a voxel of an image is searched as one of a soma."""
    grey = studio.grey(shown)
    if grey.background is None or grey.noise is None:
        return (grey.low + grey.high) / 2
    return grey.background + NOISE * grey.noise


def find_somata(shown: Shown, least: float, radius_um: float, box: Box | None = None) -> list[Soma]:
    """Find bodies in a volume, or in a box of it.

    least: value from which a voxel belongs to one. radius_um: of the ball that fits into a body.
    Raises RefusedError if the level that shows such bodies is too large to be searched.
    """
    from scipy import ndimage

    size = np.array(shown.voxel_size_um or (1.0, 1.0, 1.0))
    level = _level_for(shown, size, radius_um)
    factors = np.array(shown.levels[0].shape) / np.array(shown.levels[level].shape)
    part = _part(shown, level, factors, box)
    inside = np.pad(shown.read(level, part) >= least, 1)
    own = size * factors
    depth = ndimage.distance_transform_edt(inside, sampling=own)[1:-1, 1:-1, 1:-1]
    nodes = np.argwhere(depth >= radius_um)
    depths = depth[tuple(nodes.T)]
    order = np.argsort(-depths, kind="stable")
    centres = ((nodes + np.array(part.start) + 0.5) * factors - 0.5) * size
    return _apart(centres[order], depths[order])


def _level_for(shown: Shown, size: NDArray[np.float64], radius_um: float) -> int:
    """Return the coarsest level at which the radius still has enough voxels."""
    fits = [0]
    for number, level in enumerate(shown.levels):
        factors = np.array(shown.levels[0].shape) / np.array(level.shape)
        if float((size * factors).max()) * FINE <= radius_um:
            fits.append(number)
    return fits[-1]


def _part(shown: Shown, level: int, factors: NDArray[np.float64], box: Box | None) -> Box:
    shape = np.array(shown.levels[level].shape)
    whole = box or Box.of(shown.levels[0].shape)
    lo = np.minimum(np.floor(np.array(whole.start) / factors), shape - 1).astype(int)
    hi = np.minimum(np.ceil(np.array(whole.stop) / factors), shape).astype(int)
    if int(np.prod(hi - lo)) > LARGEST:
        raise RefusedError(
            400,
            f"somata are searched among at most {LARGEST // 10**6} million voxels at once",
            found=f"{int(np.prod(hi - lo)) // 10**6} million at the level that shows them",
            where=shown.path,
            cure="draw a box, or search larger somata",
        )
    a, b = lo.tolist(), hi.tolist()
    return Box((a[0], a[1], a[2]), (b[0], b[1], b[2]))


def _apart(centres: NDArray[np.float64], radii: NDArray[np.float64]) -> list[Soma]:
    """Take centres from the deepest on; those in a ball that was taken belong to it."""
    found: list[Soma] = []
    free = np.ones(len(radii), bool)
    while free.any() and len(found) < MOST:
        node = int(np.argmax(free))
        z, y, x = centres[node].tolist()
        found.append(Soma((z, y, x), float(radii[node])))
        free &= np.linalg.norm(centres - centres[node], axis=1) > 2 * radii[node]
    return found

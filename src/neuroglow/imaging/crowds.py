"""Numerous objects that are not neurites: nuclei, microglia, plaques; and vessels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging import optics
from neuroglow.imaging.neurites import Neurite, log_uniform, unit, walk
from neuroglow.imaging.rendering import Floats, render
from neuroglow.space.geometry import Zyx

__all__ = ["microglia", "nuclei", "plaques", "vessels"]

Sigma = Sequence[float]
Voxels = NDArray[np.float64]


def nuclei(rng: Generator, shape: Zyx, sigma: Sigma) -> Floats:
    """Draw tens to thousands of nuclei or small somata: ellipsoids of one size, some in rows."""
    radius = log_uniform(rng, (1.8, 7.0))
    most = 0.25 * np.prod(shape) / (4.2 * radius**3)  # a quarter of the volume
    count = int(log_uniform(rng, (20, max(30.0, min(2500.0, most)))))
    places = _crowded(rng, shape, count)
    peak = log_uniform(rng, (2, 40))
    field = np.zeros(shape, np.float32)
    for place in places:
        radii = radius * rng.uniform(0.7, 1.3, 3)
        _stamp(field, place, radii, peak * rng.uniform(0.4, 1.4), rng)
    return np.asarray(ndimage.gaussian_filter(field, sigma, truncate=3), np.float32)


def microglia(rng: Generator, shape: Zyx, sigma: Sigma) -> Floats:
    """Draw cells of a small body and short branched processes, each in a field of its own."""
    count = int(log_uniform(rng, (2, 16)))
    peak, reach = log_uniform(rng, (3, 30)), rng.uniform(10, 22)
    bodies, processes = np.zeros(shape, np.float32), []
    for place in rng.uniform(0, 1, (count, 3)) * shape:
        _stamp(bodies, place, rng.uniform(2, 4, 3), peak, rng)
        for _ in range(int(rng.integers(4, 10))):
            processes += _process(rng, place, shape, (peak, reach))
    bodies = ndimage.gaussian_filter(bodies, sigma, truncate=3)
    return np.asarray(bodies + render(processes, shape, sigma)[0], np.float32)


def plaques(rng: Generator, shape: Zyx, sigma: Sigma) -> Floats:
    """Draw plaques: a dense core in a ragged cloud, of a few to twenty voxels."""
    texture = np.exp(0.7 * optics.smooth_field(shape, rng.uniform(2.5, 5), rng))
    peak, field = log_uniform(rng, (3, 60)), np.zeros(shape, np.float32)
    for place in _crowded(rng, shape, int(log_uniform(rng, (2, 60)))):
        radii = log_uniform(rng, (2.5, 14)) * rng.uniform(0.8, 1.2, 3)
        _stamp(field, place, radii, peak * rng.uniform(0.2, 0.6), rng)
        _stamp(field, place, radii * rng.uniform(0.2, 0.5), peak * rng.uniform(0.3, 1), rng)
    return np.asarray(ndimage.gaussian_filter(field * texture, sigma, truncate=3), np.float32)


def vessels(rng: Generator, shape: Zyx, sigma: Sigma) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw stained vessels: smooth tubes, wider than neurites, hollow or full; and where."""
    field, inside = np.zeros(shape, np.float32), np.zeros(shape, bool)
    for _ in range(int(rng.integers(1, 8))):
        start, heading = rng.uniform(0, 1, 3) * shape, unit(rng.standard_normal(3))
        ends = [
            walk(rng, start, way, rng.uniform(0.01, 0.06), shape) for way in (heading, -heading)
        ]
        points = np.concatenate([ends[1][:0:-1], ends[0]])
        far, radius = _distance(points, shape), log_uniform(rng, (2.5, 9))
        wall = np.exp(-np.square((far - radius) / rng.uniform(0.7, 1.5)) / 2)
        full = far < radius
        tube = wall if rng.random() < 0.5 else np.maximum(wall, full)
        field += log_uniform(rng, (2, 40)) * np.asarray(tube, np.float32)
        inside |= far < radius + 2
    return np.asarray(ndimage.gaussian_filter(field, sigma, truncate=3), np.float32), inside


def _crowded(rng: Generator, shape: Zyx, count: int) -> Voxels:
    """Draw places, dense in some parts of the volume and rare in others."""
    places = rng.uniform(0, 1, (3 * count, 3)) * shape
    dense = optics.smooth_field(shape, rng.uniform(20, 80), rng)
    here = dense[tuple(np.minimum(places, np.subtract(shape, 1)).astype(int).T)]
    return np.asarray(places[np.argsort(-here - rng.normal(0, 1, len(here)))][:count])


def _stamp(field: Floats, place: Voxels, radii: Voxels, value: float, rng: Generator) -> None:
    """Add an ellipsoid, turned at random, to a field, in place."""
    reach = int(np.ceil(1.3 * max(radii)))
    low = np.maximum(np.floor(place).astype(int) - reach, 0)
    high = np.minimum(np.floor(place).astype(int) + reach + 1, field.shape)
    if (high <= low).any():
        return
    axes, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    away = np.stack(
        np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1
    )
    far = np.linalg.norm((away - place) @ axes / radii, axis=-1)
    field[window] += np.asarray(value * np.clip((1.15 - far) / 0.3, 0, 1), np.float32)


def _process(
    rng: Generator, place: Voxels, shape: Zyx, drawn: tuple[float, float]
) -> list[Neurite]:
    """Grow one process of a cell, and a branch of it; they taper, and end within reach."""
    peak, reach = drawn
    stem = walk(rng, place, unit(rng.standard_normal(3)), rng.uniform(0.1, 0.35), shape)
    stem = stem[: int(reach * rng.uniform(0.5, 1.2))]
    if len(stem) < 5:
        return []
    at = int(rng.integers(2, len(stem) - 1))
    branch = walk(rng, stem[at], unit(rng.standard_normal(3)), 0.25, shape)[: len(stem) - at + 2]
    return [
        Neurite(points, rng.uniform(0.3, 0.7), peak * rng.uniform(0.3, 0.9) * _taper(len(points)))
        for points in (stem, branch)
        if len(points) > 2
    ]


def _taper(count: int) -> Voxels:
    return np.asarray(np.linspace(1, 0.3, count))


def _distance(points: Voxels, shape: Zyx) -> Voxels:
    """Return each voxel's distance from a line."""
    free = np.ones(shape, bool)
    at = np.rint(points).astype(int)
    free[tuple(at[((at >= 0) & (at < shape)).all(axis=1)].T)] = False
    if free.all():
        return np.full(shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(free))

"""Bright objects that are not neurites: puncta, somata, tracts, stripes of a cube."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neuroglow.imaging import optics
from neuroglow.imaging.neurites import Neurite, beads, log_uniform, unit, walk
from neuroglow.imaging.rendering import FOOT, Floats, render
from neuroglow.phantom.settings import PhantomSettings

__all__ = ["puncta", "somata", "stripes", "tract"]


def puncta(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw blobs a few voxels wide: bright, but not neurites."""
    field = np.zeros(settings.shape, np.float32)
    at = [int(rng.integers(n)) for n in settings.shape]
    wide = np.multiply(sigma, rng.uniform(0.9, 1.8))
    reach = np.ceil(4 * wide).astype(int)
    spans = zip(at, reach, settings.shape, strict=True)
    window = tuple(slice(max(0, a - r), min(n, a + r + 1)) for a, r, n in spans)
    axes = np.ogrid[window]
    square = sum(((g - a) / s) ** 2 for g, a, s in zip(axes, at, wide, strict=True))
    field[window] = log_uniform(rng, (2, 30)) * np.exp(-square / 2)
    return field, np.zeros(settings.shape, bool)


def somata(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw a soma: bright, and ignored (part of a neuron, but not a neurite)."""
    centre = rng.uniform(0, 1, 3) * settings.shape
    radii = rng.uniform(5, 14) * rng.uniform(0.7, 1.3, 3)
    axes = np.ogrid[tuple(slice(0, n) for n in settings.shape)]
    square = sum(((g - c) / r) ** 2 for g, c, r in zip(axes, centre, radii, strict=True))
    body = np.asarray(1 / (1 + np.exp(6 * (np.sqrt(square) - 1))), np.float32)
    return log_uniform(rng, (4, 60)) * body, body > 0.1


def tract(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw a bundle of parallel neurites, too crowded to separate: ignored."""
    start, heading = rng.uniform(0.1, 0.9, 3) * settings.shape, unit(rng.standard_normal(3))
    turn = rng.uniform(0.01, 0.04)
    ends = [walk(rng, start, way, turn, settings.shape) for way in (heading, -heading)]
    middle = np.concatenate([ends[1][:0:-1], ends[0]])
    width, peak = rng.uniform(3, 9), log_uniform(rng, (1.5, 12))
    stray = rng.standard_normal((int(rng.integers(15, 60)), 1, 3)) * width
    fibres = [Neurite(middle + s, 0.6, peak * beads(rng, len(middle))) for s in stray]
    signal, extent = render(fibres, settings.shape, sigma)
    return signal, extent > FOOT


def stripes(
    rng: Generator, settings: PhantomSettings, sigma: Sequence[float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Draw the shadows of a light sheet."""
    field = optics.stripes(settings.shape, rng) * np.float32(rng.uniform(0.1, 1.0))
    return field, np.zeros(settings.shape, bool)

"""Phantoms that adapting trains on and is judged by: neurites, and tissue of other kinds.

What was never shown again is forgotten: a model that was adapted to one volume detected four times
as many nuclei elsewhere. So phantoms with nuclei, plaques, microglia and grain are mixed in, and
others, without neurites, say how much a model falsely detects in tissue of each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging import crowds, optics
from neuroglow.imaging.injection import Injection, draw_lines
from neuroglow.imaging.neurites import log_uniform
from neuroglow.imaging.noise_units import quiet_noise_units
from neuroglow.imaging.rendering import label, render
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.space.geometry import Zyx

__all__ = ["NEURITES", "NONE", "TISSUES", "draw_phantom"]

Floats = NDArray[np.float32]
Labels = NDArray[np.uint8]

SHAPE: Zyx = (64, 64, 64)
NEURITES = Injection(count=8, snr=(1.5, 30.0), radius_vox=(0.3, 2.0))
NONE = replace(NEURITES, count=0)


def draw_phantom(
    rng: Generator, tissue: str = "", neurites: Injection = NEURITES
) -> tuple[Floats, Labels]:
    """Draw a phantom in noise units, and its label (zyx): uneven light, spots, correlated noise.

    tissue: one of TISSUES, or none.
    """
    blur = rng.uniform(0.7, 1.4)
    sigma = (blur * rng.uniform(1, 2), blur, blur)
    lines = draw_lines(rng, SHAPE, neurites)
    signal, extent = render(lines, SHAPE, sigma) if lines else np.zeros((2, *SHAPE), np.float32)
    truth = label(signal, extent)
    light = signal + np.float32(rng.uniform(0, 2)) * optics.smooth_field(SHAPE, 40, rng)
    light += _spots(rng, rng.poisson(15), (3, 20), rng.uniform(0.8, 1.6))
    if tissue:
        bodies = TISSUES[tissue](rng, SHAPE, sigma)
        light += bodies
        truth[(truth == NEURITE) & (signal < 0.5 * bodies)] = IGNORE  # hidden
    noise = optics.correlated_noise(SHAPE, (rng.uniform(0, 0.8),) * 3, rng)
    return quiet_noise_units(optics.expose(light, noise, optics.Camera.draw(rng))), truth


def _spots(rng: Generator, count: int, snr: tuple[float, float], sigma: float) -> Floats:
    """Draw spots of a few voxels, of a peak from a range."""
    field = np.zeros(SHAPE, np.float32)
    places = rng.integers(0, SHAPE, size=(count, 3))
    field[tuple(places.T)] = rng.uniform(*snr, count)
    peak = (sigma * np.sqrt(2 * np.pi)) ** 3
    return np.asarray(peak * ndimage.gaussian_filter(field, sigma, truncate=3), np.float32)


def _grain(rng: Generator, shape: Zyx, sigma: Sequence[float]) -> Floats:
    """Draw the grain of a cell layer: spots by the hundred, of a few deviations of the noise."""
    count = int(log_uniform(rng, (300, 3000)))
    return _spots(rng, count, (1, rng.uniform(3, 10)), rng.uniform(0.7, 1.4))


TISSUES: Mapping[str, Callable[[Generator, Zyx, Sequence[float]], Floats]] = {
    "nuclei": crowds.nuclei,
    "plaques": crowds.plaques,
    "microglia": crowds.microglia,
    "grain": _grain,
}
"""Tissues of other kinds by name, and how each is drawn: as SNR."""

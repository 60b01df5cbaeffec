"""One phantom cube in memory: the image in a perfect camera, and in a real one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from neuroglow.imaging import optics
from neuroglow.imaging.neurites import Neurite
from neuroglow.imaging.rendering import Floats, label, render
from neuroglow.phantom.distractors import puncta, somata, stripes, tract
from neuroglow.phantom.morphology import grow
from neuroglow.phantom.settings import BACKGROUND, IGNORE, PhantomSettings

__all__ = ["Phantom", "Scene", "make_phantom", "make_scene"]


@dataclass(frozen=True)
class Scene:
    """The scene before a camera adds its noise.

    signal: (zyx) SNR of everything above background, distractors too.
    target: (zyx) SNR of labelled neurites alone.
    label: (zyx) uint8 BACKGROUND, NEURITE or IGNORE.
    extent: (zyx) the neurites as if the peak of each were 1.
    sigma_vox: blur along z, y, x.
    """

    signal: Floats
    target: Floats
    label: NDArray[np.uint8]
    neurites: tuple[Neurite, ...]
    extent: Floats
    sigma_vox: tuple[float, float, float]


@dataclass(frozen=True)
class Phantom:
    """An image with its truth.

    image: (zyx) uint16 grey levels.
    label: (zyx) uint8 BACKGROUND, NEURITE or IGNORE.
    """

    image: NDArray[np.uint16]
    label: NDArray[np.uint8]
    scene: Scene = field(repr=False)
    camera: optics.Camera


def make_phantom(
    rng: Generator, settings: PhantomSettings | None = None, *, camera: optics.Camera | None = None
) -> Phantom:
    """Make one phantom cube: the same generator state gives the same phantom.

    >>> import numpy as np
    >>> phantom = make_phantom(np.random.default_rng(1), PhantomSettings(shape=(32, 32, 32)))
    >>> phantom.image.shape, phantom.image.dtype.name, int(phantom.label.max()) <= IGNORE
    ((32, 32, 32), 'uint16', True)
    """
    chosen = settings or PhantomSettings()
    scene = make_scene(rng, chosen)
    taken_by = camera or optics.Camera.draw(rng)
    correlation = rng.uniform(*chosen.correlation_vox)
    noise = optics.correlated_noise(chosen.shape, (correlation,) * 3, rng)
    image = optics.expose(scene.signal, noise, taken_by)
    return Phantom(image, scene.label, scene, taken_by)


def make_scene(rng: Generator, settings: PhantomSettings) -> Scene:
    """Grow neurites and distractors, and blur them: the image in a perfect camera."""
    blur = rng.uniform(*settings.blur_vox)
    sigma = (blur * rng.uniform(*settings.anisotropy), blur, blur)
    neurites = grow(rng, settings)
    target, extent = render(neurites, settings.shape, sigma)
    signal = target.copy()
    truth = label(target, extent)
    signal += rng.uniform(*settings.unevenness) * optics.smooth_field(
        settings.shape, rng.uniform(24, 96), rng
    )
    for draw, expected in zip((puncta, somata, tract, stripes), settings.distractors, strict=True):
        for _ in range(rng.poisson(expected)):
            extra, ignored = draw(rng, settings, sigma)
            signal += extra
            truth[ignored & (truth == BACKGROUND)] = IGNORE
    return Scene(signal, target, truth, tuple(neurites), extent, sigma)

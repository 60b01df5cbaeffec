"""What a microscope does to light: blur, illumination, stripes, camera noise.

Arrays are zyx, float32; each function takes its random generator as an argument. Signals
are in noise units of SNR (1 = one standard deviation of the background's noise) until
`expose` turns them into the grey levels of a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, ndimage

from neuroglow.space.geometry import Zyx

__all__ = [
    "Camera",
    "correlated_noise",
    "expose",
    "noise_like",
    "smooth_field",
    "stripes",
]

Floats = NDArray[np.float32]


def smooth_field(shape: Zyx, scale_vox: float, rng: Generator) -> Floats:
    """Draw a smooth random field of mean about 0 and standard deviation about 1.

    scale_vox: the distance, in voxels, over which it changes.
    """
    coarse = tuple(max(2, round(n / scale_vox) + 2) for n in shape)
    field = rng.standard_normal(coarse, np.float32)
    zoomed = ndimage.zoom(field, [n / c for n, c in zip(shape, coarse, strict=True)], order=3)
    return np.asarray(zoomed / max(float(zoomed.std()), 1e-3), np.float32)


def correlated_noise(shape: Zyx, sigma_vox: Sequence[float], rng: Generator) -> Floats:
    """Draw Gaussian noise of standard deviation 1, blurred by `sigma_vox` (zyx).

    Denoising, compression and resampling correlate the noise of neighbouring voxels.
    """
    noise = rng.standard_normal(shape, np.float32)
    if max(sigma_vox) > 0:
        noise = ndimage.gaussian_filter(noise, sigma_vox, mode="wrap", truncate=3)
        noise /= max(float(noise.std()), 1e-6)
    return noise


def noise_like(sample: Floats, rng: Generator) -> Floats:
    """Draw noise with the spectrum and the histogram of `sample`, its phases random.

    Whatever is a structure in the sample is none in the result: only its texture is left.
    The spectrum is imposed, then the histogram (one step of Schreiber and Schmitz, 1996).
    """
    amplitude = np.abs(fft.rfftn(sample - sample.mean(), workers=1))
    white = fft.rfftn(rng.standard_normal(sample.shape, np.float32), workers=1)
    white *= amplitude / np.maximum(np.abs(white), 1e-6)
    field = fft.irfftn(white, s=sample.shape, workers=1)
    result = np.empty(sample.size, np.float32)
    result[np.argsort(field, axis=None)] = np.sort(sample, axis=None)
    return result.reshape(sample.shape)


def stripes(shape: Zyx, rng: Generator) -> Floats:
    """Draw stripes along y or x (shadows of a light sheet) of standard deviation 1."""
    across = int(rng.integers(1, 3))
    profile = ndimage.gaussian_filter1d(rng.standard_normal(shape[across]), rng.uniform(0.5, 3))
    field = profile.reshape([-1 if axis == across else 1 for axis in range(3)])
    drift = 1 + 0.3 * smooth_field(shape, 40, rng)
    return np.asarray(field / max(float(profile.std()), 1e-3) * drift, np.float32)


@dataclass(frozen=True)
class Camera:
    """Turns SNR into grey levels: `offset + noise_level * (signal + noise)`.

    offset: grey level of the background.
    noise_level: standard deviation of the background's noise, in grey levels.
    shot: growth of the noise's variance with the signal, per unit of SNR.
    bits: 8, 12 or 16; brighter values saturate.
    """

    offset: float = 300.0
    noise_level: float = 40.0
    shot: float = 0.1
    bits: int = 16

    @classmethod
    def draw(cls, rng: Generator) -> Camera:
        """Draw a camera of random gain, offset and depth."""
        bits = int(rng.choice([8, 12, 16, 16, 16]))
        top = 2**bits - 1
        offset = top * float(np.exp(rng.uniform(np.log(0.004), np.log(0.12))))
        level = max(1.2, offset * float(np.exp(rng.uniform(np.log(0.05), np.log(0.4)))))
        return cls(offset, level, float(rng.choice([0.0, rng.uniform(0, 0.6)])), bits)


def expose(signal: Floats, noise: Floats, camera: Camera) -> NDArray[np.uint16]:
    """Take the picture: grey levels (zyx, uint16) of a signal and a noise of deviation 1.

    The noise grows with the signal as photon noise does: variance 1 + shot * signal.
    """
    grey = signal + noise * np.sqrt(1 + camera.shot * np.maximum(signal, 0))
    grey = camera.offset + camera.noise_level * grey
    return np.asarray(np.clip(np.rint(grey), 0, 2**camera.bits - 1), np.uint16)

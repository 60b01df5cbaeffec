"""Effects of a microscope on light: blur, illumination, stripes, camera noise.

Arrays are zyx, float32. A function takes its random generator as an argument, or, if its
result depends on the position in a volume, a box and a seed (see fields.py; a cube's box may start
at zero, and `int(rng.integers(2**63))` is a seed). Signals are in noise units of SNR (1 = one
standard deviation of the background's noise) until a camera converts them to grey levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import fft, ndimage

from neuroglow.imaging.fields import enlarge, positions, smooth_noise, white_noise
from neuroglow.space.geometry import Box, Zyx

__all__ = [
    "Camera",
    "bleaching",
    "blur_with_depth",
    "compress",
    "correlated_noise",
    "digitise",
    "expose",
    "illumination",
    "noise_like",
    "poisson_gaussian",
    "scatter",
    "sheet_stripes",
    "smooth_field",
    "stripes",
    "tile_steps",
]

Floats = NDArray[np.float32]


def smooth_field(shape: Zyx, scale_vox: float, rng: Generator) -> Floats:
    """Draw a smooth random field of mean about 0 and standard deviation about 1.

    scale_vox: the distance, in voxels, over which it changes.
    """
    coarse = tuple(max(2, round(n / scale_vox) + 2) for n in shape)
    zoomed: NDArray[Any] = rng.standard_normal(coarse, np.float32)
    for axis, (few, many) in enumerate(zip(coarse, shape, strict=True)):
        zoomed = np.moveaxis(np.tensordot(_zooming(few, many), zoomed, (1, axis)), 0, axis)
    zoomed = np.ascontiguousarray(zoomed, np.float32)
    return np.asarray(zoomed / max(float(zoomed.std()), 1e-3), np.float32)


@lru_cache(maxsize=64)
def _zooming(few: int, many: int) -> NDArray[np.float64]:
    """Return the matrix by which ndimage.zoom (cubic) turns few values into many.

    It is linear along each axis, so that matrices do the same in a hundredth of the time.
    """
    return np.stack([ndimage.zoom(unit, many / few, order=3) for unit in np.eye(few)], axis=1)


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
    """Draw noise with the spectrum and the histogram of `sample`, with random phases.

    Structures of the sample are not structures in the result: only the texture remains.
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
    """Converts SNR to grey levels: `offset + noise_level * (signal + noise)`.

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
        """Draw a camera with random gain, offset and bit depth."""
        bits = int(rng.choice([8, 12, 16, 16, 16]))
        top = 2**bits - 1
        offset = top * float(np.exp(rng.uniform(np.log(0.004), np.log(0.12))))
        level = max(1.2, offset * float(np.exp(rng.uniform(np.log(0.05), np.log(0.4)))))
        return cls(offset, level, float(rng.choice([0.0, rng.uniform(0, 0.6)])), bits)


def expose(signal: Floats, noise: Floats, camera: Camera) -> NDArray[np.uint16]:
    """Take the picture: grey levels (zyx, uint16) from a signal and a noise of deviation 1.

    The noise grows with the signal as photon noise does: variance 1 + shot * signal.
    """
    grey = signal + noise * np.sqrt(1 + camera.shot * np.maximum(signal, 0))
    grey = camera.offset + camera.noise_level * grey
    return np.asarray(np.clip(np.rint(grey), 0, 2**camera.bits - 1), np.uint16)


def bleaching(depth_vox: NDArray[np.float64], length_vox: float, floor: float = 0.0) -> Floats:
    """Return the remaining light at a depth: `floor` + (1 - `floor`) exp(-depth / length)."""
    return np.asarray(floor + (1 - floor) * np.exp(-depth_vox / length_vox), np.float32)


def tile_steps(box: Box, tile_vox: int, step: float, seed: int) -> Floats:
    """Return the gain of each stitched tile (yx squares), constant inside: exp(step x normal)."""
    y, x = ((positions(box, axis) // tile_vox).astype(int) for axis in (1, 2))
    tiles = Box((0, int(y.min()), int(x.min())), (1, int(y.max()) + 1, int(x.max()) + 1))
    gains = np.exp(step * white_noise(tiles, seed))
    return np.asarray(gains[0][y - y.min(), x - x.min()], np.float32)


def illumination(box: Box, scale_vox: float, strength: float, seed: int) -> Floats:
    """Return uneven illumination: a gain about 1 that varies over `scale_vox`."""
    field = smooth_noise(box, (scale_vox,) * 3, seed)
    return np.asarray(np.exp(np.float32(strength) * field), np.float32)


def sheet_stripes(box: Box, width_vox: float, strength: float, seed: int) -> Floats:
    """Return the shadows of a light sheet along x: a gain about 1, stripes along x."""
    field = smooth_noise(box, (24.0, width_vox, 160.0), seed)
    return np.asarray(np.exp(np.float32(strength) * field), np.float32)


def scatter(light: Floats, share: float, sigma_vox: float) -> Floats:
    """Spread a share of the light over `sigma_vox`: the haze of scattering.

    Computed on a grid four times as coarse, since haze has no detail.
    """
    if share <= 0:
        return light
    shape = light.shape
    padded = np.pad(light, [(0, -n % 4) for n in shape], mode="edge")
    z, y, x = (n // 4 for n in padded.shape)
    coarse = padded.reshape(z, 4, y, 4, x, 4).mean((1, 3, 5))
    coarse = ndimage.gaussian_filter(coarse, sigma_vox / 4, mode="nearest", truncate=3)
    wide = enlarge(coarse, 4)[tuple(slice(n) for n in shape)]
    return np.asarray((1 - share) * light + share * wide, np.float32)


def blur_with_depth(light: Floats, weight: NDArray[np.float64], sigma_vox: float) -> Floats:
    """Mix the image with a blurred one, by a weight (0..1) that grows with depth.

    weight: broadcasts over zyx.
    """
    if not weight.any():
        return light
    sigma = (sigma_vox * 1.5, sigma_vox, sigma_vox)
    blurred = ndimage.gaussian_filter(light, sigma, mode="nearest", truncate=3)
    return np.asarray(light + np.asarray(weight, np.float32) * (blurred - light), np.float32)


def poisson_gaussian(photons: Floats, normal: Floats, read_noise: float) -> Floats:
    """Return photon counts with their noise: mean `photons`, variance `photons` + read_noise^2.

    normal: a field of standard deviation 1, white or correlated, which decides the noise of
    each voxel. It becomes counts by the first terms of Cornish and Fisher (1938), which give
    the skewness of few photons too: 1 / sqrt(photons). Good from about 3 photons.
    """
    light = np.maximum(photons, 0)
    variance = np.maximum(light + np.float32(read_noise**2), np.float32(1e-6))
    skewed = light / variance * (normal**2 - 1) / np.float32(6)
    return np.asarray(photons + np.sqrt(variance) * normal + skewed, np.float32)


def compress(grey: Floats, step: float) -> Floats:
    """Apply the loss of a JPEG-like compression: 8 x 8 blocks in plane, cosines in steps of `step`.

    Blocks are counted from the array's corner.
    """
    z, y, x = grey.shape
    padded = np.pad(grey, [(0, 0), (0, -y % 8), (0, -x % 8)], mode="edge")
    blocks = padded.reshape(z, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8)
    cosines = fft.dctn(blocks, axes=(2, 4), norm="ortho", workers=1)
    kept = fft.idctn(np.rint(cosines / step) * step, axes=(2, 4), norm="ortho", workers=1)
    return np.asarray(kept.reshape(padded.shape)[:, :y, :x], np.float32)


def digitise(grey: Floats, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Round grey levels to 8, 12 or 16 bits: uint8 or uint16; brighter values saturate."""
    whole = np.clip(np.rint(grey), 0, 2**bits - 1)
    return whole.astype(np.uint8) if bits == 8 else whole.astype(np.uint16)

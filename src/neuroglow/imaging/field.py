"""Changes to a volume between a microscope and a reader, each a function of the volume.

Volumes are zyx float32 in units of the noise: 0 is the background, 1 a standard deviation.
`roughen` applies random changes to one volume, and stores it as people do: with few grey levels,
clipped, compressed. It returns which content is lost, so that nothing lost is expected to be found.
"""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging import optics
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array

__all__ = [
    "FILES",
    "TREATMENTS",
    "clip_background",
    "jpeg",
    "lose_planes",
    "mask_border",
    "resample_z",
    "ring",
    "roughen",
    "saturate_frames",
    "smooth",
    "stitch",
    "video",
]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Treatment = Callable[[Generator, Floats], Floats]

REACH = 3
"""Voxels: structures with no trace within this distance cannot be seen."""


def smooth(rng: Generator, signal: Floats) -> Floats:
    """Smooth with a Gaussian or a median filter, as denoising does."""
    if rng.random() < 0.25:
        return np.asarray(ndimage.median_filter(signal, (1, 3, 3)), np.float32)
    along = rng.choice((0.0, 1.0, 1.5)) * rng.uniform(0.4, 1.2)
    plane = rng.uniform(0.4, 1.2)
    return np.asarray(ndimage.gaussian_filter(signal, (along, plane, plane)), np.float32)


def ring(rng: Generator, signal: Floats) -> Floats:
    """Sharpen until ringing appears, as excessive deconvolution does: dark rims, harsh noise."""
    sigma = rng.uniform(0.8, 1.6)
    blurred = ndimage.gaussian_filter(signal, (1.3 * sigma, sigma, sigma))
    rounds = rng.uniform(0.5, 2.5)
    sharp = signal + np.float32(rounds) * (signal - blurred)
    return np.asarray(ndimage.gaussian_filter(sharp, 0.5), np.float32)


def resample_z(rng: Generator, signal: Floats) -> Floats:
    """Interpolate planes between fewer ones, linearly or by repeating them."""
    step = rng.uniform(1.3, 3.0)
    kept = np.rint(np.arange(0, len(signal) - 0.5, step)).astype(int)
    planes = ndimage.gaussian_filter1d(signal, 0.3 * step, axis=0)[
        np.minimum(kept, len(signal) - 1)
    ]
    where = np.clip(np.arange(len(signal)) / step, 0, len(planes) - 1)
    low = np.floor(where).astype(int)
    high = np.minimum(low + 1, len(planes) - 1)
    share = (where - low)[:, None, None].astype(np.float32)
    if rng.random() < 0.3:
        share = np.rint(share)
    return np.asarray(planes[low] + share * (planes[high] - planes[low]), np.float32)


def stitch(rng: Generator, signal: Floats) -> Floats:
    """Stitch tiles of unequal gain, whose background shows the steps."""
    start = tuple(int(n) for n in rng.integers(1 << 16, size=3))
    z, y, x = signal.shape
    box = Box.of((z, y, x)).shift((start[0], start[1], start[2]))
    tile = int(rng.integers(max(16, x // 3), 3 * x))
    gain = optics.tile_steps(box, tile, rng.uniform(0.02, 0.2), int(rng.integers(2**63)))
    pedestal = np.float32(rng.uniform(0, 12))
    return np.asarray(gain * (signal + pedestal) - pedestal, np.float32)


def saturate_frames(rng: Generator, signal: Floats) -> Floats:
    """Brighten a few planes until they saturate: a shutter, a bubble, a lamp."""
    top = np.float32(np.exp(rng.uniform(np.log(6), np.log(60))))
    bright = signal.copy()
    for plane in rng.integers(len(signal), size=int(rng.integers(1, 3))):
        bright[plane] = bright[plane] * np.float32(rng.uniform(1, 4)) + top
    return np.minimum(bright, top)


TREATMENTS: dict[str, tuple[float, Treatment]] = {
    "smoothed": (0.25, smooth),
    "resampled along z": (0.1, resample_z),
    "deconvolved": (0.1, ring),
    "stitched": (0.15, stitch),
    "saturated planes": (0.04, saturate_frames),
}
"""Treatments of a volume: names, probabilities and functions, in order."""


def clip_background(rng: Generator, signal: Floats) -> Floats:
    """Subtract the background, and set everything below some noise level to zero."""
    middle, quarter = np.quantile(signal[::2, ::2, ::2], [0.5, 0.25])
    noise = max(1.4826 * float(middle - quarter), 1e-3)
    low = rng.uniform(-0.5, 2.0) if rng.random() < 0.8 else rng.uniform(2, 5)
    return np.asarray(np.maximum(signal - middle - low * noise, 0), np.float32)


def _few_levels(rng: Generator, signal: Floats, lowest: float) -> NDArray[np.uint8]:
    """Store as 8 bits: 16 to 255 grey levels between the lowest and a bright quantile."""
    levels = int(np.exp(rng.uniform(np.log(16), np.log(255))))
    top = max(float(np.quantile(signal, rng.uniform(0.98, 1.0))), lowest + 4)
    return _scaled(signal, lowest, top, levels)


def _scaled(signal: Floats, lowest: float, top: float, levels: int) -> NDArray[np.uint8]:
    grey = (signal - np.float32(lowest)) * np.float32(levels / (top - lowest))
    return np.asarray(np.clip(np.rint(grey), 0, levels), np.uint8)


def jpeg(rng: Generator, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compress each plane as a JPEG of quality 40 to 95, and read it again."""
    quality = int(rng.integers(40, 96))
    planes = [
        imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(np.ascontiguousarray(p), level=quality))
        for p in grey
    ]
    return np.asarray(np.stack(planes), np.uint8)


def video(rng: Generator, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compress planes as the frames of a video: each as its difference from the previous one.

    Only the loss is simulated: cosines of 8 x 8 blocks in coarse steps, with occasional key frames.
    """
    step, every = rng.uniform(4, 30), int(rng.integers(6, 30))
    before = np.zeros(grey.shape[1:], np.float32)
    frames = []
    for number, plane in enumerate(grey.astype(np.float32)):
        before = before * np.float32(number % every > 0)
        before = before + optics.compress((plane - before)[None], step)[0]
        frames.append(np.clip(np.rint(before), 0, 255).astype(np.uint8))
    return np.stack(frames)


def lose_planes(rng: Generator, grey: Array) -> tuple[Array, Mask]:
    """Lose one to three planes: black, or a copy of the previous one; also return which voxels."""
    lost = np.zeros(grey.shape, bool)
    kept = grey.copy()
    for plane in rng.integers(1, len(grey), size=int(rng.integers(1, 4))):
        kept[plane] = kept[plane - 1] if rng.random() < 0.5 else 0
        lost[plane] = True
    return kept, lost


def mask_border(rng: Generator, grey: Array) -> tuple[Array, Mask]:
    """Set all beyond a slanted border to zero, like a brain mask; also return which voxels."""
    axes = np.ogrid[tuple(slice(-n / 2, n / 2) for n in grey.shape)]
    normal = rng.standard_normal(3)
    normal = normal / np.linalg.norm(normal)
    depth = sum(n * axis for n, axis in zip(normal, axes, strict=True))
    beyond = np.asarray(depth > rng.uniform(0.1, 0.45) * min(grey.shape))
    return np.where(beyond, grey.dtype.type(0), grey), beyond


FILES = {"clipped": 0.55, "levels": 0.2, "jpeg": 0.2, "video": 0.07, "planes": 0.06, "border": 0.07}
"""Probabilities of what happens when a file is written."""


def roughen(rng: Generator, signal: Floats) -> tuple[Array, Mask]:
    """Simulate what happens to files: return grey levels, and a mask of lost content.

    signal: zyx float32 in units of the noise, background 0. Returns uint8 or uint16 grey levels,
    and a mask of the voxels whose content is lost: set to zero with nothing near, or omitted.
    >>> import numpy as np
    >>> grey, lost = roughen(np.random.default_rng(1), np.zeros((16, 16, 16), np.float32))
    >>> grey.dtype.kind, lost.shape
    ('u', (16, 16, 16))
    """
    for chance, treat in TREATMENTS.values():
        if rng.random() < chance:
            signal = treat(rng, signal)
    clipped = rng.random() < FILES["clipped"]
    if clipped:
        grey: Array = _few_levels(rng, clip_background(rng, signal), 0.0)
    elif rng.random() < 2 * FILES["levels"]:
        grey = _few_levels(rng, signal, float(signal.min()))
    else:
        scale = np.exp(rng.uniform(np.log(2), np.log(200)))
        grey = np.clip(np.rint((signal + rng.uniform(6, 40)) * scale), 0, 65535).astype(np.uint16)
    if grey.dtype == np.uint8 and rng.random() < FILES["jpeg"]:
        grey = jpeg(rng, grey)
    elif grey.dtype == np.uint8 and rng.random() < FILES["video"]:
        grey = video(rng, grey)
    lost = unseen(grey) if clipped else np.zeros(grey.shape, bool)
    for name, lose in (("planes", lose_planes), ("border", mask_border)):
        if rng.random() < FILES[name]:
            grey, gone = lose(rng, grey)
            lost = lost | gone
    return grey, lost


def unseen(grey: Array) -> Mask:
    """Return where a volume and its surroundings are zero, so that the content is lost."""
    trace = ndimage.uniform_filter((grey > 0).astype(np.float32), 2 * REACH + 1)
    return np.asarray(trace < 0.5 / (2 * REACH + 1) ** 3)

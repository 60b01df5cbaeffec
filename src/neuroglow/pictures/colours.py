"""Colours of pictures: a probability over a raw image, trees that are told apart, lengths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.volume import Array

__all__ = [
    "BRIDGE",
    "GAMMA",
    "GROUND",
    "INK",
    "ORANGE",
    "Pixels",
    "Rgb",
    "distinct",
    "glow",
    "grey",
    "range_of",
]

Pixels = NDArray[np.uint8]
Rgb = tuple[int, int, int]

ORANGE: Rgb = (255, 140, 0)
"""Of a probability: told apart from grey by every eye."""

GROUND: Rgb = (24, 24, 27)
INK: Rgb = (225, 225, 225)
BRIDGE: Rgb = (255, 255, 255)
"""Of a bridge between two ends of traced neurites."""

GAMMA = 0.6
"""Exponent for showing raw intensities: faint structures stay visible next to bright ones."""

BELOW = 0.8
"""Share of full brightness that a raw image under a probability takes."""

MISSING: Rgb = (200, 30, 30)

STEPS = 14
"""Levels of red, green and blue among which colours of trees are chosen."""


def range_of(images: Mapping[str, Array]) -> tuple[float, float]:
    """Give the values between which projections are shown: darkest fifth to brightest 500th."""
    known = [a[np.isfinite(a)] for a in images.values()]
    values = np.concatenate([a.ravel() for a in known] or [np.zeros(1)])
    low, high = np.quantile(values, [0.2, 0.998]) if values.size else (0.0, 1.0)
    return float(low), max(float(high), float(low) + 1e-3)


def grey(part: Array, low: float, high: float, gamma: float = 1.0) -> Pixels:
    """Show values between two as grey; what is not known (NaN) is hatched red."""
    known = np.isfinite(part)
    shown = np.clip((np.where(known, part, low) - low) / (high - low), 0, 1) ** gamma * 255
    return _hatched(np.repeat(shown.astype(np.uint8)[..., None], 3, -1), known)


def glow(below: Pixels, probability: Array, colour: Rgb = ORANGE) -> Pixels:
    """Lay a probability (0..1) over a picture as light of one colour.

    Over what is dark the colour is deep, over what is bright it is pale: what the raw image does
    not show stands out.
    """
    dark = _with_light(np.arange(256, dtype=np.uint8), np.zeros(()))
    shown = dark[below]  # most pixels are without light
    there = probability > 0
    light = np.clip(probability[there], 0, 1)[:, None] * np.asarray(colour) / 255
    shown[there] = _with_light(below[there], light)
    return _hatched(shown, np.isfinite(probability))


def _with_light(below: Pixels, light: Array) -> Pixels:
    dimmed = below / 255 * BELOW * (1 - 0.5 * light)
    return np.asarray(np.rint((1 - (1 - dimmed) * (1 - light)) * 255), np.uint8)


def _hatched(pixels: Pixels, known: NDArray[np.bool_]) -> Pixels:
    if known.all():
        return pixels
    lines = np.add.outer(np.arange(known.shape[0]), np.arange(known.shape[1])) % 6 < 2
    pixels[~known & lines] = MISSING
    return pixels


@lru_cache(maxsize=4)
def distinct(count: int) -> tuple[Rgb, ...]:
    """Give so many colours for a dark ground, each as far as can be from all before it.

    Far apart in the space OKLab (Ottosson 2020), chosen greedily; of 360 no two are nearer than
    0.03, which side by side is seen.
    """
    levels = np.linspace(40, 255, STEPS)
    rgb = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = oklab(rgb)
    colourful = np.hypot(lab[:, 1], lab[:, 2]) > 0.07
    usable = (lab[:, 0] > 0.5) & colourful
    rgb, lab = rgb[usable], lab[usable]
    chosen = [int(np.argmin(np.abs(rgb - (86, 180, 233)).sum(1)))]  # sky blue first
    apart = np.linalg.norm(lab - lab[chosen[0]], axis=1)
    for _ in range(min(count, len(rgb)) - 1):
        chosen.append(int(apart.argmax()))
        apart = np.minimum(apart, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
    some = [(int(r), int(g), int(b)) for r, g, b in np.rint(rgb[chosen])]
    return tuple(some[i % len(some)] for i in range(count))


def oklab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn sRGB (n, 3; 0..255) into OKLab: lightness, green to red, blue to yellow.

    Source: Ottosson, A perceptual color space for image processing, 2020.
    """
    unit = np.asarray(rgb, np.float64) / 255
    linear = np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.asarray(
        np.cbrt(cones)
        @ np.array(
            [
                [0.2104542553, 1.9779984951, 0.0259040371],
                [0.7936177850, -2.4285922050, 0.7827717662],
                [-0.0040720468, 0.4505937099, -0.8086757660],
            ]
        )
    )

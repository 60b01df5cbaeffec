"""Pictures of a volume: projections with true, missed and false voxels in different colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.report import image_png
from neuroglow.space.geometry import Zyx
from neuroglow.space.projections import bin_size

__all__ = ["MARKS", "draw_volume"]

Array = NDArray[Any]
Pixels = NDArray[np.uint8]
Rgb = tuple[int, int, int]

MARKS: Mapping[str, Rgb] = {"true": (86, 180, 233), "missed": (240, 228, 66), "false": (213, 94, 0)}
"""Sky blue, yellow and vermilion of Okabe and Ito (2008): distinguishable for all, also in grey."""

WORDS = {"true": "found", "missed": "missed", "false": "false"}
RING: Rgb = (255, 255, 255)
RING_PIXELS = 7
"""Radius of the ring around a merge."""

SIDE, GAP, HEAD = 320, 8, 20
GROUND = (24, 24, 27)
DIM = 0.55
"""Maximum brightness of the image behind the lines, as a share of full brightness."""


def draw_volume(
    shape: Zyx, points: Mapping[str, NDArray[np.float64]], behind: Mapping[str, Array] | None
) -> bytes:
    """Draw a PNG of three projections: lines over the image behind them, dimmed.

    points: of MARKS' keys, (n, 3) zyx in voxels, drawn in that order; `merged`: ringed.
    """
    bins = bin_size(shape)
    zoom = max(1, SIDE * bins // max(shape))
    panels = []
    for k, axis in enumerate("zyx"):
        size = [-(-n // bins) * zoom for i, n in enumerate(shape) if i != k]
        panel = _backdrop(behind[axis] if behind else None, size, zoom)
        for name, colour in MARKS.items():
            _mark(panel, np.delete(points[name], k, axis=1) / bins * zoom, zoom, colour)
        _ring(panel, (np.delete(points["merged"], k, axis=1) / bins + 0.5) * zoom)
        panels.append(panel)
    return image_png(_sheet(panels, rings=len(points["merged"])))


def _backdrop(image: Array | None, size: Sequence[int], zoom: int) -> Pixels:
    if image is None:
        return np.full((*size, 3), GROUND, np.uint8)
    low, high = np.quantile(image, [0.2, 0.998])
    grey = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * 255 * DIM
    large = grey.astype(np.uint8).repeat(zoom, 0).repeat(zoom, 1)
    return np.asarray(large[..., None].repeat(3, -1))


def _mark(panel: Pixels, at: NDArray[np.float64], zoom: int, colour: Rgb) -> None:
    """Colour the middle of each point's voxel, so that the image around it stays visible."""
    wide = max(1, zoom // 2)
    for dy in range(wide):
        for dx in range(wide):
            place = np.floor(at).astype(int) + (zoom - wide) // 2 + (dy, dx)
            inside = ((place >= 0) & (place < panel.shape[:2])).all(axis=1)
            panel[tuple(place[inside].T)] = colour


def _ring(panel: Pixels, at: NDArray[np.float64]) -> None:
    """Draw a ring around each point (pixels)."""
    reach = np.arange(-RING_PIXELS, RING_PIXELS + 1)
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    circle = offsets[np.abs(np.hypot(*offsets.T) - RING_PIXELS + 0.5) < 0.6]
    place = (np.floor(at).astype(int)[:, None] + circle).reshape(-1, 2)
    inside = ((place >= 0) & (place < panel.shape[:2])).all(axis=1)
    panel[tuple(place[inside].T)] = RING


def _sheet(panels: Sequence[Pixels], *, rings: int) -> Pixels:
    """Put the panels side by side, with the axis above each and the legend of colours below."""
    from PIL import Image, ImageDraw

    tall = max(p.shape[0] for p in panels)
    width = max(sum(p.shape[1] + GAP for p in panels) + GAP, 420)
    canvas = Image.new("RGB", (width, tall + 2 * HEAD + GAP), GROUND)
    pen = ImageDraw.Draw(canvas)
    left = GAP
    for axis, panel in zip("zyx", panels, strict=True):
        pen.text((left, 4), f"along {axis}", fill=(220, 220, 220))
        canvas.paste(Image.fromarray(panel), (left, HEAD))
        left += panel.shape[1] + GAP
    left = GAP
    for name, colour in MARKS.items():
        pen.rectangle((left, tall + HEAD + 8, left + 11, tall + HEAD + 19), fill=colour)
        pen.text((left + 17, tall + HEAD + 7), WORDS[name], fill=(220, 220, 220))
        left += 90
    if rings:
        pen.ellipse((left, tall + HEAD + 8, left + 11, tall + HEAD + 19), outline=RING)
        pen.text((left + 17, tall + HEAD + 7), "merge", fill=(220, 220, 220))
    return np.asarray(canvas)

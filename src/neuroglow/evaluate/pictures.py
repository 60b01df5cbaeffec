"""What a person sees of a volume: raw, probability over it, and lines found, missed and false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.evaluate.study import PREDICTION, VolumeScore
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.pictures.colours import GAMMA, GROUND, Pixels, Rgb, glow, grey, range_of
from neuroglow.pictures.sheet import draw_sheet, image_png, three_panels
from neuroglow.pictures.stack import FOUND_KEYS, Gathered, Stack, gather_slabs
from neuroglow.pictures.view import View
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array

__all__ = ["MARKS", "draw_volume", "stack_of"]

WORDS = {"true": "found", "missed": "missed", "false": "false"}

MARKS: Mapping[str, Rgb] = {name: FOUND_KEYS[word] for name, word in WORDS.items()}
"""Sky blue, yellow and vermilion of Okabe and Ito (2008): told apart by all eyes, in grey too."""

RING: Rgb = (255, 255, 255)
RING_PIXELS = 7
"""Radius of the ring around a merge."""

DIM = 0.45
"""Share of full brightness that the image behind the lines may take."""

TRUTH = np.zeros(256, np.float32)
TRUTH[NEURITE], TRUTH[IGNORE] = 1, 0.5
"""What a label is in a stack."""


def draw_volume(
    view: View,
    points: Mapping[str, NDArray[np.float64]],
    raw: Mapping[str, Array] | None,
    probability: Mapping[str, Array] | None,
) -> bytes:
    """Draw a PNG: raw, probability over raw, and lines over the image behind them, dimmed.

    points: of MARKS' keys, (n, 3) zyx in voxels, drawn in that order; `merged`: ringed.
    raw, probability (0..1): projections, where there are any.
    """
    rows = []
    plain = _in_grey(raw) if raw else None
    overlay = _in_grey(probability, 0.0, 1.0) if probability else None
    if plain:
        rows.append(three_panels(view, plain, f"raw (gamma {GAMMA:g})"))
    if plain and probability:
        over = {axis: glow(plain[axis], probability[axis]) for axis in plain}
        rows.append(three_panels(view, over, "probability over raw"))
    elif overlay:
        rows.append(three_panels(view, overlay, "prediction"))
    lines = {axis: _lines(view, k, points, plain or overlay) for k, axis in enumerate("zyx")}
    rows.append(three_panels(view, lines, "lines"))
    legend = [(colour, WORDS[name]) for name, colour in MARKS.items()]
    legend += [(RING, "merge (ring)")] if len(points["merged"]) else []
    return image_png(draw_sheet(rows, legend=legend))


def stack_of(volume: VolumeScore, threshold: float, block: int) -> Stack | None:
    """Make the stack of a volume: raw, prediction and truth in slabs; None without both sides."""
    case, sources, truth = volume.case, volume.sources, volume.truth
    if PREDICTION not in sources or truth is None or case.shape is None:
        return None
    source, read_truth = sources[PREDICTION], truth.read

    def label(box: Box) -> Array:
        return np.asarray(TRUTH[read_truth(box)])

    images: dict[str, Any] = {"grey": case.raw.read} if case.raw else {}
    images |= {"score": source.read, "truth": label}
    found: Gathered = gather_slabs(case.shape, case.unit_um if case.sized else None, images, block)
    graded = source.levels.count > 2
    return found.stack(threshold=threshold if graded else None, over="detections", keys=FOUND_KEYS)


def _in_grey(images: Mapping[str, Array], *ends: float) -> dict[str, Pixels]:
    low, high = ends or range_of(images)
    return {axis: grey(part, low, high, 1.0 if ends else GAMMA) for axis, part in images.items()}


def _lines(
    view: View,
    axis: int,
    points: Mapping[str, NDArray[np.float64]],
    behind: Mapping[str, Pixels] | None,
) -> Pixels:
    """Draw the lines of one projection over what is behind them."""
    if behind is None:
        panel = np.full((*view.panel(axis), 3), GROUND, np.uint8)
    else:
        panel = (view.enlarge(behind["zyx"[axis]], axis) * DIM).astype(np.uint8)
    for name, colour in MARKS.items():
        _mark(panel, view.place(points[name], axis), max(1, round(0.7 * min(view.zoom))), colour)
    _ring(panel, view.place(points["merged"], axis))
    return panel


def _mark(panel: Pixels, at: NDArray[np.float64], wide: int, colour: Rgb) -> None:
    """Colour the middle of each point's voxel, so that the image stays visible around it."""
    for dy in range(wide):
        for dx in range(wide):
            _colour(panel, np.floor(at - wide / 2 + 0.5).astype(int) + np.array([dy, dx]), colour)


def _ring(panel: Pixels, at: NDArray[np.float64]) -> None:
    """Draw a ring around each point (pixels)."""
    reach = np.arange(-RING_PIXELS, RING_PIXELS + 1)
    offsets = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    circle = offsets[np.abs(np.hypot(*offsets.T) - RING_PIXELS + 0.5) < 0.6]
    _colour(panel, (np.floor(at).astype(int)[:, None] + circle).reshape(-1, 2), RING)


def _colour(panel: Pixels, place: NDArray[np.int64], colour: Rgb) -> None:
    inside = ((place >= 0) & (place < panel.shape[:2])).all(axis=1)
    panel[tuple(place[inside].T)] = colour

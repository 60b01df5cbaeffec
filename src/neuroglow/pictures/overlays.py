"""Sheets of projections: raw and probability, image and label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.pictures.colours import ORANGE, Rgb, glow, grey, range_of
from neuroglow.pictures.sheet import draw_sheet, three_panels, write_sheet
from neuroglow.pictures.view import View
from neuroglow.space.projections import MIDDLE

__all__ = ["draw_overlay", "draw_truth"]

Projections = dict[str, NDArray[np.float32]]


def draw_overlay(
    path: Path,
    view: View,
    pairs: Sequence[tuple[Projections, Projections]],
    *,
    words: str,
    note: str,
) -> None:
    """Write a PNG: projections of an image, and below them the same with a probability over it.

    pairs: (image, probability or label 0..1), and of a thick volume the same of its middle slab.
    words: of what lies over the image. Pixels of which no block reported are hatched red.
    """
    rows = []
    for (image, over), planes in zip(pairs, (0, MIDDLE), strict=False):
        low, high = range_of(image)
        plain = {axis: grey(part, low, high) for axis, part in image.items()}
        overlay = {axis: glow(plain[axis], over[axis]) for axis in plain}
        rows.append(three_panels(view, plain, "raw", planes=planes))
        rows.append(three_panels(view, overlay, f"{words} over raw", planes=planes))
    legend: list[tuple[Rgb, str]] = [
        (ORANGE, f"{words}: deep where the raw image is dark, pale where it is bright")
    ]
    write_sheet(path, draw_sheet(rows, legend=legend, note=note))


def draw_truth(
    path: Path, view: View, image: Projections, truth: Projections, *, note: str
) -> None:
    """Write a PNG: projections of an image above those of its truth (0..1, in grey)."""
    low, high = range_of(image)
    rows = [
        three_panels(view, {a: grey(part, low, high) for a, part in image.items()}, "image"),
        three_panels(view, {a: grey(part, 0.0, 1.0) for a, part in truth.items()}, "truth"),
    ]
    write_sheet(path, draw_sheet(rows, note=note))

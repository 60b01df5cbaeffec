"""Pictures of single cubes: a projection along z of each, with its scale bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neuroglow.cubes.manifest import Cube, box_of, open_image
from neuroglow.errors import NeuroglowError
from neuroglow.pictures.colours import GAMMA, grey, range_of
from neuroglow.pictures.sheet import Panel, draw_sheet, image_png
from neuroglow.pictures.view import View
from neuroglow.space.geometry import Box
from neuroglow.space.projections import block_projections

__all__ = ["draw_cubes"]

SIDE, LETTERS, PLANES = 230, 24, 128
"""Pixels of a cube's picture, letters of its title, and planes that are looked at: the middle
ones of a thicker cube."""


def draw_cubes(cubes: Sequence[Cube], titles: Sequence[str], *, across: int) -> bytes | None:
    """Draw cubes (PNG), so many side by side; None where none of them can be read."""
    both = zip(cubes, titles, strict=True)
    panels = [panel for cube, title in both if (panel := _panel(cube, title)) is not None]
    rows = [panels[i : i + across] for i in range(0, len(panels), across)]
    return image_png(draw_sheet(rows)) if rows else None


def _panel(cube: Cube, title: str) -> Panel | None:
    """Draw one cube, in its own grey range; None where it cannot be read."""
    try:
        volume = open_image(cube)
        whole = box_of(cube, volume.shape)
        box = _middle(whole)
        voxels = volume.read(box)
    except NeuroglowError:
        return None
    bins = max(1, max(whole.shape[1:]) // (2 * SIDE))
    flat = block_projections(voxels, Box.of(voxels.shape), bins)["z"].astype(np.float32)
    view = View.of((1, *whole.shape[1:]), volume.voxel_size_um, side=SIDE, bins=bins)
    pixels = view.enlarge(grey(flat, *range_of({"z": flat}), GAMMA), 0)
    title = title if len(title) < LETTERS else "…" + title[1 - LETTERS :]
    words = ", ".join(word for word in (title, f"{box.shape[0]} planes") if word)
    return Panel(pixels, words, view.bar(0))


def _middle(box: Box) -> Box:
    """Give the middle PLANES planes of a box."""
    spare = max(0, box.shape[0] - PLANES)
    z, y, x = box.start
    start = z + spare // 2
    return Box((start, y, x), (start + box.shape[0] - spare, *box.stop[1:]))

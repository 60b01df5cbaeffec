"""A sheet: rows of panels, each with a title above and a scale bar below; a legend at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroglow.pictures.colours import GROUND, INK, Pixels, Rgb
from neuroglow.pictures.view import ScaleBar, View
from neuroglow.space.projections import BRIGHTEST, slab_size

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

__all__ = [
    "Panel",
    "draw_sheet",
    "font",
    "image_png",
    "planes_of",
    "three_panels",
    "write_sheet",
]

GAP, HEAD, FOOT, KEY = 10, 22, 22, 24
"""Pixels between panels, above and below one, and of a line of the legend."""

WORDS, BAR = 12, 4
"""Pixels of letters, and of a scale bar's height."""

USUAL = 850
"""Width of a sheet, from which on all the above grows with it: it is shown smaller."""

QUIET: Rgb = (165, 165, 170)


@dataclass(frozen=True)
class Panel:
    """A picture (yx3), its title, and its scale bar."""

    pixels: Pixels
    title: str
    bar: ScaleBar | None


def planes_of(view: View, axis: int) -> str:
    """Say how a volume is projected along an axis: all planes, or the brightest of its slabs."""
    planes, size = view.shape[axis], slab_size(view.shape, axis)
    slabs = -(-planes // size)
    squeezed = "" if view.to_scale or axis == 0 else ", z not to scale"
    if slabs < 2:
        return f"along {'zyx'[axis]}, {planes} planes{squeezed}"
    return f"along {'zyx'[axis]}, brightest {slabs // BRIGHTEST} of {slabs} slabs{squeezed}"


def three_panels(
    view: View, shown: Mapping[str, Pixels], title: str, *, planes: int = 0
) -> list[Panel]:
    """Make the panels of three projections (pixels yx3 in bins, or enlarged); planes: of a slab."""
    panels = []
    for axis, name in enumerate("zyx"):
        pixels = shown[name]
        if pixels.shape[:2] != view.panel(axis):
            pixels = view.enlarge(pixels, axis)
        about = f"along {name}, middle {planes} planes" if planes else planes_of(view, axis)
        panels.append(Panel(pixels, f"{title}, {about}", view.bar(axis)))
    return panels


def draw_sheet(
    rows: Sequence[Sequence[Panel]], *, note: str = "", legend: Sequence[tuple[Rgb, str]] = ()
) -> Pixels:
    """Draw rows of panels (yx3, uint8). legend: colours and their words."""
    widest = max(sum(panel.pixels.shape[1] for panel in row) for row in rows)
    lines = [[replace(panel, title=_on_one_line(panel.title)) for panel in row] for row in rows]
    return _Sheet(max(1.0, widest / USUAL)).draw(lines, _on_one_line(note), legend)


def _on_one_line(text: str) -> str:
    """Replace what cannot be drawn in a line, such as the line break in a file's name."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def write_sheet(path: Path, sheet: Pixels) -> None:
    """Write a sheet as PNG."""
    path.write_bytes(image_png(sheet))


def image_png(pixels: Pixels) -> bytes:
    """Return an image (yx or yx3, uint8) as PNG: with one filter, in half of Pillow's time."""
    import imagecodecs

    whole = np.ascontiguousarray(pixels)
    return bytes(imagecodecs.png_encode(whole, level=1, filter=imagecodecs.PNG.FILTER.UP))


@lru_cache
def font(size: int) -> Any:
    """Give a font that has a micro sign (DejaVu Sans, which matplotlib brings)."""
    from PIL import ImageFont

    return ImageFont.truetype(_fonts() / "DejaVuSans.ttf", size)


def _fonts() -> Path:
    """Find matplotlib's fonts; importing it takes a third of a CPU second."""
    spec = find_spec("matplotlib")
    if spec and spec.origin:
        folder = Path(spec.origin).with_name("mpl-data") / "fonts/ttf"
        if folder.is_dir():
            return folder
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts/ttf"


class _Sheet:
    """Draws a sheet whose letters and gaps are `scale` times as large as those of a small one."""

    def __init__(self, scale: float) -> None:
        self.font = font(round(WORDS * scale))
        self.gap, self.head, self.foot, self.key, self.bar = (
            round(n * scale) for n in (GAP, HEAD, FOOT, KEY, BAR)
        )

    def draw(
        self, rows: Sequence[Sequence[Panel]], note: str, legend: Sequence[tuple[Rgb, str]]
    ) -> Pixels:
        """Draw rows, legend and note."""
        from PIL import Image, ImageDraw

        across = max(len(row) for row in rows)
        wide = [max(self._width(row[i]) for row in rows if i < len(row)) for i in range(across)]
        tall = [max(panel.pixels.shape[0] for panel in row) for row in rows]
        height = sum(tall) + len(rows) * (self.head + self.foot)
        keys = self._broken(legend, sum(wide) + self.gap * (across - 1))
        size = (
            sum(wide) + self.gap * (across + 1),
            height + self.gap + self.key * (len(keys) + bool(note)),
        )
        canvas = Image.new("RGB", size, GROUND)
        pen, top = ImageDraw.Draw(canvas), 0
        for row, part in zip(rows, tall, strict=True):
            for i, panel in enumerate(row):
                self._panel(canvas, pen, panel, (self.gap * (i + 1) + sum(wide[:i]), top))
            top += part + self.head + self.foot
        for key in keys:
            self._key(pen, key, top + self.gap // 2)
            top += self.key
        note = self._shortened(note, size[0] - 2 * self.gap)
        pen.text((self.gap, top + self.gap // 2), note, fill=QUIET, font=self.font)
        return np.asarray(canvas)

    def _length(self, text: str) -> float:
        return float(self.font.getlength(text))

    def _width(self, panel: Panel) -> int:
        """Give the width of a panel with its title and the words of its bar."""
        bar = panel.bar.pixels + self.gap + self._length(str(panel.bar)) if panel.bar else 0
        return int(np.ceil(max(panel.pixels.shape[1], self._length(panel.title), bar)))

    def _panel(self, canvas: Image, pen: ImageDraw, panel: Panel, corner: tuple[int, int]) -> None:
        from PIL import Image

        left, top = corner
        pen.text((left, top + self.head // 6), panel.title, fill=INK, font=self.font)
        canvas.paste(Image.fromarray(panel.pixels), (left, top + self.head))
        if panel.bar is None:
            return
        bottom = top + self.head + panel.pixels.shape[0]
        line, end = bottom + self.foot * 2 // 5, left + max(1, round(panel.bar.pixels))
        pen.rectangle((left, line, end - 1, line + self.bar - 1), fill=(255, 255, 255))
        pen.text(
            (end + self.gap, bottom + self.foot // 7), str(panel.bar), fill=INK, font=self.font
        )

    def _broken(self, legend: Sequence[tuple[Rgb, str]], width: int) -> list[list[tuple[Rgb, str]]]:
        """Break a legend into lines that fit."""
        lines: list[list[tuple[Rgb, str]]] = []
        used = 0.0
        for colour, words in legend:
            takes = 4 * self.gap + self._length(words)
            if not lines or used + takes > width:
                lines.append([])
                used = 0
            lines[-1].append((colour, words))
            used += takes
        return lines

    def _key(self, pen: ImageDraw, key: Sequence[tuple[Rgb, str]], top: int) -> None:
        left, side = float(self.gap), self.key // 2
        for colour, words in key:
            pen.rectangle((left, top + 1, left + side, top + 1 + side), fill=colour)
            pen.text((left + 1.5 * side, top), words, fill=INK, font=self.font)
            left += 4 * self.gap + self._length(words)

    def _shortened(self, text: str, width: int) -> str:
        """Shorten a text to a width, in pixels."""
        if self._length(text) <= width:
            return text
        while text and self._length(text + "…") > width:
            text = text[:-1]
        return text + "…"

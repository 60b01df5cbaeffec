"""A stack: a volume as slabs of planes that a page shows one at a time, with a slider."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from neuroglow.pictures.colours import GAMMA, Pixels, Rgb, range_of
from neuroglow.pictures.view import ScaleBar, View
from neuroglow.space.geometry import Box, Zyx, tile
from neuroglow.space.volume import Array, VoxelSize

__all__ = ["FOUND_KEYS", "Gathered", "Stack", "gather_slabs"]

Read = Callable[[Box], Array]
Floats = NDArray[np.float32]

FOUND_KEYS: Mapping[str, Rgb] = {
    "found": (86, 180, 233),
    "missed": (240, 228, 66),
    "false": (213, 94, 0),
}
"""Colours of what is detected, compared with a truth; those of report.js."""

MOST, SIDE = 16, 512
"""Slabs, and pixels of the longer side, at most: the page stays small, whatever the volume."""

TOGETHER = 2**24
"""Voxels of a slab that are read together, at least: a plane of a TIFF is decoded as a whole, so
that many small windows of it would cost many times as much."""

QUALITY = 70
"""Of JPEG, for raw images: noise is not kept to the bit."""


@dataclass(frozen=True)
class Stack:
    """What a page needs to show a stack.

    slabs: each with `planes` (words) and pictures as data addresses: `grey`, `score` (255: 1),
    `truth` (255 neurite, 128 ignored), `over` (with alpha). pixels: height and width of a picture.
    bar: in these pixels. threshold: where the slider begins; None without one. over: words for
    what lies over the grey.
    """

    slabs: Sequence[Mapping[str, str]]
    pixels: tuple[int, int]
    bar: ScaleBar
    threshold: float | None
    over: str
    keys: Mapping[str, Rgb] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """How many bytes it adds to a page."""
        return sum(len(part) for slab in self.slabs for part in slab.values())


@dataclass(frozen=True)
class Gathered:
    """Maxima of each slab (slabs, down, right) of each image, and how they are laid out."""

    view: View
    planes: Sequence[tuple[int, int]]
    images: Mapping[str, Floats]

    def stack(
        self,
        *,
        threshold: float | None,
        over: str,
        keys: Mapping[str, Rgb],
        lines: Sequence[Pixels] = (),
    ) -> Stack:
        """Make the stack. Images: grey (any unit), score (0..1), truth (0 or 1; 0.5 ignored).

        lines: pictures with alpha (yx4) that lie over the slabs.
        """
        low, high = range_of({"grey": self.images["grey"]}) if "grey" in self.images else (0.0, 1.0)
        slabs = []
        for k, (start, stop) in enumerate(self.planes):
            slab = {"planes": self._words(start, stop)}
            for name, images in self.images.items():
                ends = (low, high) if name == "grey" else (0.0, 1.0)
                flat = np.clip((np.nan_to_num(images[k]) - ends[0]) / (ends[1] - ends[0]), 0, 1)
                flat = flat**GAMMA if name == "grey" else flat
                shown = self.view.enlarge(np.rint(flat * 255).astype(np.uint8), 0)
                slab[name] = address(shown, lossy=name == "grey")
            if lines:
                slab["over"] = address(lines[k], lossy=False)
            slabs.append(slab)
        return Stack(slabs, self.view.panel(0), self.view.bar(0), threshold, over, keys)

    def _words(self, start: int, stop: int) -> str:
        """Say which planes a slab has, and how deep they lie where that is known."""
        depth, size = f"{start}–{stop - 1} of {self.planes[-1][1]}", self.view.size[0]
        return f"{depth} ({start * size:.0f}–{stop * size:.0f} µm)" if self.view.sized else depth


def gather_slabs(
    shape: Zyx, size: VoxelSize | None, images: Mapping[str, Read], block: int
) -> Gathered:
    """Gather the maxima of MOST slabs along z, block by block: never the whole volume in memory.

    images: what is read by box, by name. Pixels hold the maximum of their voxels.
    """
    bins = -(-max(shape[1:]) // SIDE)
    thick = -(-shape[0] // MOST)
    starts = range(0, shape[0], thick)
    planes = [(a, min(a + thick, shape[0])) for a in starts]
    flat = {
        name: np.zeros((len(planes), -(-shape[1] // bins), -(-shape[2] // bins)), np.float32)
        for name in images
    }
    side = -(-max(block, isqrt(TOGETHER // thick)) // bins) * bins
    for k, (start, stop) in enumerate(planes):
        for part in tile(Box((start, 0, 0), (stop, *shape[1:])), (thick, side, side)):
            (y, x), at = (a // bins for a in part.write.start[1:]), part.write
            for name, read in images.items():
                found = _binned(np.asarray(read(at)).max(axis=0), bins)
                flat[name][k, y : y + found.shape[0], x : x + found.shape[1]] = found
    view = View.of((1, *shape[1:]), size, side=1, bins=bins)
    return Gathered(view, planes, flat)


def address(pixels: Pixels, *, lossy: bool) -> str:
    """Give a picture as an address that holds it."""
    from PIL import Image

    buffer, kind = io.BytesIO(), "jpeg" if lossy else "png"
    options = {"quality": QUALITY} if lossy else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind.upper(), **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _binned(flat: Array, bins: int) -> Array:
    """Give the maxima of bins of a plane (yx)."""
    for axis in range(2 if bins > 1 else 0):
        flat = np.maximum.reduceat(flat, np.arange(0, flat.shape[axis], bins), axis=axis)
    return flat

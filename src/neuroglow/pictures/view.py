"""A view: how the projections of a volume are laid out in pixels, at one scale along all axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.space.projections import bin_size
from neuroglow.space.volume import Array, VoxelSize

__all__ = ["ScaleBar", "View", "scale_bar"]

PANEL = 380
"""About how many pixels the longest side of a panel has."""

STEEPEST = 8
"""A voxel is shown at most so many times longer than wide: thicker planes are not to scale."""

SHARE = 0.3
"""Largest share of a panel's width that its scale bar takes."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar that is `pixels` long and stands for `length` of `unit`."""

    length: float
    pixels: float
    unit: str

    def __str__(self) -> str:
        return f"{self.length:g} {self.unit}"


def scale_bar(pixels: float, pixels_a_unit: float, unit: str) -> ScaleBar:
    """Choose a bar for a panel of so many pixels: 1, 2 or 5 times a power of ten, a third at most.

    unit: "µm" or "voxels"; voxels are whole.
    """
    most = SHARE * pixels / pixels_a_unit
    if unit == "voxels" and most < 1:
        return ScaleBar(1, pixels_a_unit, "voxel")
    power = 10.0 ** np.floor(np.log10(most))
    length = max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9))
    word = "voxel" if unit == "voxels" and length == 1 else unit
    return ScaleBar(float(length), float(length * pixels_a_unit), word)


@dataclass(frozen=True)
class View:
    """Three projections of a volume, in pixels.

    shape: zyx, voxels. size: of a voxel, zyx; micrometres, or 1 where it is not known (sized).
    bins: voxels a pixel of the projections. zoom: pixels a bin, along z, y and x.
    """

    shape: tuple[int, int, int]
    size: VoxelSize
    sized: bool
    bins: int
    zoom: tuple[float, float, float]

    @classmethod
    def of(
        cls, shape: Sequence[int], size: VoxelSize | None, *, side: int = PANEL, bins: int = 0
    ) -> View:
        """Lay out a volume whose longest side is about `side` pixels.

        size: None where it is not known. bins: those of the projections, where they are given.
        """
        known = size or (1.0, 1.0, 1.0)
        stretch = np.minimum(np.asarray(known) / min(known), STEEPEST)
        bins = bins or bin_size(shape)
        longest = max(np.asarray(shape) * stretch) / bins
        zoom = float(max(1, side // longest))
        z, y, x = (float(zoom * s) for s in stretch)
        d, h, w = (int(n) for n in shape)
        return cls((d, h, w), known, size is not None, bins, (z, y, x))

    @property
    def unit(self) -> str:
        """The unit of lengths."""
        return "µm" if self.sized else "voxels"

    @property
    def to_scale(self) -> bool:
        """Tell whether all axes have one scale."""
        return max(self.size) / min(self.size) <= STEEPEST

    def panel(self, axis: int) -> tuple[int, int]:
        """Give the height and width, in pixels, of the projection along an axis."""
        height, width = (
            max(1, round(-(-n // self.bins) * zoom))
            for k, (n, zoom) in enumerate(zip(self.shape, self.zoom, strict=True))
            if k != axis
        )
        return height, width

    def enlarge(self, image: Array, axis: int) -> Array:
        """Enlarge a projection (bins) to its panel; no new values."""
        height, width = self.panel(axis)
        rows = (np.arange(height) + 0.5) * image.shape[0] / height
        columns = (np.arange(width) + 0.5) * image.shape[1] / width
        return np.asarray(image[np.ix_(rows.astype(int), columns.astype(int))])

    def place(self, points: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Give where points (n, 3; zyx, voxels) are in a panel: (n, 2), pixels down and right."""
        zoom = np.asarray(self.zoom) / self.bins
        return np.delete((points + 0.5) * zoom, axis, axis=1)

    def bar(self, axis: int) -> ScaleBar:
        """Give the scale bar of the projection along an axis, which lies along its width."""
        across = 1 if axis == 2 else 2
        pixels = self.zoom[across] / self.bins / self.size[across]
        return scale_bar(self.panel(axis)[1], pixels, self.unit)

"""Where a volume is predicted: a mask at any resolution, one's own or found in a coarse image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, SettingsError
from neuroglow.files.remarks import remark
from neuroglow.formats.opening import open_volume
from neuroglow.space.alike import size_text
from neuroglow.space.geometry import Block, Blocks, Box, Zyx
from neuroglow.space.sparse_look import plan_look
from neuroglow.space.volume import Array, Volume

__all__ = ["AUTO", "TissueMask", "outside", "tissue_in"]

AUTO = "auto"
"""The mask that is found in a coarse image of the volume itself."""

ABOVE = 4.0
"""Noise of the empty surroundings (of means over a coarse voxel) above which there is tissue."""

SURELY, SPECK = 6.0, 2
"""Noise above which a piece of at most so many coarse voxels belongs to the tissue too."""

ONE_SIGMA = 0.6827
"""Share of normal noise within one standard deviation."""

MARGIN = 2
"""Coarse voxels around the tissue that are predicted too."""

LARGEST = 2**24
"""Voxels of a coarse image that is searched for tissue."""

LOOKED_AT = 2**31
"""Voxels that are read of a volume without a pyramid, to find its tissue."""

APART = 0.1
"""Relative difference between the extents of a mask and of its volume that is accepted."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class TissueMask:
    """Which voxels of a volume of this shape lie in the tissue. Picklable, without voxels.

    source: the mask, not zero inside; if `found`, a coarse image, in which it is found.
    """

    source: Volume
    shape: Zyx
    found: bool = False

    @classmethod
    def of(cls, mask: str, volume: Volume) -> TissueMask:
        """Open a mask, or find it. Raises InputError, SettingsError if it cannot fit the volume."""
        if mask == AUTO:
            return cls(_coarse(volume), volume.shape, found=True)
        opened = open_volume(mask)
        _check_extent(opened, volume)
        return cls(opened, volume.shape)

    @property
    def identity(self) -> str:
        """A hash that changes when the mask may have changed."""
        return f"{'found' if self.found else 'given'} {self.source.identity}"

    def touches(self, box: Box) -> bool:
        """Return whether any voxel of a box lies in the tissue."""
        return bool(self._part(self._covered(box)).any())

    def read(self, box: Box) -> Mask:
        """Return which voxels of a box (zyx) lie in the tissue: those whose mask voxel does."""
        covered = self._covered(box)
        part = self._part(covered)
        z, y, x = (self._indices(axis, box) - covered.start[axis] for axis in range(3))
        return part[np.ix_(z, y, x)]

    def _indices(self, axis: int, box: Box) -> NDArray[np.int64]:
        """Return the mask voxel in which the centre of each voxel lies, along one axis."""
        centres = np.arange(box.start[axis], box.stop[axis]) + 0.5
        places = centres * self.source.shape[axis] / self.shape[axis]
        return np.minimum(places.astype(np.int64), self.source.shape[axis] - 1)

    def _covered(self, box: Box) -> Box:
        ends = [self._indices(axis, box)[[0, -1]] for axis in range(3)]
        (z, c), (y, b), (x, a) = ((int(low), int(high) + 1) for low, high in ends)
        return Box((z, y, x), (c, b, a))

    def _part(self, box: Box) -> Mask:
        if self.found:
            return _found(self.source)[box.slices]
        return np.asarray(self.source.read(box) != 0)


def outside(mask: TissueMask, blocks: Blocks) -> float:
    """Return the share of blocks outside the tissue, which are neither read nor predicted."""

    def is_outside(block: Block) -> bool:
        return not mask.touches(block.write)

    return sum(map(is_outside, blocks)) / (len(blocks) or 1)


_masks: dict[str, Mask] = {}


def _found(level: Volume) -> Mask:
    """Find the tissue in a coarse image, once for each process."""
    if level.identity not in _masks:
        _masks.clear()
        mask = _masks[level.identity] = tissue_in(level.read(Box.of(level.shape)))
        if mask.all():
            remark(f"{level.name}: no empty surroundings are recognised; all of it is predicted")
    return _masks[level.identity]


def tissue_in(voxels: Array) -> Mask:
    """Find the tissue in a coarse image (zyx): where it is brighter than its empty surroundings.

    The surroundings are recognised only if they are clearly a kind of their own (Otsu's method);
    otherwise all is tissue. What is ABOVE their noise belongs to the tissue, with what it encloses
    and MARGIN voxels around it, so that dim edges do.
    """
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    values = np.nan_to_num(voxels.astype(np.float64))
    low, high = values.min(), values.max()
    if high <= low:
        return np.ones(values.shape, bool)
    dark = values <= low + np.expm1(threshold_otsu(np.log1p(values - low)))
    level = float(np.median(values[dark]))
    below = level - values[dark & (values <= level)]
    noise = float(np.quantile(below, ONE_SIGMA)) if len(below) else 0.0
    if voxels.dtype.kind in "ui":
        noise = max(noise, 0.5)  # smaller noise is lost in whole grey levels
    inside = _without_specks(values > level + ABOVE * noise, values > level + SURELY * noise)
    if not _is_apart(values, inside, noise):
        return np.ones(values.shape, bool)
    solid = ndimage.binary_fill_holes(inside)
    return np.asarray(ndimage.binary_dilation(solid, np.ones((3, 3, 3)), iterations=MARGIN), bool)


def _without_specks(bright: Mask, surely: Mask) -> Mask:
    """Leave out pieces of one or two voxels, which noise makes, unless they are surely bright."""
    from scipy import ndimage

    pieces, count = ndimage.label(bright, np.ones((3, 3, 3)))
    kept = np.bincount(pieces.ravel(), minlength=count + 1) > SPECK
    kept[np.unique(pieces[surely])] = True
    kept[0] = False
    return np.asarray(kept[pieces], bool)


def _is_apart(values: NDArray[np.float64], inside: Mask, noise: float) -> bool:
    """Return whether the tissue stands clearly above surroundings that are a part of the faces."""
    faces = np.zeros(values.shape, bool)
    for axis in range(3):
        np.moveaxis(faces, axis, 0)[[0, -1]] = True
    if not inside.any() or inside[faces].all():
        return False
    step = float(np.median(values[inside]) - np.median(values[~inside]))
    return bool(step > 3 * ABOVE * noise)


def _coarse(volume: Volume) -> Volume:
    """Return a coarse image of a volume: of its pyramid, else of a few of its planes."""
    from neuroglow.formats.ome_zarr import OmeZarrVolume, coarser_levels

    levels = coarser_levels(volume) if isinstance(volume, OmeZarrVolume) else []
    if levels and np.prod(levels[-1].shape) <= LARGEST:
        return levels[-1]
    look = plan_look(volume)
    if look.voxels_read > LOOKED_AT or np.prod(look.shape) > LARGEST:
        raise SettingsError(
            f"--mask {AUTO} looks at the pyramid of a volume of this size",
            found="an OME-Zarr without one, or another format",
            where=volume.name,
            cure="neuroglow convert or neuroglow pyramid, which make one; or --mask with your own",
        )
    planes = f"one of {look.step[0]} planes"
    remark(f"{volume.name}: it has no pyramid, so that its tissue is looked for in {planes}")
    return look


def _check_extent(mask: Volume, volume: Volume) -> None:
    """Refuse a mask of another extent, where both sizes are known; else say how it is stretched."""
    factors = [n / m for n, m in zip(volume.shape, mask.shape, strict=True)]
    if mask.voxel_size_um is None or volume.voxel_size_um is None:
        if mask.shape != volume.shape:
            words = " x ".join(f"{factor:.4g}" for factor in factors)
            remark(f"{mask.name}: its voxels are read as {words} (z, y, x) of those of the volume")
        return
    ratios = [a / b for a, b in zip(mask.voxel_size_um, volume.voxel_size_um, strict=True)]
    for axis, n, m, ratio in zip("zyx", volume.shape, mask.shape, ratios, strict=True):
        if abs(n / ratio - m) > max(1, APART * m):
            raise InputError(
                "a mask covers the same field as its volume",
                found=f"{mask.shape} voxels of {size_text(mask.voxel_size_um)}, but "
                f"{volume.shape} of {size_text(volume.voxel_size_um)}: another extent along {axis}",
                where=mask.name,
                cure="a mask of the whole field, or one whose voxel size is right",
            )

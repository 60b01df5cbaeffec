"""The input of a trace, opened and checked: a probability, and optionally the raw image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, SettingsError
from neuroglow.files.record import inverted_as_said
from neuroglow.files.remarks import remark_unsized
from neuroglow.files.writing import hash_of
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.runs.masked import MaskedVolume
from neuroglow.runs.tissue_mask import AUTO, TissueMask, outside
from neuroglow.space.alike import check_alike
from neuroglow.space.arrays import VolumeSource
from neuroglow.space.geometry import Box, Zyx, tile
from neuroglow.space.projections import project_boxes
from neuroglow.space.volume import Array, Volume, VoxelSize, without_holes
from neuroglow.trees.place import cut_alike

__all__ = ["Source", "open_source"]

Floats = NDArray[np.float32]
See = Callable[[Box], object]

MOSTLY = 0.5
"""Maximum share of detected voxels: neurites fill less of any tissue."""

QUIET, CLEAR, TRUST = 0.5, 1.5, 0.5
"""Noise units (means over 3 x 3 x 3 voxels) above which the raw image is evidence, at which it
is full evidence, and the probability that this is equivalent to."""


@dataclass(frozen=True)
class Probability:
    """A probability, read by box; whole: the value that means 1."""

    volume: Volume
    whole: float

    def __call__(self, box: Box) -> Floats:
        """Read a box (zyx, float32, 0..1)."""
        voxels = without_holes(self.volume.read(box), self.volume)
        return voxels.astype(np.float32) / np.float32(self.whole)


@dataclass(frozen=True)
class Evidence:
    """The evidence for a neurite, read by box: the probability, or the raw image if higher."""

    probability: Probability
    units: NoiseUnits | None
    within: TissueMask | None

    def __call__(self, box: Box) -> Floats:
        """Read a box (zyx, float32, 0..1)."""
        found = self.probability(box)
        if self.units is None or (self.within and not self.within.touches(box)):
            return found
        from scipy.ndimage import uniform_filter

        wide = box.grow(1).intersect(Box.of(self.units.volume.shape))
        mean = uniform_filter(self.units.read(wide), 3)[box.relative_to(wide).slices]
        seen = np.clip((mean - QUIET) / (CLEAR - QUIET), 0, 1) * TRUST
        if self.within:
            seen[~self.within.read(box)] = 0
        return np.asarray(np.maximum(found, seen.astype(np.float32)))

    def begin(self) -> Evidence:
        """Return the same, which holds nothing yet."""
        units = None if self.units is None else NoiseUnits(self.units.volume)
        return replace(self, units=units)


@dataclass
class Source:
    """A probability 0..1, read by box, and the evidence for bridges.

    unit_um: size of a voxel; 1, 1, 1 if unknown. sized: whether it is known. whole: the value that
    means 1.
    projections: along z, y and x, once it has been checked.
    """

    volume: Volume
    units: NoiseUnits | None
    unit_um: VoxelSize
    notes: list[str]
    sized: bool = True
    whole: float = 1.0
    highest: float = 0.0
    projections: dict[str, Array] = field(default_factory=dict)
    _counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def shape(self) -> Zyx:
        """Voxels along z, y and x."""
        return self.volume.shape

    def read(self, box: Box) -> Floats:
        """Read a box of the probability (zyx, float32, 0..1)."""
        return self.reader(box)

    @property
    def identity(self) -> str:
        """A hash of all that is read, and of how."""
        raw = self.units.volume.identity if self.units else ""
        return hash_of(self.volume.identity, raw, self.whole)

    @property
    def within(self) -> TissueMask | None:
        """The mask outside which nothing is read, if there is one."""
        return self.volume.within if isinstance(self.volume, MaskedVolume) else None

    @property
    def reader(self) -> Probability:
        """The probability alone, which can be sent to other processes."""
        return Probability(self.volume, self.whole)

    @property
    def evidence(self) -> Evidence:
        """The evidence for bridges, which can be sent to other processes."""
        return Evidence(self.reader, self.units, self.within)

    def look_over(self, block: int, see: See) -> None:
        """Read all voxels once: refuse all but probabilities, find the scale, keep projections."""

        def look(voxels: Array, box: Box) -> None:
            self._look(voxels)
            see(box)

        flat = project_boxes(self.volume.read, self.shape, block, look)
        if self.volume.dtype == np.uint8 and self.highest > 1:
            self.whole = 255.0
        elif self.volume.dtype == np.uint8 and self.highest:
            self.notes.append("its values are 0 and 1: read as a mask")
        self.highest /= self.whole
        self.projections = {axis: image / self.whole for axis, image in flat.items()}

    def find_scale(self, block: int) -> None:
        """Find the scale alone, reading no further than needed: of a part of a trace."""
        if self.volume.dtype != np.uint8:
            return
        for part in tile(Box.of(self.shape), (block,) * 3):
            if self.volume.read(part.write).max() > 1:
                self.whole = 255.0
                return

    def mask(self, mask: str, block: int) -> None:
        """Read nothing outside a mask; `auto` is found in the raw image. Says what share that is.

        Raises InputError, SettingsError if it does not fit.
        """
        if mask == AUTO and self.units is None:
            raise SettingsError(
                "tissue is found in the raw image",
                found="no --raw",
                where="--mask auto",
                cure="--raw with the image of this probability, or a mask of your own",
            )
        volume = self.units.volume if mask == AUTO and self.units else self.volume
        within = TissueMask.of(mask, volume)
        share = outside(within, tile(Box.of(self.shape), (block,) * 3))
        self.notes.append(f"{share:.0%} of the blocks lie outside the tissue, and were not read")
        self.volume = MaskedVolume(self.volume, within)

    def lit_share(self, threshold: float) -> float:
        """Return the share of voxels that reach a threshold, to 1/255."""
        scale = 1 if self.volume.dtype == np.uint8 and self.whole == 1 else 255
        return float(self._counts[int(np.ceil(threshold * scale)) :].sum() / self._counts.sum())

    def _look(self, voxels: Array) -> None:
        voxels = without_holes(voxels, self.volume)
        low, high = float(voxels.min()), float(voxels.max())
        is_byte = self.volume.dtype == np.uint8
        if not is_byte and (self.volume.dtype.kind != "f" or low < 0 or high > 1):
            raise self._no_probability(low, high)
        self.highest = max(self.highest, high)
        levels = voxels if is_byte else np.floor(voxels.astype(np.float64) * 255).astype(np.uint8)
        self._counts += np.bincount(levels.ravel(), minlength=256)

    def _no_probability(self, low: float, high: float) -> InputError:
        return InputError(
            "a probability is uint8 (0..255) or real numbers 0..1",
            found=f"{self.volume.dtype} of {low:g} to {high:g}",
            where=self.volume.name,
            cure="the output of `neuroglow predict`; --raw for a raw image",
        )


def open_source(
    probability: VolumeSource,
    raw: VolumeSource | None,
    voxel_size: VoxelSize | None,
    invert: bool | None = None,  # noqa: FBT001  # a setting
) -> Source:
    """Open the inputs; no voxels are read. Raises InputError if the two do not match."""
    volume = open_volume(probability, voxel_size_um=voxel_size)
    inverted, said = inverted_as_said(invert, probability)
    image = None if raw is None else open_volume(raw, voxel_size_um=voxel_size, invert=inverted)
    said_of_part: list[str] = []
    if image is not None:
        (volume, image), said_of_part = cut_alike([volume, image])
        cure = "the image of this probability, cropped in the same way"
        check_alike([volume, image], "probability and raw image", cure=cure)
    size = volume.voxel_size_um or (image.voxel_size_um if image else None)
    notes = [] if size else ["the voxel size is not known: all lengths are in voxels"]
    notes += [*said_of_part, *(said if image else [])]
    remark_unsized([] if size else [volume.name])
    units = None if image is None else NoiseUnits(image)
    return Source(volume, units, size or (1.0, 1.0, 1.0), notes, sized=bool(size))

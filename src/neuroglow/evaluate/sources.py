"""Sources of voxel scores: the prediction, and methods without a network for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.evaluate.census import Census
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.ridges import REACH, ridges
from neuroglow.labels.label_values import FEW
from neuroglow.labels.labels import NEURITE, LabelReader, Labels, Mask, labels_in, parse_label_map
from neuroglow.metrics.counts import Levels
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Volume

__all__ = [
    "BASELINES",
    "LitSource",
    "ScoreSource",
    "baseline",
    "describe_kind",
    "doubts",
    "read_prediction",
    "read_truth",
]

Floats = NDArray[np.float32]

BASELINES = ("raw", "noise units", "Sato")
"""Methods without a network: intensity, noise units, and a filter on noise units."""

YES_NO, UNITS, RIDGES = Levels(0, 1, 2), Levels(-2.5, 12.5, 3001), Levels(0, 8, 3201)
"""Score levels of a mask, of noise units, and of the filter."""

PREDICTION_MAP = "--prediction-map"
"""The option of a prediction's legend."""

MIDDLE = 0.5
"""Threshold that turns a truth given as a probability into labels."""

SAMPLE_LEGENDS = "1=background,2=neurite,0=ignore; a phantom: 0=background,1=neurite,2=ignore"


class ScoreSource(Protocol):
    """Assigns a score to each voxel, read by box: zyx, float32."""

    @property
    def levels(self) -> Levels:
        """The score levels that are distinguished."""

    def read(self, box: Box) -> Floats:
        """Read a box of scores."""


def describe_kind(census: Census | None, legend: str) -> str:
    """Return the kind of a side, from values and legend: trees, legend, mask or probability."""
    if census is None:
        return "trees"
    if legend:
        return "legend"
    return "mask" if _is_mask(census) else "probability"


def doubts(census: Census | None, legend: str) -> list[str]:
    """Warn if a probability looks like labels: only a few of the lowest whole numbers."""
    if describe_kind(census, legend) != "probability" or census is None:
        return []
    if census.dtype != np.uint8 or not census.is_few or census.values[-1] >= FEW:
        return []
    return [
        f"no voxel of the prediction is above {census.values[-1]:g} of 255: if these are labels "
        "and not a probability, give their meaning with --prediction-map"
    ]


def read_prediction(volume: Volume, census: Census, legend: str) -> ScoreSource:
    """Read a prediction as scores 0..1.

    census: of all predictions together, so that all are read in the same way. A uint8 volume of 0
    and 1, or of 0 and 255, is a mask; any other is a probability in units of 1/255.
    Raises InputError if it is neither a legend, a mask nor a probability.
    """
    if legend:
        named = parse_label_map(legend, PREDICTION_MAP)
        return LitSource(Labels(volume, named, PREDICTION_MAP))
    values, kind = census.values, census.dtype
    if _is_mask(census):
        return LitSource(Mask(volume))
    if kind == np.uint8:
        return _Probability(volume, 255.0, Levels(0, 1, 256))
    if kind.kind == "f" and values[0] >= 0 and values[-1] <= 1:
        return _Probability(volume, 1.0, Levels(0, 1, 1001))
    raise InputError(
        "a prediction is a probability (uint8, or real numbers 0..1), a mask of 0 and one other "
        "value, or has a legend",
        found=f"{kind} of {values[0]:g} to {values[-1]:g}",
        where=volume.name,
        cure="the output of `neuroglow predict`; --prediction-map for a legend; "
        "--raw for a raw image",
    )


def _is_mask(census: Census) -> bool:
    """Distinguish a mask from a probability that happens to have only 0 and one other value."""
    if census.dtype.kind in "ui" and census.dtype != np.uint8:
        return census.is_mask
    return census.is_mask and census.values[-1] in (0, 1, 255 if census.dtype == np.uint8 else 1)


def read_truth(volume: Volume, census: Census, legend: str) -> LabelReader:
    """Read a truth as labels.

    census: of all truths together. Without a legend it is a mask of 0 and one other value, a
    probability, which is thresholded, or has a number for each neurite. Raises InputError for
    values that need a legend.
    """
    if legend:
        return Labels(volume, parse_label_map(legend))
    values, kind = census.values, census.dtype
    if census.is_mask and values[0] >= 0 and values[-1].is_integer():
        return Mask(volume, positive=values[-1:])
    if kind.kind == "f" and values[0] >= 0 and values[-1] <= 1:
        return Mask(volume, MIDDLE)
    if not census.is_few or values[0] < 0:
        return labels_in(volume, {})
    raise InputError(
        "a truth with more than two values needs a legend that gives their meaning",
        found=f"{', '.join(f'{v:g}' for v in values[:5])}{', ...' if len(values) > 5 else ''}",
        where=volume.name,
        cure=f"--label-map {SAMPLE_LEGENDS}",
    )


def baseline(name: str, raw: Volume, levels: Levels) -> ScoreSource:
    """Return a method without a network; levels: of the intensities."""
    if name == "raw":
        return _Raw(raw, levels)
    units = NoiseUnits(raw)
    return _Sato(units) if name == "Sato" else _Units(units)


@dataclass(frozen=True)
class _Probability:
    volume: Volume
    whole: float
    levels: Levels

    def read(self, box: Box) -> Floats:
        return self.volume.read(box).astype(np.float32) / np.float32(self.whole)


@dataclass(frozen=True)
class LitSource:
    """Labels as scores: 1 for neurite, otherwise 0."""

    labels: LabelReader
    levels: Levels = YES_NO

    def read(self, box: Box) -> Floats:
        """Read a box of scores."""
        return np.asarray(self.labels.read(box) == NEURITE, np.float32)


@dataclass(frozen=True)
class _Raw:
    volume: Volume
    levels: Levels

    def read(self, box: Box) -> Floats:
        return self.volume.read(box).astype(np.float32)


@dataclass(frozen=True)
class _Units:
    units: NoiseUnits
    levels: Levels = UNITS

    def read(self, box: Box) -> Floats:
        return self.units.read(box)


@dataclass(frozen=True)
class _Sato:
    """The filter of Sato et al. 1998 on noise units."""

    units: NoiseUnits
    levels: Levels = RIDGES

    def read(self, box: Box) -> Floats:
        wide = box.grow(REACH).intersect(Box.of(self.units.volume.shape))
        return ridges(self.units.read(wide))[box.relative_to(wide).slices]

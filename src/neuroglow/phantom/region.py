"""Properties of a region of a brain, as ranges from which each volume draws; and six regions."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from numpy.random import Generator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from neuroglow.errors import SettingsError
from neuroglow.imaging.neurites import log_uniform

__all__ = ["REGIONS", "Length", "Range", "RegionSettings", "draw"]


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= bounds[0] <= bounds[1] < float("inf"):
        raise ValueError("a range is LOW,HIGH with 0 <= LOW <= HIGH")
    return bounds


def _positive(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] <= 0:
        raise ValueError("a range of this setting is LOW,HIGH with 0 < LOW <= HIGH")
    return bounds


def _known_depth(bits: int) -> int:
    if bits not in (8, 12, 16):
        raise ValueError("a camera has 8, 12 or 16 bits")
    return bits


Depth = Annotated[int, AfterValidator(_known_depth)]
Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
PositiveRange = Annotated[Range, AfterValidator(_positive)]
Length = Annotated[int, Field(ge=16)]
Micrometres = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[float, Field(ge=0, allow_inf_nan=False)]

WIDEST_BLUR = 6
"""Standard deviation in voxels: a mark shines no further than marks.REACH."""

MOST_VOXELS = 1 << 44
"""16 Tvoxel: larger than any brain, so probably a typing error."""


class RegionSettings(BaseModel):
    """All settings of a phantom besides its seed; flat, frozen, saved with it.

    A pair is a range: each volume, or each tree, draws from it (log-uniform where positive).
    Lengths are micrometres; brightness is in SNR, standard deviations of the tissue's noise.

    shape: voxels along z, y, x. voxel_size: micrometres along z, y, x.
    swc: a folder of trees to place instead of growing them; their radii are not used.
    density: length of neurites, in finest voxels, per thousand voxels. snr: of a tree, at its peak.
    radius, dendrite: calibre of axons and of dendrites. length: of a grown neurite.
    tortuosity: standard deviation of the turn, radians per micrometre.
    branches: expected number per 100. bundles: share of trees that are bundles.
    beads: share of neurites with varicosities.
    puncta, somata, vessels, tracts: expected number per million voxels.
    neurons: the same, of somata that carry dendrites: trees whose root has type 1.
    nuclei, microglia, plaques: the same; they are background. body_snr: their brightness.
    vessels_as: label of a bright vessel: background, neurite or ignore.
    puncta_snr: brightness of puncta. edge: probability that the tissue ends inside the volume.
    texture, grain: of the tissue, fibrous and granular; they count as noise in a neurite's SNR.
    grain_size: of its grains. blur: standard deviation in plane, at least half a voxel.
    anisotropy: ratio of the blur along z to that in plane.
    depth_blur: additional blur at a depth of 100. haze: share of scattered light.
    pedestal: light of the tissue itself, above the camera's offset.
    shot: share of photon noise in the tissue's noise. stripes, tiles, illumination: relative.
    bleaching: share of light lost at the far end along z.
    correlation: of the noise, in voxels. compression: step, in deviations of the noise.
    noise: standard deviation in 16-bit grey levels (lower for fewer bits, at least 1.5).
    offset: grey level without light. saturation: SNR at which the camera saturates.
    bits: bit depths, of which each volume draws one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str = "sparse"
    shape: tuple[Length, Length, Length] = (96, 96, 96)
    voxel_size: tuple[Micrometres, Micrometres, Micrometres] = (1.0, 1.0, 1.0)
    swc: str | None = None
    density: Range = (0.5, 4.0)
    snr: PositiveRange = (4.0, 60.0)
    radius: PositiveRange = (0.2, 0.8)
    dendrite: PositiveRange = (0.6, 1.6)
    length: PositiveRange = (150.0, 3000.0)
    tortuosity: Range = (0.03, 0.2)
    branches: Count = 0.4
    bundles: Share = 0.05
    beads: Share = 0.5
    puncta: Count = 20.0
    puncta_snr: PositiveRange = (2.0, 20.0)
    somata: Count = 0.4
    vessels: Count = 2.0
    tracts: Count = 0.1
    neurons: Count = 0.0
    nuclei: Count = 0.0
    microglia: Count = 0.0
    plaques: Count = 0.0
    body_snr: PositiveRange = (2.0, 40.0)
    vessels_as: Literal["background", "neurite", "ignore"] = "background"
    edge: Share = 0.05
    texture: Range = (0.0, 0.5)
    grain: Range = (0.2, 1.6)
    grain_size: PositiveRange = (1.6, 5.0)
    blur: PositiveRange = (0.5, 1.0)
    anisotropy: PositiveRange = (1.0, 2.2)
    depth_blur: Range = (0.0, 0.5)
    haze: Annotated[Range, AfterValidator(_ordered)] = (0.0, 0.3)
    pedestal: PositiveRange = (3.0, 14.0)
    shot: Range = (0.1, 0.9)
    stripes: Range = (0.0, 0.06)
    tiles: Range = (0.0, 0.0)
    illumination: Range = (0.02, 0.15)
    bleaching: Range = (0.0, 0.2)
    correlation: Range = (0.0, 0.9)
    compression: Range = (0.0, 0.0)
    noise: PositiveRange = (15.0, 400.0)
    offset: Range = (50.0, 1500.0)
    saturation: PositiveRange = (60.0, 1000.0)
    bits: tuple[Depth, ...] = Field(default=(8, 12, 16, 16, 16), min_length=1)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Check values that a person gave, over those of the region that they name.

        Raises SettingsError that names the first invalid one.
        """
        given = {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}
        name = str(given.get("region", "sparse"))
        if name not in REGIONS:
            raise SettingsError(
                "the region must be known",
                found=repr(name),
                cure=f"one of {', '.join(REGIONS)}",
            )
        try:
            made = cls.model_validate({**REGIONS[name], **given, "region": name})
        except ValidationError as error:
            raise _explained(error) from None
        made._check()
        return made

    def _check(self) -> None:
        """Refuse invalid combinations of values."""
        z, y, x = self.shape
        if z * y * x > MOST_VOXELS:
            raise SettingsError(
                "a phantom must not be larger than any brain",
                found=f"{z} x {y} x {x} voxels",
                cure=f"at most {MOST_VOXELS:,} voxels",
            )
        widest = self.blur[1] * max(
            self.anisotropy[1] / self.voxel_size[0], 1 / min(self.voxel_size[1:])
        )
        if widest > WIDEST_BLUR:
            raise SettingsError(
                f"optics blur by at most {WIDEST_BLUR} voxels",
                found=f"{widest:.1f}: a blur of {self.blur[1]:g} at voxels of {self.voxel_size}",
                cure="larger voxels, or a smaller blur or anisotropy",
            )
        for name in ("haze", "shot", "bleaching"):
            if getattr(self, name)[1] > 1:
                raise SettingsError(
                    f"setting {name!r} is a range of shares, 0 to 1",
                    found=str(getattr(self, name)),
                )


def _explained(error: ValidationError) -> SettingsError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        known = ", ".join(itertools.islice(RegionSettings.model_fields, 99))
        return SettingsError(
            f"unknown setting {name!r}",
            found=repr(first["input"]),
            cure=f"the settings are {known}",
        )
    said = first["msg"].removeprefix("Value error, ")
    return SettingsError(f"setting {name!r}: {said}", found=repr(first["input"]))


def draw(rng: Generator, bounds: tuple[float, float]) -> float:
    """Draw from a range: log-uniform if it is positive, otherwise uniform."""
    return log_uniform(rng, bounds) if bounds[0] > 0 else float(rng.uniform(*bounds))


REGIONS: Mapping[str, Mapping[str, Any]] = {
    "sparse": {},
    "plexus": {
        "density": (2.5, 12.0),
        "snr": (3.0, 40.0),
        "radius": (0.2, 0.6),
        "tortuosity": (0.08, 0.35),
        "branches": 0.8,
        "length": (80.0, 600.0),
        "bundles": 0.0,
        "puncta": 60.0,
    },
    "bundle": {
        "density": (3.0, 15.0),
        "snr": (4.0, 60.0),
        "tortuosity": (0.01, 0.05),
        "branches": 0.1,
        "bundles": 0.7,
        "tracts": 0.8,
        "texture": (0.2, 0.8),
    },
    "cells": {
        "density": (1.0, 8.0),
        "snr": (3.0, 30.0),
        "dendrite": (0.8, 2.2),
        "puncta": 250.0,
        "puncta_snr": (2.0, 7.0),
        "somata": 6.0,
        "vessels": 3.0,
    },
    "deep": {
        "density": (0.8, 8.0),
        "snr": (5.0, 40.0),
        "blur": (0.9, 1.6),
        "depth_blur": (0.3, 1.5),
        "haze": (0.2, 0.5),
        "pedestal": (8.0, 30.0),
        "bleaching": (0.2, 0.7),
        "correlation": (0.4, 1.2),
        "compression": (0.0, 1.2),
        "vessels": 3.0,
    },
    "near_noise": {
        "density": (0.2, 3.0),
        "snr": (1.5, 5.0),
        "radius": (0.2, 0.6),
        "texture": (0.0, 0.7),
        "stripes": (0.0, 0.12),
        "tiles": (0.0, 0.08),
        "edge": 0.2,
    },
}
"""Regions by name: differences from `sparse`, the defaults of RegionSettings."""

"""All that decides trees, besides the files."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.skeleton.defaults import (
    CROSSING_ANGLE,
    GAP_ANGLE,
    GAP_PROBABILITY,
    SMOOTH_VOX,
    SOMA_UM,
    Lines,
    default_lengths,
)
from neuroglow.space.volume import VoxelSize

__all__ = ["Lengths", "TraceSettings"]


class TraceSettings(BaseModel):
    """All that decides trees, besides the files; flat, frozen, saved beside them.

    threshold: probability that a neurite reaches somewhere; by default that of the model that
    the record of `predict` names, else 0.5. low: probability that it keeps everywhere; four fifths
    of the threshold by default. voxel_size: micrometres along z, y, x, instead of the metadata's.

    spur_um: side pieces up to this length go. crossing_angle: degrees by which a fibre may bend
    where it crosses another; 0 takes crossings for branch points. gap_um, gap_angle,
    gap_probability: what a bridge may be: its length (0: none is built), how far it turns, and
    the mean of the probability along it. soma_um: radius from which on a body is a soma; 0 finds
    none. min_length_um: shorter trees are left out. step_um: between nodes. Of lengths that are
    not given, the default is in voxels (skeleton/defaults.py), for a soma in micrometres.

    smooth: standard deviation, in voxels of the coarsest axis, by which lines are smoothed.
    lines: what draws middle lines: thinning, block by block; or kimimaro, an extra, all at once.
    unit: of the files. invert: the raw image, if its neurites are darker than the background; by
    default as the record of the prediction says. block: voxels per axis that are worked on
    together; it changes no tree.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    threshold: float | None = Field(default=None, gt=0, le=1)
    low: float | None = Field(default=None, gt=0, le=1)
    voxel_size: tuple[float, float, float] | None = None
    spur_um: float | None = Field(default=None, ge=0)
    crossing_angle: float = Field(default=CROSSING_ANGLE, ge=0, lt=90)
    gap_um: float | None = Field(default=None, ge=0)
    gap_angle: float = Field(default=GAP_ANGLE, gt=0, le=90)
    gap_probability: float = Field(default=GAP_PROBABILITY, ge=0, le=1)
    soma_um: float = Field(default=SOMA_UM, ge=0)
    min_length_um: float | None = Field(default=None, ge=0)
    step_um: float | None = Field(default=None, ge=0)
    smooth: float = Field(default=SMOOTH_VOX, ge=0, le=10)
    lines: Lines = "thinning"
    unit: Literal["um", "voxel"] = "um"
    invert: bool | None = None
    block: int = Field(default=128, ge=32, multiple_of=32)


class Lengths(BaseModel):
    """The lengths of TraceSettings, in micrometres, none of them missing."""

    model_config = ConfigDict(frozen=True)

    spur: float
    gap: float
    min_length: float
    step: float

    @classmethod
    def of(cls, settings: TraceSettings, unit_um: VoxelSize) -> Lengths:
        """Take the lengths that are given; the others by the size of a voxel."""
        usual = default_lengths(unit_um)
        given = {name: getattr(settings, f"{name}_um") for name in usual}
        return cls(**{n: usual[n] if v is None else v for n, v in given.items()})

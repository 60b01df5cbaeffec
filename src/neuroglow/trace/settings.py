"""All settings of a trace, besides the files."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.runs.free_memory import Memory
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


class TraceSettings(Memory):
    """All settings of a trace, besides the files; flat, frozen, saved with the trees.

    threshold: a neurite must reach this probability somewhere; by default the threshold of the
    model that the record of `predict` names, else 0.5. low: a neurite is followed down to this
    probability; by default 0.6 of the threshold. voxel_size: micrometres along z, y, x;
    overrides the metadata.

    spur_um: side branches up to this length are removed. crossing_angle: degrees by which a fibre
    may bend where it crosses another; 0 treats crossings as branch points. gap_um, gap_angle,
    gap_probability: limits of a bridge: its length (0: no bridges), its turn, and
    the mean probability along it. soma_um: radius from which a body is a soma; 0: no
    somata. min_length_um: shorter trees are left out. step_um: distance between nodes. Defaults of
    lengths are in voxels (skeleton/defaults.py), except for somata, in micrometres.

    smooth: standard deviation, in voxels of the coarsest axis, by which lines are smoothed.
    lines: method for middle lines: thinning, block by block; or kimimaro, an extra, on the whole.
    unit: of the files. invert: the raw image, if its neurites are darker than the background; by
    default as in the record of the prediction. mask: a volume at any resolution, not zero where the
    tissue is; nothing is read elsewhere. `auto`: where the pyramid of the raw image shows tissue.
    block: voxels per axis that are processed
    together; does not affect the trees. workers: number of processes for the middle lines;
    scheduler: a cluster instead; shard: a part of these blocks; time_limit: of one of them, in
    seconds; as in predict.

    Lines that need more than max_memory are traced by regions, which are then joined. region:
    voxels per axis of a region, whatever the memory.
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
    mask: str | None = None
    block: int = Field(default=128, ge=32, multiple_of=32)
    workers: int = Field(default=1, ge=1)
    scheduler: str | None = None
    region: int | None = Field(default=None, ge=32, multiple_of=32)
    shard: str | None = None
    time_limit: float | None = Field(default=None, gt=0)


class Lengths(BaseModel):
    """The lengths of TraceSettings, in micrometres, with all defaults filled in."""

    model_config = ConfigDict(frozen=True)

    spur: float
    gap: float
    min_length: float
    step: float

    @classmethod
    def of(cls, settings: TraceSettings, unit_um: VoxelSize) -> Lengths:
        """Take the given lengths, and compute the others from the voxel size."""
        usual = default_lengths(unit_um)
        given = {name: getattr(settings, f"{name}_um") for name in usual}
        return cls(**{n: usual[n] if v is None else v for n, v in given.items()})

"""All settings of an evaluation, besides the files."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.trees.swc_unit import SwcUnit

__all__ = ["EvaluateSettings"]


class EvaluateSettings(BaseModel):
    """All settings of an evaluation, besides the files; flat, frozen, saved in the report.

    threshold: a voxel is detected at or above it; by default the threshold of the model that the
    prediction's record names, else 0.5. label_map, prediction_map: legends of the truth and of
    the prediction, VALUE=background|neurite|ignore separated by commas. voxel_size: micrometres
    along z, y, x; overrides the metadata. tolerances: distances within which a line counts as
    found, in `unit`. swc_unit: of the trees; by default the unit in their headers, else
    micrometres. offset: position of the volumes' first voxel in the larger volume in which the
    truth's trees lie, in voxels along z, y, x; by default from their translation, record or
    manifest. swc_radius_um: radius with which trees are drawn if the other side is a volume,
    instead of their own. block: voxels per axis that are read together. pictures: number of
    volumes with pictures, the worst first. trace: trace each method, if the truth has trees.
    invert: the raw images, if their neurites are darker than the background; by default as the
    record of the prediction says. workers: number of processes that read the volumes; scheduler: a
    cluster instead; time_limit: of a block, in seconds; as in predict. Trees are scored, and
    traced, in this process.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    threshold: float | None = Field(default=None, gt=0, le=1)
    label_map: str = ""
    prediction_map: str = ""
    voxel_size: tuple[float, float, float] | None = None
    tolerances: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        default=(1.0, 2.0, 3.0), min_length=1
    )
    unit: Literal["voxel", "um"] = "voxel"
    swc_unit: SwcUnit | None = None
    offset: tuple[float, float, float] | None = None
    swc_radius_um: float | None = Field(default=None, ge=0)
    block: int = Field(default=128, ge=32, multiple_of=32)
    pictures: int = Field(default=6, ge=0)
    trace: bool = False
    invert: bool | None = None
    workers: int = Field(default=1, ge=1)
    scheduler: str | None = None
    time_limit: float | None = Field(default=None, gt=0)

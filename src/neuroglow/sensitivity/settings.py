"""All settings of a sensitivity measurement, besides the volume."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.trees.swc_unit import SwcUnit

__all__ = ["SensitivitySettings"]

Positive = Annotated[float, Field(gt=0)]


class SensitivitySettings(BaseModel):
    """Settings of a trial; flat, frozen, saved in the report.

    model: its name or folder. threshold: used instead of the model's own. false_rate: accepted
    share of falsely detected voxels. found: share of a neurite's length that counts as
    found. snr: of added neurites. rounds: how often they are added to each block.
    blocks, block: number of blocks, and their side in voxels. calibre_um: smallest and largest
    radius. blur_um: smallest and largest standard deviation of the optical blur in plane.
    swc, swc_unit: trees whose pieces are added, instead of lines grown by rule. filters: also test
    the methods without a network. voxel_size: zyx, overrides the metadata. invert: neurites are
    darker than the background.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = "light-microscopy"
    threshold: float | None = Field(default=None, gt=0, le=1)
    false_rate: float = Field(default=0.01, gt=0, lt=1)
    found: float = Field(default=0.9, gt=0, lt=1)
    snr: tuple[Positive, ...] = Field(default=(1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0), min_length=2)
    rounds: int = Field(default=2, ge=1, le=50)
    blocks: int = Field(default=8, ge=1, le=1000)
    block: int = Field(default=64, ge=24, le=256)
    calibre_um: tuple[Positive, Positive] | None = None
    blur_um: tuple[Positive, Positive] | None = None
    swc: str | None = None
    swc_unit: SwcUnit | None = None
    filters: bool = True
    voxel_size: tuple[Positive, Positive, Positive] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    invert: bool = False
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(default=1, ge=0)

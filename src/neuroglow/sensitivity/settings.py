"""All that decides how faint a neurite is found, besides the volume."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.space.swc_unit import SwcUnit

__all__ = ["SensitivitySettings"]

Positive = Annotated[float, Field(gt=0)]


class SensitivitySettings(BaseModel):
    """How a volume is tried; flat, frozen, saved in the report.

    model: its name or folder. threshold: instead of the model's own. false_rate: share of voxels
    that may be detected where nothing runs on. found: share of a neurite's length that counts as
    found. snr: of the neurites that are added. rounds: how often they are added to each block.
    blocks, block: how many, and their voxels an axis. calibre_um: smallest and largest radius.
    blur_um: smallest and largest standard deviation of the optics' blur in plane.
    swc, swc_unit: trees whose pieces are added, instead of lines grown by rule. filters: try the
    methods without a network too. voxel_size: zyx, instead of the metadata's.
    invert: where neurites are darker than the background.
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
    swc_unit: SwcUnit = "um"
    filters: bool = True
    voxel_size: tuple[Positive, Positive, Positive] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    invert: bool = False
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(default=1, ge=0)

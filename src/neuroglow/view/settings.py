"""All settings of a view, besides the files."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from neuroglow.trees.swc_unit import SwcUnit

__all__ = ["ViewSettings"]


class ViewSettings(BaseModel):
    """All settings of a view, besides the files; flat and frozen.

    threshold: the probability from which a voxel is shown; by default that of the model that made
    it. voxel_size: micrometres along z, y, x, overrides the files'. channel, time: of the image.
    swc_unit: of the trees: um, nm or voxel. offset: voxel of the larger volume, which the trees are
    of, where the raw image begins. state: a file with the places, layout and colours of a view,
    which is opened if it exists, and written at the end. port: of the address; 0 takes a free one.
    napari: open napari instead of neuroglancer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float | None = Field(default=None, ge=0, le=1)
    voxel_size: tuple[float, float, float] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    swc_unit: SwcUnit | None = None
    offset: tuple[float, float, float] | None = None
    state: Path | None = None
    port: int = Field(default=0, ge=0, le=65535)
    napari: bool = False

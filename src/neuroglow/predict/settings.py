"""All settings of a prediction, besides input and output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from neuroglow.errors import SettingsError
from neuroglow.runs.free_memory import Memory
from neuroglow.settings import check_settings
from neuroglow.space.geometry import box_text

__all__ = ["PredictSettings"]


class PredictSettings(Memory):
    """All settings of a prediction, besides input and output; flat, frozen, saved with the output.

    roi: `Z0:Z1,Y0:Y1,X0:X1` in voxels. voxel_size: micrometres along z, y, x.
    invert: neurites are darker than the background.
    dtype: uint8 (0..255) or float32 (0..1); by default uint8 in a file, float32 for an array.
    threshold: also writes a mask next to the output, 1 where the probability reaches it.
    halo: voxels read around each block; by default the model's. gate: skip empty tiles.
    views: average over this many mirrored views; slightly better, and as many times slower.
    tiling: `blocks` with a halo, or `db-enhance`: its patches of 120 that overlap by 10, averaged.
    engine: what runs the network; `auto`: OpenVINO on CPUs if it is installed, else PyTorch.
    precision: int8 needs the model's int8 variant (`neuroglow models optimise`), on CPUs.
    device: several, separated by commas, get a worker each. workers: at least one per device.
    scheduler: a cluster instead of this machine: a Dask scheduler (`tcp://HOST:8786`), `slurm`,
    `lsf`, `sge`, `pbs`, or a profile; max_memory is then that of one worker.
    mask: a volume at any resolution, not zero where the tissue is; elsewhere nothing is read or
    predicted. `auto`: found in the volume's pyramid, else in a few of its planes.
    shard: `3/16`, a part of the blocks, for job arrays; `neuroglow finish` publishes all parts.
    time_limit: seconds that a block may take; then its process is ended, and it is tried again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "light-microscopy"
    roi: Annotated[str | None, BeforeValidator(box_text)] = None
    voxel_size: tuple[float, float, float] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    invert: bool = False
    engine: Literal["auto", "torch", "openvino"] = "auto"
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto"
    dtype: Literal["uint8", "float32"] | None = None
    threshold: float | None = Field(default=None, gt=0, le=1)
    workers: int = Field(default=1, ge=1)
    halo: int | None = Field(default=None, ge=0)
    gate: bool = True
    views: Literal[1, 2, 4, 8] = 1
    tiling: Literal["blocks", "db-enhance"] = "blocks"
    scheduler: str | None = None
    shard: str | None = None
    time_limit: float | None = Field(default=None, gt=0)
    mask: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PredictSettings:
        """Check values that a person gave; raises SettingsError that names the first wrong one."""
        chosen = check_settings(cls, values)
        if chosen.tiling == "db-enhance" and chosen.halo is not None:
            raise SettingsError(
                "DB-Enhance's patches have no halo: they overlap",
                found=f"--tiling db-enhance together with --halo {chosen.halo}",
                cure="leave out one of them",
            )
        return chosen

    def with_dtype(self, usual: Literal["uint8", "float32"]) -> PredictSettings:
        """Choose the dtype if none was given."""
        return self.model_copy(update={"dtype": self.dtype or usual})

    @property
    def processes(self) -> int:
        """Number of workers: as requested, and at least one per device."""
        return max(self.workers, self.device.count(",") + 1)

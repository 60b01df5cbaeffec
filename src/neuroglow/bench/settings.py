"""All settings of a benchmark."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field

__all__ = ["BenchSettings"]

Side = Annotated[int, Field(ge=1, le=10_000_000)]


def _sides(value: Any) -> Any:
    """Split `2048x2048x1024` at its crosses, and `2048,2048,1024` at its commas."""
    return value.replace("x", ",").split(",") if isinstance(value, str) else value


class BenchSettings(BaseModel):
    """Settings of a benchmark; flat, frozen, saved in its file.

    model: its name or folder. brain: voxels along z, y, x of the volume whose prediction is
    estimated. max_memory: the limit of `predict` to start from; multiples of it that the computer
    has are judged too. device: whose engines are measured; `auto`: all. seconds: at most so long;
    what there was no time for is named.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = "light-microscopy"
    brain: Annotated[tuple[Side, Side, Side], BeforeValidator(_sides)] = (2048, 2048, 1024)
    max_memory: ByteSize = Field(default=ByteSize(1_600_000_000), gt=0)
    device: str = "auto"
    seconds: float = Field(default=110.0, ge=5, le=3600)

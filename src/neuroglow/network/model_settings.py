"""The description of a model: `model.json`, next to its weights. Needs no PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from neuroglow.errors import ModelError, SettingsError

__all__ = [
    "IMPORTED",
    "Calibration",
    "FixedInput",
    "ModelSettings",
    "NoiseUnitsInput",
    "SeamError",
    "read_settings",
    "refuse_inverted",
]


IMPORTED = "DB-Enhance"
"""The recipe recorded in the training of imported models."""


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


class NoiseUnitsInput(_Frozen):
    """The network receives noise units, measured on cells of `cell` voxels per axis."""

    kind: Literal["noise_units"] = "noise_units"
    cell: int = Field(default=32, ge=4)


class FixedInput(_Frozen):
    """The network receives (clip(I, low, high) - mean) / std, grey levels of one camera."""

    kind: Literal["fixed"] = "fixed"
    low: float
    high: float
    mean: float
    std: float = Field(gt=0)

    def normalise(self, voxels: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise grey levels (zyx), in float32; voxels of NaN or infinite read as the mean."""
        clipped = np.clip(voxels.astype(np.float32), self.low, self.high)
        x = (clipped - np.float32(self.mean)) / np.float32(self.std)
        if voxels.dtype.kind == "f":
            x[~np.isfinite(voxels)] = 0
        return np.asarray(x, np.float32)


def refuse_inverted(normalisation: NoiseUnitsInput | FixedInput, *, invert: bool) -> None:
    """Refuse to feed an inverted volume to a network that knows the grey levels of one camera."""
    if invert and normalisation.kind == "fixed":
        raise SettingsError(
            "an inverted volume is read in noise units",
            found="a model that is fed grey levels of one camera",
            where="--invert",
            cure="--model light-microscopy, or a model that was trained in noise units",
        )


class SeamError(_Frozen):
    """Difference between predictions in blocks and as a whole, for one halo."""

    halo: int
    mean: float
    worst: float
    where: str


class Calibration(_Frozen):
    """Conversion of a network's logit to a probability: sigmoid(scale x logit + shift).

    fitted: the data it was fitted on, in words. Source: Platt 1999; with shift 0 the temperature is
    1 / scale of Guo et al. 2017.
    """

    scale: float = Field(default=1.0, gt=0)
    shift: float = 0.0
    fitted: str = ""


class ModelSettings(_Frozen):
    """Everything that a checkpoint needs to rebuild and to describe itself.

    halo: voxels to read around a block. calibration: of the probability; None for the
    network's own. threshold: the probability from which a voxel counts as detected. afar: the
    probability at half the resolution from which a tile holds something, if it was measured
    (network/tiles.py).
    voxel_size_um: smallest and largest that it was trained for. training: recipe, data, steps,
    seed. scores: measured figures by name.
    """

    format: Literal[1] = 1
    name: str
    network: str
    arguments: dict[str, Any] = {}
    normalisation: Annotated[NoiseUnitsInput | FixedInput, Field(discriminator="kind")]
    halo: int = Field(ge=0, le=256)
    threshold: float = Field(ge=0, le=1)
    calibration: Calibration | None = None
    afar: float | None = Field(default=None, ge=0, le=1)
    seam_error: tuple[SeamError, ...] = ()
    voxel_size_um: tuple[float, float] | None = None
    training: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    versions: dict[str, str] = {}
    licence: str = ""
    description: str = ""

    @property
    def imported(self) -> bool:
        """Return whether it is DB-Enhance's, unchanged."""
        return bool(self.training.get("recipe") == IMPORTED)


def read_settings(folder: Path) -> ModelSettings:
    """Read `model.json` of a model's folder.

    Raises ModelError if it is missing, not JSON, or not understood by this version.
    """
    path = folder / "model.json"
    try:
        return ModelSettings.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(
            "a model is a folder with model.json and weights.safetensors",
            found=error.strerror or str(error),
            where=str(path),
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        newer = place == "format"
        raise ModelError(
            "model.json must hold a model's settings",
            found=f"{place + ': ' if place else ''}{first['msg']}",
            where=str(path),
            cure="a newer neuroglow may read it" if newer else "",
        ) from None

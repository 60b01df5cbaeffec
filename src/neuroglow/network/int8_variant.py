"""The int8 variant of a model: `int8.json` next to its weights. Needs no OpenVINO.

It holds what calibration found, the range of each rounded value, and not the weights.
`neuroglow models optimise` writes it (optimise.py); int8.py makes a graph of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglow.errors import ModelError

__all__ = ["Int8", "read_int8", "unfit"]


class Int8(BaseModel):
    """What calibration found, by the names of numbered_graph.

    model: hash of the model that it belongs to. graph: of the layers and their shapes.
    ranges: of values, lowest and highest. layers: whose weights are rounded.
    calibrated: on what. loss: compared with float32, on boxes that did not calibrate it.
    close: is it near enough to float32 to be used without being asked for?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[2] = 2
    model: str
    graph: str
    ranges: dict[str, tuple[float, float]]
    layers: tuple[str, ...]
    calibrated: dict[str, Any] = {}
    loss: dict[str, float] = {}
    close: bool = False
    versions: dict[str, str] = {}

    def lines(self) -> list[str]:
        """Say in words on what it was calibrated, and its loss."""
        loss = self.loss
        return [
            f"int8: calibrated on {self.calibrated.get('boxes')} boxes of "
            f"{len(self.calibrated.get('volumes', ()))} volumes; on {loss.get('boxes', 0):.0f} "
            "other boxes of them, compared with float32:",
            f"  probability: largest difference {loss.get('largest_difference', 0):.3f}, "
            f"mean {loss.get('mean_difference', 0):.5f}",
            f"  detected voxels: {loss.get('detected_float32', 0):.3%} in float32, "
            f"{loss.get('detected_int8', 0):.3%} in int8, "
            f"{loss.get('detected_by_one_alone', 0):.3%} in only one of them",
            "  predict uses it by default"
            if self.close
            else "  predict uses it only with --precision int8: it is not close enough to float32",
        ]


def read_int8(content: bytes, place: Path) -> Int8:
    """Read the file of a variant; ModelError if it is damaged, or of an earlier version."""
    try:
        return Int8.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise unfit(f"{first['loc']}: {first['msg']}", place) from None


def unfit(found: str, place: Path) -> ModelError:
    """Say of a variant that it does not fit its model."""
    return ModelError(
        "an int8 variant must fit its model",
        found=found[:200],
        where=str(place),
        cure="neuroglow models optimise MODEL VOLUME... --replace, or remove the file",
    )

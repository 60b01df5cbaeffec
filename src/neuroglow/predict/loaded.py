"""A loaded model, which can predict: the result of `neuroglow.load_model`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

from neuroglow.face import given, spelled_out
from neuroglow.network.checkpoint import Model
from neuroglow.network.checkpoint import load_model as load
from neuroglow.predict import Mode, PredictReport, predict
from neuroglow.predict.settings import PredictSettings
from neuroglow.progress import Tell
from neuroglow.space.arrays import VolumeSource
from neuroglow.space.geometry import Roi
from neuroglow.space.volume import Array

__all__ = ["LoadedModel", "load_model"]


@dataclass(frozen=True)
class LoadedModel(Model):
    """A model with the method `predict`; otherwise the same as Model."""

    @spelled_out(PredictSettings)
    def predict(  # noqa: PLR0913  # every option, for editors
        self,
        source: VolumeSource,
        *,
        out: str | Path | None = None,
        roi: Roi | None = None,
        voxel_size: Sequence[float] | None = None,
        channel: int | None = None,
        time: int | None = None,
        invert: bool = False,
        engine: Literal["auto", "torch", "openvino"] = "auto",
        device: str = "auto",
        precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto",
        dtype: Literal["uint8", "float32"] | None = None,
        threshold: float | None = None,
        workers: int = 1,
        max_memory: int | str | None = None,
        halo: int | None = None,
        gate: bool = True,
        views: Literal[1, 2, 4, 8] = 1,
        tiling: Literal["blocks", "db-enhance"] = "blocks",
        scheduler: str | None = None,
        shard: str | None = None,
        time_limit: float | None = None,
        mask: str | PathLike[str] | None = None,
        mode: Mode = "new",
        on_progress: Tell | None = None,
        progress: bool | None = None,
    ) -> Array | list[PredictReport]:
        """Predict with this model, as `neuroglow.predict` does."""
        options = given() | {"out": out, "mode": mode, "on_progress": on_progress}
        return predict(source, model=self, progress=False, **options)


def load_model(model: str | PathLike[str]) -> LoadedModel:
    """Load a model: a known name, a model's folder, or a training run (its best model).

    Raises ModelError if there is none, or if a file is missing, truncated, or does not fit.

    >>> load_model("light-microscopy").settings.name
    'light-microscopy'
    """
    return LoadedModel(**vars(load(model)))

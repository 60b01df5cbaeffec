"""What the record that `predict` leaves beside its output says of the model that made it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from neuroglow.errors import ModelError
from neuroglow.network.model_settings import read_settings
from neuroglow.network.models import find_model
from neuroglow.space.names import stem_of

__all__ = ["MIDDLE", "threshold_for"]

MIDDLE = 0.5


def threshold_for(volumes: Iterable[object]) -> tuple[float, str]:
    """Give the threshold for predictions (paths, or others), and where it is from.

    It is that of the model that the records beside all of them name, else the middle.
    """
    models = {_model_of(volume) for volume in volumes}
    name = models.pop() if len(models) == 1 else None
    if name:
        try:
            return read_settings(find_model(name)).threshold, f"the threshold of the model {name}"
        except ModelError:
            pass
    return MIDDLE, "the middle: no other was asked for, and no record of `predict` names a model"


def _model_of(volume: object) -> str | None:
    """Name the model that made a prediction, by the record that `predict` leaves beside it."""
    if not isinstance(volume, str | Path):
        return None
    path = Path(volume)
    record = path.with_name(f"{stem_of(path).removesuffix('_prob')}_run.json")
    try:
        return str(json.loads(record.read_text(encoding="utf-8"))["settings"]["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

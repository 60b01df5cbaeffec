"""What the record that `predict` leaves beside its output says of the model that made it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neuroglow.space.record import read_record

__all__ = ["MIDDLE", "threshold_for"]

MIDDLE = 0.5


def threshold_for(volumes: Iterable[object]) -> tuple[float, str]:
    """Return the threshold for predictions (paths, or others), and where it comes from.

    It is the threshold that the records beside all of them state: that of the model that was
    used, whatever a model of the same name says today. Else the middle.
    """
    stated = {_stated(volume) for volume in volumes}
    if len(stated) == 1 and (only := stated.pop()):
        threshold, model = only
        return threshold, f"the threshold of the model {model}, by the record of the prediction"
    return MIDDLE, "the middle: none was given, and no record of `predict` states one"


def _stated(volume: object) -> tuple[float, str] | None:
    """Read threshold and model from the record beside a prediction, where it has one."""
    record = read_record(volume) if isinstance(volume, str | Path) else None
    model = (record or {}).get("model")
    try:
        return float(model["threshold"]), str(model["name"])  # type: ignore[index]  # else caught
    except (KeyError, TypeError, ValueError):
        return None

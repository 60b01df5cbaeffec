"""The threshold of the model that made a prediction, from the record that `predict` wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from neuroglow.files.record import read_record

__all__ = ["MIDDLE", "threshold_for"]

MIDDLE = 0.5


def threshold_for(volumes: Iterable[object]) -> tuple[float, str]:
    """Return the threshold for predictions (paths, or others), and its origin.

    It is the threshold in the records of all of them: that of the model that was used, even if a
    model of the same name now has another one. Otherwise the middle.
    """
    stated = {_stated(volume) for volume in volumes}
    if len(stated) == 1 and (only := stated.pop()):
        threshold, model = only
        return threshold, f"the threshold of the model {model}, from the record of the prediction"
    return MIDDLE, "the middle: none was given, and there is no record of `predict` with one"


def _stated(volume: object) -> tuple[float, str] | None:
    """Read threshold and model from the record of a prediction, if it has one."""
    record = read_record(volume) if isinstance(volume, str | Path) else None
    model = (record or {}).get("model")
    try:
        return float(model["threshold"]), str(model["name"])  # type: ignore[index]  # else caught
    except (KeyError, TypeError, ValueError):
        return None

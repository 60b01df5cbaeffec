"""Parts of a job on several volumes: the output of each input, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuroglow.runs.unfinished import Unfinished
from neuroglow.studio.inside import Inside

__all__ = ["parts_of"]


def parts_of(
    inside: Inside, kept: Mapping[str, Any], state: str, share: float
) -> list[dict[str, Any]]:
    """List the volumes of a job in their order; empty for a job on one.

    kept: its description. share: of the volume that is at work now.
    """
    inputs, outputs = kept["order"].get("inputs", ()), kept.get("outputs", ())
    if len(inputs) < 2 or len(inputs) != len(outputs):
        return []
    parts, at_work = [], state == "running"
    for volume, output in zip(inputs, outputs, strict=True):
        place = inside.place(output)
        if state == "done" or (place.exists() and not Unfinished(place).folder.exists()):
            own, progress = "done", 1.0
        elif Unfinished(place).folder.exists():
            own, progress = ("running", share) if at_work else ("stopped", 0.0)
        else:
            own, progress = ("failed" if state == "failed" else "waiting"), 0.0
        parts.append({"input": volume, "output": output, "state": own, "progress": progress})
    return parts

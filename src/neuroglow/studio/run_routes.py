"""Routes of training runs: their curves and pictures while they are at work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from neuroglow.space.tables import plain
from neuroglow.studio.refusals import missing
from neuroglow.studio.studio import Studio

__all__ = ["run_routes"]

SomePath = Annotated[str, Query(max_length=2000)]

POINTS = 600
"""Steps of a curve; of a longer run every second, third, ... is returned."""

LARGEST_LOG = 100_000_000
"""Bytes of a log that are read."""


def run_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/api/runs")
    def run(path: SomePath) -> dict[str, Any]:
        """Return the steps and validations of a run so far, and its pictures."""
        place = studio.inside.find(path)
        log = place / "log.jsonl"
        if not log.is_file():
            raise missing(path, "no training run that has begun")
        studio.inside.check(log, path)
        rows = list(_rows(log))
        steps = [row for row in rows if "loss" in row]
        scores = [row for row in rows if "validation" in row]
        every = -(-len(steps) // POINTS) or 1
        kept = [*steps[::every], *(steps[-1:] if (len(steps) - 1) % every else [])]
        pictures = sorted((place / "pictures").glob("step-*.png"))
        return {
            "rows": plain(sorted([*kept, *scores], key=lambda row: row["step"])),
            "pictures": [studio.inside.relative(picture) for picture in pictures],
            "done": (place / "report.html").is_file(),
        }

    @router.get("/api/runs/picture")
    def picture(path: SomePath) -> Response:
        """Return a picture of a run."""
        place = studio.inside.find(path)
        run_json = place.parent.parent / "run.json"
        if place.suffix != ".png" or place.parent.name != "pictures" or not run_json.is_file():
            raise missing(path, "no picture of a run")
        return Response(place.read_bytes(), media_type="image/png")

    return router


def _rows(log: Path) -> Iterator[dict[str, Any]]:
    """Read the lines of a log, up to one that is being written."""
    with log.open("r", encoding="utf-8", errors="replace") as file:
        for line in file.read(LARGEST_LOG).splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                return
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield {name: row[name] for name in ("step", "loss", "validation") if name in row}

"""Routes that trace within a check: from a click, on over the next block, somata, a new tracing."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from numpy.typing import NDArray
from pydantic import BaseModel, Field, FiniteFloat

from neuroglow.errors import OutputError
from neuroglow.files.names import TREE_SUFFIX
from neuroglow.files.writing import appearing
from neuroglow.skeleton.edits import Point
from neuroglow.skeleton.proofreading import Proofreading, Step
from neuroglow.space.geometry import parse_box
from neuroglow.studio.check_answers import changed
from neuroglow.studio.checking import Check, Checks
from neuroglow.studio.origins import origin_file, write_origins
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.soma_search import find_somata, level_of_noise
from neuroglow.studio.studio import Studio
from neuroglow.studio.tracing import as_edits, grow
from neuroglow.studio.volumes import Shown
from neuroglow.trees.swc import Tree, write_swc

__all__ = ["growing_routes"]

SomePath = Annotated[str, Query(max_length=2000)]
Path = Annotated[str, Field(max_length=2000)]
Share = Annotated[FiniteFloat, Field(gt=0, le=1)]

_one_search = threading.Lock()
"""A search or a block is computed alone, so that many requests do not fill the memory."""


class Grow(BaseModel):
    """Trace from a place: x, y, z in micrometres of the volume; or on from a node."""

    path: Path
    probability: Path
    threshold: Share
    at: Point | None = None
    node: Annotated[int, Field(ge=0, le=2**31)] | None = None


class New(BaseModel):
    """A new tracing without trees."""

    out: Path
    made_from: Annotated[list[Path], Field(max_length=2)] = []


def growing_routes(studio: Studio, checks: Checks) -> APIRouter:
    """Return the routes. checks: those of the routes of checking."""
    router = APIRouter()

    @router.post("/api/check/grow")
    def from_place(given: Grow) -> dict[str, Any]:
        """Trace the line through a place in a block around it; what was traced before stays."""
        shown = _probability(studio, given.probability)
        before = checks.open(given.path)
        start = _start(before, given)
        known = before.points[before.work.forest.alive]
        with _one_search:
            grown = grow(shown, start, known, given.threshold)

        def draw(work: Proofreading) -> Proofreading:
            first = len(work.forest.alive)
            return work.take(Step(edits=tuple(as_edits(grown, before, first, given.node))))

        before, after = checks.change(given.path, draw)
        ends = (grown.open + len(before.work.forest.alive)).tolist()
        told = {"grown": len(grown.points), "open": ends, "meets": grown.meets}
        return changed(before, after) | told

    _more_routes(router, studio, checks)
    return router


def _more_routes(router: APIRouter, studio: Studio, checks: Checks) -> None:
    @router.get("/api/check/somata")
    def somata(
        path: SomePath,
        volume: SomePath,
        radius: Annotated[float, Query(gt=0, le=1000)] = 5.0,
        threshold: Annotated[float, Query(gt=0, le=1)] = 0.5,
        box: Annotated[str, Query(max_length=100)] = "",
    ) -> dict[str, Any]:
        """Search somata in a volume; each with the nearest node of a tree that lies in it."""
        shown = studio.volumes.show(volume)
        least = level_of_noise(studio, shown)
        if shown.kind == "probability":
            least = threshold * studio.grey(shown).high
        within = parse_box(box, shown.levels[0].shape, "box") if box else None
        with _one_search:
            found = find_somata(shown, least, radius, within)
        check = checks.open(path)
        return {
            "somata": [
                {
                    "at": soma.at[::-1],
                    "radius": soma.radius,
                    "node": _node_in(check, np.array(soma.at), soma.radius),
                }
                for soma in found
            ]
        }

    @router.post("/api/check/new", status_code=201)
    def new(given: New) -> dict[str, str]:
        """Begin a tracing: a file without trees, into which lines are traced and drawn."""
        place = studio.inside.place(given.out)
        if place.suffix != TREE_SUFFIX or not place.parent.is_dir():
            raise RefusedError(400, "a tracing is an SWC file in a folder", where=given.out)
        if place.exists():
            raise OutputError(
                "an existing file is not overwritten", found="it exists", where=given.out
            )
        sources = [studio.inside.relative(studio.inside.find(path)) for path in given.made_from]
        nothing = np.zeros(0)
        empty = Tree(np.zeros((0, 3)), nothing, nothing.astype(int), nothing.astype(int))
        with appearing(place) as partial:
            write_swc(empty, partial, comment="neuroglow studio: begun by hand")
        if sources and not origin_file(place).exists():
            write_origins(place, sources)
        return {"path": studio.inside.relative(place)}


def _probability(studio: Studio, path: str) -> Shown:
    shown = studio.volumes.show(path)
    if shown.kind != "probability":
        raise RefusedError(400, "lines are traced in a probability", found=shown.kind, where=path)
    return shown


def _start(check: Check, given: Grow) -> NDArray[np.float64]:
    """Return where a line begins, zyx, micrometres of the volume."""
    if given.node is not None:
        alive = check.work.forest.alive
        if given.node >= len(alive) or not alive[given.node]:
            raise RefusedError(404, "a line goes on from a node of the trees", where=given.path)
        return np.asarray(check.points[given.node])
    if given.at is None:
        raise RefusedError(400, "a line is traced from a place, or on from a node")
    return np.array(given.at[::-1])


def _node_in(check: Check, at: NDArray[np.float64], radius: float) -> int | None:
    """Return the node that lies deepest in a soma, if any does."""
    away = np.linalg.norm(check.points - at, axis=1)
    away[~check.work.forest.alive] = np.inf
    return int(np.argmin(away)) if len(away) and away.min() <= radius else None

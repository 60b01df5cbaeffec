"""Routes of what is in the folder: items, thumbnails, trees, models, runs, reports, uploads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field

from neuroglow.errors import NeuroglowError
from neuroglow.network.model_settings import read_settings
from neuroglow.network.models import ModelEntry, list_models
from neuroglow.studio.folder_index import list_folder
from neuroglow.studio.kinds import kind_of
from neuroglow.studio.look import SomePath
from neuroglow.studio.refusals import RefusedError
from neuroglow.studio.runs import not_begun, run_picture, show_run
from neuroglow.studio.studio import Studio
from neuroglow.studio.thumbnails import thumbnail
from neuroglow.studio.tickets import REPORT_CSP, Tickets
from neuroglow.studio.trees_shown import show_trees
from neuroglow.studio.uploads import take_upload

__all__ = ["browse_routes"]

DEEP = 3
"""Levels of folders in which models of the studio's folder are looked for."""

LARGEST_REPORT = 100_000_000


class OfPath(BaseModel):
    """A path."""

    path: str = Field(max_length=2000)


def browse_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/api/folder")
    def folder(path: SomePath = "") -> dict[str, Any]:
        """List a folder: what is in it, of which kind, and what belongs together."""
        return list_folder(studio, path)

    @router.get("/api/thumbnail")
    def picture(path: SomePath) -> Response:
        """Return a small picture of an item."""
        return Response(thumbnail(studio, path), media_type="image/png")

    @router.get("/api/trees")
    def trees(
        path: SomePath, volume: Annotated[str, Query(max_length=2000)] = ""
    ) -> dict[str, Any]:
        """Return trees in micrometres."""
        return show_trees(studio, path, volume)

    @router.get("/api/models")
    def models() -> dict[str, Any]:
        """List the models: named ones, and those in the folder."""
        return {"models": [*map(_named, list_models()), *_own_models(studio)]}

    @router.get("/api/runs")
    def run(path: SomePath) -> dict[str, Any]:
        """Return the curves of a training run, which may go on, or have been ordered only."""
        begun = (studio.inside.place(path) / "run.json").exists()
        if not begun and studio.jobs.makes(path):
            return not_begun(path)
        return show_run(studio.inside, path)

    @router.get("/api/runs/picture")
    def picture_of_run(path: SomePath, step: Annotated[int, Query(ge=0, le=10**9)]) -> Response:
        """Return the picture of a validation."""
        return Response(run_picture(studio.inside, path, step), media_type="image/png")

    @router.post("/api/upload", status_code=201)
    async def upload(
        request: Request,
        name: Annotated[str, Query(max_length=300)],
        path: SomePath = "",
        content_length: Annotated[int | None, Header()] = None,
    ) -> dict[str, str]:
        """Take a file that was dropped; its content is the body."""
        parts: AsyncIterator[bytes] = request.stream()
        return {"path": await take_upload(studio.inside, path, name, content_length, parts)}

    _report_routes(router, studio, Tickets())
    return router


def _report_routes(router: APIRouter, studio: Studio, tickets: Tickets) -> None:
    @router.post("/api/tickets", status_code=201)
    def ticket(given: OfPath) -> dict[str, str]:
        """Give an address, good once and for a minute, at which a report opens."""
        _report(studio, given.path)
        return {"url": f"/ticket/{tickets.give(given.path)}"}

    @router.get("/ticket/{name}")
    def opened(name: str) -> Response:
        """Open the report of a ticket."""
        return _report(studio, tickets.take(name))

    @router.get("/api/report")
    def report(path: SomePath) -> Response:
        """Return a report."""
        return _report(studio, path)


def _report(studio: Studio, path: str) -> Response:
    """Return the page of a report, in a sandbox. Raises RefusedError for any other file."""
    place = studio.inside.find(path)
    if place.is_dir() and (place / "report.html").is_file():
        place = place / "report.html"
        studio.inside.check(place, path)
    if not place.is_file() or kind_of(place) != "report":
        raise RefusedError(400, "a report is a page (.html)", where=path)
    if place.stat().st_size > LARGEST_REPORT:
        raise RefusedError(400, "a report that is shown is not larger than 100 MB", where=path)
    headers = {"content-security-policy": REPORT_CSP, "cross-origin-opener-policy": "unsafe-none"}
    return Response(place.read_bytes(), media_type="text/html; charset=utf-8", headers=headers)


def _named(entry: ModelEntry) -> dict[str, Any]:
    return _model(entry.name, entry) | {"bundled": entry.source == "bundled", "path": None}


def _model(name: str, entry: ModelEntry) -> dict[str, Any]:
    try:
        settings = read_settings(entry.path)
        threshold, error, title = settings.threshold, None, _first_sentence(settings.description)
    except NeuroglowError as broken:
        threshold, error, title = None, broken.rule, broken.rule
    return {"name": name, "title": title, "threshold": threshold, "error": error}


def _first_sentence(text: str) -> str:
    """Return what a list says of a model."""
    return text.partition(". ")[0].removesuffix(".")


def _own_models(studio: Studio) -> list[dict[str, Any]]:
    """List the models in the folder: of training runs their best ones."""
    found = []
    patterns = ["/".join(["*"] * depth) for depth in range(1, DEEP + 1)]
    for pattern in patterns:
        for file in sorted(studio.inside.root.glob(f"{pattern}/model.json")):
            place = file.parent
            of_run = place.parent.name == "checkpoints"
            shown = place.parent.parent if of_run else place
            if ".neuroglow-studio" in place.parts or (of_run and place.name != "best"):
                continue
            if studio.inside.relative_if_inside(file) is None:
                continue
            relative = studio.inside.relative(shown)
            entry = ModelEntry(shown.name, "folder", place, "")
            own = _model(shown.name, entry)
            found.append(own | {"bundled": False, "path": relative, "title": relative})
    return found

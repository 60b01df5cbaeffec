"""The app: the routes of a studio behind its gate, and the page."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from neuroglow.studio.access import Access
from neuroglow.studio.browse import browse_routes
from neuroglow.studio.check_routes import check_routes
from neuroglow.studio.choose_routes import choose_routes
from neuroglow.studio.label_routes import label_routes
from neuroglow.studio.look import look_routes
from neuroglow.studio.refusals import answer_errors
from neuroglow.studio.studio import Studio
from neuroglow.studio.work import work_routes

__all__ = ["ROUTES", "create_app"]

ROUTES: tuple[Callable[[Studio], APIRouter], ...] = (
    browse_routes,
    look_routes,
    work_routes,
    label_routes,
    check_routes,
    choose_routes,
)
"""All routes besides the page."""


def create_app(folder: str | Path, token: str, names: Collection[str] = ()) -> Access:
    """Make the app of a studio.

    token: needed by each request. names: under which this machine answers, besides loopback's.
    Raises InputError if there is no such folder.
    """
    studio = Studio.of(folder)
    app = FastAPI(
        title="neuroglow studio", docs_url=None, redoc_url=None, openapi_url="/openapi.json"
    )
    answer_errors(app, str(studio.inside.root))
    for routes in ROUTES:
        app.include_router(routes(studio))
    page = Path(str(files("neuroglow"))) / "studio/page"
    if page.is_dir():
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    app.state.studio = studio
    return Access(_as_app(app), token, frozenset(names))


def _as_app(app: FastAPI) -> Any:
    return app

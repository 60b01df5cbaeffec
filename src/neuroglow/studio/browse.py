"""Routes of what is in the folder."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from neuroglow.studio.folder_index import list_folder
from neuroglow.studio.look import SomePath
from neuroglow.studio.studio import Studio

__all__ = ["browse_routes"]


def browse_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/api/folder")
    def folder(path: SomePath = "") -> dict[str, Any]:
        """List a folder: what is in it, of which kind, and what belongs together."""
        return list_folder(studio, path)

    return router

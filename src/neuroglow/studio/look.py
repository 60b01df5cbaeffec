"""Routes of what is looked at: volumes, their chunks, their voxel sizes."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, Field

from neuroglow.files.tables import plain
from neuroglow.network.threshold import threshold_for
from neuroglow.space.geometry import Zyx
from neuroglow.space.units import LEAST_UM, MOST_UM
from neuroglow.studio.chunks import on_the_wire
from neuroglow.studio.placing import shift_over
from neuroglow.studio.refusals import RefusedError, missing
from neuroglow.studio.studio import Studio
from neuroglow.studio.volumes import Shown
from neuroglow.studio.zarr_view import array_json, chunk_box, group_json, level_scales

__all__ = ["SomePath", "look_routes"]

SomePath = Annotated[str, Query(max_length=2000)]
Micrometres = Annotated[float, Field(ge=LEAST_UM, le=MOST_UM)]

_KEY = re.compile(
    r"(?P<path>.+?)/(?:(?P<level>\d{1,2})/)?"
    r"(?:zarr\.json|c/(\d{1,9})/(\d{1,9})/(\d{1,9}))"
)


class GivenSize(BaseModel):
    """A voxel size that a person gives: zyx, micrometres."""

    path: str = Field(max_length=2000)
    voxel_size: tuple[Micrometres, Micrometres, Micrometres]


def look_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.get("/api/volume")
    def volume(path: SomePath, over: SomePath = "") -> dict[str, Any]:
        """Describe a volume: shape, levels, grey levels; and where it lies over another one."""
        shown = studio.volumes.show(path)
        return describe(studio, shown) | {"shift": shift_over(studio, shown, over)}

    @router.post("/api/volume/voxel-size")
    def voxel_size(given: GivenSize) -> dict[str, Any]:
        """Take the voxel size of a file that states none."""
        shown = studio.volumes.show(given.path)
        if shown.voxel_size_um and studio.state.voxel_size(given.path) is None:
            raise RefusedError(
                409,
                "a voxel size is given for a file that states none",
                found=", ".join(f"{v:g}" for v in shown.voxel_size_um),
                where=given.path,
            )
        studio.state.give_voxel_size(given.path, given.voxel_size)
        return describe(studio, studio.volumes.show(given.path))

    @router.get("/zarr/{key:path}")
    def zarr(key: str, rev: str = "", accept_encoding: Annotated[str, Header()] = "") -> Response:
        """Answer a key of a virtual OME-Zarr: VOLUME/zarr.json, VOLUME/0/c/z/y/x.

        rev: the revision that is looked at; 409 if the file is another one by now, whose voxels
        would be taken for those of the one before. What grows stays the same file.
        """
        return _answer(studio, key, rev, gzip="gzip" in accept_encoding)

    return router


def describe(studio: Studio, shown: Shown) -> dict[str, Any]:
    """Return what a page needs to show a volume."""
    levels = [
        {"shape": level.shape, "scale": scale, "made": not level.stored}
        for level, scale in zip(shown.levels, level_scales(shown), strict=True)
    ]
    threshold = None
    if shown.kind == "probability":
        threshold = threshold_for([studio.inside.place(shown.path)])[0]
    size = shown.voxel_size_um
    return {
        "path": shown.path,
        "kind": shown.kind,
        "shape": shown.levels[0].shape,
        "voxel_size": size,
        "voxel_size_given": studio.state.voxel_size(shown.path) is not None,
        "dtype": shown.dtype.name,
        "levels": levels,
        "threshold": threshold,
        "growing": shown.growing,
        "revision": shown.revision,
        **plain(asdict(studio.grey(shown))),
    }


def _answer(studio: Studio, key: str, rev: str, *, gzip: bool) -> Response:
    match = _KEY.fullmatch(key)
    if match is None:
        raise missing(key[:200])
    shown = studio.volumes.show(match["path"])
    if rev and rev != shown.revision and not shown.growing:
        raise RefusedError(
            409,
            "a volume stays as it is while it is looked at",
            found="it has changed",
            where=match["path"],
        )
    level = None if match["level"] is None else int(match["level"])
    if level is not None and level >= len(shown.levels):
        raise missing(key, f"{len(shown.levels)} levels")
    cache = "private, max-age=86400, immutable" if rev and not shown.growing else "no-store"
    headers = {"cache-control": cache}
    if match[3] is None:
        return _json(group_json(shown) if level is None else array_json(shown, level))
    index: Zyx = (int(match[3]), int(match[4]), int(match[5]))
    box = chunk_box(shown, level, index) if level is not None else None
    if level is None or box is None:
        raise missing(key)
    chunk, zipped = on_the_wire(studio.chunks.get(shown, level, box), gzip=gzip)
    if zipped:
        headers["content-encoding"] = "gzip"
    return Response(chunk, media_type="application/octet-stream", headers=headers)


def _json(value: dict[str, Any]) -> Response:
    import json

    return Response(json.dumps(value), media_type="application/json")

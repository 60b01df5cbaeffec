"""Routes of choosing: the indicators of a survey, pictures of its cubes, and selections by hand."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from neuroglow.cubes.export import export_cubes
from neuroglow.cubes.manifest import Cube, box_of, open_image
from neuroglow.errors import InputError, SettingsError
from neuroglow.files.tables import plain
from neuroglow.selection.by_hand import ByHand, write_by_hand
from neuroglow.selection.cube_pictures import draw_cubes
from neuroglow.selection.survey_table import FREE, LABELLED, numbers, read_survey
from neuroglow.selection.words import DEFINITIONS, WORDS
from neuroglow.studio.linked import check_chunks, check_cubes
from neuroglow.studio.refusals import RefusedError, missing
from neuroglow.studio.studio import Studio

__all__ = ["choose_routes"]

SomePath = Annotated[str, Query(max_length=2000)]
Text = Annotated[str, Field(max_length=2000)]

MOST_CUT = 200
"""Cubes that are cut out while one waits for it."""

INDICATORS = (*FREE, *LABELLED, "entropy", "disagreement")


class Choice(BaseModel):
    """A cube, and why it is taken or dropped."""

    name: Text
    reason: Text = ""


class Chosen(BaseModel):
    """A selection by hand. export: the folder into which its cubes are cut."""

    path: Text
    out: Text
    taken: Annotated[list[Choice], Field(max_length=20_000)]
    dropped: Annotated[list[Choice], Field(max_length=20_000)] = []
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0, le=2**31)] = 1
    export: Text = ""


def choose_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router, alone = APIRouter(), threading.Lock()

    @router.get("/api/selection")
    def survey(path: SomePath) -> dict[str, Any]:
        """Return the cubes of a survey, or of a selection, with their indicators."""
        cubes = _read(studio, path)
        columns = {name: numbers(cubes, name) for name in INDICATORS}
        known = {name: values for name, values in columns.items() if np.isfinite(values).any()}
        words = {name: WORDS.get(name, name) for name in known}
        return {
            "path": path,
            "indicators": [
                {"name": name, "title": words[name], "about": DEFINITIONS.get(words[name], "")}
                for name in known
            ],
            "cubes": [
                {**_row(studio, cube), "values": plain([v[i] for v in known.values()])}
                for i, cube in enumerate(cubes)
            ],
        }

    @router.get("/api/selection/picture")
    def picture(path: SomePath, name: SomePath) -> Response:
        """Return the projection of a cube."""
        cubes = [cube for cube in _read(studio, path) if cube.name == name]
        if not cubes:
            raise missing(name, "no such cube")
        _refuse_outside(studio, cubes)
        with alone:  # matplotlib's and the readers' state is one
            png = draw_cubes(cubes, [""], across=1)
        if png is None:
            raise missing(name, "a cube that cannot be read")
        return Response(png, media_type="image/png")

    @router.post("/api/selection")
    def save(given: Chosen) -> dict[str, Any]:
        """Write the manifest of a selection, as `select` does; nothing is overwritten."""
        with alone:
            picked = _save(studio, given)
        splits = [{"name": cube.name, "split": cube.split} for cube in picked]
        return {"selection": given.out, "cubes": splits}

    return router


def _save(studio: Studio, given: Chosen) -> list[Cube]:
    """Write the manifest of a selection and, if that is asked for, its cubes; returns them."""
    cubes = _read(studio, given.path)
    names = {choice.name for choice in given.taken}
    _refuse_outside(studio, [cube for cube in cubes if cube.name in names])
    out = studio.inside.place(given.out)
    if not out.parent.is_dir():
        raise missing(given.out, "no such folder")
    folder = studio.inside.place(given.export) if given.export else None
    _refuse_export(folder, len(names), given.export)
    by_hand = ByHand(
        {choice.name: choice.reason for choice in given.taken},
        {choice.name: choice.reason for choice in given.dropped},
        given.val_fraction,
        seed=given.seed,
    )
    picked = write_by_hand(cubes, by_hand, out)
    if folder is not None:
        export_cubes(picked, folder)
    return picked


def _refuse_export(folder: Path | None, count: int, said: str) -> None:
    """Refuse to cut cubes into a folder that exists, or too many of them."""
    if folder is None:
        return
    if folder.exists():
        raise RefusedError(
            409,
            "cubes are cut into a new folder",
            found="it exists",
            where=said,
            cure="another name",
        )
    if not folder.parent.is_dir():
        raise missing(said, "no such folder")
    if count > MOST_CUT:
        raise RefusedError(
            400,
            f"at most {MOST_CUT} cubes are cut out at once",
            found=str(count),
            cure="save without cutting, then `neuroglow select --export`",
        )


def _read(studio: Studio, path: str) -> list[Cube]:
    """Read a table of cubes. Raises RefusedError if it is not there, InputError if it is none."""
    place = studio.inside.find(path)
    if place.suffix.lower() not in (".csv", ".parquet") and not (place / "manifest.csv").is_file():
        raise InputError(
            "a survey is a table of cubes, as `neuroglow survey` writes it",
            found=place.suffix or "a folder",
            where=path,
            cure="a .csv or .parquet file",
        )
    studio.inside.check(place / "manifest.csv", path)
    return read_survey(place)


def _refuse_outside(studio: Studio, cubes: Sequence[Cube]) -> None:
    """Refuse cubes whose voxels lie outside of the folder. Raises RefusedError."""
    check_cubes(studio.inside, cubes)
    for cube in cubes:
        with suppress(InputError, SettingsError):  # what cannot be read tells nothing
            volume = open_image(cube)
            check_chunks(studio.inside, volume, box_of(cube, volume.shape))


def _row(studio: Studio, cube: Cube) -> dict[str, Any]:
    other = cube.other
    return {
        "name": cube.name,
        "image": studio.inside.relative_if_inside(cube.image),
        "box": cube.box,
        "split": cube.split,
        "chosen": bool(other.get("rank")),
        "reason": other.get("reason", ""),
        "note": other.get("note", ""),
        "region": other.get("region", ""),
    }

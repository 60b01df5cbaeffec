"""Routes of annotating: labels of boxes as raw bytes, one a voxel, saved as a training set."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from neuroglow.cubes import annotating
from neuroglow.cubes.annotating import (
    LARGEST,
    Start,
    annotated_cubes,
    label_to_start_from,
    read_annotation,
    row_of_export,
    save_annotation,
)
from neuroglow.errors import InputError
from neuroglow.formats.opening import open_volume
from neuroglow.labels.labels import NEURITE
from neuroglow.space.geometry import Box, parse_box
from neuroglow.studio.refusals import missing
from neuroglow.studio.studio import Studio

__all__ = ["label_routes"]

Label = NDArray[np.uint8]

SomePath = Annotated[str, Query(max_length=2000)]
BoxText = Annotated[str, Query(max_length=100)]
SetName = Annotated[str, Query(max_length=200)]

SET = "annotations"
"""Folder of the training set, unless another is named."""


class Begun(BaseModel):
    """How a label starts. box: Z0:Z1,Y0:Y1,X0:X1, empty for the whole volume."""

    path: Annotated[str, Field(max_length=2000)]
    box: Annotated[str, Field(max_length=100)] = ""
    start: Start = "background"
    prediction: Annotated[str, Field(max_length=2000)] = ""
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5


def label_routes(studio: Studio) -> APIRouter:
    """Return the routes."""
    router, alone = APIRouter(), threading.Lock()

    @router.get("/api/label")
    def saved(path: SomePath, box: BoxText = "", training: SetName = SET) -> Response:
        """Return the label of a box that was saved; 404 if none was."""
        label = read_annotation(_training(studio, training), _box(studio, path, box))
        if label is None:
            raise missing(f"{path} {box}".strip(), "no label saved yet")
        return _bytes(label)

    @router.post("/api/label/start")
    def start(given: Begun) -> Response:
        """Return the label of a box before anything is painted."""
        boxed = _box(studio, given.path, given.box)
        own = row_of_export(boxed.source) if given.start == "label" else None
        if own is not None and own.label is not None:
            studio.inside.check(own.label, given.path)
        prediction = None
        if given.start == "prediction" and given.prediction:
            studio.volumes.show(given.prediction)  # which refuses links that lead out
            prediction = Path(studio.inside.source(given.prediction))
        return _bytes(label_to_start_from(boxed, given.start, prediction, given.threshold))

    @router.put("/api/label")
    async def save(
        request: Request, path: SomePath, box: BoxText = "", training: SetName = SET
    ) -> dict[str, Any]:
        """Save the label of a box in a training set; the body is a byte for each voxel."""
        body = await request.body()

        def work() -> dict[str, Any]:
            boxed = _box(studio, path, box)
            label = _label_of(body, boxed.box)
            with alone:
                cube = save_annotation(_training(studio, training), boxed, label)
            neurites = int(np.count_nonzero(label == NEURITE))
            return {"name": cube.name, "set": training, "neurite_voxels": neurites}

        return await run_in_threadpool(work)

    @router.get("/api/annotations")
    def annotations(training: SetName = SET, path: str = "", box: BoxText = "") -> dict[str, Any]:
        """List the annotated cubes of a training set; and what a box could start from."""
        folder = _training(studio, training)
        cubes = annotated_cubes(folder)
        rows = [
            {
                "name": cube.name,
                "source": studio.inside.relative_if_inside(folder / cube.other["source"]),
                "box": cube.other["source_box"],
                "split": cube.split,
            }
            for cube in cubes
        ]
        own = row_of_export(studio.inside.find(path)) if path else None
        return {"set": training, "cubes": rows, "exported_label": bool(own and own.label)}

    return router


def _training(studio: Studio, training: str) -> Path:
    """Return the folder of a training set. Raises RefusedError if files in it lie outside."""
    folder = studio.inside.place(training)
    for cube in annotated_cubes(folder):
        for path in (cube.image, cube.label):
            if path is not None:
                studio.inside.check(path, f"{training}, cube {cube.name}")
    return folder


def _box(studio: Studio, path: str, text: str) -> annotating.Annotated:
    """Open a box of a volume. Raises InputError if it is too large."""
    shown = studio.volumes.show(path)
    volume = open_volume(studio.inside.source(path), voxel_size_um=shown.voxel_size_um)
    box = parse_box(text, volume.shape, "box") if text else Box.of(volume.shape)
    if box.size > LARGEST:
        raise InputError(
            f"a box that is annotated has at most {LARGEST:,} voxels",
            found=f"{box.size:,}",
            where=str(box),
            cure="draw a smaller box: 128 voxels along each axis are an hour's work",
        )
    return annotating.Annotated(studio.inside.find(path), volume, box)


def _label_of(body: bytes, box: Box) -> Label:
    if len(body) != box.size:
        raise InputError(
            "a label has a byte for each voxel of its box",
            found=f"{len(body):,} bytes for {box.size:,} voxels",
        )
    return np.frombuffer(body, np.uint8).reshape(box.shape)


def _bytes(label: Label) -> Response:
    shape = ",".join(map(str, label.shape))
    return Response(
        np.ascontiguousarray(label).tobytes(),
        media_type="application/octet-stream",
        headers={"x-shape": shape},
    )

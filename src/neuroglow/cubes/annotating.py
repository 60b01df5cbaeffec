"""Annotating: the label of a box, started from a prediction, saved as a training set.

FOLDER/manifest.csv       one row per annotated cube, as `train` reads it
FOLDER/image/NAME.tif     the voxels, cut from their volume
FOLDER/label/NAME.tif     0 background, 1 neurite, 2 ignore (the column `label_map` says so)

A label is replaced only by a later version of itself: the manifest holds its hash.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.manifest import (
    Cube,
    Split,
    box_of,
    open_image,
    open_labels,
    read_manifest,
    write_manifest,
)
from neuroglow.errors import InputError, OutputError
from neuroglow.files.names import stem_of
from neuroglow.files.writing import file_sha256, writing
from neuroglow.formats.opening import open_volume
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.labels.labels import BACKGROUND, IGNORE, LEGEND, NEURITE
from neuroglow.space.geometry import Box
from neuroglow.space.inverted import as_stored
from neuroglow.space.volume import Array, ArrayVolume, Volume
from neuroglow.trees.place import offset_text, part_of, place_of

__all__ = [
    "LARGEST",
    "Annotated",
    "Start",
    "annotated_cubes",
    "label_to_start_from",
    "read_annotation",
    "row_of_export",
    "save_annotation",
]

Label = NDArray[np.uint8]

Start = Literal["background", "ignore", "prediction", "label"]
"""What a new label holds before anything is painted."""

LARGEST = 2**27
"""Voxels of the largest box that is annotated at once: 512 along each axis."""

TABLE = "manifest.csv"
KEPT = ("brain", "region", "reason", "rule", "rank", "minutes", "invert", "offset")
"""Columns of an exported cube that its annotation keeps."""


@dataclass(frozen=True)
class Annotated:
    """A box of a volume that is annotated. source: the volume's path. box: of its voxels."""

    source: Path
    volume: Volume
    box: Box

    def key(self, folder: Path) -> tuple[str, str]:
        """Return how a manifest in `folder` names this box: the volume's path from there, box."""
        there = Path(os.path.relpath(self.source.resolve(), folder.resolve())).as_posix()
        return there, str(self.box)

    @property
    def name(self) -> str:
        """A name for its files: the volume's, and where the box begins in it."""
        stem = stem_of(self.source)
        if self.box == Box.of(self.volume.shape):
            return stem
        z, y, x = self.box.start
        return f"{stem}_z{z}_y{y}_x{x}"


def annotated_cubes(folder: Path) -> list[Cube]:
    """List the annotated cubes of a training set; none if it does not exist yet.

    Raises OutputError if the folder holds another manifest, or other files without one.
    """
    table = folder / TABLE
    if not table.is_file():
        if folder.is_dir() and any(folder.iterdir()) and not _is_unfinished(folder):
            raise _anothers(folder, "other files")
        return []
    cubes = read_manifest(table)
    if any("source_box" not in cube.other for cube in cubes):
        raise _anothers(folder, "a manifest without the column source_box")
    return cubes


def _is_unfinished(folder: Path) -> bool:
    """Return whether a first saving was interrupted: its two folders, and no manifest yet."""
    return {entry.name for entry in folder.iterdir()} <= {"image", "label"}


def _anothers(folder: Path, found: str) -> OutputError:
    return OutputError(
        "annotations are saved in a folder of their own",
        found=found,
        where=str(folder),
        cure="another name for the training set",
    )


def read_annotation(folder: Path, annotated: Annotated) -> Label | None:
    """Read the label of a box, if it was saved."""
    cube = _row(annotated_cubes(folder), folder, annotated)
    if cube is None:
        return None
    image = open_image(cube)
    return open_labels(cube, image).read(box_of(cube, image.shape))


def _row(cubes: Sequence[Cube], folder: Path, annotated: Annotated) -> Cube | None:
    key = annotated.key(folder)
    return next((c for c in cubes if (c.other.get("source"), c.other["source_box"]) == key), None)


def label_to_start_from(
    annotated: Annotated,
    start: Start,
    prediction: Path | None = None,
    threshold: float = 0.5,
) -> Label:
    """Return the label of a box before anything is painted (zyx, uint8).

    prediction: of the volume, or of a box of it, outside of which the label is to be ignored; its
    voxels from `threshold` on are neurite. `label`: the one that belongs to an exported cube.
    Raises InputError for a prediction of another volume, or if there is none, SettingsError for a
    box that leaves the volume.
    """
    if start in ("background", "ignore"):
        value = BACKGROUND if start == "background" else IGNORE
        return np.full(annotated.box.shape, value, np.uint8)
    if start == "label":
        return _exported_label(annotated)
    if prediction is None:
        raise InputError(
            "a start from a prediction needs one",
            found="none",
            cure="run Enhance on this volume first, or start from an empty label",
        )
    volume = open_volume(prediction)
    whole = volume.shape == annotated.volume.shape
    there = Box.of(volume.shape) if whole else part_of(annotated.volume, volume)
    if there is None:
        raise InputError(
            "a prediction has the shape of its volume, or is one of a box of it",
            found=f"{volume.shape}, the volume {annotated.volume.shape}",
            where=str(prediction),
            cure="choose the prediction of this volume",
        )
    label = np.full(annotated.box.shape, IGNORE, np.uint8)
    seen = annotated.box.intersect(there)
    if not seen.size:
        raise InputError(
            "a label starts from a prediction of its box",
            found=f"a prediction of the box {there}, outside of {annotated.box}",
            where=str(prediction),
            cure="another box, or another prediction",
        )
    values = volume.read(seen.relative_to(there))
    level = threshold * (255 if volume.dtype == np.uint8 else 1)
    label[seen.relative_to(annotated.box).slices] = np.where(values >= level, NEURITE, BACKGROUND)
    return label


def _exported_label(annotated: Annotated) -> Label:
    cube = row_of_export(annotated.source)
    if cube is None or cube.label is None:
        raise InputError(
            "a start from a label needs the one that was exported with the cube",
            found="none",
            where=str(annotated.source),
        )
    return open_labels(cube, annotated.volume).read(annotated.box)


def row_of_export(image: Path) -> Cube | None:
    """Return the row of an exported cube, by its image in FOLDER/image/; None for other files."""
    table = image.resolve().parent.parent / TABLE
    if image.resolve().parent.name != "image" or not table.is_file():
        return None
    try:
        cubes = read_manifest(table)
    except InputError:
        return None
    return next((cube for cube in cubes if cube.image.resolve() == image.resolve()), None)


def save_annotation(folder: Path, annotated: Annotated, label: Label, *, split: Split = "") -> Cube:
    """Save the label of a box in a training set; returns its row.

    split: of a new row; an exported cube has its own. Raises InputError for a label of another
    shape or with other values, OutputError if a file there is not what was saved before,
    WriteError.
    """
    _check(annotated, label)
    cubes = annotated_cubes(folder)
    before = _row(cubes, folder, annotated)
    cube = before or _new_row(cubes, folder, annotated, split)
    assert cube.label is not None
    _refuse_changed(cube, known=before is not None)
    with writing(folder):
        for path in (cube.image, cube.label):
            path.parent.mkdir(parents=True, exist_ok=True)
        size = annotated.volume.voxel_size_um
        if before is None:
            voxels = as_stored(annotated.volume.read(annotated.box), annotated.volume)
            export_tiff(ArrayVolume(voxels, size), cube.image)
        export_tiff(ArrayVolume(label, size), cube.label)
    saved = replace(
        cube, image_sha256=file_sha256(cube.image), label_sha256=file_sha256(cube.label)
    )
    others = [saved if c.name == saved.name else c for c in cubes]
    write_manifest(others if before else [*others, saved], folder / TABLE)
    return saved


def _check(annotated: Annotated, label: Array) -> None:
    if label.shape != annotated.box.shape or label.dtype != np.uint8:
        raise InputError(
            "a label has a byte for each voxel of its box",
            found=f"{label.dtype} of shape {label.shape}",
            where=str(annotated.box),
        )
    if label.size and label.max() > IGNORE:
        raise InputError(
            "a label holds 0 background, 1 neurite and 2 ignore",
            found=f"the value {label.max()}",
        )


def _new_row(cubes: Sequence[Cube], folder: Path, annotated: Annotated, split: Split) -> Cube:
    """Return a row for a box that has none, with a name that is free."""
    names = {cube.name for cube in cubes}
    name, number = annotated.name, 2
    while name in names or any((folder / p / f"{name}.tif").exists() for p in ("image", "label")):
        name, number = f"{annotated.name}_{number}", number + 1
    exported = row_of_export(annotated.source)
    source, box = annotated.key(folder)
    other: Mapping[str, str] = {
        "label_map": LEGEND,
        **_kept(exported, annotated),
        "source": source,
        "source_box": box,
    }
    own: Split = exported.split if exported else split
    image, label = ((folder / part / f"{name}.tif").absolute() for part in ("image", "label"))
    return Cube(name, image, label, own, other=other)


def _kept(exported: Cube | None, annotated: Annotated) -> dict[str, str]:
    """Return what an exported cube says of itself; of another box where it begins."""
    if exported is not None and annotated.box == Box.of(annotated.volume.shape):
        return {k: v for k, v in exported.other.items() if k in KEPT}
    z, y, x = (
        a + b for a, b in zip(place_of(annotated.volume).offset, annotated.box.start, strict=True)
    )
    return {"offset": offset_text((z, y, x))} if any((z, y, x)) else {}


def _refuse_changed(cube: Cube, *, known: bool) -> None:
    """Refuse to replace files that something else has changed since they were saved."""
    if not known:
        return
    for path, expected in ((cube.image, cube.image_sha256), (cube.label, cube.label_sha256)):
        if path is not None and path.exists() and expected != file_sha256(path):
            raise OutputError(
                "only a label that was saved here is replaced",
                found="a file that was changed since",
                where=str(path),
                cure="another name for the training set, or remove this row from its manifest.csv",
            )

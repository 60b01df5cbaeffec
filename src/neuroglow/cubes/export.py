"""Export chosen cubes as files: ready for napari, GTree or Vaa3D, and for `train`."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from neuroglow.cubes.manifest import Cube, box_of, open_image, open_labels, write_manifest
from neuroglow.errors import InputError, OutputError
from neuroglow.files.writing import writing
from neuroglow.labels.labels import LEGEND
from neuroglow.space.geometry import Zyx
from neuroglow.space.inverted import as_stored
from neuroglow.space.volume import Array, ArrayVolume, Volume
from neuroglow.trees.place import offset_text, parse_offset, place_of

__all__ = ["export_cubes", "read_cube", "voxels_sha256"]

OF_THE_IMAGE = ("channel", "invert")
"""Columns of a cube that are no columns of its label."""


def export_cubes(cubes: Sequence[Cube], folder: Path) -> Path:
    """Write FOLDER/image/NAME.tif with voxel size, label/NAME.tif, and manifest.csv.

    A missing label becomes an empty one (uint8); an existing one is copied (a tree is drawn). The
    hash of a label is left out of the manifest, because the label will be edited. The folder
    appears only when it is complete. Raises OutputError if it exists, InputError if a cube's
    voxels have changed.
    """
    if folder.exists():
        raise OutputError(
            "cubes are exported into a new folder",
            found="it exists",
            where=str(folder),
            cure="another --export",
        )
    partial = folder.with_name(folder.name + ".partial")
    with writing(folder):
        shutil.rmtree(partial, ignore_errors=True)
        for part in ("image", "label"):
            (partial / part).mkdir(parents=True)
        moved = [_export(cube, partial) for cube in cubes]
        write_manifest(moved, partial / "manifest.csv")
        partial.rename(folder)
    return folder


def read_cube(cube: Cube) -> tuple[Array, Volume]:
    """Read a cube's voxels (zyx), and return the volume that they come from."""
    volume = open_image(cube)
    box = box_of(cube, volume.shape)
    return volume.read(box), volume


def voxels_sha256(voxels: Array) -> str:
    """Hash voxels, with their shape and type."""
    content = hashlib.sha256(np.ascontiguousarray(voxels).tobytes())
    content.update(f"{voxels.shape}{voxels.dtype}".encode())
    return content.hexdigest()


def _export(cube: Cube, folder: Path) -> Cube:
    from neuroglow.formats.tiff_export import export_tiff

    voxels, volume = read_cube(cube)
    voxels = as_stored(voxels, volume)
    expected = cube.other.get("voxels_sha256", "")
    if expected and voxels_sha256(voxels) != expected:
        raise InputError(
            f"the voxels of cube {cube.name!r} must not change after the survey",
            found="different content (SHA-256)",
            where=f"{cube.image} {cube.box}".strip(),
            cure="survey and select again",
        )
    label, legend = _label(cube, volume, voxels.shape)
    cube = _of_one_channel(cube)
    stem = cube.name.replace("/", "_")
    files = [folder / part / f"{stem}.tif" for part in ("image", "label")]
    for file, array in zip(files, (voxels, label), strict=True):
        export_tiff(ArrayVolume(array, volume.voxel_size_um), file)
    image, drawn = files
    begins = _offset(cube, volume)
    cube = replace(cube, image=image, label=drawn, box="", image_sha256="", label_sha256="")
    cube = replace(cube, other={**cube.other, "offset": begins}) if begins else cube
    return replace(cube, other={**cube.other, "label_map": legend}) if legend else cube


def _offset(cube: Cube, volume: Volume) -> str:
    """Say where a cube begins in the volume that it was cut from, and that in a larger one."""
    own = cube.other.get("offset", "")
    place = parse_offset(own, f"cube {cube.name!r}") if own else place_of(volume).offset
    start = box_of(cube, volume.shape).start
    whole = (place[0] + start[0], place[1] + start[1], place[2] + start[2])
    return offset_text(whole) if any(whole) else ""


def _of_one_channel(cube: Cube) -> Cube:
    """Drop the channel of the image: exported images have one channel."""
    return replace(cube, other={k: v for k, v in cube.other.items() if k != "channel"})


def _plain(label: Cube) -> Cube:
    """Drop from the row of a label what it says of the image."""
    return replace(label, other={k: v for k, v in label.other.items() if k not in OF_THE_IMAGE})


def _label(cube: Cube, volume: Volume, shape: Zyx) -> tuple[Array, str]:
    """Return the label to edit (zyx), and the meaning of its values: empty for a mask."""
    if cube.label is None:
        return np.zeros(shape, np.uint8), ""
    if cube.label.suffix.lower() != ".swc":
        label = _plain(replace(cube, image=cube.label))
        return read_cube(label)[0], cube.other.get("label_map", "")
    box = box_of(cube, volume.shape)
    return open_labels(cube, volume).read(box), LEGEND

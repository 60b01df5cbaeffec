"""The files of a phantom: TIFF with its voxel size, SWC, tables, pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import OutputError
from neuroglow.files.writing import appearing, writing
from neuroglow.pictures.colours import grey, range_of
from neuroglow.pictures.overlays import draw_truth
from neuroglow.pictures.sheet import Panel, draw_sheet, write_sheet
from neuroglow.pictures.view import View
from neuroglow.space.volume import VoxelSize
from neuroglow.trees.swc import Tree, write_swc

__all__ = [
    "Pictured",
    "draw_cubes",
    "draw_projections",
    "put_in_place",
    "refuse_foreign",
    "shown_truth",
    "write_record",
    "write_table",
    "write_tiff",
    "write_tree",
]

COMMENT = "neuroglow phantom: synthetic; micrometres"
TABLE_COLUMNS = (
    "neurite",
    "kind",
    "snr",
    "snr_low",
    "snr_drawn",
    "radius_um",
    "length_vox",
    "length_um",
)


ACROSS, SIDE = 2, 200
"""Cubes side by side on a sheet, and about how many pixels a panel has."""


@dataclass(frozen=True)
class Pictured:
    """A cube on a sheet: image and label (zyx), and the words of its titles."""

    name: str
    region: str
    snr: str
    image: NDArray[Any]
    label: NDArray[np.uint8]
    voxel_size_um: VoxelSize | None


def refuse_foreign(output: Path, record: str) -> None:
    """Refuse to replace a folder that is not a phantom of this kind, whatever is in it.

    record: the file that each of them has.
    """
    if not output.exists() or (output / record).exists():
        return
    if output.is_dir() and not any(output.iterdir()):
        return
    raise OutputError(
        "only a phantom of the same kind is replaced",
        found=f"something without {record}",
        where=str(output),
        cure="another -o",
    )


def put_in_place(folder: Path, output: Path) -> None:
    """Publish a finished folder at `output`, replacing the existing one."""
    with writing(output):
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)


def write_tiff(path: Path, voxels: NDArray[Any], voxel_size_um: VoxelSize) -> None:
    """Write a volume (zyx) as OME-TIFF with its voxel size; it appears whole or not at all."""
    import tifffile

    content = hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).digest()[:16]
    # else tifffile draws a new identifier each time, and the same cube has another hash
    metadata: dict[str, Any] = {"axes": "ZYX", "UUID": str(uuid.UUID(bytes=content, version=4))}
    for axis, value in zip("ZYX", voxel_size_um, strict=True):
        metadata |= {f"PhysicalSize{axis}": value, f"PhysicalSize{axis}Unit": "µm"}
    with appearing(path) as partial:
        tifffile.imwrite(
            partial,
            voxels,
            ome=True,
            compression="zlib",
            compressionargs={"level": 1},
            photometric="minisblack",
            metadata=metadata,
        )


def write_tree(path: Path, tree: Tree) -> None:
    """Write an SWC file; it appears whole or not at all."""
    with appearing(path) as partial:
        write_swc(tree, partial, comment=COMMENT)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV, one row per neurite; the header is written even if there is none."""
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, TABLE_COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with appearing(path) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write JSON; it appears whole or not at all."""
    with appearing(path) as partial:
        partial.write_text(json.dumps(record, indent=1), encoding="utf-8")


def shown_truth(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a label's brightness in a picture: 2 neurite, 1 ignored, 0 background."""
    return np.array([0, 2, 1], np.uint8)[label]


def draw_projections(
    path: Path, view: View, image: Mapping[str, Any], truth: Mapping[str, Any], name: str
) -> None:
    """Draw projections of an image above those of its shown truth, along z, y and x."""
    halves = {axis: flat / np.float32(2) for axis, flat in truth.items()}
    note = f"{name}: synthetic; truth: white neurite, grey ignored"
    with appearing(path) as partial:
        draw_truth(partial, view, dict(image), halves, note=note)


def draw_cubes(path: Path, cubes: Sequence[Pictured]) -> None:
    """Draw a sheet of cubes: the maximum along z, the middle plane and the truth of each."""
    panels = [_panels(cube) for cube in cubes]
    rows = [
        [p for cube in panels[i : i + ACROSS] for p in cube] for i in range(0, len(panels), ACROSS)
    ]
    note = "Maximum along z, middle plane, truth (white neurite, grey ignored); synthetic"
    with appearing(path) as partial:
        write_sheet(partial, draw_sheet(rows, note=note))


def _panels(cube: Pictured) -> list[Panel]:
    """Draw a cube's maximum along z, its middle plane, and its truth."""
    planes, height, width = cube.image.shape
    view = View.of((1, height, width), cube.voxel_size_um, side=SIDE)
    plain = cube.image.max(axis=0), cube.image[planes // 2]
    truth = grey(shown_truth(cube.label).max(axis=0) / 2, 0, 1)
    shown = [*(grey(part, *range_of({"z": part})) for part in plain), truth]
    titles = cube.name, f"{cube.region}, plane {planes // 2}", f"truth, SNR {cube.snr or '-'}"
    return [
        Panel(view.enlarge(pixels, 0), title, view.bar(0))
        for pixels, title in zip(shown, titles, strict=True)
    ]

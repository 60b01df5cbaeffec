"""Where a volume lies in a larger one: so that trees of a whole brain fall into a crop.

It is said by the user, by a translation in OME-Zarr, by the record of a prediction of a part, or
by the manifest that `select --export` wrote next to the cubes; all in voxels of the volume, zyx.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, NeuroglowError
from neuroglow.files.csv_tables import read_csv
from neuroglow.files.names import stem_of
from neuroglow.files.record import read_record
from neuroglow.files.writing import file_sha256
from neuroglow.space.geometry import Box, Zyx
from neuroglow.space.part import PartVolume
from neuroglow.space.volume import Volume, VoxelSize
from neuroglow.trees.swc_unit import share_inside

__all__ = [
    "NOWHERE",
    "Offset",
    "Place",
    "cut_alike",
    "offset_text",
    "parse_offset",
    "part_of",
    "place_of",
    "shift_between",
]

Offset = tuple[float, float, float]
Floats = NDArray[np.float64]

OWN = 0.5
"""Share of nodes that lie in a volume, where trees are of the volume itself."""

TABLE = "manifest.csv"


@dataclass(frozen=True)
class Place:
    """Where the first voxel of a volume lies in a larger one, in voxels zyx, and who says so.

    asked: by the user; else trees that lie in the volume as they are stay where they are.
    certain: else trees that would miss the volume there stay where they are, too.
    """

    offset: Offset = (0.0, 0.0, 0.0)
    source: str = ""
    asked: bool = False
    certain: bool = True

    def origin_um(
        self, points: Floats, shape: Zyx, size: VoxelSize
    ) -> tuple[NDArray[np.float64], str]:
        """Give what is taken from points (n, 3; um) of trees, and what to say of it."""
        origin = np.multiply(self.offset, size)
        if not origin.any():
            return origin, ""
        moved, own = (share_inside(p, shape, size) for p in (points - origin, points))
        said = f"the volume begins at voxel {offset_text(self.offset)} of a larger one"
        of_itself = own >= OWN and own > moved
        elsewhere = not moved and own > 0 and not self.certain
        if not self.asked and (of_itself or elsewhere):
            return np.zeros(3), f"{said} ({self.source}); trees lie in it without that"
        cure = "" if self.asked else "; --offset 0,0,0 where they are of the volume itself"
        return origin, f"{said} ({self.source}): trees are moved there{cure}"


NOWHERE = Place()
"""Of a volume that is no part of another."""


def place_of(volume: Volume, offset: Offset | None = None) -> Place:
    """Find where a volume lies.

    offset: what the user says; zeros: it is no part.
    """
    if offset is not None:
        return Place(offset, "as asked", asked=True)
    origin = getattr(volume, "origin_vox", (0, 0, 0))
    if any(origin):
        return Place(_offset(origin), "its translation")
    path = Path(volume.name.partition("::")[0])
    if path.exists():
        recorded, listed = _recorded(path), _listed(path)
        if recorded and any(recorded):
            return Place(recorded, "its record")
        if listed and any(listed):
            return Place(listed, f"{TABLE} next to it")
    stage = getattr(volume, "stage_vox", (0, 0, 0))
    return (
        Place(_offset(stage), "the position of the stage in its file", certain=False)
        if any(stage)
        else NOWHERE
    )


def shift_between(one: Volume, other: Volume) -> Zyx:
    """Give where the first voxel of one volume lies in the other, in voxels.

    Volumes of one shape lie over each other, and so do those that would not meet.
    """
    if one.shape == other.shape:
        return (0, 0, 0)
    (z, y, x), there = (_certain(volume) for volume in (one, other))
    shift = (z - there[0], y - there[1], x - there[2])
    meets = Box.of(one.shape).shift(shift).intersect(Box.of(other.shape)).size
    return shift if meets else (0, 0, 0)


def _certain(volume: Volume) -> Zyx:
    place = place_of(volume)
    z, y, x = (round(v) for v in place.offset) if place.certain else (0, 0, 0)
    return z, y, x


def cut_alike(volumes: Sequence[Volume]) -> tuple[list[Volume], list[str]]:
    """Read of each volume the part in which the smallest one lies: that of a prediction of a box.

    One that is not known to hold it stays whole. Returns what to say of each cut, too.
    """
    if not volumes:
        return [], []
    least = min(volumes, key=lambda volume: Box.of(volume.shape).size)
    boxes = [part_of(volume, least) for volume in volumes]
    cut = [
        volume if box is None else PartVolume(volume, box)
        for volume, box in zip(volumes, boxes, strict=True)
    ]
    said = [
        f"of {Path(volume.name).name} the box {box} is read, in which {Path(least.name).name} lies"
        for volume, box in zip(volumes, boxes, strict=True)
        if box is not None
    ]
    return cut, said


def part_of(whole: Volume, part: Volume) -> Box | None:
    """Find the box of a volume that a smaller one is of; None if nothing says that it is."""
    if whole.shape == part.shape:
        return None
    shift = shift_between(part, whole)
    record = read_record(Path(part.name.partition("::")[0])) or {}
    made_of = (record.get("input") or {}).get("shape")
    box = Box.of(part.shape).shift(shift)
    known = any(shift) or made_of == list(whole.shape)
    return box if known and Box.of(whole.shape).contains(box) else None


def parse_offset(text: str, where: str) -> Offset:
    """Read `Z,Y,X` voxels, also with spaces or semicolons between; raises InputError."""
    try:
        return _offset([float(part) for part in text.replace(",", " ").replace(";", " ").split()])
    except ValueError:
        raise InputError(
            "an offset is three numbers of voxels: Z,Y,X", found=repr(text), where=where
        ) from None


def offset_text(offset: Offset) -> str:
    """Write an offset as it is given: `Z,Y,X`."""
    return ",".join(f"{v:.12g}" for v in offset)


def _offset(values: object) -> Offset:
    z, y, x = np.asarray(values, float).tolist()
    return z, y, x


def _recorded(path: Path) -> Offset | None:
    """Read the place from the record of a prediction or label; of its mask too."""
    stem = stem_of(path)
    names = [path, *(path.with_name(path.name.replace("_mask", end, 1)) for end in ("_prob", ""))]
    for name in names if stem.endswith("_mask") else names[:1]:
        record = read_record(name) or {}
        origin = record.get("origin_vox")
        if isinstance(origin, list) and len(origin) == 3:
            return _offset(origin)
        roi = str((record.get("used") or {}).get("roi", ""))
        starts = [side.partition(":")[0] for side in roi.split(",")]
        if len(starts) == 3 and all(start.isdecimal() for start in starts):
            return _offset([int(start) for start in starts])
    return None


def _listed(path: Path) -> Offset | None:
    """Read the column `offset` of a manifest next to a file, or next to its folder."""
    path = path.resolve()
    for folder in list(path.parents)[:2]:
        table = folder / TABLE
        if not table.is_file():
            continue
        said = _offsets(table, file_sha256(table)).get(path)
        if said:
            return parse_offset(said, str(table))
    return None


@lru_cache(maxsize=4)
def _offsets(table: Path, sha256: str) -> Mapping[Path, str]:
    """Read the offsets of a manifest's files, once for all of its cubes while it stays as it is.

    A file that stands twice has the first one.
    """
    try:
        rows = read_csv(table, ("image", "label", "offset"))
    except NeuroglowError:  # it is none of ours: it says nothing
        return {}
    found: dict[Path, str] = {}
    for _, row in rows:
        for name in (row[k] for k in ("image", "label") if row.get("offset") and row.get(k)):
            found.setdefault(table.parent / name.replace("\\", "/"), row["offset"])
    return found

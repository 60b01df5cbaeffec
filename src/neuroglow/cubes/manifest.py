"""The training-set table: one row per cube; `select` writes it, `train` reads it.

A CSV (in any dialect: csv_tables.py) with the columns of `COLUMNS`, and others that are kept as
they are. Paths are relative to the table's folder. A folder stands for the manifest.csv in it;
without one, a folder in DB-Enhance's layout (image/, label/) is read as such a table.

name          unique; used to name every output
image         a file that open_volume opens, or a whole volume of which `box` is the cube
label         mask, legend or SWC; empty if not annotated
split         train, val, test; empty: not decided
box           Z0:Z1,Y0:Y1,X0:X1 of image and label; empty: all of it
image_sha256  of the file's bytes; empty: not checked (a zarr is a folder)
label_sha256  the same for the label
label_map     optional: meaning of the values in this label, as train's --label-map
swc_unit      optional: unit of this tree, as train's --swc-unit
channel       optional: channel of the image, if it has several
invert        optional: `yes` if neurites are darker than the background, as train's --invert
offset        optional: position of the image's first voxel in a larger volume, Z,Y,X in voxels
"""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast, get_args

from neuroglow.errors import InputError
from neuroglow.files.csv_tables import read_csv
from neuroglow.files.names import TREE_SUFFIX, is_volume, stem_of
from neuroglow.files.remarks import listed, remark
from neuroglow.files.remote import remote_path
from neuroglow.files.writing import appearing, file_sha256
from neuroglow.formats.opening import find_volumes, open_volume
from neuroglow.labels.labels import LabelReader, labels_in, parse_label_map
from neuroglow.space.alike import check_one_shape, same_size, size_text
from neuroglow.space.arrays import require_path
from neuroglow.space.geometry import Box, Zyx, parse_box
from neuroglow.space.volume import Volume, VoxelSize
from neuroglow.trees.drawn_trees import MARGIN_VOX, DrawnTrees, draw_files
from neuroglow.trees.place import Place, parse_offset, place_of
from neuroglow.trees.swc_unit import WORDS, SwcUnit

__all__ = [
    "COLUMNS",
    "TABLE",
    "Cube",
    "LabelFormat",
    "Split",
    "as_inverted",
    "box_of",
    "check_files",
    "command_line_wins",
    "cubes_of",
    "in_channel",
    "open_image",
    "open_labels",
    "read_manifest",
    "rows_of",
    "write_manifest",
]

Split = Literal["train", "val", "test", ""]

COLUMNS = ("name", "image", "label", "split", "box", "image_sha256", "label_sha256")
FURTHER = ("label_map", "swc_unit", "channel", "invert", "offset", "patches")
"""Columns that may be there, and mean something."""

TABLE = "manifest.csv"

YES, NO = ("yes", "true", "1"), ("", "no", "false", "0")
"""What the column `invert` may say."""


@dataclass(frozen=True)
class Cube:
    """One row: an image with its label, if there is one.

    image, label: absolute paths. box: text, as read by parse_box. other: further columns.
    """

    name: str
    image: Path
    label: Path | None = None
    split: Split = ""
    box: str = ""
    image_sha256: str = ""
    label_sha256: str = ""
    other: Mapping[str, str] = field(default_factory=dict)


def read_manifest(source: str | Path, columns: Collection[str] = ()) -> list[Cube]:
    """Read a manifest, or the folder that stands for one; in the order of the file, or of names.

    columns: further names that are recognised in any case.
    Raises InputError for a missing file or column, an empty table, a duplicate name, an unknown
    split, and in a folder for a label without its image.
    """
    path = require_path(source, "a training set")
    if (path / TABLE).is_file():
        path = path / TABLE
    if path.is_dir():
        return _checked(_read_folder(path), path)
    rows = read_csv(path, {*COLUMNS, *FURTHER, *columns})
    return _checked(cubes_of(rows, path), path)


def _checked(cubes: list[Cube], path: Path) -> list[Cube]:
    if not cubes:
        raise InputError("a training set has at least one cube", found="none", where=str(path))
    twice = [name for name, count in Counter(cube.name for cube in cubes).items() if count > 1]
    if twice:
        raise InputError(
            "each cube has a name of its own", found=f"{twice[0]!r} twice", where=str(path)
        )
    return cubes


def write_manifest(cubes: Sequence[Cube], path: str | Path) -> Path:
    """Write a manifest, its paths relative to its folder; completely or not at all.

    Raises WriteError if it cannot be written.
    """
    out = Path(path)
    others = dict.fromkeys(name for cube in cubes for name in cube.other)
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, [*COLUMNS, *others], lineterminator="\n", restval="")
    table.writeheader()
    table.writerows(rows_of(cubes, out.resolve().parent))
    with appearing(out) as partial:
        partial.write_text(buffer.getvalue(), encoding="utf-8")
    return out


def rows_of(cubes: Sequence[Cube], folder: Path) -> list[dict[str, str]]:
    """Return each cube as a row of texts, its paths relative to `folder`."""
    rows = []
    for cube in cubes:
        row = {name: str(getattr(cube, name)) for name in COLUMNS}
        row["image"] = _relative(cube.image, folder)
        row["label"] = _relative(cube.label, folder) if cube.label else ""
        rows.append({**row, **{k: v for k, v in cube.other.items() if k not in COLUMNS}})
    return rows


def check_files(cubes: Iterable[Cube]) -> None:
    """Refuse a manifest if one of its files is missing or has changed since it was written.

    Raises InputError that names the cube and the file.
    """
    for cube in cubes:
        for path, expected in ((cube.image, cube.image_sha256), (cube.label, cube.label_sha256)):
            if path is None:
                continue
            if not path.exists():
                raise InputError(
                    f"each file of cube {cube.name!r} must exist",
                    found="no such file",
                    where=str(path),
                    cure="paths in a manifest are relative to its own folder",
                )
            if expected and file_sha256(path) != expected:
                raise InputError(
                    f"the files of cube {cube.name!r} must not change after the manifest was made",
                    found="different content (SHA-256)",
                    where=str(path),
                    cure="make the manifest again, or empty its column of hashes",
                )


def in_channel(cube: Cube, channel: int | None) -> Cube:
    """Use this channel for a cube that does not name one."""
    if channel is None or cube.other.get("channel"):
        return cube
    return replace(cube, other={**cube.other, "channel": str(channel)})


def as_inverted(cube: Cube, invert: bool) -> Cube:  # noqa: FBT001  # a setting, handed on
    """Let the image of a cube that does not say otherwise be read inverted."""
    if not invert or cube.other.get("invert"):
        return cube
    return replace(cube, other={**cube.other, "invert": "yes"})


def open_image(cube: Cube, *, voxel_size_um: VoxelSize | None = None) -> Volume:
    """Open the image of a cube (zyx), in the channel that its row names; inverted where it says so.

    voxel_size_um: overrides the file's own.

    Raises as open_volume does, and InputError for a channel that is not a number, or an `invert`
    that is neither yes nor no.
    """
    channel = cube.other.get("channel", "").removesuffix(".0")  # as pandas writes it
    if channel and not channel.isdecimal():
        raise InputError(
            "a channel is a whole number, 0 for the first",
            found=repr(channel),
            where=f"cube {cube.name!r}, the column channel",
        )
    number = int(channel) if channel else None
    return open_volume(
        cube.image, channel=number, voxel_size_um=voxel_size_um, invert=_is_inverted(cube)
    )


def box_of(cube: Cube, shape: Zyx) -> Box:
    """Return the part of an image of this shape (zyx) that a cube is, by default all of it.

    Raises SettingsError for a box that leaves the image.
    """
    where = f"column box of cube {cube.name!r}"
    return parse_box(cube.box, shape, where) if cube.box else Box.of(shape)


def _is_inverted(cube: Cube) -> bool:
    said = cube.other.get("invert", "").lower()
    if said not in YES + NO:
        raise InputError(
            "the column invert says yes or no",
            found=repr(said),
            where=f"cube {cube.name!r}",
            cure="yes where neurites are darker than the background",
        )
    return said in YES


def cubes_of(rows: Iterable[tuple[int, Mapping[str, str]]], path: Path) -> list[Cube]:
    """Read the rows of a table that lies at `path`, each with its line; raises as read_manifest."""
    numbered = list(rows)
    names = list(numbered[0][1]) if numbered else []
    missing = [name for name in ("name", "image") if numbered and name not in names]
    if missing:
        raise InputError(
            f"a manifest has the columns {', '.join(COLUMNS)}; at least name and image",
            found=f"no column {missing[0]!r}, but {listed([repr(name) for name in names])}",
            where=str(path),
            cure="the first line holds the column names, separated by commas, semicolons or tabs",
        )
    return [_cube(row, path, line) for line, row in numbered]


def _cube(row: Mapping[str, str], path: Path, line: int) -> Cube:
    folder = path.resolve().parent
    name, image, label = (row.get(key, "") for key in ("name", "image", "label"))
    if not name or not image:
        raise InputError(
            "each row of a manifest has a name and an image",
            found=f"line {line} does not",
            where=str(path),
        )
    return Cube(
        name,
        _placed(folder, image),
        _placed(folder, label) if label else None,
        _split(row.get("split", ""), path, line),
        row.get("box", ""),
        row.get("image_sha256", ""),
        row.get("label_sha256", ""),
        {key: value for key, value in row.items() if key not in COLUMNS},
    )


def _split(text: str, path: Path, line: int) -> Split:
    """Read a split in any case."""
    split = text.lower()
    if split not in get_args(Split):
        near = [known for known in get_args(Split) if known and split.startswith(known[:2])]
        raise InputError(
            "a split is train, val, test, or empty",
            found=f"{text!r} in line {line}",
            where=str(path),
            cure=f"{near[0]}, if that is meant" if near else "",
        )
    return cast("Split", split)


def _placed(folder: Path, text: str) -> Path:
    r"""Give the path of a cell: relative to the folder, its parts between / or Windows' \."""
    if remote_path(text):
        return Path(text)
    path = folder / text
    return folder / text.replace("\\", "/") if "\\" in text and not path.exists() else path


def _read_folder(folder: Path) -> list[Cube]:
    """Pair image/NAME.* with label/NAME.* (or NAME_label.*), by name."""
    images = {stem_of(Path(f)): Path(f).resolve() for f in find_volumes(folder)}
    place = folder / "label"
    found = (
        sorted(f for f in place.iterdir() if is_volume(f) or f.suffix.lower() == TREE_SUFFIX)
        if place.is_dir()
        else []
    )
    labels = {stem_of(f).removesuffix("_label"): f.resolve() for f in found}
    alone = sorted(labels.keys() - images.keys())
    if alone:
        raise InputError(
            "each label belongs to the image of the same name",
            found=f"{labels[alone[0]].name} without an image",
            where=str(place),
            cure=f"image/{alone[0]}.tif, or another name for the label",
        )
    return [Cube(name, image, labels.get(name)) for name, image in images.items()]


def _relative(path: Path, folder: Path) -> str:
    elsewhere = remote_path(path)
    if elsewhere:
        return str(elsewhere)
    return Path(os.path.relpath(path.resolve(), folder)).as_posix()


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelFormat:
    """How labels are read if a cube does not specify it.

    label_map: legend, `VALUE=background|neurite|ignore` separated by commas. swc_unit,
    swc_radius_um, swc_margin_vox: unit of trees, radius instead of their own, width of the ignored
    margin.
    """

    label_map: str = ""
    swc_unit: SwcUnit | None = None
    swc_radius_um: float | None = None
    swc_margin_vox: float = MARGIN_VOX


def command_line_wins(cubes: Iterable[Cube], given: Mapping[str, str]) -> list[Cube]:
    """Let an option of the command line override the column of the same name, and say so.

    given: column -> value, empty if not given; of label_map, swc_unit, channel and invert.
    """
    chosen, wins = list(cubes), {k: v for k, v in given.items() if v}
    for column, value in wins.items():
        others = [c for c in chosen if c.other.get(column) and _differ(c.other[column], value)]
        if others:
            remark(
                f"--{column.replace('_', '-')} {value} overrides the column {column} of "
                f"{listed([c.name for c in others])} ({others[0].other[column]})"
            )
        names = {c.name for c in others}
        chosen = [
            replace(c, other={**c.other, column: value}) if c.name in names else c for c in chosen
        ]
    return chosen


def _differ(text: str, other: str) -> bool:
    """Tell whether two values differ, whatever the order and spaces of a legend."""
    parts = (sorted(part.strip() for part in each.split(",")) for each in (text, other))
    return next(parts) != next(parts)


def open_labels(cube: Cube, image: Volume, form: LabelFormat | None = None) -> LabelReader:
    """Open the label of a cube: a mask or legend with the image's shape, or an SWC tree.

    The columns `label_map` and `swc_unit` of the manifest override the legend and unit for a cube.
    Assumptions about a tree (no voxel size, dummy radii) are logged as warnings.
    Raises InputError for a missing label, a label of another shape, or a tree that is broken or
    lies elsewhere.
    """
    assert cube.label is not None
    path, form = cube.label, form or LabelFormat()
    if path.suffix.lower() == TREE_SUFFIX:
        unit = cube.other.get("swc_unit") or form.swc_unit
        if offset := cube.other.get("offset", ""):
            place = Place(parse_offset(offset, f"cube {cube.name!r}"), "column offset")
        else:
            place = place_of(image)
        return _drawn(path, image, unit, form, place)
    volume = open_volume(path)
    check_one_shape(
        image, volume, "a label has the shape of its image", cure="another label, or another image"
    )
    _compare_sizes(image, volume)
    own = cube.other.get("label_map", "")
    option = "the column label_map" if own else "--label-map"
    legend = parse_label_map(own or form.label_map, option)
    return labels_in(volume, legend, option, box=box_of(cube, volume.shape))


def _compare_sizes(image: Volume, label: Volume) -> None:
    """Warn if a label states another voxel size than its image."""
    stated, own = image.voxel_size_um, label.voxel_size_um
    if stated and own and not same_size(stated, own):
        remark(
            f"{label.name} says {size_text(own)}, its image {size_text(stated)}: its voxels are "
            "taken as those of the image, one to one"
        )


def _drawn(
    path: Path, image: Volume, unit: str | None, form: LabelFormat, place: Place
) -> DrawnTrees:
    """Draw a tree: in micrometres, or in voxels if the image has no voxel size."""
    if unit not in (None, *WORDS):
        raise InputError(
            f"the unit of a tree is {', '.join(WORDS)}",
            found=repr(unit),
            where=str(path),
            cure="the column swc_unit of the manifest",
        )
    drawn, notes = draw_files(
        [path],
        image.shape,
        image.voxel_size_um,
        unit,
        radius_um=form.swc_radius_um,
        margin_vox=form.swc_margin_vox,
        place=place,
    )
    for note in notes[1:] if image.voxel_size_um else notes:
        _log.warning("%s", note)
    return drawn

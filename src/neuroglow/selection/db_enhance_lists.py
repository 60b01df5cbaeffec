"""Selections made by DB-Enhance's scripts, matched to the cubes of a survey.

selectd_rule1.npy                indices of the cubes that its rule selected
train_image_list.txt             one path per line, often of another machine; val_image_list.txt too
train_random_patch_ind.npy       one row per patch: its start (zyx), and its line in the list

An index in selectd_rule1.npy is a position in a folder listing that was not recorded, and
DB-Enhance's trainer read it as a file name, `13.tif`. If a survey knows the positions (`survey`
with sample_information.npy), cubes are matched by position; otherwise by name, as its trainer did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

import numpy as np

from neuroglow.cubes.manifest import Cube
from neuroglow.errors import InputError
from neuroglow.selection.rules import ChosenCube
from neuroglow.space.geometry import Zyx

__all__ = ["Recorded", "find_recorded", "read_recorded"]

LIST, PATCHES = "_image_list.txt", "_random_patch_ind.npy"


@dataclass(frozen=True)
class Recorded:
    """A selection of DB-Enhance: the names of its cubes, in its order.

    positions: whether the names are indices, which may be positions. patches: the starts of the
    patches that it trained on, by name. validates: names that it also validated on.
    """

    source: Path
    names: tuple[str, ...]
    positions: bool = False
    patches: Mapping[str, tuple[Zyx, ...]] = field(default_factory=dict)
    validates: frozenset[str] = frozenset()


def read_recorded(path: Path) -> Recorded:
    """Read selectd_rule1.npy, a list of images, or the folder of its lists.

    Raises InputError for any other file.
    """
    if path.suffix.lower() == ".npy":
        indices = _numbers(path, columns=0)
        return Recorded(path, tuple(str(i) for i in indices.ravel().tolist()), positions=True)
    found = path / f"train{LIST}" if path.is_dir() else path
    names = _names(found)
    held_out = found.with_name(f"val{LIST}")
    validates = _names(held_out) if held_out.is_file() and held_out != found else ()
    return Recorded(found, names, patches=_patches(found, names), validates=frozenset(validates))


def find_recorded(cubes: Sequence[Cube], recorded: Recorded) -> tuple[list[ChosenCube], str]:
    """Match the selected cubes to these: choices in its order, and how they were matched.

    Raises InputError if one is not there.
    """
    by_position = recorded.positions and any(cube.other.get("position") for cube in cubes)
    how = "position" if by_position else "name"
    rows: dict[str, int] = {}
    for row, cube in enumerate(cubes):
        keys = [cube.other.get("position", "")] if by_position else _keys(cube)
        rows |= {key: row for key in keys if key}
    missing = [name for name in recorded.names if name not in rows]
    if missing:
        raise InputError(
            f"each cube that DB-Enhance selected is in the survey, by {how}",
            found=f"{len(missing)} of {len(recorded.names)} are not: {', '.join(missing[:5])}",
            where=str(recorded.source),
            cure="the survey, or the folder with image/, from which it was selected",
        )
    why = f"selected by DB-Enhance: {recorded.source.name}"
    return [ChosenCube(rows[name], f"{why}, {how} {name}") for name in recorded.names], how


def _keys(cube: Cube) -> list[str]:
    named = cube.name.removeprefix("position-")
    number = named.lstrip("0") or "0"
    return [cube.name, cube.image.stem, number if cube.name != named else ""]


def _names(path: Path) -> tuple[str, ...]:
    """Read the file names of a list; each once, in its order."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"DB-Enhance's lists are selectd_rule1.npy, or a folder with train{LIST}",
            found=getattr(error, "strerror", None) or "no text",
            where=str(path),
        ) from None
    names = dict.fromkeys(PureWindowsPath(line.strip()).stem for line in lines if line.strip())
    if not names:
        raise InputError("a list names one image per line", found="none", where=str(path))
    return tuple(names)


def _patches(path: Path, names: Sequence[str]) -> dict[str, tuple[Zyx, ...]]:
    """Read the patches next to a list, if there are any."""
    beside = path.with_name(path.name.removesuffix(LIST) + PATCHES)
    if not path.name.endswith(LIST) or not beside.is_file():
        return {}
    table = _numbers(beside, columns=4)
    if table.min() < 0 or table[:, 3].max() >= len(names):
        raise InputError(
            "a row of patch indices is z, y, x, and a line of the list next to it, from 0",
            found=f"numbers from {table.min()}, lines to {table[:, 3].max()} of {len(names)}",
            where=str(beside),
        )
    patches: dict[str, list[Zyx]] = {}
    for z, y, x, line in table.tolist():
        patches.setdefault(names[line], []).append((z, y, x))
    return {name: tuple(starts) for name, starts in patches.items()}


def _numbers(path: Path, *, columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Read whole numbers; nothing is unpickled. columns: of a table, 0 for any shape."""
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            "DB-Enhance's indices are an array of whole numbers",
            found=str(error).splitlines()[0][:200],
            where=str(path),
        ) from None
    fits = table.ndim == 2 and table.shape[1] == columns if columns else table.ndim in (1, 2)
    if table.dtype.kind not in "iu" or not table.size or not fits:
        raise InputError(
            "DB-Enhance's indices are an array of whole numbers"
            + (f", {columns} a row" if columns else ""),
            found=f"{table.dtype} of shape {table.shape}",
            where=str(path),
        )
    return np.asarray(table, np.int64)

"""The table that `survey` writes and `select` reads: a manifest with columns of indicators.

CSV; Parquet by suffix (`pip install neuroglow[parquet]`); or DB-Enhance's
sample_information.npy, whose rows have positions instead of names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.cubes.manifest import (
    COLUMNS,
    FURTHER,
    Cube,
    cubes_of,
    read_manifest,
    rows_of,
    write_manifest,
)
from neuroglow.errors import InputError, OutputError
from neuroglow.files.csv_tables import named_alike, real_number
from neuroglow.files.writing import appearing
from neuroglow.labels.label_doubts import Doubts
from neuroglow.labels.label_values import crowded

__all__ = [
    "FREE",
    "KNOWN",
    "LABELLED",
    "check_suffix",
    "doubts_in",
    "match_rows",
    "number",
    "numbers",
    "read_sample_information",
    "read_survey",
    "write_survey",
]

Floats = NDArray[np.float64]

LABELLED = ("signal_density", "noise_variance", "low_snr_ratio")
"""DB-Enhance's three, which need labels."""

FREE = (
    "free_signal_density",
    "free_noise",
    "free_low_snr_ratio",
    "unevenness",
    "texture",
    "length_vox",
    "tortuosity",
    "crossings",
    "puncta",
)
"""Indicators that need no label; the first three stand for DB-Enhance's."""


UNITS = tuple(f"units_{name}" for name in (*LABELLED, "background_mean"))
COUNTS = ("free_vox", "label_vox", "ignored_vox", "tissue", "entropy", "disagreement", "minutes")
WORDS = ("note", "label_note", "brain", "region", "position", "rule", "rank", "reason")
MADE_OF = ("voxels_sha256", "shape", "voxel_size_um", "free_background", "background_mean")
KNOWN = (*COLUMNS, *FURTHER, *LABELLED, *FREE, *UNITS, *COUNTS, *WORDS, *MADE_OF)
"""Columns of surveys, whatever the case of their names."""


def check_suffix(path: Path) -> None:
    """Refuse an output that is neither CSV nor Parquet, or Parquet without its library."""
    if path.suffix.lower() == ".parquet":
        _parquet(path)
    elif path.suffix.lower() != ".csv":
        raise OutputError(
            "a table is .csv or .parquet",
            found=path.suffix or "no suffix",
            where=str(path),
            cure=f"-o {path.with_suffix('.csv')}",
        )


def number(value: float) -> str:
    """Write a number so that it is read back exactly; empty if it is missing."""
    return "" if math.isnan(value) else repr(float(value))


def numbers(cubes: Sequence[Cube], column: str) -> Floats:
    """Return one column as numbers, also with decimal commas; NaN where it is empty.

    Raises InputError for anything else, such as a date that a spreadsheet has made of a number.
    """
    texts = [cube.other.get(column, "") for cube in cubes]
    found = [_float(text) for text in texts]
    for cube, text, value in zip(cubes, texts, found, strict=True):
        if math.isnan(value) and text.strip().lower() not in ("", "nan", "na", "n/a"):
            raise InputError(
                f"the column {column} holds numbers",
                found=f"{text!r} of cube {cube.name!r}",
                cure="a number, or an empty cell; spreadsheets turn some numbers into dates",
            )
    return np.array(found)


def doubts_in(cubes: Sequence[Cube]) -> Doubts:
    """Collect the survey's warnings about labels; without any, look for inverted ones."""
    doubts = Doubts()
    for cube in cubes:
        noted = cube.other.get("label_note", "")
        doubts.note(cube.name, noted.split(" | ") if noted else _crowded(cube))
    return doubts


def _crowded(cube: Cube) -> list[str]:
    sides = [int(n) for n in cube.other.get("shape", "").split() if n.isdecimal()]
    neurites, ignored = (_float(cube.other.get(k, "")) for k in ("label_vox", "ignored_vox"))
    if len(sides) != 3 or math.isnan(neurites + ignored):
        return []
    said = crowded(int(neurites), int(math.prod(sides) - neurites - ignored))
    return [said] if said else []


def write_survey(cubes: Sequence[Cube], path: Path) -> Path:
    """Write the table; completely or not at all. Raises WriteError."""
    if path.suffix.lower() != ".parquet":
        return write_manifest(cubes, path)
    pyarrow, parquet = _parquet(path)
    rows = rows_of(cubes, path.resolve().parent)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: _typed([row.get(name, "") for row in rows]) for name in names}
    with appearing(path) as partial:
        parquet.write_table(pyarrow.table(columns), partial)
    return path


def read_survey(path: Path) -> list[Cube]:
    """Read a survey, or any manifest with indicators.

    Raises InputError for any other file.
    """
    if path.suffix.lower() == ".npy":
        return read_sample_information(path)
    if path.suffix.lower() != ".parquet":
        return read_manifest(path, KNOWN)
    _, parquet = _parquet(path)
    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise InputError("a survey is a table", found=str(error), where=str(path)) from None
    texts = [{named_alike(k, KNOWN): _text(v) for k, v in row.items()} for row in rows]
    return cubes_of(enumerate(texts, start=1), path)


def read_sample_information(path: Path) -> list[Cube]:
    """Read DB-Enhance's table of indicators: (cubes, 3), named by position.

    Its rows are in the order of a folder listing that was not recorded: an image is matched by its
    indicators (`neuroglow survey`), never by its position.
    Raises InputError for any other array.
    """
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            "sample_information.npy is an array", found=str(error), where=str(path)
        ) from None
    if table.ndim != 2 or table.shape[1] != len(LABELLED) or table.dtype.kind not in "fiu":
        raise InputError(
            "sample_information.npy has three numbers per cube",
            found=f"{table.dtype} of shape {table.shape}",
            where=str(path),
        )
    folder = path.resolve().parent / "image"
    return [
        Cube(
            f"position-{i:05d}",
            folder / "unknown",
            other={k: number(v) for k, v in zip(LABELLED, row, strict=True)},
        )
        for i, row in enumerate(table)
    ]


def match_rows(cubes: Sequence[Cube], recorded: Sequence[Cube], path: Path) -> list[Cube]:
    """Assign DB-Enhance's recorded indicators, and the positions there, to surveyed cubes.

    Rows are matched by the indicators themselves. The densities must be equal; the others
    may differ slightly, because DB-Enhance samples the background without a seed.
    Raises InputError if a row matches no cube.
    """
    from scipy.optimize import linear_sum_assignment

    ours, theirs = (np.stack([numbers(c, k) for k in LABELLED], 1) for c in (cubes, recorded))
    if len(ours) != len(theirs) or np.isnan(ours).any():
        raise InputError(
            "sample_information.npy has a row for each labelled cube of image/ and label/",
            found=f"{len(theirs)} rows, {(~np.isnan(ours[:, 0])).sum()} labelled cubes",
            where=str(path),
        )
    apart = np.abs(ours[:, None] - theirs[None])
    apart[..., 1] /= np.maximum(theirs[:, 1], 1e-9)
    of_row = linear_sum_assignment(apart @ np.array([1e3, 1.0, 1.0]))[1]
    worst = apart[np.arange(len(ours)), of_row]
    wrong = np.flatnonzero((worst > (1e-6, 0.05, 0.05)).any(axis=1))
    if wrong.size:
        raise InputError(
            "sample_information.npy was made from the cubes next to it",
            found=f"no row with the indicators of {cubes[wrong[0]].name!r}",
            where=str(path),
        )
    return [
        replace(cube, other={**cube.other, **recorded[i].other, "position": str(i)})
        for cube, i in zip(cubes, of_row, strict=True)
    ]


def _typed(texts: list[str]) -> list[float | None] | list[str]:
    """Convert a column to numbers if every cell is a number or empty."""
    known = [text for text in texts if text]
    if not known or any(math.isnan(_float(text)) for text in known):
        return texts
    return [_float(text) if text else None for text in texts]


def _text(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return "" if value is None else str(value)


def _float(text: str) -> float:
    try:
        return real_number(text)
    except ValueError:
        return math.nan


def _parquet(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            "Parquet needs pyarrow",
            found="it is not installed",
            where=str(path),
            cure="pip install neuroglow[parquet], or use .csv",
        ) from None
    return pyarrow, parquet

"""CSV tables as people and spreadsheets save them, read as rows of texts.

Commas, semicolons (Excel where the comma is a decimal point), tabs or bars; UTF-8 with or without
BOM, UTF-16, or Windows' own encoding; any line ends; empty lines and cells behind the table; names
of columns in any case; each line quoted as a whole, as Excel saves a table that it took for text.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from neuroglow.errors import InputError
from neuroglow.files.remarks import remark

__all__ = ["named_alike", "read_csv", "real_number"]

DELIMITERS = ",;\t|"
WINDOWS = "cp1252"

Row = dict[str, str]
Lines = list[tuple[int, list[str]]]
"""Rows of cells, each with the number of its line."""


def read_csv(path: Path, known: Collection[str]) -> list[tuple[int, Row]]:
    """Read a table: each row with the number of its line; rows of empty cells are left out.

    known: columns that are named so, in whatever case and with whatever spaces they stand there.
    Raises InputError where it is no text, a column stands twice, or a row has more cells than
    the head.
    """
    lines = _lines(re.sub(r"\r\n?", "\n", _text_of(path)), path)
    if not lines:
        return []
    (_, head), rows = lines[0], lines[1:]
    names = [named_alike(cell, known) for cell in head]
    _refuse_doubles(names, path)
    table = []
    for number, cells in rows:
        if any(cell for cell in cells[len(names) :]):
            raise InputError(
                "each row of a table has at most as many cells as the head",
                found=f"{len(cells)} in line {number}, {len(names)} in the head",
                where=str(path),
                cure="cells that hold a comma, or whatever parts the cells, are quoted",
            )
        filled = [*cells, *[""] * (len(names) - len(cells))]
        row = {name: cell for name, cell in zip(names, filled, strict=False) if name}
        table.append((number, row))
    return table


def named_alike(name: str, known: Collection[str]) -> str:
    """Give the known name that a column's stands for, or the column's own."""
    plain = "_".join(name.strip().lower().replace("-", " ").split())
    return plain if plain in known else name.strip()


def real_number(text: str) -> float:
    """Read a number, with a decimal comma too. Raises ValueError where it is none."""
    plain = text.strip().replace("\u2212", "-")
    if plain.count(",") == 1 and "." not in plain:
        plain = plain.replace(",", ".")
    return float(plain)


def _refuse_doubles(names: Sequence[str], path: Path) -> None:
    twice = [name for name, count in Counter(n for n in names if n).items() if count > 1]
    if twice:
        raise InputError(
            "each column of a table has a name of its own",
            found=f"{twice[0]!r} twice",
            where=str(path),
        )


def _text_of(path: Path) -> str:
    """Decode a file. Raises InputError where it cannot be read, or is no text."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _no_table(path, error.strerror or str(error)) from None
    if content.startswith(b"PK"):
        raise _no_table(path, "a workbook (.xlsx or .ods)", "save it as CSV")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", WINDOWS):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            if encoding == WINDOWS:
                remark(f"{path}: no UTF-8, and read as Windows' Western text ({WINDOWS})")
            return text
    raise _no_table(path, "a file that is not UTF-8 text")


def _no_table(path: Path, found: str, cure: str = "") -> InputError:
    return InputError(
        "a manifest is a CSV file, or a folder with image/ and label/",
        found=found,
        where=str(path),
        cure=cure,
    )


def _lines(text: str, path: Path) -> Lines:
    """Part a text into rows of stripped cells, by the delimiter that parts its head best."""
    delimiter = ""
    start, first = 1, text.partition("\n")[0].strip().strip('"')
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel's own hint
        delimiter, start, text = first[4], 2, text.partition("\n")[2]
    try:
        delimiter = delimiter or max(DELIMITERS, key=lambda d: len(_head(text, d)))
        rows = _cells(text, delimiter, start)
        if rows and len(rows[0][1]) == 1 and any(d in rows[0][1][0] for d in DELIMITERS):
            return _lines("\n".join(cells[0] for _, cells in rows), path)
        return rows
    except csv.Error as error:
        raise _no_table(path, f"a file that is no table: {error}") from None


def _head(text: str, delimiter: str) -> list[str]:
    """Give the cells of the first line that is not empty."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    return next((cells for cells in reader if any(cell.strip() for cell in cells)), [])


def _cells(text: str, delimiter: str, start: int) -> Lines:
    file = io.StringIO(text)
    reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
    rows = []
    for cells in reader:
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            rows.append((reader.line_num + start - 1, stripped))
    return rows

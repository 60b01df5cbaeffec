"""The record (JSON) and the picture of one output, which lie next to it.

    brain.tif   brain_run.json   brain_mip.png

If a record of that name belongs to another output with the same stem (`brain.ome.zarr`,
`brain_prob.tif`), the full name of the output is used: `brain.ome.zarr_run.json`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroglow.files.names import is_output_file, natural, stem_of
from neuroglow.files.remarks import remark
from neuroglow.files.writing import appearing, file_stats, hash_of

__all__ = ["Beside", "files_beside", "inverted_as_said", "is_record", "read_record", "stamp_record"]


@dataclass(frozen=True)
class Beside:
    """The files of an output: its picture and its record."""

    picture: Path
    record: Path

    @property
    def files(self) -> tuple[Path, Path]:
        """Both."""
        return self.picture, self.record


def files_beside(output: Path) -> Beside:
    """Name the picture and the record of an output; never those of another."""
    short, whole = _short(output), _named(output, output.name)
    if whole.record.exists() or _is_anothers(short.record, output):
        return whole
    return short


def read_record(output: str | Path) -> dict[str, Any] | None:
    """Read the record of an output; None if it has none of its own."""
    path = Path(output)
    record = files_beside(path).record
    kept = _parsed(record)
    if not kept or kept.get("output", path.name) != path.name:
        return None
    if "written" in kept and path.exists() and kept["written"] != stamp_of(path):
        remark(f"{record.name} is not used: {path.name} was changed after it had been written")
        return None
    return kept


def stamp_record(output: Path, record: Path) -> None:
    """Note in a record how its output looks, so that it is not believed of another one."""
    kept = _parsed(record)
    if kept is not None:
        with appearing(record) as file:
            file.write_text(json.dumps(kept | {"written": stamp_of(output)}, indent=1), "utf-8")


def stamp_of(output: Path) -> str:
    """Hash the size and some content of a file; of a folder, of its metadata and a few files."""
    if not output.is_dir():
        return hash_of(file_stats(output)[1])
    names = [output / "zarr.json", output / "0/zarr.json", *_some_shards(output / "0/c")]
    return hash_of([file_stats(file)[1] for file in names if file.is_file()])


def _some_shards(folder: Path) -> list[Path]:
    """Choose the first, the middle and the last shard of an array, as they are named."""
    found = []
    for share in (0.0, 0.5, 1.0):
        path = folder
        while path.is_dir() and (inner := sorted(path.iterdir(), key=natural)):
            path = inner[round(share * (len(inner) - 1))]
        found.append(path)
    return found


def inverted_as_said(asked: bool | None, prediction: object) -> tuple[bool, list[str]]:  # noqa: FBT001  # a setting
    """Tell whether the raw image of a prediction is read inverted, and what to say of it.

    It is where that was asked; where nothing was, as the record of the prediction says.
    """
    if asked is not None or not isinstance(prediction, str | Path):
        return bool(asked), []
    said = ((read_record(prediction) or {}).get("settings") or {}).get("invert") is True
    return said, ["the raw image is read inverted, as it was for the prediction"] if said else []


def is_record(path: Path, *keys: str) -> bool:
    """Return whether a file is a record with these `keys`: only our own files are replaced."""
    kept = _parsed(path)
    return kept is not None and kept.keys() >= {*keys}


def _short(output: Path) -> Beside:
    return _named(output, stem_of(output).removesuffix("_prob"))


def _named(output: Path, name: str) -> Beside:
    return Beside(output.with_name(f"{name}_mip.png"), output.with_name(f"{name}_run.json"))


def _is_anothers(record: Path, output: Path) -> bool:
    """Return whether a record belongs to another output that still exists.

    A record that names no output (from an earlier version) belongs to the existing one.
    """
    kept = _parsed(record)
    if kept is None:
        return False
    if "output" in kept:
        return bool(kept["output"] != output.name and record.with_name(kept["output"]).exists())
    return not output.exists() and any(
        _short(other).record == record and is_output_file(other)
        for other in record.parent.iterdir()
    )


def _parsed(path: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if isinstance(kept, dict) else None

"""Which files of a folder are volumes: images, but not their labels, projections or results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuroglow.errors import InputError, ReadError
from neuroglow.files.names import is_ome_tiff, is_tiff, is_volume, names_no_image, natural
from neuroglow.files.record import read_record
from neuroglow.files.remarks import listed, remark
from neuroglow.formats.slices import tiffs_in
from neuroglow.formats.tiff import files_of, is_stack

__all__ = ["volumes_in"]

LOOKED_AT = 60
"""In a folder with more TIFF files than this, the first ones decide whether they are stacks."""


def volumes_in(folder: Path, *, images: bool) -> list[Path] | None:
    """List the volumes in a folder, in natural order; None if it contains slices of one volume.

    images: leave out files named as a label, mask or probability, and our own predictions.
    Raises InputError if nothing is left.
    """
    inside = folder / "image" if (folder / "image").is_dir() else folder
    others = [f for f in inside.iterdir() if is_volume(f) and not is_tiff(f)]
    tiffs = tiffs_in(inside)
    found, stacks = [*others, *tiffs], [*others, *_stacks(tiffs)]
    if images:
        found, stacks = _without_results(found, folder), _without_results(stacks, folder)
    if not found or (inside == folder and not stacks):
        return None
    if stacks and len(stacks) < len(found):
        left = [f.name for f in found if f not in stacks]
        remark(
            f"{folder}: left out, because they contain one plane or belong to others: "
            f"{listed(left)}"
        )
    return sorted(stacks or found, key=natural)


def _stacks(tiffs: Sequence[Path]) -> list[Path]:
    """List the files with several planes; of files that form one volume together, the first."""
    if len(tiffs) > LOOKED_AT and not any(_is_stack(f) for f in tiffs[:3]):
        return []
    inner: set[str] = set()
    found, damaged = [], []
    for file in tiffs:
        stack = file.name not in inner and _is_stack(file)
        if stack is None:
            damaged.append(file)
        elif stack:
            if is_ome_tiff(file):
                inner |= {f.name for f in files_of(file)} - {file.name}
            found.append(file)
    return found + damaged if found else []  # a damaged one is reported when its turn comes


def _is_stack(file: Path) -> bool | None:
    """Return whether a TIFF file contains several planes; None if it cannot be read."""
    try:
        return is_stack(file)
    except (InputError, ReadError):
        return None


def _without_results(files: Sequence[Path], folder: Path) -> list[Path]:
    kept = [f for f in files if not names_no_image(f) and not _is_prediction(f)]
    left = sorted({f.name for f in files} - {f.name for f in kept})
    if left and not kept:
        raise InputError(
            "a folder of images must contain files that are not labels or results",
            found=f"only {listed(left)}",
            where=str(folder),
            cure="the path of one of them, if it is an image after all",
        )
    if left:
        remark(f"{folder}: left out as labels, masks or results, by their names: {listed(left)}")
    return kept


def _is_prediction(file: Path) -> bool:
    """Return whether `predict` made a file, by its record."""
    kept = read_record(file) or {}
    source = (kept.get("input") or {}).get("name", file.name)
    return "model" in kept and Path(str(source).split("::")[0]).name != file.name

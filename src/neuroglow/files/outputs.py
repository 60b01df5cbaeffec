"""Names for the outputs of several volumes: their stems, with the folder where stems are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from neuroglow.errors import InputError
from neuroglow.files.names import stem_of
from neuroglow.files.remarks import remark

__all__ = ["output_names"]


def output_names(volumes: Sequence[str | Path]) -> list[str]:
    """Return a unique name for each volume: `a/image.tif`, `b/image.tif` become a_image, b_image.

    The names are reported. Raises InputError if a volume is given twice.
    """
    places = [str(volume).partition("::") for volume in volumes]
    full = [f"{Path(path).resolve()}::{inner}" for path, _, inner in places]
    twice = [volume for volume, count in Counter(full).items() if count > 1]
    if twice:
        raise InputError(
            "each input is given once", found="one given twice", where=twice[0].rstrip(":")
        )
    names = [stem_of(path) for path, _, _ in places]
    parts = [Path(path).resolve().parts[:-1] for path, _, _ in places]
    depth = 0
    while any(count > 1 for count in Counter(_folded(names)).values()):
        depth += 1
        shared = {name for name, count in Counter(_folded(names)).items() if count > 1}
        if depth > max(map(len, parts)):  # a.tif next to a.h5, or two datasets of one file
            return [f"{name}_{i}" for i, name in enumerate(names)]
        names = [
            f"{folders[-depth]}_{name}" if name.lower() in shared and len(folders) > depth else name
            for name, folders in zip(names, parts, strict=True)
        ]
    if depth:
        remark(
            f"inputs with the same name: outputs also get the names of their folders, as {names[0]}"
        )
    return names


def _folded(names: Sequence[str]) -> list[str]:
    return [name.lower() for name in names]  # for file systems that ignore case

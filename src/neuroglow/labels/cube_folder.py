"""The folder of a phantom cube, as written by `phantom cube` and `testset`, used as an input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuroglow.errors import InputError

__all__ = ["CUBE", "is_cube_folder", "prediction_of"]

CUBE = {"image": "image.tif", "label": "label.tif", "swc": "tree.swc"}
"""The files of a phantom cube."""

USUAL = "light-microscopy"
"""The model whose prediction is used if there are several."""


def is_cube_folder(path: Any) -> bool:
    """Return whether a folder is that of a phantom cube."""
    return isinstance(path, str | Path) and (Path(path) / "cube.json").is_file()


def prediction_of(source: Any) -> Any:
    """Return the prediction in the folder of a phantom cube; any other source unchanged.

    Raises InputError if there is none, or if there are several but none of the usual model.
    """
    if not is_cube_folder(source):
        return source
    found = {p.name.removesuffix("_prob.tif"): p for p in sorted(Path(source).glob("*_prob.tif"))}
    if len(found) == 1 or USUAL in found:
        return found.get(USUAL) or next(iter(found.values()))
    raise InputError(
        "the folder of a phantom stands for the prediction in it",
        found=", ".join(path.name for path in found.values()) or "no prediction (_prob.tif)",
        where=str(source),
        cure="name one of them" if found else f"neuroglow predict {Path(source) / CUBE['image']}",
    )

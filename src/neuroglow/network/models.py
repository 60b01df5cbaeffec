"""Named models: bundled ones, the user's own, and any folder. Needs no PyTorch."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from pathlib import Path

from neuroglow.errors import ModelError
from neuroglow.network.int8_variant import read_int8
from neuroglow.network.model_settings import read_settings

BEST = "checkpoints/best"
"""The best model of a training run."""

__all__ = ["ModelEntry", "find_model", "list_models", "show_model"]


@dataclass(frozen=True)
class ModelEntry:
    """One model with a name; source: `bundled` or `user`."""

    name: str
    source: str
    path: Path
    summary: str


def list_models() -> list[ModelEntry]:
    """List the named models, the user's first; a broken one is marked."""
    return [ModelEntry(path.name, source, path, _summary(path)) for source, path in _folders()]


def find_model(model: str | PathLike[str]) -> Path:
    """Find the folder of a model by path or, if no model is at that path, by name.

    The path of a training run stands for its best model.
    Raises ModelError with the known names, and the most similar one, if there is none.
    """
    path = Path(model)
    if path.parts[:1] == ("~",):  # in a file of settings no shell expands it
        path = path.expanduser()
    for folder in (path, path / BEST):
        if _is_model(folder):
            return folder.resolve()
    known = {folder.name: folder for _, folder in reversed(list(_folders()))}
    if str(model) in known:
        return known[str(model)]
    near = difflib.get_close_matches(str(model), known, n=1)
    cure = f"did you mean {near[0]!r}? " if near else ""
    if path.suffix in (".ckpt", ".pth", ".pt"):
        cure = "`neuroglow models import` converts a DB-Enhance checkpoint; "
    if _is_model(last := path / "checkpoints/last"):
        cure = f"this training run has no best model yet; its last one is {last}; "
    raise ModelError(
        "the model must be a known name, a folder with model.json, or a training run",
        found=repr(str(model)),
        cure=cure + "known: " + (", ".join(sorted(known)) or "none is installed"),
    )


def show_model(model: str | Path) -> str:
    """Return a model's card, if it has one, its settings, and the loss of its int8 variant."""
    folder = find_model(model)
    settings = read_settings(folder).model_dump_json(indent=1)
    card, variant = folder / "card.md", folder / "int8.json"
    text = card.read_text(encoding="utf-8", errors="replace") + "\n" if card.is_file() else ""
    if variant.is_file():
        text += "\n".join([*read_int8(variant.read_bytes(), variant).lines(), "", ""])
    return f"{text}{settings}"


def user_folder() -> Path:
    """Return the folder of the user's models: $NEUROGLOW_MODELS, or in the home folder."""
    chosen = os.environ.get("NEUROGLOW_MODELS")
    return Path(chosen).expanduser() if chosen else Path.home() / ".local/share/neuroglow/models"


def _folders() -> Iterator[tuple[str, Path]]:
    """Return source and folder of each named model; a hidden one is still being written."""
    bundled = Path(str(files("neuroglow"))) / "bundled"
    for source, parent in (("user", user_folder()), ("bundled", bundled)):
        for folder in sorted(parent.glob("[!.]*")):
            if _is_model(folder):
                yield source, folder


def _is_model(folder: Path) -> bool:
    try:
        return (folder / "model.json").is_file()
    except OSError:  # a name too long for a file, or a folder without permission
        return False


def _summary(folder: Path) -> str:
    try:
        settings = read_settings(folder)
    except ModelError as error:
        return f"broken: {error.found}"
    return f"{settings.network}, {settings.normalisation.kind}, halo {settings.halo}"

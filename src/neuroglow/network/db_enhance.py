"""Import of DB-Enhance's checkpoints: only tensors, no pickle is executed."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from neuroglow.errors import ModelError, OutputError
from neuroglow.files.writing import file_sha256
from neuroglow.network.build import build_network
from neuroglow.network.checkpoint import rebuild_network, save_model
from neuroglow.network.db_enhance_facts import INPUT
from neuroglow.network.model_settings import IMPORTED, ModelSettings

__all__ = ["import_db_enhance", "import_model"]


def import_db_enhance(checkpoint: str | Path, out: str | Path) -> Path:
    """Convert a DB-Enhance checkpoint to a neuroglow model at `out`.

    Reads torch.save({"epoch", "state_dict", "optimizer"}) in the zip format and in PyTorch
    0.4's, weights only: a pickle that would run code is refused. Names may have
    DataParallel's `module.`. The model keeps DB-Enhance's fixed normalisation.

    Raises ModelError if the file is not such a checkpoint, OutputError if `out` exists.
    """
    path = Path(checkpoint)
    state = _read_db_enhance(path)
    weights = {str(name).removeprefix("module."): value for name, value in state.items()}
    settings = ModelSettings(
        name=Path(out).name,
        network="voxresnet",
        normalisation=INPUT,
        halo=24,
        threshold=0.5,
        training={"recipe": IMPORTED, "checkpoint_sha256": file_sha256(path)},
        description=f"imported from the DB-Enhance checkpoint {path.name}",
    )
    for name in build_network("voxresnet", {}).state_dict():
        if name.endswith("num_batches_tracked"):  # PyTorch before 0.4.1 had none
            weights.setdefault(name, torch.tensor(0))
    return save_model(out, rebuild_network(settings, weights, path), settings)


def _read_db_enhance(path: Path) -> Mapping[str, Any]:
    """Read the tensors of a checkpoint, by the names in it."""
    if not path.is_file():
        raise _no_checkpoint(path, "no file")
    try:
        with warnings.catch_warnings():  # torch's warnings about old formats do not help the user
            warnings.simplefilter("ignore")
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        code = f"a pickle that asks for {asked[1]!r}; it was not executed" if asked else ""
        raise _no_checkpoint(path, code or "not a pickle of tensors") from None
    except Exception as error:  # a damaged stream can raise anything in the unpickler
        raise _no_checkpoint(
            path, f"truncated, damaged or another format ({type(error).__name__})"
        ) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else loaded
    if not isinstance(state, Mapping):
        raise _no_checkpoint(path, f"a {type(state).__name__} instead of tensors by name")
    return state


def _no_checkpoint(path: Path, found: str) -> ModelError:
    rule = "the file must be a DB-Enhance checkpoint: tensors by name under 'state_dict'"
    return ModelError(rule, found=found, where=str(path))


def import_model(file: str | Path, out: str | Path) -> Path:
    """Import a DB-Enhance `.ckpt` into a new folder; see import_db_enhance."""
    if Path(out).exists():
        raise OutputError("an existing model is not overwritten", where=str(out), cure="another -o")
    return import_db_enhance(file, out)

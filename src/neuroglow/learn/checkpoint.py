"""Checkpoints: a folder that rebuilds its network. No pickle is ever executed.

MODEL/model.json            settings (model_settings.py)
MODEL/weights.safetensors   float16 or float32
MODEL/card.md               for people, optional
"""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from neuroglow.errors import ModelError, OutputError, WriteError
from neuroglow.learn.model_settings import FixedInput, ModelSettings, read_settings
from neuroglow.learn.networks import build_network
from neuroglow.learn.voxresnet import VoxResNet

__all__ = ["Model", "import_db_enhance", "load_model", "save_model"]

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Model:
    """A network with its weights (float32, evaluation mode) and all that is known of it.

    sha256: of settings and weights together; it makes a run's fingerprint.
    """

    path: Path
    settings: ModelSettings
    sha256: str
    network: nn.Module = field(repr=False)


def load_model(folder: str | Path) -> Model:
    """Rebuild a model from its folder, or from the name of a known model.

    Raises ModelError when a file is missing, truncated, or does not fit the network.
    """
    from neuroglow.learn.models import find_model

    path = find_model(folder)
    settings = read_settings(path)
    network = build_network(settings.network, settings.arguments)
    weights = _read_weights(path / WEIGHTS)
    _load_into(network, weights, path / WEIGHTS)
    digest = hashlib.sha256((path / "model.json").read_bytes())
    digest.update((path / WEIGHTS).read_bytes())
    return Model(path, settings, digest.hexdigest(), network.eval())


def save_model(
    folder: str | Path,
    network: nn.Module,
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    card: str = "",
) -> Path:
    """Save a model: the folder appears whole or not at all.

    dtype: float16 halves the file; buffers that are not floating stay as they are.
    Raises OutputError when the folder exists, WriteError when it cannot be written.
    """
    out = Path(folder)
    if out.exists():
        raise OutputError(
            "an existing model is not overwritten", where=str(out), cure="another name"
        )
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    versions = {name: version(name) for name in ("neuroglow", "torch")}
    settings = settings.model_copy(update={"versions": settings.versions or versions})
    weights = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    try:
        partial.mkdir(parents=True)
        save_file(weights, partial / WEIGHTS)
        (partial / "model.json").write_text(settings.model_dump_json(indent=1), encoding="utf-8")
        if card:
            (partial / "card.md").write_text(card, encoding="utf-8")
        partial.rename(out)
    except (OSError, SafetensorError) as error:
        raise WriteError("the model must be writable", found=str(error), where=str(out)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return out


def import_db_enhance(checkpoint: str | Path, out: str | Path) -> Path:
    """Turn a DB-Enhance checkpoint into a neuroglow model at `out`.

    Reads torch.save({"epoch", "state_dict", "optimizer"}) in the zip format and in PyTorch
    0.4's, weights only: a pickle that would run code is refused, not run. Names may carry
    DataParallel's `module.`. The model keeps DB-Enhance's fixed normalisation.

    Raises ModelError when the file is no such checkpoint.
    """
    path = Path(checkpoint)
    state = _read_db_enhance(path)
    network = VoxResNet()
    weights = {str(name).removeprefix("module."): value for name, value in state.items()}
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):  # PyTorch before 0.4.1 had none
            weights.setdefault(name, value)
    _load_into(network, weights, path)
    settings = ModelSettings(
        name=Path(out).name,
        network="voxresnet",
        normalisation=FixedInput(low=0, high=1500, mean=168.5, std=500),
        halo=24,
        threshold=0.5,
        description=f"imported from the DB-Enhance checkpoint {path.name}",
    )
    return save_model(out, network, settings)


def _read_db_enhance(path: Path) -> Mapping[str, Any]:
    rule = "the file must be a DB-Enhance checkpoint: tensors under 'state_dict'"
    if not path.is_file():
        raise ModelError(rule, found="no file", where=str(path))
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        found = "a pickle with more than tensors in it, or none at all; it was not executed"
        raise ModelError(rule, found=found, where=str(path)) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        found = f"truncated or damaged ({type(error).__name__})"
        raise ModelError(rule, found=found, where=str(path)) from None
    except Exception as error:  # what a hostile byte stream makes the unpickler raise is open
        found = f"not readable ({type(error).__name__})"
        raise ModelError(rule, found=found, where=str(path)) from None
    state = loaded.get("state_dict", loaded) if isinstance(loaded, Mapping) else None
    if not isinstance(state, Mapping) or not state:
        raise ModelError(rule, found=f"a {type(loaded).__name__} without", where=str(path))
    return state


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise ModelError(
            "the weights must be a whole safetensors file", found=str(error)[:200], where=str(path)
        ) from None


def _load_into(network: nn.Module, weights: Mapping[str, Any], path: Path) -> None:
    """Load weights as float32 after checking names, shapes and values."""
    expected = network.state_dict()
    wrong = [f"no tensor {name!r}" for name in expected if name not in weights]
    wrong += [f"an unknown tensor {name!r}" for name in weights if name not in expected]
    for name, value in expected.items():
        given = weights.get(name)
        if given is None:
            continue
        if not isinstance(given, Tensor) or given.shape != value.shape:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            wrong.append(f"{name!r} of shape {shape}, not {tuple(value.shape)}")
        elif given.is_floating_point() and not bool(torch.isfinite(given).all()):
            wrong.append(f"{name!r} with values that are not finite")
    if wrong:
        more = f" (and {len(wrong) - 3} more faults)" if len(wrong) > 3 else ""
        raise ModelError(
            "the weights must fit the network", found="; ".join(wrong[:3]) + more, where=str(path)
        )
    network.load_state_dict({name: weights[name].to(expected[name].dtype) for name in expected})

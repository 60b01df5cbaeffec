"""Checkpoints: a folder (stored.py) that rebuilds its network. No pickle is ever executed."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from neuroglow.errors import ModelError, OutputError, WriteError
from neuroglow.network.build import build_network
from neuroglow.network.model_settings import ModelSettings
from neuroglow.network.stored import (
    CARD,
    SETTINGS,
    WEIGHTS,
    StoredModel,
    misfit,
    read_model,
)
from neuroglow.network.tensors import faults_of, tensors_of

__all__ = ["Model", "build_model", "load_model", "rebuild_network", "save_model"]


@dataclass(frozen=True)
class Model(StoredModel):
    """A stored model, and its network (float32, evaluation mode)."""

    network: nn.Module = field(repr=False, kw_only=True)

    def __fspath__(self) -> str:
        """Represent the model's folder where a path is expected."""
        return str(self.path)


def load_model(folder: str | PathLike[str]) -> Model:
    """Rebuild a model from its folder, or from the name of a known model.

    Raises ModelError when a file is missing, truncated, or does not fit the network.
    """
    return build_model(read_model(folder))


def build_model(stored: StoredModel) -> Model:
    """Rebuild a model that was read; ModelError if its weights are damaged or do not fit."""
    network = _network_of(stored.settings, stored.weights())
    return Model(**vars(stored), network=network)


def save_model(
    folder: str | Path,
    network: nn.Module,
    settings: ModelSettings,
    *,
    dtype: torch.dtype = torch.float32,
    card: str = "",
    replace: bool = False,
) -> Path:
    """Save a model: the folder appears completely or not at all.

    dtype: float16 halves the file, and rounds by up to 2**-11 of a value (2**-25 near zero);
        buffers that are not floating point are not converted.
    card: Markdown for people.
    replace: replace an existing model.

    Raises OutputError if the folder exists, WriteError if it cannot be written, ModelError
    if it could not be loaded again: weights that are not finite or do not match these settings.
    """
    out = Path(folder)
    if out.exists() and not (replace and (out / SETTINGS).is_file()):
        raise OutputError(
            "an existing output is not overwritten",
            found="the existing folder is not a model" if replace else "it exists",
            where=str(out),
            cure="another name",
        )
    ours = {name: version(name) for name in ("neuroglow", "torch")}
    settings = settings.model_copy(update={"versions": settings.versions or ours})
    with _appearing(out) as partial:
        _write(partial, settings, {k: _stored(v, dtype) for k, v in network.state_dict().items()})
        if card:
            (partial / CARD).write_text(card, encoding="utf-8")
        try:
            load_model(partial)
        except ModelError as error:
            raise ModelError(error.rule, found=error.found, where=str(out)) from None
    return out


def rebuild_network(settings: ModelSettings, weights: Mapping[str, Any], path: Path) -> nn.Module:
    """Build the network of these settings with tensors of any origin, for evaluation.

    path: the file that they were read from. Raises ModelError if they do not fit.
    """
    expected = tensors_of(settings.network, settings.arguments)
    odd = {name: _said(value) for name, value in weights.items() if not _is_plain(value)}
    arrays = {name: _as_array(value) for name, value in weights.items() if name not in odd}
    fitting = {name: shape for name, shape in expected.items() if name not in odd}
    faults = [f"{name!r} {what}, not a tensor of plain numbers" for name, what in odd.items()]
    if faults := [*faults, *faults_of(fitting, arrays)]:
        raise misfit(faults, path)
    return _network_of(settings, arrays)


def _network_of(settings: ModelSettings, weights: Mapping[str, NDArray[Any]]) -> nn.Module:
    """Build a network with weights that fit it; they are copied."""
    with torch.device("meta"):  # no memory or random numbers for weights that are replaced
        network = build_network(settings.network, settings.arguments)
    fresh = {
        name: torch.from_numpy(np.array(weights[name])).to(value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(fresh, assign=True)
    return network.eval()


def _said(value: Any) -> str:
    """Say of what kind a value is that is no plain tensor."""
    if isinstance(value, Tensor):
        return f"of {value.dtype}, {value.layout}"
    return f"is a {type(value).__name__}"


def _as_array(value: Tensor) -> NDArray[Any]:
    """Convert a plain tensor to NumPy, which has no bfloat16."""
    plain = value.detach().contiguous()
    return np.asarray((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())


def _is_plain(given: Any) -> bool:
    if not isinstance(given, Tensor):
        return False
    dense = given.layout == torch.strided and given.device.type == "cpu"
    return dense and not given.is_quantized and not given.is_complex()


def _copied(given: Tensor, dtype: torch.dtype) -> Tensor:
    return given.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)


def _stored(value: Tensor, dtype: torch.dtype) -> Tensor:
    return _copied(value.cpu(), dtype if value.is_floating_point() else value.dtype)


def _write(folder: Path, settings: ModelSettings, weights: dict[str, Tensor]) -> None:
    # As bytes: safetensors' own save_file writes a file that only its owner can read.
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    (folder / SETTINGS).write_text(settings.model_dump_json(indent=1) + "\n", encoding="utf-8")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Return a folder to fill that replaces `out` at the end, and only at the end."""
    token = uuid.uuid4().hex[:8]
    new, old = (out.with_name(f".{out.name}.{token}.{end}") for end in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    except OSError as error:
        found = error.strerror or str(error)
        raise WriteError(
            "a model must be writable, on a disk with enough space",
            found=found,
            where=str(out),
            cure="another place, other permissions, or a larger disk",
        ) from error
    finally:
        if old.exists() and not out.exists():  # stopped between the two renames
            old.rename(out)
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)

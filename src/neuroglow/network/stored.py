"""A model as it is stored: its settings, its weights and its hash. Needs no PyTorch.

MODEL/model.json            settings (model_settings.py)
MODEL/weights.safetensors   float16 or float32
MODEL/card.md               for people, optional
MODEL/int8.json             what its int8 variant needs besides (int8.py), optional
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors import SafetensorError

from neuroglow.errors import ModelError
from neuroglow.network.int8_variant import read_int8
from neuroglow.network.model_settings import ModelSettings, read_settings
from neuroglow.network.models import find_model
from neuroglow.network.tensors import faults_of, stride_of, tensors_of

__all__ = ["CARD", "INT8", "SETTINGS", "WEIGHTS", "StoredModel", "damaged", "misfit", "read_model"]

SETTINGS, WEIGHTS, CARD, INT8 = "model.json", "weights.safetensors", "card.md", "int8.json"

KINDS = {
    "BOOL": "?",
    "C64": "<c8",
    **{f"F{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    **{f"{kind}{bits}": f"<{kind.lower()}{bits // 8}" for kind in "IU" for bits in (8, 16, 32, 64)},
}
"""NumPy's names of the types in a safetensors file."""


@dataclass(frozen=True)
class StoredModel:
    """A model's description, and the bytes of its weights.

    sha256: of settings and weights together; part of a run's fingerprint. int8: the content of
    its int8 variant's file, None without one.
    """

    path: Path
    settings: ModelSettings
    sha256: str
    content: bytes = field(repr=False)
    int8: bytes | None = field(default=None, repr=False)

    @property
    def stride(self) -> int:
        """Return the number that the sizes of the network's input are multiples of."""
        return stride_of(self.settings.network, self.settings.arguments)

    def with_int8(self, content: bytes) -> StoredModel:
        """Return the same model with another int8 variant."""
        return replace(self, int8=content)

    @property
    def int8_by_default(self) -> bool:
        """Return whether it has an int8 variant that is close enough to be used unasked.

        Raises ModelError when its file is damaged.
        """
        return self.int8 is not None and read_int8(self.int8, self.path / INT8).close

    def hash_in(self, precision: str) -> str:
        """Return a hash of all that decides its numbers in a precision."""
        if precision != "int8":
            return self.sha256
        return hashlib.sha256(self.sha256.encode() + (self.int8 or b"")).hexdigest()

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights by name: float32, or whole numbers.

        Raises ModelError when the file is not whole, or does not fit the network.
        """
        place = self.path / WEIGHTS
        try:
            expected = tensors_of(self.settings.network, self.settings.arguments)
        except ModelError as error:
            where = str(self.path / SETTINGS)
            raise ModelError(error.rule, found=error.found, where=where, cure=error.cure) from None
        try:
            found = {name: _array(**tensor) for name, tensor in _tensors(self.content)}
        except (SafetensorError, KeyError, ValueError) as error:
            raise damaged(error, place) from None
        if faults := list(faults_of(expected, found)):
            raise misfit(faults, place)
        return {name: _as_used(found[name]) for name in expected}


def read_model(folder: str | PathLike[str]) -> StoredModel:
    """Read a model from its folder, or from the name of a known model; its weights unchecked.

    Raises ModelError when a file is missing.
    """
    path = find_model(folder)
    settings = read_settings(path)
    content = _read_bytes(path / WEIGHTS)
    digest = hashlib.sha256(_read_bytes(path / SETTINGS))
    digest.update(content)
    variant = path / INT8
    int8 = _read_bytes(variant) if variant.is_file() else None
    return StoredModel(path, settings, digest.hexdigest(), content, int8)


def damaged(error: Exception, path: Path) -> ModelError:
    """Say that a file of weights is damaged, or of another kind."""
    return ModelError(
        "the weights must be a whole safetensors file", found=str(error)[:200], where=str(path)
    )


def misfit(faults: list[str], path: Path) -> ModelError:
    """Say of weights that they do not fit their network."""
    more = f" (and {len(faults) - 3} more faults)" if len(faults) > 3 else ""
    return ModelError(
        "the weights must fit the network", found="; ".join(faults[:3]) + more, where=str(path)
    )


def _tensors(content: bytes) -> list[tuple[str, dict[str, Any]]]:
    return safetensors.deserialize(content)  # type: ignore[no-untyped-call,no-any-return]


def _array(*, dtype: str, shape: list[int], data: bytes) -> NDArray[Any]:
    if dtype == "BF16":  # the upper half of a float32
        halves = np.frombuffer(data, "<u2").astype(np.uint32)
        return (halves << 16).view(np.float32).reshape(shape)
    return np.frombuffer(data, KINDS[dtype]).reshape(shape)


def _as_used(given: NDArray[Any]) -> NDArray[Any]:
    return given.astype(np.float32) if given.dtype.kind == "f" else given


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise ModelError(
            f"a model is a folder with {SETTINGS} and {WEIGHTS}",
            found=getattr(error, "strerror", None) or "larger than the memory",
            where=str(path),
        ) from None

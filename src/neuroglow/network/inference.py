"""The engine PyTorch: run a network on one block, on any device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neuroglow.errors import RunError, SettingsError
from neuroglow.network.bfloat16 import bfloat16_pays
from neuroglow.network.build import neurite_logit
from neuroglow.network.checkpoint import Model
from neuroglow.network.engine import (
    BYTES_PER_VOXEL,
    Bytes,
    Precision,
    in_levels,
    mirrors,
    padded,
    symmetric,
    threads,
)
from neuroglow.network.glownet import GlowNet
from neuroglow.network.inner import passing
from neuroglow.network.model_settings import Calibration, FixedInput, NoiseUnitsInput
from neuroglow.space.geometry import Box

__all__ = [
    "Runner",
    "choose_device",
    "choose_devices",
    "choose_precision",
]

Floats = NDArray[np.float32]


def choose_device(name: str) -> torch.device:
    """Resolve `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises SettingsError if the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise SettingsError(
            "the device must be available on this machine",
            found=repr(name),
            where="--device",
            cure="auto, cpu, or if available cuda, cuda:0, mps",
        ) from None
    return device


def choose_devices(names: str) -> tuple[torch.device, ...]:
    """Resolve several devices separated by commas, one per worker, such as `cuda:0,cuda:1`.

    Raises SettingsError if the machine lacks one, or if they are of different kinds.
    """
    devices = tuple(choose_device(name.strip()) for name in names.split(","))
    if len({device.type for device in devices}) > 1:
        raise SettingsError(
            "several devices must be of one kind, because results differ slightly between kinds",
            found=names,
            where="--device",
            cure="cuda:0,cuda:1, for example",
        )
    return devices


def choose_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Resolve `auto`: bfloat16 where the hardware is faster in it, float32 elsewhere.

    Measured on CPUs with AVX-512 bf16 only; CUDA and MPS are not measured.
    """
    if precision != "auto":
        return torch.float32 if precision == "float32" else torch.bfloat16
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        able = bool(torch.cpu._is_avx512_bf16_supported())  # torch has no public function
        native = able and bfloat16_pays()
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def _use_all_digits() -> None:
    """Prevent convolutions in float32 from using TF32 (10 bits), cuDNN's default on new GPUs."""
    convolutions = getattr(torch.backends.cudnn, "conv", None)
    if convolutions is None:  # PyTorch before 2.9
        torch.backends.cudnn.allow_tf32 = False
    else:
        convolutions.fp32_precision = "ieee"


@dataclass(frozen=True)
class Runner:
    """A model prepared for one device and precision.

    calibration: of the probability, or None for the network's own.
    """

    network: nn.Module
    normalisation: NoiseUnitsInput | FixedInput
    device: torch.device
    dtype: torch.dtype
    calibration: Calibration | None = None
    afar: float | None = None

    @property
    def stride(self) -> int:
        """The number that the sizes of the network's input are multiples of."""
        return int(self.network.stride)  # type: ignore[arg-type]  # every network has one

    @property
    def bytes_per_voxel(self) -> Bytes:
        """Its peak memory per voxel."""
        network = "glow" if isinstance(self.network, GlowNet) else "voxresnet"
        return BYTES_PER_VOXEL["torch", network][str(self.dtype).removeprefix("torch.")]

    @classmethod
    def prepare(cls, model: Model, device: torch.device, dtype: torch.dtype) -> Runner:
        """Prepare a model."""
        settings = model.settings
        ready = cls.ready(model.network, settings.normalisation, device, dtype)
        return replace(ready, calibration=settings.calibration, afar=settings.afar)

    @classmethod
    def on(cls, model: Model, device: str, precision: str) -> Runner:
        """Prepare a model for a device and a precision by their names."""
        if (limit := threads()) is not None:
            torch.set_num_threads(limit)
        return cls.prepare(model, torch.device(device), getattr(torch, precision))

    @classmethod
    def ready(
        cls,
        network: nn.Module,
        normalisation: NoiseUnitsInput | FixedInput,
        device: torch.device,
        dtype: torch.dtype,
    ) -> Runner:
        """Fold normalisations, cast, choose the memory layout that suits the hardware; in place."""
        network = network.eval()
        if isinstance(network, GlowNet):
            network = network.fuse()
        network = network.to(device=device, dtype=dtype)
        if device.type == "cuda" and dtype == torch.float32:
            _use_all_digits()
        if dtype == torch.bfloat16 or device.type == "cuda":
            network = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # missing in torch's stubs
        return cls(network, normalisation, device, dtype)

    @torch.inference_mode()
    def probability(
        self,
        x: Floats,
        *,
        views: int = 1,
        inner: Box | None = None,
        levels: bool = False,
        tell: Callable[[float], object] | None = None,
    ) -> NDArray[Any]:
        """Map normalised voxels to the probability of a neurite, as Engine says."""
        whole, box = padded(x, self.stride), inner or Box.of(x.shape)
        kept = symmetric(box, whole.shape, views)
        try:
            tensor = torch.from_numpy(whole).to(self.device, self.dtype)[None, None]
            mean = torch.zeros(kept.shape, device=self.device)
            for number, axes in enumerate(mirrors(views)):
                with passing(self.network, _part_of(tell, number, views)):
                    logit = self._logit(tensor.flip([axis + 2 for axis in axes]), kept)
                mean += self._calibrated(logit).sigmoid_()[0, 0].flip(axes) / views
            found = np.asarray(mean[box.relative_to(kept).slices].cpu().numpy())
            return in_levels(found) if levels else found
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise RunError(
                "a block must fit into the device's memory",
                found=f"out of memory at {x.shape} voxels",
                where=str(self.device),
                cure="a smaller --max-memory, or fewer --workers",
            ) from error

    def _logit(self, tensor: torch.Tensor, kept: Box) -> torch.Tensor:
        """Return the neurite's logit (float32) of a box; GlowNet decodes nothing else."""
        if isinstance(self.network, GlowNet):
            return neurite_logit(self.network(tensor, kept)).float()
        return neurite_logit(self.network(tensor))[(..., *kept.slices)].float()

    def _calibrated(self, logit: torch.Tensor) -> torch.Tensor:
        if self.calibration is None:
            return logit
        return logit * self.calibration.scale + self.calibration.shift


def _part_of(
    tell: Callable[[float], object] | None, number: int, parts: int
) -> Callable[[float], object] | None:
    """Convert the share of one of several equal parts to a share of all."""
    if tell is None:
        return None
    return lambda share: tell((number + share) / parts)

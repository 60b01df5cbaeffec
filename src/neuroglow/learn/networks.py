"""The networks by name, and what is common to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuroglow.errors import ModelError
from neuroglow.learn.glownet import GlowNet
from neuroglow.learn.voxresnet import VoxResNet

__all__ = ["NETWORKS", "build_network", "multiply_adds", "neurite_logit"]

NETWORKS: dict[str, type[nn.Module]] = {"glow": GlowNet, "voxresnet": VoxResNet}


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network, its weights random.

    Raises ModelError on a name or on arguments that no network has.
    """
    if name not in NETWORKS:
        raise ModelError(
            "the network must be a known one", found=repr(name), cure=", ".join(NETWORKS)
        )
    try:
        return NETWORKS[name](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"network {name!r} must be buildable", found=str(error)) from None


def neurite_logit(logits: Tensor) -> Tensor:
    """Give the logit of the neurite (N, 1, Z, Y, X) from one class or from two.

    The sigmoid of the difference of two logits is their softmax.
    """
    return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]


def multiply_adds(network: nn.Module, shape: Sequence[int] = (64, 64, 64)) -> float:
    """Count the multiply-adds of all convolutions per voxel of an input of this shape."""
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        transposed = isinstance(module, nn.ConvTranspose3d)
        weight = module.weight
        assert isinstance(weight, Tensor)
        counts.append((inputs[0] if transposed else output).numel() * weight[0].numel())

    convolutions = (m for m in network.modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d))
    hooks = [module.register_forward_hook(count) for module in convolutions]
    with torch.inference_mode():
        network(torch.zeros(1, 1, *shape))
    for hook in hooks:
        hook.remove()
    z, y, x = shape
    return sum(counts) / (z * y * x)

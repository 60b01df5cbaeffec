"""The networks by name, and their common functions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neuroglow.errors import ModelError
from neuroglow.network.glownet import GlowNet
from neuroglow.network.tensors import check_arguments
from neuroglow.network.voxresnet import VoxResNet

__all__ = ["NETWORKS", "build_network", "multiply_adds", "neurite_logit"]

NETWORKS: dict[str, type[nn.Module]] = {"glow": GlowNet, "voxresnet": VoxResNet}


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Raises ModelError for an unknown name, or for unknown arguments.
    """
    check_arguments(name, arguments)
    try:
        return NETWORKS[name](**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"network {name!r} must be buildable", found=str(error)) from None


def neurite_logit(logits: Tensor) -> Tensor:
    """Return the logit of the neurite (N, 1, Z, Y, X) from the logits of one or two classes.

    The sigmoid of the difference of two logits is their softmax.
    Raises ValueError for another number of classes.
    """
    classes = logits.shape[1]
    if classes not in (1, 2):
        raise ValueError(f"logits of one class or of two, not of {classes}")
    return logits if classes == 1 else logits[:, 1:] - logits[:, :1]


def multiply_adds(network: nn.Module, shape: Sequence[int] = (64, 64, 64)) -> float:
    """Count the multiply-adds of all convolutions per voxel of an input (zyx) of this shape.

    Nothing is computed, and the network is not changed.
    """
    counts: list[int] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        transposed = isinstance(module, nn.ConvTranspose3d)
        weight = module.weight
        assert isinstance(weight, Tensor)
        counts.append((inputs[0] if transposed else output).numel() * weight[0].numel())

    shadow = copy.deepcopy(network).to("meta").eval()
    for module in shadow.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        shadow(torch.zeros(1, 1, *shape, device="meta"))
    z, y, x = shape
    return sum(counts) / (z * y * x)

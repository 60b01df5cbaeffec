"""Progress within one pass of a network, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn

__all__ = ["passing"]


@contextmanager
def passing(network: nn.Module, tell: Callable[[float], object] | None) -> Iterator[None]:
    """While a network runs once, report the finished share of its arithmetic (0..1)."""
    if tell is None:
        yield
        return
    whole, done = _cost_of(network), 0.0

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal done
        done += _cost(module, output) / output.shape[0]
        tell(min(1.0, done / (whole * voxels[0])))

    voxels = [1.0]

    def begin(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        nonlocal done
        done, voxels[0] = 0.0, float(given[0][0].numel())

    hooks = [network.register_forward_pre_hook(begin)]
    hooks += [leaf.register_forward_hook(count) for leaf in _leaves(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@lru_cache(maxsize=4)
def _cost_of(network: nn.Module) -> float:
    """Measure the arithmetic per voxel on a small cube."""
    side = 2 * int(network.stride)  # type: ignore[arg-type]  # every network has one
    first = next(network.parameters())
    costs: list[float] = []

    def count(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        costs.append(_cost(module, output))

    hooks = [leaf.register_forward_hook(count) for leaf in _leaves(network)]
    try:
        network(torch.zeros(1, 1, side, side, side, device=first.device, dtype=first.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return max(sum(costs), 1.0) / side**3


def _leaves(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, nn.Conv3d | nn.ConvTranspose3d)]


def _cost(module: nn.Module, output: torch.Tensor) -> float:
    """Count multiplications: for each output voxel, one per weight that leads to it."""
    assert isinstance(module, nn.Conv3d | nn.ConvTranspose3d)
    return output.numel() * module.weight.numel() / module.out_channels

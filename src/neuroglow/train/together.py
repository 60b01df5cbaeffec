"""Several processes that train one network, as started by `torchrun`; or a single one.

Each process has `batch` patches of a step. Sums over a batch (in a loss, or in
the statistics of batch normalisation) are added up over all of them, so that N processes
compute the same as one with N times the batch, up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from neuroglow.errors import NeuroglowError, RunError

__all__ = [
    "Group",
    "SharedBatchNorm3d",
    "max_over_all",
    "share_statistics",
    "sum_over_all",
    "together",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The number of this process, and their total; the first (rank 0) writes the run."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Return whether this process writes."""
        return self.rank == 0

    def lead(self, work: Callable[[], T]) -> T:
        """Let the first process do some work; return its result, or raise its error, in all."""
        result: list[Any] = [None, None]
        if self.leads:
            try:
                result[0] = work()
            except NeuroglowError as error:
                result[1] = error
        value, fault = self.gather(tuple(result))[0]
        if fault is not None:
            raise fault
        done: T = value
        return done

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, in order, to all of them."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        distributed.all_gather_object(gathered, value)
        return gathered

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over the processes."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is not None:
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.size


@contextmanager
def together() -> Iterator[Group]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE, ...); alone without it."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    try:
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    except (RuntimeError, ValueError) as error:
        raise RunError(
            "the processes that torchrun started must find each other",
            found=str(error).splitlines()[0],
            where=f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}",
        ) from None
    try:
        yield Group(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


class _SumOverAll(torch.autograd.Function):
    """Add a tensor over all processes; gradients are added in the same way.

    torch.distributed.nn has the same, deprecated; its replacement has no gradient.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        gradient = gradients[0].clone()
        distributed.all_reduce(gradient)
        return gradient


def sum_over_all(value: Tensor) -> Tensor:
    """Add a tensor over all processes, and pass gradients back to each.

    Each process derives the same sum, so every gradient comes back as often as there are
    processes: Group.average_gradients takes the mean, which is the gradient of the whole.
    """
    if not (distributed.is_initialized() and distributed.get_world_size() > 1):
        return value
    total: Tensor = _SumOverAll.apply(value)  # type: ignore[no-untyped-call]
    return total


def max_over_all(value: float, device: torch.device) -> float:
    """Return the largest value of all processes."""
    if not (distributed.is_initialized() and distributed.get_world_size() > 1):
        return value
    largest = torch.tensor(value, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return float(largest)


class SharedBatchNorm3d(nn.BatchNorm3d):
    """Batch normalisation by the statistics of all processes' batches; on CPU too.

    Its tensors are those of BatchNorm3d, and in evaluation it is one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, Z, Y, X)."""
        if not self.training:
            return super().forward(x)
        wide, axes = x.float(), (0, 2, 3, 4)
        count = wide.new_full((x.shape[1],), wide.numel() / x.shape[1])
        sums = torch.stack([wide.sum(axes), (wide * wide).sum(axes), count])
        total, squares, number = sum_over_all(sums)
        mean = total / number
        variance = (squares / number - mean * mean).clamp(min=0)
        self._remember(mean, variance * number / (number - 1).clamp(min=1))
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        shape = (1, -1, 1, 1, 1)
        y: Tensor = wide * scale.view(shape) + shift.view(shape)
        return y.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum or 0.1)
        self.running_var.lerp_(variance, self.momentum or 0.1)
        self.num_batches_tracked += 1


def share_statistics(network: nn.Module) -> nn.Module:
    """Let every batch normalisation of a network share its statistics, in place; return it."""
    for module in network.modules():
        if type(module) is nn.BatchNorm3d:
            module.__class__ = SharedBatchNorm3d  # the same tensors under the same names
    return network

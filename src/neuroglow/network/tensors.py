"""The tensors of each network, by name and shape: what its weights must be. Needs no PyTorch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import ModelError

__all__ = ["check_arguments", "faults_of", "stride_of", "tensors_of"]

Shape = tuple[int, ...]
Named = tuple[str, Shape]

WIDTHS, BLOCKS = (24, 48, 96), (1, 1, 1)
"""GlowNet's channels and residual blocks of each level, unless a model says otherwise."""

MOST_LEVELS, MOST_CHANNELS = 8, 1024

LEARNED = ("weight", "bias", "running_mean", "running_var")
"""The tensors of a batch normalisation besides its count of batches, a whole number."""

COUNT = "num_batches_tracked"


def check_arguments(network: str, arguments: Mapping[str, Any]) -> None:
    """Refuse, with a ModelError, an unknown network, and numbers that would make a giant one."""
    if network not in TENSORS:
        raise ModelError(
            "the network must be a known one", found=repr(network), cure=", ".join(TENSORS)
        )
    for key, numbers in arguments.items():
        if not _is_modest(numbers):
            raise ModelError(
                f"a network's arguments are lists of at most {MOST_LEVELS} whole numbers, "
                f"each from 1 to {MOST_CHANNELS}",
                found=f"{key}: {numbers!r}"[:200],
            )


def tensors_of(network: str, arguments: Mapping[str, Any]) -> dict[str, Shape]:
    """Return the shape of each tensor of a network, in order.

    Raises ModelError for an unknown network, or for unknown arguments.
    """
    check_arguments(network, arguments)
    try:
        return dict(TENSORS[network](**arguments))
    except (TypeError, ValueError) as error:
        raise ModelError(f"network {network!r} must be buildable", found=str(error)) from None


def stride_of(network: str, arguments: Mapping[str, Any]) -> int:
    """Return the number that the sizes of a network's input are multiples of."""
    return 8 if network == "voxresnet" else int(2 ** len(arguments.get("widths", WIDTHS)))


def glow_tensors(
    *, widths: Sequence[int] = WIDTHS, blocks: Sequence[int] = BLOCKS
) -> Iterator[Named]:
    """List the tensors of GlowNet."""
    if len(widths) != len(blocks) or not widths:
        raise ValueError(f"as many widths as blocks, at least one: {widths}, {blocks}")
    yield from _conv_norm("stem", 8, widths[0])
    for level, (wide, wider) in enumerate(itertools.pairwise(widths)):
        yield from _conv_norm(f"down.{level}", wide, wider)
    for level, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for number in range(count):
            yield from _conv_norm(f"encode.{level}.{number}.first", width, width)
            yield from _conv_norm(f"encode.{level}.{number}.second", width, width)
    for level, (wide, wider) in enumerate(itertools.pairwise(widths)):
        yield from _conv(f"up.{level}", (wider, wide), 2, bias=wide)
    for level, width in enumerate(widths[:-1]):
        yield from _conv_norm(f"decode.{level}", width, width)
    yield from _conv("head", (8, widths[0] + 8), 3, bias=8)


def voxresnet_tensors() -> Iterator[Named]:
    """List the tensors of VoxResNet."""
    yield from _conv("conv1", (32, 1), 5, bias=32)
    yield from _norm("bn_act1.conv.0", 32)
    yield from _conv("conv2", (32, 32), 3, bias=32)
    yield from _conv("deconv1", (2, 32), 3, bias=2)
    yield from _conv("clc1", (2, 2), 1, bias=2)
    for level, side in enumerate((2, 4, 8)):
        before = 32 if level == 0 else 64
        yield from _norm(f"bn_act{level + 2}.conv.0", before)
        yield from _conv(f"conv{level + 3}", (64, before), 3, bias=64)
        for block in (3 * level + 2, 3 * level + 3):
            for norm, conv in ((0, 2), (3, 5)):
                yield from _norm(f"res{block}.conv.{norm}", 64)
                yield from _conv(f"res{block}.conv.{conv}", (64, 64), 3, bias=64)
        yield from _conv(f"deconv{level + 2}", (64, 2), side, bias=2)
        yield from _conv(f"clc{level + 2}", (2, 2), 1, bias=2)


TENSORS: dict[str, Callable[..., Iterator[Named]]] = {
    "glow": glow_tensors,
    "voxresnet": voxresnet_tensors,
}


def faults_of(expected: Mapping[str, Shape], weights: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """List differences between the weights and the expected ones."""
    for name, shape in expected.items():
        given = weights.get(name)
        whole = name.endswith(COUNT)
        if given is None:
            yield f"no tensor {name!r}"
        elif given.shape != shape:
            yield f"{name!r} of shape {given.shape}, not {shape}"
        elif given.dtype.kind not in ("iu" if whole else "f"):
            yield f"{name!r} of {given.dtype}, not of plain {'int64' if whole else 'float32'}"
        elif not np.isfinite(_as_used(given)).all():
            yield f"{name!r} contains values that are not finite"
        elif name.endswith("running_var") and bool((given < 0).any()):
            yield f"{name!r} contains negative variances"
    unknown = sorted(name for name in weights if name not in expected)
    yield from (f"an unknown tensor {name!r}" for name in unknown)


def _as_used(given: NDArray[Any]) -> NDArray[Any]:
    """Convert to the type in which the network computes, where a large float64 is infinite."""
    with np.errstate(over="ignore"):
        return given.astype(np.float32, copy=False) if given.dtype.kind == "f" else given


def _is_modest(numbers: Any) -> bool:
    """Prevent a damaged or hostile file from requesting a giant network."""
    return (
        isinstance(numbers, list | tuple)
        and len(numbers) <= MOST_LEVELS
        and all(type(n) is int and 1 <= n <= MOST_CHANNELS for n in numbers)
    )


def _conv(name: str, channels: tuple[int, int], side: int, *, bias: int = 0) -> Iterator[Named]:
    yield f"{name}.weight", (*channels, side, side, side)
    if bias:
        yield f"{name}.bias", (bias,)


def _norm(name: str, channels: int) -> Iterator[Named]:
    yield from ((f"{name}.{part}", (channels,)) for part in LEARNED)
    yield f"{name}.{COUNT}", ()


def _conv_norm(name: str, channels_in: int, channels_out: int) -> Iterator[Named]:
    yield from _conv(f"{name}.0", (channels_out, channels_in), 3)
    yield from _norm(f"{name}.1", channels_out)

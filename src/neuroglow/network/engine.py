"""Every engine: a model prepared for a machine; a block in, a block out. Needs no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.cores import cores_here
from neuroglow.network.model_settings import FixedInput, NoiseUnitsInput
from neuroglow.space.geometry import Box

__all__ = [
    "BYTES_PER_VOXEL",
    "PROCESS_BYTES",
    "Bytes",
    "Engine",
    "Precision",
    "in_levels",
    "mirrors",
    "padded",
    "symmetric",
    "threads",
    "use_threads",
]

Floats = NDArray[np.float32]
Precision = Literal["auto", "float32", "bfloat16", "int8"]


class Bytes(NamedTuple):
    """Peak memory of a block: bytes per voxel that is read, and more per voxel that is written."""

    read: int
    written: int = 0


BYTES_PER_VOXEL = {
    ("torch", "glow"): {"float32": Bytes(100), "bfloat16": Bytes(60)},
    ("torch", "voxresnet"): {"float32": Bytes(450), "bfloat16": Bytes(250)},
    ("openvino", "glow"): {
        "float32": Bytes(36, 24),
        "bfloat16": Bytes(21, 14),
        "int8": Bytes(18, 26),
    },
    ("openvino", "voxresnet"): {
        "float32": Bytes(380),
        "bfloat16": Bytes(250),
        "int8": Bytes(380),
    },
}
"""With a margin of at least a tenth: measured as growth of the peak resident memory with the block,
on a CPU; VoxResNet is taken to need as much in int8 as in float32."""

PROCESS_BYTES = {"torch": 450_000_000, "openvino": 270_000_000}
"""Memory of a worker besides its block: Python, the engine, the model."""


class Engine(Protocol):
    """A model prepared for a machine."""

    @property
    def normalisation(self) -> NoiseUnitsInput | FixedInput:
        """The input of its network."""

    @property
    def stride(self) -> int:
        """The number that the sizes of its network's input are multiples of."""

    @property
    def bytes_per_voxel(self) -> Bytes:
        """Its peak memory per voxel."""

    @property
    def afar(self) -> float | None:
        """The probability from afar that opens a tile; None: not measured (network/tiles.py)."""

    def probability(
        self,
        x: Floats,
        *,
        views: int = 1,
        inner: Box | None = None,
        levels: bool = False,
        tell: Callable[[float], object] | None = None,
    ) -> NDArray[Any]:
        """Map normalised voxels (zyx, float32) to the probability of a neurite (0..1).

        views: the mean over this many mirrored views (1, 2: z, 4: z and y, 8: all three axes).
        inner: the box of x whose probability is returned; the rest is its halo. By default all.
        levels: in 255 levels (uint8), each to the nearest, which an output of whole numbers holds.
        tell: called with the finished share (0..1).
        The far faces are mirrored up to the next multiple of the network's stride.
        Raises RunError if the memory is too small for the block.
        """


def in_levels(probability: Floats) -> NDArray[np.uint8]:
    """Round a probability (0..1) to the nearest of 255 levels."""
    found = np.empty(probability.shape, np.uint8)
    for plane, values in zip(found, probability, strict=True):  # not all: memory
        plane[...] = np.rint(values * 255)
    return found


def mirrors(views: int) -> list[tuple[int, ...]]:
    """List the axes (of z, y, x) that each of so many views mirrors; the first none."""
    choices = product((False, True), repeat=views.bit_length() - 1)
    return [tuple(axis for axis, turned in enumerate(chosen) if turned) for chosen in choices]


def symmetric(inner: Box, shape: Sequence[int], views: int) -> Box:
    """Widen a box of an array along the axes that are mirrored: to its own mirror image."""
    turned = {axis for axes in mirrors(views) for axis in axes}
    start, stop = list(inner.start), list(inner.stop)
    for axis in turned:
        start[axis] = min(inner.start[axis], shape[axis] - inner.stop[axis])
        stop[axis] = shape[axis] - start[axis]
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def padded(x: Floats, stride: int) -> Floats:
    """Mirror the far faces up to the next multiple of the stride; x itself if it is one."""
    missing = [(0, -n % stride) for n in x.shape]
    if not any(after for _, after in missing):
        return np.ascontiguousarray(x)
    return np.pad(x, missing, mode="reflect")


_threads: list[int] = []


def use_threads(count: int) -> None:
    """Limit the threads of the engines that are prepared in this process from now on."""
    _threads[:] = [count]


def threads() -> int | None:
    """Return how many threads an engine has; None: as many as the machine has cores.

    What was set in this process, or OMP_NUM_THREADS, which people set for PyTorch and for clusters,
    or the cores of the job or the container.
    """
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if _threads:
        return _threads[0]
    if asked.isdecimal() and int(asked):
        return int(asked)
    here = cores_here()
    return here if here < (os.cpu_count() or 1) else None

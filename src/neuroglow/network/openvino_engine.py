"""The engine OpenVINO: a network as a graph, compiled for the CPU. Needs no PyTorch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import RunError
from neuroglow.network import rearranged
from neuroglow.network.bfloat16 import bfloat16_pays
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
from neuroglow.network.graphs import Kept, graph_of
from neuroglow.network.int8 import int8_graph
from neuroglow.network.lean_openvino import openvino
from neuroglow.network.model_settings import FixedInput, NoiseUnitsInput
from neuroglow.network.stored import StoredModel
from neuroglow.space.geometry import Box

__all__ = ["OpenVinoEngine", "precisions"]

Floats = NDArray[np.float32]

LOOK_MS = 100
"""How often a running block looks whether Ctrl-C was pressed, and reports its progress."""

UNKNOWN = {"glow": 1e-6, "voxresnet": 1e-5}
"""Seconds per voxel that are assumed of a first block, for its progress alone: a slow computer."""

KEPT = 8
"""Shapes of blocks whose graphs are kept, each in some 12 MB: blocks along a row of a volume have
at most three, and boxes around the open tiles of a block have others."""

LAST = 0.98
"""Highest share that is reported of a running block: how long it takes is an estimate."""

HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}
"""What OpenVINO is told to compute in; of the int8 variant, what is not rounded to 8 bits."""


@dataclass(frozen=True)
class OpenVinoEngine:
    """A model for this CPU, compiled anew for each shape of blocks; the last few are kept."""

    model: StoredModel
    precision: str
    pace: list[float] = field(default_factory=list, repr=False)
    """Seconds per voxel of the last run."""
    _ready: dict[Kept, Any] = field(default_factory=dict, repr=False)  # openvino.InferRequest

    @classmethod
    def prepare(cls, model: StoredModel, precision: str) -> OpenVinoEngine:
        """Check that a model has what this precision needs."""
        engine = cls(model, precision)
        engine._graph()
        return engine

    @property
    def normalisation(self) -> NoiseUnitsInput | FixedInput:
        """The input of its network."""
        return self.model.settings.normalisation

    @property
    def stride(self) -> int:
        """The number that the sizes of its network's input are multiples of."""
        return self.model.stride

    @property
    def afar(self) -> float | None:
        """The probability from afar that opens a tile."""
        return self.model.settings.afar

    @property
    def bytes_per_voxel(self) -> Bytes:
        """Its peak memory per voxel."""
        return BYTES_PER_VOXEL["openvino", self.model.settings.network][self.precision]

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
        told: Callable[[float], object] = tell or _ignore
        try:
            if views == 1:
                found = self._run(whole, Kept(whole.shape, box, levels), told)
                told(1.0)
                return found
            kept = symmetric(box, whole.shape, views)
            inside = box.relative_to(kept).slices
            mean: Floats | None = None
            for number, axes in enumerate(mirrors(views)):
                part = partial(_tell_part, told, number, views)
                found = np.flip(
                    self._run(np.flip(whole, axes), Kept(whole.shape, kept), part), axes
                )[inside]
                mean = found if mean is None else np.add(mean, found, out=mean)
                part(1.0)
            assert mean is not None
            mean = np.ascontiguousarray(np.divide(mean, np.float32(views), out=mean))
            return in_levels(mean) if levels else mean
        except (MemoryError, RuntimeError) as error:
            raise RunError(
                "a block must fit into the memory",
                found=f"{str(error).strip().splitlines()[-1:]} at {x.shape} voxels",
                where="OpenVINO",
                cure="a smaller --max-memory, or fewer --workers",
            ) from error

    def _run(self, x: Floats, kept: Kept, tell: Callable[[float], object]) -> NDArray[Any]:
        """Run the graph on an array (zyx), for a box of it.

        tell: called with the share that is done, as estimated from the pace of the run before.
        """
        given = np.ascontiguousarray(x)[None, None]
        request = self._request(kept)
        found = np.empty(kept.inner.shape, np.uint8 if kept.levels else np.float32)
        request.set_output_tensor(openvino.Tensor(found[None, None], shared_memory=True))
        begun = time.monotonic()
        request.start_async({0: given}, share_inputs=True)
        try:
            while not request.wait_for(LOOK_MS):
                tell(self._share((time.monotonic() - begun) / x.size))
        except BaseException:  # Ctrl-C: the array must outlive the run
            request.cancel()
            with suppress(RuntimeError):  # says that it was cancelled
                request.wait()
            raise
        self.pace[:] = [(time.monotonic() - begun) / x.size]
        return found

    def _share(self, pace: float) -> float:
        """Estimate the share that is done of a run, from its seconds so far per voxel."""
        if self.pace:
            return min(LAST, pace / self.pace[-1])
        return -math.expm1(-pace / UNKNOWN[self.model.settings.network])  # it never seems to stop

    def _request(self, kept: Kept) -> Any:
        """Return what runs blocks of one shape; only the one used last holds memory for them."""
        request = self._ready.pop(kept, None)
        for other in list(self._ready.values())[-1:]:
            other.get_compiled_model().release_memory()
        while len(self._ready) >= KEPT:
            del self._ready[next(iter(self._ready))]
        self._ready[kept] = request or self._compiled(kept)
        return self._ready[kept]

    def _compiled(self, kept: Kept) -> Any:
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
        }
        if limit := threads():
            options["INFERENCE_NUM_THREADS"] = limit
        return _core().compile_model(self._graph(kept), "CPU", options).create_infer_request()

    def _graph(self, kept: Kept | None = None) -> Any:
        graph = (int8_graph if self.precision == "int8" else graph_of)(self.model, kept)
        return rearranged.in_levels(graph) if kept and kept.levels else graph


def _tell_part(tell: Callable[[float], object], number: int, parts: int, share: float) -> None:
    """Convert the share of one of several equal parts to a share of all."""
    tell((number + share) / parts)


def _ignore(_: float) -> None:
    """Report to nobody."""


@cache
def precisions() -> tuple[Precision, ...]:
    """List the precisions that this CPU computes in natively, the fastest first."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names: dict[str, Precision] = {"INT8": "int8", "BF16": "bfloat16", "FP32": "float32"}
    if not bfloat16_pays():
        names["BF16"] = names.pop("BF16")
    return tuple(name for kind, name in names.items() if kind in able)


@cache
def _core() -> Any:
    return openvino.Core()

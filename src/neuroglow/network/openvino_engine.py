"""The engine OpenVINO: a network as a graph, compiled for the CPU. Needs no PyTorch."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from neuroglow.errors import RunError
from neuroglow.network.engine import mirrors, padded, threads
from neuroglow.network.graphs import graph_of
from neuroglow.network.model_settings import FixedInput, NoiseUnitsInput
from neuroglow.network.stored import StoredModel

__all__ = ["OpenVinoEngine", "precisions"]

Floats = NDArray[np.float32]

LOOK_MS = 100
"""How often a running block looks whether Ctrl-C was pressed."""

HINTS = {"float32": "f32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class OpenVinoEngine:
    """A model compiled for this CPU."""

    normalisation: NoiseUnitsInput | FixedInput
    stride: int
    request: openvino.InferRequest
    afar: float | None = None

    @classmethod
    def prepare(cls, model: StoredModel, precision: str) -> OpenVinoEngine:
        """Compile a model."""
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[precision],
        }
        if limit := threads() or _threads_of_environment():
            options["INFERENCE_NUM_THREADS"] = limit
        compiled = _core().compile_model(graph_of(model), "CPU", options)
        request = compiled.create_infer_request()
        settings = model.settings
        return cls(settings.normalisation, model.stride, request, settings.afar)

    def probability(
        self, x: Floats, *, views: int = 1, tell: Callable[[float], object] | None = None
    ) -> Floats:
        """Map normalised voxels to the probability of a neurite, as Engine says."""
        whole = padded(x, self.stride)
        try:
            mean = np.zeros(x.shape, np.float32)
            for number, axes in enumerate(mirrors(views), 1):
                found = np.flip(self._run(np.flip(whole, axes)), axes)
                mean += found[tuple(slice(n) for n in x.shape)] / np.float32(views)
                if tell:
                    tell(number / views)
            return mean
        except (MemoryError, RuntimeError) as error:
            raise RunError(
                "a block must fit into the memory",
                found=f"{str(error).strip().splitlines()[-1:]} at {x.shape} voxels",
                where="OpenVINO",
                cure="a smaller --max-memory, or fewer --workers",
            ) from error

    def _run(self, x: Floats) -> Floats:
        """Run the graph on one array (zyx); the result is valid until the next run."""
        given = np.ascontiguousarray(x)[None, None]
        self.request.start_async({0: given}, share_inputs=True)
        try:
            while not self.request.wait_for(LOOK_MS):
                pass
        except BaseException:  # Ctrl-C: the array must outlive the run
            self.request.cancel()
            with suppress(RuntimeError):  # says that it was cancelled
                self.request.wait()
            raise
        found: Floats = self.request.get_output_tensor(0).data[0, 0]
        return found


def _threads_of_environment() -> int:
    """Return OMP_NUM_THREADS, which people set for PyTorch and for clusters; 0: it is not set."""
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() else 0


@cache
def precisions() -> tuple[str, ...]:
    """List the precisions that this CPU computes in natively, the fastest first."""
    able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ("bfloat16", "float32") if "BF16" in able else ("float32",)


@cache
def _core() -> openvino.Core:
    return openvino.Core()

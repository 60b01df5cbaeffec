"""The peak of an engine: how fast it multiplies matrices, and how much of that a network needs.

A network cannot be faster than its operations divided by this rate. Needs PyTorch or OpenVINO only
where they are measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from neuroglow.network.engine import threads
from neuroglow.network.machine import Machine
from neuroglow.network.stored import StoredModel

__all__ = ["matrix_peak", "operations"]

SIDE, SIDE_OF_GPU = 1536, 8192
"""Rows and columns of the matrices: large enough that reading them costs little."""

LOOKED = 64
"""Voxels per axis of the block whose operations are counted."""


def matrix_peak(machine: Machine, seconds: float) -> float | None:
    """Measure the operations (multiplications and additions) a second of a matrix product.

    seconds: about how long it is repeated; the fastest counts. None: there is no such product
    in this precision.
    """
    if machine.precision not in ("float32", "bfloat16"):
        return None
    side = SIDE if machine.kind == "cpu" else SIDE_OF_GPU
    multiply = (_by_openvino if machine.engine == "openvino" else _by_torch)(machine, side)
    multiply()  # not counted
    best, begun = math.inf, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        before = time.perf_counter()
        multiply()
        best = min(best, time.perf_counter() - before)
    return 2 * side**3 / best


def operations(model: StoredModel, machine: Machine) -> float:
    """Count the multiplications and additions of the network's convolutions for one voxel."""
    count = _of_graph if machine.engine == "openvino" else _of_network
    return count(model) / LOOKED**3


def _by_openvino(machine: Machine, side: int) -> Callable[[], object]:
    import openvino
    from openvino import opset13 as ops

    hint = {"float32": "f32", "bfloat16": "bf16"}[machine.precision]
    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    if limit := threads():
        options["INFERENCE_NUM_THREADS"] = str(limit)
    x = ops.parameter([side, side], np.float32)
    constant = ops.constant(np.full((side, side), 0.5, np.float32))
    graph = openvino.Model(
        [ops.matmul(x, constant, transpose_a=False, transpose_b=False)], [x], "product"
    )
    request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
    given = np.full((side, side), 0.5, np.float32)
    return lambda: request.infer({0: given}, share_inputs=True, share_outputs=True)


def _by_torch(machine: Machine, side: int) -> Callable[[], object]:
    import torch

    device = torch.device(machine.devices.split(",")[0])
    if limit := threads():
        torch.set_num_threads(limit)
    x = torch.full((side, side), 0.5, device=device, dtype=getattr(torch, machine.precision))

    def multiply() -> object:
        return (x @ x)[0, 0].item()  # waits for a GPU

    return multiply


def _of_graph(model: StoredModel) -> float:
    from neuroglow.network.graphs import graph_of

    graph = graph_of(model)
    graph.reshape([1, 1, LOOKED, LOOKED, LOOKED])
    total = 0.0
    for node in graph.get_ops():
        if node.get_type_name() == "Convolution":
            kernel = math.prod(node.input(1).get_shape()) / node.input(1).get_shape()[0]
            total += 2 * kernel * math.prod(node.output(0).get_shape())
        elif node.get_type_name() == "ConvolutionBackpropData":
            kernel = math.prod(node.input(1).get_shape()) / node.input(1).get_shape()[0]
            total += 2 * kernel * math.prod(node.input(0).get_shape())
    return total


def _of_network(model: StoredModel) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from neuroglow.network.checkpoint import build_model

    network = build_model(model).network.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, LOOKED, LOOKED, LOOKED))
    return float(counter.get_total_flops())

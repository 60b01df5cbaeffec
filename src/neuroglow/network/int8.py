"""The graph of a model's int8 variant. Needs neither PyTorch nor NNCF.

Values are rounded in the ranges that the variant holds (int8_variant.py), weights when the graph is
made: to 8 bits, each output channel by itself.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from neuroglow.errors import ModelError
from neuroglow.network.graphs import Kept, graph_of
from neuroglow.network.int8_variant import Int8, read_int8, unfit
from neuroglow.network.lean_openvino import openvino
from neuroglow.network.rearranged import raised_in_bytes
from neuroglow.network.stored import INT8, StoredModel

__all__ = ["int8_graph", "numbered_graph", "shape_of_graph"]

OUTPUT_CHANNELS = {"Convolution": 0, "ConvolutionBackpropData": 1}
"""The axis of a layer's weights along which its output channels lie."""

ops = openvino.opset13


def numbered_graph(model: StoredModel, kept: Kept | None = None) -> Any:
    """Make a graph as graph_of does, in float32, whose nodes are named by their order."""
    graph = graph_of(model, kept)
    for number, node in enumerate(graph.get_ordered_ops()):
        node.set_friendly_name(f"{number} {node.get_type_name()}")
    return graph


def shape_of_graph(graph: Any) -> str:
    """Return a hash of the nodes of a graph and of the shapes of its constants."""
    said = [(node.get_friendly_name(), _shape_of(node)) for node in graph.get_ordered_ops()]
    return hashlib.sha256(repr(said).encode()).hexdigest()


def _shape_of(node: Any) -> str:
    """Return the shape of a constant; that of anything else may depend on the block."""
    constant = node.get_type_name() == "Constant"
    return str(node.get_output_partial_shape(0)) if constant else ""


def int8_graph(model: StoredModel, kept: Kept | None = None) -> Any:
    """Make the graph of a model's int8 variant; see graph_of.

    Raises ModelError if it has none, or one that belongs to another model or graph.
    """
    found, graph = _read(model), numbered_graph(model, kept)
    if (found.model, found.graph) != (model.sha256, shape_of_graph(graph)):
        other = "it belongs to other weights, or to another version of the network"
        raise unfit(other, model.path / INT8)
    try:
        return _quantised(graph, found)
    except (LookupError, ValueError, RuntimeError) as error:
        raise unfit(str(error).splitlines()[0], model.path / INT8) from None


def _read(model: StoredModel) -> Int8:
    if model.int8 is None:
        raise ModelError(
            "this precision needs the int8 variant of a model",
            found=f"no {INT8} in its folder",
            where=str(model.path),
            cure=f"neuroglow models optimise {model.settings.name} VOLUME...",
        )
    return read_int8(model.int8, model.path / INT8)


def _quantised(graph: Any, found: Int8) -> Any:
    """Round values and weights of a numbered graph to 8 bits, in place."""
    nodes = {node.get_friendly_name(): node for node in graph.get_ordered_ops()}
    for name in found.layers:
        rounded = _rounded_weights(nodes[name].input_value(1), nodes[name].get_type_name())
        nodes[name].input(1).replace_source_output(rounded.output(0))
    for name, (low, high) in found.ranges.items():
        if not low < high:
            raise ValueError(f"an empty range of {name!r}: {low} to {high}")
        users = nodes[name].output(0).get_target_inputs()
        limits = [ops.constant(np.float32(limit)) for limit in (low, high, low, high)]
        rounded = ops.fake_quantize(nodes[name].output(0), *limits, 256)
        for user in users:
            user.replace_source_output(rounded.output(0))
    raised_in_bytes(graph)
    return graph


def _rounded_weights(constant: Any, kind: str) -> Any:
    weights = constant.get_node().get_data()
    others = tuple(a for a in range(weights.ndim) if a != OUTPUT_CHANNELS[kind])
    most = np.maximum(np.abs(weights).max(others, keepdims=True), np.float32(1e-12))
    low, high = ops.constant(-most), ops.constant(most)
    return ops.fake_quantize(constant, low, high, low, high, 255)

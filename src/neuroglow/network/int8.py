"""The int8 variant of a model: `int8.json` next to its weights. Needs neither PyTorch nor NNCF.

It holds what calibration found, the range of each rounded value, and not the weights: these are
rounded to 8 bits, each output channel by itself, when the graph is made.
`neuroglow models optimise` writes it (network/optimise.py).
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from neuroglow.errors import ModelError
from neuroglow.network.graphs import Kept, graph_of
from neuroglow.network.lean_openvino import openvino
from neuroglow.network.stored import INT8, StoredModel

__all__ = ["Int8", "int8_graph", "numbered_graph", "shape_of_graph"]

OUTPUT_CHANNELS = {"Convolution": 0, "ConvolutionBackpropData": 1}
"""The axis of a layer's weights along which its output channels lie."""

ops = openvino.opset13


class Int8(BaseModel):
    """What calibration found, by the names of numbered_graph.

    model: hash of the model that it belongs to. graph: of the layers and their shapes.
    ranges: of values, lowest and highest. layers: whose weights are rounded.
    calibrated: on what. loss: compared with float32, on boxes that did not calibrate it.
    close: is it near enough to float32 to be used without being asked for?
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format: Literal[2] = 2
    model: str
    graph: str
    ranges: dict[str, tuple[float, float]]
    layers: tuple[str, ...]
    calibrated: dict[str, Any] = {}
    loss: dict[str, float] = {}
    close: bool = False
    versions: dict[str, str] = {}

    def lines(self) -> list[str]:
        """Say in words on what it was calibrated, and its loss."""
        loss = self.loss
        return [
            f"int8: calibrated on {self.calibrated.get('boxes')} boxes of "
            f"{len(self.calibrated.get('volumes', ()))} volumes; on {loss.get('boxes', 0):.0f} "
            "other boxes of them, compared with float32:",
            f"  probability: largest difference {loss.get('largest_difference', 0):.3f}, "
            f"mean {loss.get('mean_difference', 0):.5f}",
            f"  detected voxels: {loss.get('detected_float32', 0):.3%} in float32, "
            f"{loss.get('detected_int8', 0):.3%} in int8, "
            f"{loss.get('detected_by_one_alone', 0):.3%} in only one of them",
            "  predict uses it by default"
            if self.close
            else "  predict uses it only with --precision int8: it is not close enough to float32",
        ]


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
        raise _unfit(model, "it belongs to other weights, or to another version of the network")
    try:
        return _quantised(graph, found)
    except (LookupError, ValueError, RuntimeError) as error:
        raise _unfit(model, str(error).splitlines()[0]) from None


def _read(model: StoredModel) -> Int8:
    if model.int8 is None:
        raise ModelError(
            "this precision needs the int8 variant of a model",
            found=f"no {INT8} in its folder",
            where=str(model.path),
            cure=f"neuroglow models optimise {model.settings.name} VOLUME...",
        )
    try:
        return Int8.model_validate_json(model.int8)
    except ValidationError as error:
        first = error.errors()[0]
        raise _unfit(model, f"{first['loc']}: {first['msg']}") from None


def _unfit(model: StoredModel, found: str) -> ModelError:
    return ModelError(
        "an int8 variant must fit its model",
        found=found[:200],
        where=str(model.path / INT8),
        cure="neuroglow models optimise MODEL VOLUME... --replace",
    )


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
    graph.validate_nodes_and_infer_types()
    return graph


def _rounded_weights(constant: Any, kind: str) -> Any:
    weights = constant.get_node().get_data()
    others = tuple(a for a in range(weights.ndim) if a != OUTPUT_CHANNELS[kind])
    most = np.maximum(np.abs(weights).max(others, keepdims=True), np.float32(1e-12))
    low, high = ops.constant(-most), ops.constant(most)
    return ops.fake_quantize(constant, low, high, low, high, 255)

"""Graphs rearranged: the same values with less memory. Needs no PyTorch.

What is computed voxel by voxel is done before voxels are put into their places, and what is rounded
to 8 bits is rounded before that, too: OpenVINO then moves bytes instead of real numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.network.lean_openvino import openvino

__all__ = ["in_levels", "raised_in_bytes"]

Graph = Any
Node = Any

ops = openvino.opset13


AGAIN = {"Sigmoid": ops.sigmoid, "Add": ops.add, "Multiply": ops.multiply, "Slice": ops.slice}
"""What a graph may end in, after it put its voxels into their places."""


def in_levels(graph: Graph) -> Graph:
    """Let a graph round its probability to the nearest of 255 levels, as engine.in_levels does."""
    (answer,) = graph.get_results()
    last, after = _before(answer), list[Node]()
    while last.get_type_name() in AGAIN:
        after.insert(0, last)
        last = _before(last)
    if last.get_type_name() != "DepthToSpace":
        return openvino.Model([_levels(answer.input_value(0))], graph.get_parameters(), "network")
    cuts = [node for node in after if node.get_type_name() == "Slice"]
    y = last.input_value(0)
    for node in after:
        if node.get_type_name() != "Slice":  # it is the same for all voxels
            y = AGAIN[node.get_type_name()](y, *_others(node))
    y = ops.depth_to_space(_levels(y), "blocks_first", last.get_attributes()["block_size"])
    for node in cuts:
        y = ops.slice(y, *_others(node))
    return openvino.Model([y], graph.get_parameters(), "network")


def _levels(shares: Any) -> Node:
    scaled = ops.multiply(shares, ops.constant(np.float32(255)))
    return ops.convert(ops.round(scaled, "half_to_even"), "u8")


def raised_in_bytes(graph: Graph) -> None:
    """Let transposed convolutions of a graph that is rounded to 8 bits answer in bytes; in place.

    OpenVINO lets them answer in real numbers. One whose kernel is its stride is a convolution of
    one voxel, whose channels are then put into the places of the finer voxels.
    """
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "ConvolutionBackpropData":
            continue
        weights, side = node.input_value(1).get_node(), int(node.get_attributes()["strides"][0])
        add = _after(node, "Add")
        rounded = _after(add, "FakeQuantize") if add is not None else None
        kernel = list(weights.output(0).get_shape()[2:])
        if (
            add is None
            or rounded is None
            or weights.get_type_name() != "FakeQuantize"
            or kernel != [side] * 3
        ):
            continue
        inner = [_flat(weights.input_value(i).get_node().get_data(), side) for i in range(5)]
        levels = weights.get_attributes()["levels"]
        small = ops.fake_quantize(*map(ops.constant, inner), levels)
        none = [0] * 3
        y = ops.convolution(node.input_value(0), small, [1] * 3, none, none, [1] * 3)
        bias = np.tile(add.input_value(1).get_node().get_data(), (1, side**3, 1, 1, 1))
        y = ops.add(y, ops.constant(bias))
        y = ops.fake_quantize(y, *_others(rounded), rounded.get_attributes()["levels"])
        placed = ops.depth_to_space(y, "blocks_first", side)
        for user in rounded.output(0).get_target_inputs():
            user.replace_source_output(placed.output(0))
    graph.validate_nodes_and_infer_types()


def _flat(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Turn weights (inputs, outputs, side, side, side), or limits of them, into those of one voxel.

    The outputs of each of the finer voxels follow each other.
    """
    inputs, outputs = values.shape[:2]
    wide = np.broadcast_to(values, (inputs, outputs, side, side, side))
    flat = wide.transpose(2, 3, 4, 1, 0).reshape(-1, inputs)
    return np.ascontiguousarray(flat[:, :, None, None, None])


def _before(node: Node) -> Node:
    return node.input_value(0).get_node()


def _after(node: Node, kind: str) -> Node | None:
    """Return the only user of a node, if it is of this kind."""
    users = [user.get_node() for user in node.output(0).get_target_inputs()]
    return users[0] if [user.get_type_name() for user in users] == [kind] else None


def _others(node: Node) -> list[Any]:
    """Return the inputs of a node besides its first."""
    return [node.input_value(at) for at in range(1, node.get_input_size())]

"""The networks as graphs of OpenVINO, made from their weights. Needs no PyTorch.

The same layers, in the same order, as in glownet.py and voxresnet.py. A batch normalisation
that follows a convolution is folded into it. A graph accepts blocks of any size in multiples of
the network's stride, and returns the probability of a neurite; or blocks of one shape, and returns
that of a box in them: OpenVINO plans memory and layouts better for a known shape, and what lies
around the box is not decoded (cropping.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neuroglow.network.cropping import decoded
from neuroglow.network.lean_openvino import openvino
from neuroglow.network.model_settings import Calibration
from neuroglow.network.stored import StoredModel
from neuroglow.network.tensors import BLOCKS
from neuroglow.space.geometry import Box, Zyx

__all__ = ["Kept", "graph_of"]

Graph: TypeAlias = Any
Node: TypeAlias = Any
Floats: TypeAlias = NDArray[Any]
Weights: TypeAlias = Mapping[str, Floats]
Ends: TypeAlias = tuple[Box | None, Box | None]

ops = openvino.opset13

FOLDED = 8
"""Channels of 2 x 2 x 2 folded voxels."""

EPSILON = 1e-5
"""Added to the variance by a batch normalisation, as in PyTorch."""


@dataclass(frozen=True)
class Kept:
    """What a graph is made for: blocks of one shape, of which it answers a box (voxels, zyx).

    levels: in 255 levels (uint8); see rearranged.py.
    """

    shape: Zyx
    inner: Box
    levels: bool = False


def graph_of(model: StoredModel, kept: Kept | None = None) -> Graph:
    """Make the graph of a model: normalised voxels (1, 1, Z, Y, X) -> probability.

    kept: makes it for one shape, and for the probability of a box in it; None: for any shape, and
    the probability of all of it. Both have the same nodes in the same order.
    Raises ModelError when the weights are damaged, or do not fit the network.
    """
    shape = kept.shape if kept else (-1, -1, -1)
    ends: Ends = (Box.of(kept.shape), kept.inner) if kept else (None, None)
    x = ops.parameter([1, 1, *shape], np.float32, name="voxels")
    weights, blocks = model.weights(), model.settings.arguments.get("blocks", BLOCKS)
    if model.settings.network == "glow":
        logit = _glow(x, weights, blocks, ends)
    else:
        logit = _cut(_voxresnet(x, weights), *ends, stride=1)
    return openvino.Model(
        [ops.sigmoid(_calibrated(logit, model.settings.calibration))], [x], "network"
    )


def _glow(x: Node, weights: Weights, blocks: Sequence[int], ends: Ends) -> Node:
    """Return the logit of GlowNet: in the second of two boxes, of voxels that fill the first."""
    whole, kept = ends
    folded = ops.space_to_depth(x, "blocks_first", 2)
    features = ops.relu(_conv_norm(folded, weights, "stem"))
    skips: list[Node] = []
    for level, count in enumerate(blocks):
        if level:
            features = ops.relu(_conv_norm(features, weights, f"down.{level - 1}", stride=2))
        for block in range(count):
            name = f"encode.{level}.{block}"
            inner = ops.relu(_conv_norm(features, weights, f"{name}.first"))
            features = ops.relu(ops.add(_conv_norm(inner, weights, f"{name}.second"), features))
        skips.append(features)
    features, known = skips.pop(), whole
    boxes = decoded(kept, whole, len(skips)) if whole and kept else [None] * len(skips)
    for level in reversed(range(len(skips))):
        to, stride = boxes[level], 2 ** (level + 1)
        features = _cut(features, known, to, stride=2 * stride)
        up, skip = _raised(features, *_layer(weights, f"up.{level}")), skips[level]
        joined = ops.add(_cut(skip, whole, to, stride=stride), up)  # in this order: less memory
        features, known = ops.relu(_conv_norm(joined, weights, f"decode.{level}")), to
    head = _head(features, _cut(folded, whole, known, stride=2), *_layer(weights, "head"))
    return _cut(ops.depth_to_space(head, "blocks_first", 2), known, kept, stride=1)


def _head(features: Node, folded: Node, weight: Floats, bias: Floats) -> Node:
    """Apply the head to features and folded voxels without joining them: that takes memory."""
    split = weight.shape[1] - FOLDED
    far = _conv(folded, weight[:, split:], np.zeros_like(bias))
    return ops.add(far, _conv(features, weight[:, :split], bias))


def _cut(x: Node, known: Box | None, to: Box | None, *, stride: int) -> Node:
    """Keep a box (voxels) of features that are known in another; without boxes all of them."""
    start, stop = [0] * 3, [np.iinfo(np.int64).max] * 3
    if known and to:
        at = to.relative_to(known)
        start, stop = ([n // stride for n in end] for end in (at.start, at.stop))
    limits = (np.array(n, np.int64) for n in (start, stop, [1] * 3, [2, 3, 4]))
    return ops.slice(x, *map(ops.constant, limits))


def _voxresnet(x: Node, weights: Weights) -> Node:
    """Return the logit of VoxResNet: the sum of its four side outputs.

    Each ends in a convolution of one voxel that is linear, as the layer before: both are one.
    """
    first = ops.relu(
        _conv(x, *_folded(*_layer(weights, "conv1"), _norm(weights, "bn_act1.conv.0")))
    )
    features = _conv(first, *_layer(weights, "conv2"))
    logit = _conv(features, *_one_class(*_layer(weights, "deconv1"), *_layer(weights, "clc1")))
    for level in range(3):
        active = _active(features, weights, f"bn_act{level + 2}.conv.0")
        features = _conv(active, *_layer(weights, f"conv{level + 3}"), stride=2)
        for block in (3 * level + 2, 3 * level + 3):
            features = _voxresnet_residual(features, weights, f"res{block}.conv")
        weight, bias = _layer(weights, f"deconv{level + 2}")
        turned = weight.swapaxes(0, 1)  # of a transposed convolution: inputs first
        side = _one_class(turned, bias, *_layer(weights, f"clc{level + 2}"))
        logit = ops.add(logit, _unfolded(features, *side))
    return logit


def _voxresnet_residual(x: Node, weights: Weights, name: str) -> Node:
    active = _active(x, weights, f"{name}.0")
    inner = _folded(*_layer(weights, f"{name}.2"), _norm(weights, f"{name}.3"))
    return ops.add(x, _conv(ops.relu(_conv(active, *inner)), *_layer(weights, f"{name}.5")))


def _conv_norm(x: Node, weights: Weights, name: str, *, stride: int = 1) -> Node:
    weight = weights[f"{name}.0.weight"]
    none = np.zeros(len(weight), np.float32)
    return _conv(x, *_folded(weight, none, _norm(weights, f"{name}.1")), stride=stride)


def _conv(x: Node, weight: Floats, bias: Floats, *, stride: int = 1) -> Node:
    pads = [side // 2 for side in weight.shape[2:]]
    y = ops.convolution(x, _constant(weight), [stride] * 3, pads, pads, [1] * 3)
    return ops.add(y, _constant(_per_channel(bias)))


def _raised(x: Node, weight: Floats, bias: Floats) -> Node:
    """Double the size by a transposed convolution whose kernel equals its stride."""
    y = ops.convolution_backprop_data(
        x, _constant(weight), [2] * 3, pads_begin=[0] * 3, pads_end=[0] * 3
    )
    return ops.add(y, _constant(_per_channel(bias)))


def _unfolded(x: Node, weight: Floats, bias: Floats) -> Node:
    """Apply a transposed convolution to one channel (1, C, k, k, k), whose kernel is its stride."""
    channels, side = weight.shape[1], weight.shape[2]
    flat = weight[0].reshape(channels, -1).T[:, :, None, None, None]
    y = _conv(x, flat, np.repeat(bias, side**3))
    return ops.depth_to_space(y, "blocks_first", side)


def _active(x: Node, weights: Weights, name: str) -> Node:
    """Apply a batch normalisation and a ReLU."""
    scale, shift = _norm(weights, name)
    scaled = ops.multiply(x, _constant(_per_channel(scale)))
    return ops.relu(ops.add(scaled, _constant(_per_channel(shift))))


def _norm(weights: Weights, name: str) -> tuple[Floats, Floats]:
    """Return a batch normalisation as a scale and a shift of each channel."""
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + EPSILON)
    return scale, weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale


def _folded(weight: Floats, bias: Floats, norm: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Fold the normalisation after a convolution into it."""
    scale, shift = norm
    return weight * scale[:, None, None, None, None], bias * scale + shift


def _one_class(
    weight: Floats, bias: Floats, last: Floats, last_bias: Floats
) -> tuple[Floats, Floats]:
    """Join a layer of two outputs and a convolution of one voxel: class 1 less class 0."""
    apart = (last[1] - last[0]).reshape(2)
    joined = np.einsum("o,oizyx->izyx", apart, weight)[None]
    return joined, (apart @ bias + last_bias[1] - last_bias[0]).reshape(1)


def _calibrated(logit: Node, calibration: Calibration | None) -> Node:
    if calibration is None:
        return logit
    scaled = ops.multiply(logit, _constant(np.float32(calibration.scale)))
    return ops.add(scaled, _constant(np.float32(calibration.shift)))


def _layer(weights: Weights, name: str) -> tuple[Floats, Floats]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def _per_channel(values: Floats) -> Floats:
    return values.reshape(1, -1, 1, 1, 1)


def _constant(values: Any) -> Node:
    return ops.constant(np.ascontiguousarray(values, np.float32))

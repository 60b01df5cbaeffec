"""Optimise a model: its int8 variant by NNCF (extra `optimise`), calibrated on volumes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import OutputError, SettingsError
from neuroglow.files.writing import appearing, refuse_unwritable
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.network.int8 import OUTPUT_CHANNELS, numbered_graph, shape_of_graph
from neuroglow.network.int8_variant import Int8
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.stored import INT8, StoredModel, read_model
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import Volume

__all__ = ["optimise_model"]

Floats = NDArray[np.float32]

SIDE, EACH, SEED = 64, 8, 16
"""Voxels per axis of a box, boxes of a volume at most, and the seed by which they are drawn."""

PRECISIONS = ("float32", "int8")

CLOSE = 0.05
"""Of the voxels that float32 detects, the share that may be detected in only one precision of a
variant that is used by default. The bundled model's has 0.018, and no less average precision
(benchmarks/int8_loss.py); at 0.17, with another calibration, 0.004 of it were lost."""


def optimise_model(model: str | Path, volumes: Sequence[str], *, replace: bool = False) -> Int8:
    """Write the int8 variant of a model into its folder, calibrated on volumes of many kinds.

    Half of the boxes calibrate it, the other half show how far its probability is from float32's.
    The same model, volumes and versions give the same file.
    Raises OutputError if there is one already, unless it is to be replaced; WriteError if the
    folder cannot be written.
    """
    stored = read_model(model)
    if stored.int8 is not None and not replace:
        raise OutputError(
            "an existing output is not overwritten",
            found="the model has an int8 variant",
            where=str(stored.path / INT8),
            cure="--replace",
        )
    refuse_unwritable(stored.path / INT8)
    boxes = [boxes_of(stored, open_volume(name)) for name in volumes]
    calibrating = [box for few in boxes for box in few[::2]]
    others = [box for few in boxes for box in few[1::2]]
    if not others:
        raise SettingsError(
            "calibration needs boxes that check it",
            found=f"{len(calibrating)} box of {SIDE} voxels per axis",
            cure="more volumes, or larger ones",
        )
    found = _calibrated(stored, calibrating)
    trial = stored.with_int8(found.model_dump_json().encode())
    about = {"volumes": [Path(name).name for name in volumes], "boxes": len(calibrating)}
    loss = _loss(trial, others)
    close = loss["detected_by_one_alone"] <= CLOSE * loss["detected_float32"]
    complete = found.model_copy(
        update={"calibrated": about | {"side": SIDE}, "loss": loss, "close": close}
    )
    with appearing(stored.path / INT8) as file:
        file.write_text(complete.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return complete


def boxes_of(model: StoredModel, volume: Volume) -> list[Floats]:
    """Draw boxes of a volume as the network is shown them; at most EACH, by a fixed seed."""
    stride = model.stride
    side = min(SIDE, *(n // stride * stride for n in volume.shape))
    if side < stride:
        return []
    blocks = list(tile(Box.of(volume.shape), (side, side, side)))
    whole = [block.write for block in blocks if set(block.write.shape) == {side}]
    order = np.random.default_rng(SEED).permutation(len(whole))[:EACH]
    given = model.settings.normalisation
    if given.kind == "fixed":
        return [given.normalise(volume.read(whole[i])) for i in order]
    units = NoiseUnits(volume, given.cell)
    return [units.read_filled(whole[i])[1] for i in order]


def _calibrated(model: StoredModel, boxes: Sequence[Floats]) -> Int8:
    """Let NNCF quantise the graph, and keep the ranges that it found.

    Ranges reach from the lowest to the highest value in any box: NNCF's default, the mean of the
    boxes' extremes, cuts off bright neurites. Its correction of the biases made the loss larger,
    and so did rounding what only the logit is made of.
    """
    try:
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ImportError:
        raise SettingsError(
            "a model is optimised by NNCF",
            found="it is not installed",
            cure="pip install neuroglow[optimise]",
        ) from None
    graph = numbered_graph(model)
    shown = nncf.Dataset([np.ascontiguousarray(box)[None, None] for box in boxes])
    done = nncf.quantize(
        graph,
        shown,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(boxes),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
            disable_bias_correction=True,
        ),
    )
    nodes = done.get_ordered_ops()
    return Int8(
        model=model.sha256,
        graph=shape_of_graph(graph),
        ranges=dict(_range_of(node) for node in nodes if _is_rounding(node) and _is_read(node)),
        layers=tuple(node.get_friendly_name() for node in nodes if _has_rounded_weights(node)),
        versions={name: version(name) for name in ("neuroglow", "nncf", "openvino")},
    )


def _range_of(node: Any) -> tuple[str, tuple[float, float]]:
    """Return the rounded node's name, and its lowest and highest value."""
    low, high, *same = (float(node.input_value(i).get_node().get_data()) for i in range(1, 5))
    assert same == [low, high], "NNCF rounds to what it reads"
    return node.input_value(0).get_node().get_friendly_name(), (low, high)


def _is_rounding(node: Any) -> bool:
    return str(node.get_type_name()) == "FakeQuantize"


def _is_read(node: Any) -> bool:
    """Return whether a layer still reads a value: where none does, its rounding is the logit's."""
    after = [user.get_node() for user in node.output(0).get_target_inputs()]
    return any(_has_rounded_weights(user) or _is_read(user) for user in after if user.outputs())


def _has_rounded_weights(node: Any) -> bool:
    """Return whether NNCF holds the weights of a layer in 8 bits: scaled, not plain."""
    kind = node.get_type_name()
    return kind in OUTPUT_CHANNELS and node.input_value(1).get_node().get_type_name() != "Constant"


def _loss(trial: StoredModel, boxes: Sequence[Floats]) -> dict[str, float]:
    """Compare the probability of the variant with float32's."""
    usual, small = (prepare(trial, Machine("openvino", "cpu", p), "cpu") for p in PRECISIONS)
    pairs = [(usual.probability(x).ravel(), small.probability(x).ravel()) for x in boxes]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    apart, least = np.abs(first - second), trial.settings.threshold
    return {
        "boxes": len(boxes),
        "largest_difference": float(apart.max()),
        "mean_difference": float(apart.mean(dtype=np.float64)),
        "detected_float32": float((first >= least).mean()),
        "detected_int8": float((second >= least).mean()),
        "detected_by_one_alone": float(((first >= least) != (second >= least)).mean()),
    }

"""The networks: DB-Enhance's numbers, the law of two logits, the cost by counting."""

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from neuroglow.errors import ModelError
from neuroglow.network.build import NETWORKS, build_network, multiply_adds, neurite_logit
from neuroglow.network.voxresnet import VoxResNet


def norm(name, channels):
    """Name the tensors of a batch normalisation."""
    each = ("weight", "bias", "running_mean", "running_var")
    return [(f"{name}.{part}", [channels]) for part in each] + [(f"{name}.num_batches_tracked", [])]


def conv(name, *shape, bias=None):
    """Name the tensors of a convolution; a transposed one has its outputs second."""
    return [(f"{name}.weight", list(shape)), (f"{name}.bias", [bias or shape[0]])]


def residual(name):
    halves = ((norm(f"{name}.conv.{i}", 64), f"{name}.conv.{i + 2}") for i in (0, 3))
    return [tensor for n, c in halves for tensor in n + conv(c, 64, 64, 3, 3, 3)]


def db_enhance_tensors():
    """List names and shapes of a DB-Enhance checkpoint, in order."""
    tensors = conv("conv1", 32, 1, 5, 5, 5) + norm("bn_act1.conv.0", 32)
    tensors += conv("conv2", 32, 32, 3, 3, 3) + conv("deconv1", 2, 32, 3, 3, 3)
    tensors += conv("clc1", 2, 2, 1, 1, 1)
    for level, (width, first) in enumerate([(32, 2), (64, 5), (64, 8)], start=2):
        tensors += norm(f"bn_act{level}.conv.0", width)
        tensors += conv(f"conv{level + 1}", 64, width, 3, 3, 3)
        tensors += residual(f"res{first}") + residual(f"res{first + 1}")
        tensors += conv(f"deconv{level}", 64, 2, *[2 ** (level - 1)] * 3, bias=2)
        tensors += conv(f"clc{level}", 2, 2, 1, 1, 1)
    return tensors


def ruled(name, shape, seed):
    """Make a tensor by the rule of the reference."""
    rng = np.random.default_rng(seed)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(100)
    if name.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith("running_mean"):
        values = rng.normal(0, 0.1, shape)
    elif len(shape) == 5:
        values = rng.normal(0, 1, shape) * np.sqrt(1 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        values = rng.uniform(0.8, 1.2, shape)
    else:
        values = rng.normal(0, 0.05, shape)
    return torch.tensor(values.astype(np.float32))


def test_voxresnet_has_the_tensors_of_db_enhance_in_order():
    found = [(name, list(value.shape)) for name, value in VoxResNet().state_dict().items()]
    assert found == db_enhance_tensors()


def test_the_tensors_are_those_that_were_recorded(shared):
    recorded = json.loads((shared / "reference/voxresnet_keys.json").read_text())
    assert [(name, shape) for name, shape in recorded] == db_enhance_tensors()


def test_voxresnet_gives_the_recorded_probabilities(shared):
    seed = json.loads((shared / "reference/cases.json").read_text())["weight_seed"]
    tensors = enumerate(db_enhance_tensors())
    network = VoxResNet().eval()
    network.load_state_dict({name: ruled(name, shape, [seed, i]) for i, (name, shape) in tensors})
    reference = np.load(shared / "reference/voxresnet.npz")
    for i in (0, 1):
        raw = np.clip(reference[f"raw{i}"].astype(np.float32), 0, 1500)
        with torch.inference_mode():
            logits = network(torch.from_numpy((raw - 168.5) / 500)[None, None])
        found = logits.softmax(1)[0, 1].numpy()
        assert np.abs(found - reference[f"prob{i}"]).max() <= 1e-5


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("shape", [(15, 16, 16), (16, 12, 16), (16, 16, 9)])
def test_a_size_off_the_stride_is_refused(name, shape):
    network = build_network(name, {})
    with pytest.raises(ValueError, match=f"multiples of {network.stride}, not"):
        network(torch.zeros(1, 1, *shape))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_each_axis_keeps_its_length(name):
    network = build_network(name, {}).eval()
    with torch.inference_mode():
        logit = neurite_logit(network(torch.zeros(2, 1, 8, 16, 24)))
    assert logit.shape == (2, 1, 8, 16, 24)


def test_the_sigmoid_of_the_neurite_logit_is_the_softmax():
    logits = 8 * torch.randn(2, 2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    found = neurite_logit(logits)
    assert torch.allclose(found.sigmoid(), logits.softmax(1)[:, 1:], atol=1e-6)
    assert neurite_logit(found) is found
    with pytest.raises(ValueError, match="not of 3"):
        neurite_logit(torch.zeros(1, 3, 2, 2, 2))


def test_multiply_adds_are_those_counted_by_hand():
    network = nn.Sequential(nn.Conv3d(1, 3, 3, 2, 1), nn.ConvTranspose3d(3, 2, 2, 2))
    down = 4**3 * 3 * 27  # 4 x 4 x 4 outputs of 3 channels, each of 27 products
    up = 4**3 * 3 * 2 * 8  # each of 4 x 4 x 4 x 3 inputs goes to 8 voxels of 2 channels
    assert multiply_adds(network, (8, 8, 8)) == (down + up) / 8**3


def test_counting_leaves_the_network_alone():
    network = VoxResNet()
    before = copy.deepcopy(network.state_dict())
    multiply_adds(network, (16, 16, 16))
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_glownet_costs_at_most_an_eighth_of_voxresnet():
    costs = {name: multiply_adds(build_network(name, {})) for name in ("glow", "voxresnet")}
    assert 0 < costs["glow"] <= costs["voxresnet"] / 8


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("unet", {}, "'unet'"),
        ("voxresnet", {"widths": [8]}, "widths"),
        ("glow", {"depth": [3]}, "depth"),
        ("glow", {"widths": [8, 16], "blocks": [1]}, "as many widths as blocks"),
        ("glow", {"widths": [], "blocks": []}, "at least one"),
        ("glow", {"widths": [8.0], "blocks": [1]}, r"\[8\.0\]"),
        ("glow", {"widths": [True], "blocks": [1]}, "True"),
        ("glow", {"widths": [-8], "blocks": [1]}, "from 1 to"),
        ("glow", {"widths": "eight"}, "'eight'"),
        ("glow", {"widths": [10**9] * 2, "blocks": [1, 1]}, "from 1 to"),
        ("glow", {"widths": [8], "blocks": [10**9]}, "from 1 to"),
        ("glow", {"widths": [8] * 10**4, "blocks": [1] * 10**4}, "at most 8"),
    ],
)
def test_a_network_that_cannot_be_is_refused(name, arguments, said):
    with pytest.raises(ModelError, match=said) as caught:
        build_network(name, arguments)
    assert len(str(caught.value)) < 500

"""A model as TorchScript takes volumes of any size, not only the one with which it was traced."""

import pytest
import torch

from neuroglow.network.glownet import GlowNet
from neuroglow.network.scripted import Logit


@pytest.mark.filterwarnings("ignore")  # checks of the shape are not traced, as is meant
def test_a_traced_network_takes_other_shapes():
    torch.manual_seed(1)
    network = GlowNet(widths=(4, 8, 8)).eval()
    stride = network.stride
    with torch.no_grad():
        traced = torch.jit.trace(Logit(network), torch.zeros(1, 1, 2 * stride, stride, stride))
        image = torch.randn(1, 1, stride, 3 * stride, 2 * stride)
        assert torch.allclose(traced(image), network(image), atol=1e-5)

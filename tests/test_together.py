"""Several processes learn what one learns with the whole batch."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import neuroglow
from neuroglow.errors import SettingsError
from neuroglow.network.glownet import GlowNet
from neuroglow.train.together import share_statistics
from training_sets import TINY, write_pool

SETTINGS = TINY | {"steps": 8, "checkpoint_every": 4, "sampling": "hard"}


def test_shared_statistics_of_one_process_are_batch_normalisation():
    torch.manual_seed(1)
    network = GlowNet(widths=(4, 8), blocks=(1, 1)).train()
    shared = share_statistics(copy.deepcopy(network))
    x = torch.randn(2, 1, 16, 16, 16)
    for one in (network, shared):
        one(x).square().mean().backward()
    for own, other in zip(network.parameters(), shared.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-6)
    for own, other in zip(network.buffers(), shared.buffers(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-7)
    assert shared.state_dict().keys() == network.state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(shared.eval()(x), network.eval()(x), rtol=1e-4, atol=1e-5)
    assert not any(type(m) is nn.BatchNorm3d for m in shared.modules())


TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of one process with four patches a step, and one of two with two each."""
    folder = tmp_path_factory.mktemp("together")
    pool = write_pool(folder / "pool", 5)
    neuroglow.train(pool, out=folder / "one", **SETTINGS | {"batch": 4})
    config = folder / "two.yaml"
    config.write_text(json.dumps(SETTINGS | {"batch": 2}))
    words = ["-m", "neuroglow", "train", pool, "-o", folder / "two", "--config", config]
    done = subprocess.run(
        [sys.executable, *TORCHRUN, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("8 steps; best model") == 1
    return folder


def rows(folder, name):
    return [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]


def test_two_processes_have_the_losses_of_one_with_the_doubled_batch(runs):
    one, two = rows(runs, "one"), rows(runs, "two")
    assert [r["step"] for r in one] == [r["step"] for r in two]
    losses = [[r["loss"] for r in part if "loss" in r] for part in (one, two)]
    assert len(losses[0]) == 8
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_one_process_does_not_resume_the_run_of_two(runs):
    with pytest.raises(SettingsError, match=r"found: 1, begun by 2[\s\S]*--nproc-per-node 2"):
        neuroglow.train(runs / "pool", out=runs / "two", mode="resume")


def test_two_processes_have_the_scores_and_weights_of_one(runs):
    one, two = (
        [r["validation"] for r in rows(runs, n) if "validation" in r] for n in ("one", "two")
    )
    for a, b in zip(one, two, strict=True):
        assert a["average_precision"] == pytest.approx(b["average_precision"], abs=5e-3)
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-2)
    weights = [load_file(runs / n / "checkpoints/last/weights.safetensors") for n in ("one", "two")]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=0.02, atol=2e-3)

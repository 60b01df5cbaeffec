"""Checkpoints: what is saved comes back; what is damaged is named."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from neuroglow.errors import ModelError, OutputError, WriteError
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.inference import Runner
from neuroglow.network.model_settings import (
    Calibration,
    FixedInput,
    ModelSettings,
    NoiseUnitsInput,
    SeamError,
)

SETTINGS = ModelSettings(
    name="tiny",
    network="glow",
    arguments={"widths": [2, 4], "blocks": [1, 1]},
    normalisation=NoiseUnitsInput(cell=16),
    halo=8,
    threshold=0.4,
    seam_error=(SeamError(halo=8, mean=1e-4, worst=2e-3, where="a phantom"),),
    voxel_size_um=(0.3, 2),
    training={"recipe": "none", "seed": 3, "steps": 0},
    scores={"f1": 0.5},
    licence="BSD-3-Clause",
    description="µm, 神経",
)


def randomised(network, seed=0):
    """Give every tensor, running statistics too, values of its own."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif value.is_floating_point():
                value.normal_(0, 0.1)
    return network.eval()


def glow(seed=0):
    return randomised(GlowNet(widths=(2, 4), blocks=(1, 1)), seed)


def answer(network, edge=16):
    x = torch.randn(1, 1, edge, edge, edge, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        return network(x)


def same_tensors(a, b):
    a, b = a.state_dict(), b.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks as small as these only lose by a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder(tmp_path):
    return save_model(tmp_path / "tiny", glow(), SETTINGS, card="# Tiny")


# what is saved comes back


def test_a_calibration_bends_the_probability_and_a_model_without_one_is_as_it_was(tmp_path):
    x = np.random.default_rng(0).standard_normal((16, 16, 24)).astype(np.float32)
    plain, bent = (
        Runner.prepare(
            load_model(
                save_model(
                    tmp_path / name,
                    glow(),
                    SETTINGS.model_copy(update={"calibration": calibration}),
                )
            ),
            torch.device("cpu"),
            torch.float32,
        ).probability(x)
        for name, calibration in (("plain", None), ("bent", Calibration(scale=2.0, shift=-0.5)))
    )
    logit = np.log(plain / (1 - plain))
    assert np.allclose(bent, 1 / (1 + np.exp(0.5 - 2 * logit)), atol=1e-5)
    assert np.abs(bent - plain).max() > 0.01


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_a_calibration_keeps_the_order_of_probabilities(scale):
    with pytest.raises(ValueError, match="scale"):
        Calibration(scale=scale)


def test_float32_comes_back_bit_for_bit(folder):
    model = load_model(folder)
    assert same_tensors(model.network, glow())
    assert torch.equal(answer(model.network), answer(glow()))
    assert not any(module.training for module in model.network.modules())
    assert model.path == folder
    assert (folder / "card.md").read_text() == "# Tiny"


def test_settings_come_back_with_versions(folder):
    found = load_model(folder).settings
    assert found.model_copy(update={"versions": {}}) == SETTINGS
    assert found.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_float16_halves_the_file_within_the_stated_error(tmp_path, folder):
    half = save_model(tmp_path / "half", glow(), SETTINGS, dtype=torch.float16)
    exact, found = glow().state_dict(), load_model(half).network.state_dict()
    for name, value in exact.items():
        assert found[name].dtype == value.dtype
        assert ((found[name] - value).abs() <= value.abs() * 2**-11 + 2**-25).all()
    sizes = [sum(t.nbytes for t in read_weights(f).values()) for f in (half, folder)]
    assert sizes[0] < 0.6 * sizes[1]


def test_a_checkpoint_rebuilds_itself_in_a_fresh_process(tmp_path, folder):
    code = (
        "import sys, torch; from neuroglow.network.checkpoint import load_model\n"
        "torch.set_num_threads(1); network = load_model(sys.argv[1]).network\n"
        "x = torch.randn(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(7))\n"
        "torch.save(network(x).detach(), sys.argv[2])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder), str(tmp_path / "answer.pt")]
    subprocess.run(command, check=True)
    assert torch.equal(torch.load(tmp_path / "answer.pt", weights_only=True), answer(glow()))


def test_the_hash_follows_weights_and_settings_but_not_the_place(tmp_path, folder):
    copy = shutil.copytree(folder, tmp_path / "copy")
    weights = save_model(tmp_path / "weights", glow(1), SETTINGS)
    other = SETTINGS.model_copy(update={"threshold": 0.5})
    settings = save_model(tmp_path / "settings", glow(), other)
    hashes = [load_model(path).sha256 for path in (folder, copy, weights, settings)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_saving_and_loading_disturb_nothing(tmp_path):
    network = glow().train()
    before = torch.get_rng_state()
    load_model(save_model(tmp_path / "tiny", network, SETTINGS))
    assert torch.equal(torch.get_rng_state(), before)
    assert network.training
    assert same_tensors(network, glow())


def test_a_loaded_network_can_be_trained_on(folder):
    network = load_model(folder).network.train()
    network(torch.ones(2, 1, 8, 8, 8)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_others_may_read_what_the_umask_lets_them(folder):
    assert (folder / "weights.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# the folder appears whole or not at all


def test_an_existing_model_is_replaced_on_request_alone(folder):
    with pytest.raises(OutputError, match="not overwritten"):
        save_model(folder, glow(1), SETTINGS)
    assert same_tensors(load_model(folder).network, glow())
    save_model(folder, glow(1), SETTINGS, replace=True)
    assert same_tensors(load_model(folder).network, glow(1))
    assert not (folder / "card.md").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_what_is_no_model_is_never_replaced(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/brain.tif").write_text("precious")
    with pytest.raises(OutputError, match="not a model"):
        save_model(tmp_path / "data", glow(), SETTINGS, replace=True)
    assert (tmp_path / "data/brain.tif").read_text() == "precious"


def poisoned(value):
    network = glow()
    with torch.no_grad():
        network.head.weight[0, 0, 0, 0, 0] = value
    return network


@pytest.mark.parametrize(
    ("network", "settings", "dtype", "said"),
    [
        (
            poisoned(torch.nan),
            {},
            torch.float32,
            "'head.weight' contains values that are not finite",
        ),
        (poisoned(1e5), {}, torch.float16, "'head.weight' contains values that are not finite"),
        (glow().fuse(), {}, torch.float32, "no tensor 'stem.1.weight'"),
        (glow(), {"arguments": {}}, torch.float32, "of shape"),
        (glow(), {"network": "unet"}, torch.float32, "'unet'"),
        (
            glow(),
            {"normalisation": FixedInput.model_construct(low=0, high=1, mean=float("nan"), std=1)},
            torch.float32,
            "mean",
        ),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(folder, network, settings, dtype, said):
    changed = SETTINGS.model_copy(update=settings)
    for out, replace in ((folder.with_name("new"), False), (folder, True)):
        with pytest.raises(ModelError, match=said) as caught:
            save_model(out, network, changed, dtype=dtype, replace=replace)
        assert caught.value.where == str(out)
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]
    assert same_tensors(load_model(folder).network, glow())


def test_a_disk_that_takes_no_more_leaves_nothing_behind(folder):
    resource = pytest.importorskip("resource", reason="limits of file sizes are POSIX")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        for out, replace in ((folder.with_name("new"), False), (folder, True)):
            with pytest.raises(WriteError) as caught:
                save_model(out, glow(1), SETTINGS, replace=replace)
            assert caught.value.where == str(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]
    assert same_tensors(load_model(folder).network, glow())


def test_a_replacement_that_is_stopped_midway_leaves_the_old_model(folder):
    code = (  # Ctrl-C when the new folder is about to take the place of the old
        "import sys; from neuroglow.network.checkpoint import load_model, save_model\n"
        "def stop(event, args):\n"
        "    if event == 'os.rename' and str(args[0]).endswith('.new'): raise KeyboardInterrupt\n"
        "model = load_model(sys.argv[1]); sys.addaudithook(stop)\n"
        "try: save_model(sys.argv[1], model.network, model.settings, replace=True)\n"
        "except KeyboardInterrupt: print('stopped')"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "stopped\n"
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]
    assert same_tensors(load_model(folder).network, glow())


def test_a_place_that_cannot_be_is_a_write_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="file"):
        save_model(tmp_path / "file" / "tiny", glow(), SETTINGS)


# planted faults: weights


def read_weights(folder):
    return safetensors.torch.load((folder / "weights.safetensors").read_bytes())


def changed(**tensors):
    """Make a fault: replace tensors, or leave them out (None)."""

    def plant(folder):
        weights = {**read_weights(folder), **{k.replace("__", "."): v for k, v in tensors.items()}}
        kept = {name: value for name, value in weights.items() if value is not None}
        return safetensors.torch.save(kept)

    return plant


def damaged(change):
    return lambda folder: change((folder / "weights.safetensors").read_bytes())


HEADER = "must be a whole safetensors file"
BAD_WEIGHTS = {
    "empty": (damaged(lambda _: b""), HEADER),
    "half": (damaged(lambda b: b[: len(b) // 2]), HEADER),
    "without its last byte": (damaged(lambda b: b[:-1]), HEADER),
    "with a byte too many": (damaged(lambda b: b + b"\0"), HEADER),
    "a header of exabytes": (damaged(lambda b: b"\xff" * 7 + b"\x7f" + b[8:]), HEADER),
    "a header of nothing": (damaged(lambda b: bytes(8) + b[8:]), HEADER),
    "a header not in UTF-8": (damaged(lambda b: b[:20] + b"\xff\xfe" + b[22:]), HEADER),
    "a pickle": (damaged(lambda _: pickle.dumps({"a": 1})), HEADER),
    "no tensor at all": (lambda _: safetensors.torch.save({}), "and [0-9]+ more faults"),
    "one missing": (changed(head__bias=None), "no tensor 'head.bias'"),
    "one too many": (changed(extra=torch.zeros(1)), "an unknown tensor 'extra'"),
    "wrong shape": (changed(head__bias=torch.zeros(9)), r"'head.bias' of shape \(9,\), not \(8,\)"),
    "wrong type": (changed(head__bias=torch.zeros(8, dtype=torch.int8)), "of int8"),
    "complex": (changed(head__bias=torch.zeros(8, dtype=torch.complex64)), "of complex64"),
    "not a number": (changed(head__bias=torch.full((8,), torch.nan)), "not finite"),
    "infinite": (changed(head__bias=torch.full((8,), -torch.inf)), "not finite"),
    "infinite as float32": (changed(head__bias=torch.ones(8).double() * 1e300), "not finite"),
    "negative variance": (changed(stem__1__running_var=-torch.ones(2)), "negative variances"),
}


@pytest.mark.parametrize("fault", BAD_WEIGHTS)
def test_damaged_weights_are_found(folder, fault):
    plant, said = BAD_WEIGHTS[fault]
    path = folder / "weights.safetensors"
    path.write_bytes(plant(folder))
    with pytest.raises(ModelError, match=said) as caught:
        load_model(folder)
    assert caught.value.where == str(path)
    assert len(str(caught.value)) < 800


def test_missing_weights_are_named(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match="No such file") as caught:
        load_model(folder)
    assert caught.value.where == str(folder / "weights.safetensors")


# planted faults: settings


def edited(**changes):
    def plant(content):
        settings = json.loads(content) | changes
        return json.dumps({k: v for k, v in settings.items() if v is not None}).encode()

    return plant


BAD_SETTINGS = {
    "empty": (lambda _: b"", "JSON"),
    "half": (lambda b: b[: len(b) // 2], "JSON"),
    "not UTF-8": (lambda b: b.replace(b"tiny", b"\xff\xfe"), "JSON"),
    "no object": (lambda _: b"[1, 2]", "settings"),
    "nested without end": (lambda _: b"[" * 10**6, "JSON"),
    "newer": (edited(format=2, wings=4), "newer neuroglow"),
    "unknown key": (edited(wings=4), "wings"),
    "unknown network": (edited(network="unet"), "'unet'"),
    "unknown argument": (edited(arguments={"depth": [3]}), "depth"),
    "giant": (edited(arguments={"widths": [8], "blocks": [10**9]}), "from 1 to"),
    "unknown input": (edited(normalisation={"kind": "gamma"}), "normalisation"),
    "no input": (edited(normalisation=None), "normalisation"),
    "a standard deviation of zero": (
        edited(normalisation={"kind": "fixed", "low": 0, "high": 1, "mean": 0, "std": 0}),
        "std",
    ),
    "halo": (edited(halo=-1), "halo"),
    "threshold": (edited(threshold=1.5), "threshold"),
    "no number": (edited(threshold=float("nan")), "threshold"),
}


@pytest.mark.parametrize("fault", BAD_SETTINGS)
def test_damaged_settings_are_found(folder, fault):
    plant, said = BAD_SETTINGS[fault]
    path = folder / "model.json"
    path.write_bytes(plant(path.read_bytes()))
    with pytest.raises(ModelError, match=said) as caught:
        load_model(folder)
    assert caught.value.where == str(path)

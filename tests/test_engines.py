"""Engines: the same numbers from each, the choice between them, and weights read without PyTorch."""

import json
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import tifffile
import torch

from neuroglow import predict
from neuroglow.errors import ModelError, OutputError, SettingsError
from neuroglow.network import bfloat16, cropping, inference, openvino_engine
from neuroglow.network import machine as machines
from neuroglow.network.build import build_network
from neuroglow.network.checkpoint import load_model, save_model
from neuroglow.network.db_enhance_facts import INPUT
from neuroglow.network.machine import Machine, choose_machine, prepare
from neuroglow.network.model_settings import Calibration, ModelSettings, NoiseUnitsInput
from neuroglow.network.stored import read_model
from neuroglow.network.tensors import stride_of, tensors_of
from neuroglow.space.geometry import Box
from running import run
from test_checkpoint import BAD_WEIGHTS, SETTINGS, glow
from test_predict import EXACT, save_tiny, small_blocks

NETWORKS = {
    "glow": ("glow", {"widths": [4, 6], "blocks": [2, 1]}, NoiseUnitsInput()),
    "one level": ("glow", {"widths": [4], "blocks": [1]}, NoiseUnitsInput()),
    "voxresnet": ("voxresnet", {}, INPUT),
}
HAS_OPENVINO = find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO has no wheel here")
ENGINES = ["torch", pytest.param("openvino", marks=needs_openvino)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save one model of each network, with normalisations that are not the neutral ones."""
    folder = tmp_path_factory.mktemp("networks")
    for name, (network, arguments, normalisation) in NETWORKS.items():
        torch.manual_seed(1)
        built = build_network(network, arguments)
        for module in built.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                for values in (module.running_var, module.weight.data):
                    values.uniform_(0.5, 1.5)
                for values in (module.running_mean, module.bias.data):
                    values.normal_(0, 0.1)
        settings = ModelSettings(
            name=name,
            network=network,
            arguments=arguments,
            normalisation=normalisation,
            halo=16,
            threshold=0.5,
            calibration=Calibration(scale=3.0, shift=-0.4),
        )
        save_model(folder / name, built, settings)
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_the_tensors_of_a_network_are_known_without_building_it(name):
    network, arguments, _ = NETWORKS[name]
    built = build_network(network, arguments)
    shapes = {key: tuple(value.shape) for key, value in built.state_dict().items()}
    assert list(shapes.items()) == list(tensors_of(network, arguments).items())
    assert stride_of(network, arguments) == built.stride


@needs_openvino
@pytest.mark.parametrize("views", [1, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_engines_agree(saved, name, views):
    model = read_model(saved / name)
    x = np.random.default_rng(2).normal(0, 2, (19, 16, 27)).astype(np.float32)
    one, other = (prepare(model, Machine(engine), "cpu") for engine in ("torch", "openvino"))
    expected, found = (engine.probability(x, views=views) for engine in (one, other))
    assert found.shape == x.shape
    assert expected.std() > 0.003
    assert np.abs(found - expected).max() < 1e-5
    assert one.normalisation == other.normalisation


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_levels_are_the_probability_to_the_nearest(saved, name, engine):
    ready = prepare(read_model(saved / name), Machine(engine), "cpu")
    x = np.random.default_rng(5).normal(0, 2, (16, 24, 27)).astype(np.float32)
    for views, box in ((1, None), (1, Box((3, 0, 5), (16, 11, 27))), (4, None)):
        shares = ready.probability(x, views=views, inner=box)
        found = ready.probability(x, views=views, inner=box, levels=True)
        assert found.dtype == np.uint8
        assert np.array_equal(found, np.rint(shares * 255).astype(np.uint8))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_box_is_decoded_as_in_the_whole(saved, name, engine, monkeypatch):
    """The halo is not decoded, and of what is kept no voxel changes."""
    model = read_model(saved / name)
    ready = prepare(model, Machine(engine), "cpu")
    x = np.random.default_rng(4).normal(0, 2, (24, 24, 30)).astype(np.float32)
    box = Box((5, 0, 13), (14, 24, 22))
    for views in (1, 4) if name == "glow" else (1,):
        whole = ready.probability(x, views=views)[box.slices]
        kept = ready.probability(x, views=views, inner=box)
        assert kept.shape == box.shape
        assert np.abs(kept - whole).max() <= 1e-6
    if name == "glow":  # the check can fail
        monkeypatch.setattr(cropping, "LEVEL_HALO", 0)
        narrow = prepare(model, Machine(engine), "cpu").probability(x, inner=box)
        assert np.abs(narrow - ready.probability(x)[box.slices]).max() > 1e-3


@needs_openvino
def test_only_the_graph_used_last_holds_memory_and_few_are_kept(saved, monkeypatch):
    monkeypatch.setattr(openvino_engine, "KEPT", 3)
    ready = prepare(read_model(saved / "glow"), Machine("openvino"), "cpu")
    sides = (16, 24, 32, 40, 16)
    first, *_, last = (ready.probability(np.ones((n, 16, 16), np.float32)) for n in sides)
    assert np.array_equal(first, last)
    assert len(ready._ready) == 3


@needs_openvino
def test_engines_agree_on_the_bundled_model():
    model = read_model("light-microscopy")
    x = np.random.default_rng(2).normal(0, 1, (24, 32, 40)).astype(np.float32)
    x[10:13, :, 16:19] += 2
    one, other = (prepare(model, Machine(engine), "cpu") for engine in ("torch", "openvino"))
    expected = one.probability(x)
    assert expected.max() > 0.5
    assert np.abs(other.probability(x) - expected).max() < 1e-4


@needs_openvino
def test_a_large_first_block_of_openvino_reports_progress(saved, monkeypatch):
    from neuroglow.network import openvino_engine

    monkeypatch.setattr(openvino_engine, "LOOK_MS", 1)
    engine = prepare(read_model(saved / "glow"), Machine("openvino"), "cpu")
    told = []
    engine.probability(np.zeros((64, 96, 96), np.float32), views=2, tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 1
    assert 0.5 in told
    assert any(0 < share < 0.5 for share in told)


@pytest.mark.parametrize("engine", ENGINES)
def test_blocked_equals_whole_with_each_engine(tmp_path, engine):
    model = save_tiny(tmp_path / "tiny")
    image = np.random.default_rng(5).poisson(90, (40, 48, 140)).astype(np.uint16)
    form = {"model": model, "gate": False, "engine": engine, **EXACT}
    whole = predict(image, max_memory=4 * 10**9, **form)
    budget = small_blocks(model, 40 * 48 * 100, engine)
    blocked = predict(image, max_memory=budget, **form)
    assert whole.std() > 0.01
    assert np.abs(whole - blocked).max() <= 1e-6
    seam = predict(image, max_memory=budget, halo=0, **form)
    assert np.abs(whole - seam).max() > 1e-3  # the check can fail


@needs_openvino
def test_an_unfinished_output_is_not_continued_by_another_engine(tmp_path, capsys):
    model = save_tiny(tmp_path / "tiny")
    image = tmp_path / "a.tif"
    tifffile.imwrite(image, np.random.default_rng(5).poisson(90, (20, 24, 30)).astype(np.uint16))
    out = tmp_path / "p.tif"
    form = {"model": model, "precision": "float32", "gate": False}
    [report] = predict(image, out=out, engine="openvino", **form)
    record = json.loads(report.record.read_text())
    assert record["used"]["engine"] == "openvino"
    assert "torch" not in record["versions"]
    assert record["versions"]["openvino"]
    predict(image, out=out, engine="openvino", mode="resume", **form)
    with pytest.raises(OutputError, match="another run"):
        predict(image, out=out, engine="torch", mode="resume", **form)


def test_without_openvino_pytorch_is_taken_and_the_record_says_so(tmp_path, monkeypatch, capsys):
    model = save_tiny(tmp_path / "tiny")
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    image = np.random.default_rng(5).poisson(90, (20, 24, 30)).astype(np.uint16)
    [report] = predict(image, model=model, out=tmp_path / "p.tif")
    used = json.loads(report.record.read_text())["used"]
    assert used["engine"] == "torch"
    assert used["engine_because"] == "OpenVINO is not installed"
    tifffile.imwrite(tmp_path / "a.tif", image)
    arguments = (tmp_path / "a.tif", "-o", tmp_path / "q.tif", "--model", model)
    status, said = run(capsys, "predict", *arguments, "--engine", "openvino")
    assert (status, "pip install openvino" in said) == (2, True)


def test_the_engine_follows_the_computer(saved, monkeypatch):
    settings = read_model(saved / "glow").settings

    def choose(engine="auto", device="auto", precision="auto"):
        return choose_machine(settings, engine=engine, device=device, precision=precision)

    monkeypatch.setattr(machines, "find_spec", lambda name: True)
    monkeypatch.setattr(machines, "_may_have_gpu", lambda: False)
    monkeypatch.setattr(machines, "_precisions", lambda: ("float32",))
    monkeypatch.setattr(machines.platform, "machine", lambda: "x86_64")
    assert choose() == Machine("openvino", "cpu", "float32")
    assert choose(device="cpu, cpu").devices == "cpu,cpu"
    assert choose(precision="bfloat16").because == "this CPU has no bfloat16"
    with pytest.raises(SettingsError, match="OpenVINO runs on CPUs"):
        choose("openvino", precision="bfloat16")
    with pytest.raises(SettingsError, match="the device is cuda"):
        choose("openvino", device="cuda")
    monkeypatch.setattr(machines, "_precisions", lambda: ("bfloat16", "float32"))
    assert choose().precision == "bfloat16"
    assert choose("torch").because == "it was asked for"
    monkeypatch.setattr(machines.platform, "machine", lambda: "riscv64")
    assert choose().because == "OpenVINO was not measured on riscv64"
    assert choose("openvino").engine == "openvino"


@pytest.mark.parametrize(
    ("said", "pays"),
    [
        ("vendor_id: GenuineIntel\nflags: avx512_bf16 avx512_vnni", False),
        ("vendor_id: GenuineIntel\nflags: avx512_bf16 amx_bf16 amx_tile", True),
        ("vendor_id: AuthenticAMD\nflags: avx512_bf16 avx512_vnni", True),
        (None, True),
    ],
)
def test_bfloat16_is_not_chosen_where_float32_is_faster(tmp_path, monkeypatch, said, pays):
    if said:
        (tmp_path / "cpuinfo").write_text(said)
    monkeypatch.setattr(bfloat16, "CPUINFO", tmp_path / "cpuinfo")
    found = bfloat16.bfloat16_pays.__wrapped__()
    assert found is pays
    monkeypatch.setattr(openvino_engine, "bfloat16_pays", lambda: found)
    able = {"INT8", "BF16", "FP32"}
    core = SimpleNamespace(get_property=lambda *_: able)
    monkeypatch.setattr(openvino_engine, "_core", lambda: core)
    usual = next(p for p in openvino_engine.precisions.__wrapped__() if p != "int8")
    assert usual == ("bfloat16" if pays else "float32")
    monkeypatch.setattr(inference, "bfloat16_pays", lambda: found)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    chosen = inference.choose_precision("auto", torch.device("cpu"))
    assert str(chosen) == f"torch.{usual}"


NOT_NEEDED = {
    *("torch", "matplotlib", "scipy", "skimage", "networkx", "nncf", "pandas", "dask"),
    *("openvino.tools.ovc", "neuroglow.studio", "neuroglow.train", "neuroglow.trace"),
}
"""What a prediction by OpenVINO must not import: each takes a third of a second, or more."""


@needs_openvino
def test_a_prediction_by_openvino_imports_nothing_that_it_does_not_need(tmp_path):
    image = np.random.default_rng(5).poisson(90, (24, 32, 40)).astype(np.uint16)
    image[8:16, 8:16, 8:16] += 90  # opens the gate
    tifffile.imwrite(tmp_path / "a.tif", image)
    code = (
        "import contextlib, sys\n"
        "from neuroglow.cli import main\n"
        "with contextlib.suppress(SystemExit):\n    main()\n"
        "import openvino\n"
        "print(*sys.modules, sep='\\n')\n"
        "assert callable(openvino.convert_model)\n"
    )
    command = [sys.executable, "-c", code, "predict", tmp_path / "a.tif", "--engine", "openvino"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines())
    assert {"openvino", "neuroglow.predict"} <= imported
    assert not imported & NOT_NEEDED
    assert (tmp_path / "a_mip.png").is_file()


@pytest.mark.parametrize("fault", BAD_WEIGHTS)
def test_damaged_weights_are_found_without_torch(tmp_path, fault):
    plant, said = BAD_WEIGHTS[fault]
    folder = save_model(tmp_path / "m", glow(), SETTINGS)
    (folder / "weights.safetensors").write_bytes(plant(folder))
    with pytest.raises(ModelError, match=said) as caught:
        read_model(folder).weights()
    assert caught.value.where == str(folder / "weights.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_every_floating_type_are_read(saved, tmp_path, dtype):
    stored = load_model(saved / "one level")
    folder = save_model(tmp_path / "m", stored.network, stored.settings)
    state = {
        k: v.to(dtype) if v.is_floating_point() else v
        for k, v in stored.network.state_dict().items()
    }
    (folder / "weights.safetensors").write_bytes(safetensors.torch.save(state))
    found = read_model(folder).weights()
    for name, value in state.items():
        expected = value.float() if value.is_floating_point() else value
        assert found[name].dtype in (np.float32, np.int64)
        assert np.array_equal(found[name], expected.numpy())

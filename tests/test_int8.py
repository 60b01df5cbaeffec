"""The int8 variant of a model: made the same way twice, equal in blocks, never mixed or misread."""

import json
import shutil
import sys

import numpy as np
import pytest
import tifffile

from neuroglow import predict
from neuroglow.errors import ModelError, OutputError, SettingsError, StoppedError
from neuroglow.network import int8
from neuroglow.network.enhance import EnhanceBlock
from neuroglow.network.machine import Machine, choose_machine, prepare
from neuroglow.network.stored import read_model
from neuroglow.space.geometry import Box
from running import run
from test_predict import EXACT, save_tiny, small_blocks

pytest.importorskip("nncf", reason="the int8 variant is made by NNCF, an extra")

IMAGE = np.random.default_rng(5).poisson(90, (40, 48, 140)).astype(np.uint16)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make a model with an int8 variant by the command line, and the volume that calibrated it."""
    folder = tmp_path_factory.mktemp("int8")
    tifffile.imwrite(folder / "a.tif", IMAGE)
    save_tiny(folder / "tiny")
    shutil.copytree(folder / "tiny", folder / "plain")
    return folder


@pytest.fixture(scope="module")
def model(made):
    from neuroglow.network.optimise import optimise_model

    optimise_model(made / "tiny", [str(made / "a.tif")])
    return made / "tiny"


def test_the_same_volumes_give_the_same_variant_and_its_loss_is_said(made, model, capsys):
    again = shutil.copytree(made / "plain", made / "again")
    status, said = run(capsys, "models", "optimise", again, made / "a.tif")
    assert status == 0
    assert "largest difference" in said
    assert (again / "int8.json").read_bytes() == (model / "int8.json").read_bytes()
    assert json.loads((again / "int8.json").read_text())["loss"]["boxes"] > 0
    status, said = run(capsys, "models", "optimise", again, made / "a.tif")
    assert (status, "--replace" in said) == (2, True)


def test_int8_is_near_float32_and_not_the_same(model):
    stored = read_model(model)
    x = np.random.default_rng(2).normal(0, 1, (16, 24, 32)).astype(np.float32)
    usual, small = (
        prepare(stored, Machine("openvino", "cpu", p), "cpu").probability(x)
        for p in ("float32", "int8")
    )
    assert 0 < np.abs(usual - small).max() < 0.2
    assert np.corrcoef(usual.ravel(), small.ravel())[0, 1] > 0.95


def test_a_rearranged_graph_gives_the_same_values(monkeypatch):
    stored, machine = read_model("light-microscopy"), Machine("openvino", "cpu", "int8")
    x = np.random.default_rng(3).normal(0, 1, (24, 32, 40)).astype(np.float32)
    inner = Box((1, 4, 0), (20, 31, 40))
    ready = prepare(stored, machine, "cpu")
    assert not [n for n in ready._graph().get_ordered_ops() if "Backprop" in n.get_type_name()]
    found, levels = (ready.probability(x, inner=inner, levels=of) for of in (False, True))
    assert np.array_equal(levels, np.rint(found * 255))
    monkeypatch.setattr(
        int8, "raised_in_bytes", lambda graph: graph.validate_nodes_and_infer_types()
    )
    usual = prepare(stored, machine, "cpu")
    assert [n for n in usual._graph().get_ordered_ops() if "Backprop" in n.get_type_name()]
    assert np.array_equal(found, usual.probability(x, inner=inner))


def test_blocked_equals_whole_in_int8(model):
    form = {"model": model, "gate": False, **EXACT, "precision": "int8"}
    whole = predict(IMAGE, max_memory=4 * 10**9, **form)
    blocked = predict(IMAGE, max_memory=small_blocks(model, 40 * 48 * 100, "openvino"), **form)
    assert whole.std() > 0.01
    assert np.abs(whole - blocked).max() <= 1e-6


@pytest.mark.slow
def test_serial_equals_processes_and_resumed_equals_unbroken_in_int8(
    made, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys.modules["neuroglow.predict.memory"], "WORTH", 99)  # two work, too
    budget = small_blocks(model, 40 * 48 * 100, "openvino")
    form = {"model": model, "gate": False, "precision": "int8", "max_memory": budget}
    predict(made / "a.tif", out=tmp_path / "one.tif", **form)
    predict(
        made / "a.tif", out=tmp_path / "two.tif", **form | {"workers": 2, "max_memory": 2 * budget}
    )
    with monkeypatch.context() as broken:
        _interrupt_after(broken, 1)
        with pytest.raises(StoppedError):
            predict(made / "a.tif", out=tmp_path / "again.tif", **form)
    [report] = predict(made / "a.tif", out=tmp_path / "again.tif", mode="resume", **form)
    assert 0 < report.blocks.resumed < report.blocks.total
    one, two, again = (
        tifffile.imread(tmp_path / f"{name}.tif") for name in ("one", "two", "again")
    )
    assert one.std() > 1
    assert np.array_equal(one, two)
    assert np.array_equal(one, again)


def _interrupt_after(patched, blocks):
    """Press Ctrl-C, as it were, when so many blocks are done."""
    usual, begun = EnhanceBlock.__call__, []

    def call(self, block):
        begun.append(block)
        if len(begun) > blocks:
            raise KeyboardInterrupt
        return usual(self, block)

    patched.setattr(EnhanceBlock, "__call__", call)


def test_an_unfinished_output_is_not_continued_in_another_precision(made, model, tmp_path):
    form = {"model": model, "out": tmp_path / "p.tif", "gate": False}
    [report] = predict(made / "a.tif", precision="int8", **form)
    assert json.loads(report.record.read_text())["used"]["precision"] == "int8"
    predict(made / "a.tif", precision="int8", mode="resume", **form)
    with pytest.raises(OutputError, match="another run"):
        predict(made / "a.tif", precision="float32", mode="resume", **form)


def test_the_variant_decides_the_hash_in_int8_alone(made, model):
    with_it, without = read_model(model), read_model(made / "plain")
    assert with_it.sha256 == without.sha256
    assert with_it.hash_in("float32") == without.hash_in("float32") == without.sha256
    assert with_it.hash_in("int8") != with_it.with_int8(b"{}").hash_in("int8")


FAULTS = {
    "absent": (None, "no int8.json"),
    "no JSON": (lambda said: b"{", "int8 variant must fit"),
    "of other weights": (lambda said: _with(said, model="0" * 64), "belongs to other weights"),
    "of another graph": (lambda said: _with(said, graph="0"), "another version of the network"),
    "unknown node": (lambda said: _with(said, ranges={"x": (0, 1)}), "int8 variant must fit"),
    "not finite": (lambda said: said.replace(b"0.", b"NaN, 0.", 1), "int8 variant must fit"),
    "empty range": (lambda said: _with(said, ranges={"1 SpaceToDepth": (1, 0)}), "must fit"),
    "no layer of weights": (lambda said: _with(said, layers=["1 SpaceToDepth"]), "must fit"),
    "of an earlier format": (lambda said: _with(said, format=1), "int8 variant must fit"),
}


def _with(said, **changes):
    return json.dumps(json.loads(said) | changes).encode()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_variant_that_does_not_fit_is_refused(made, model, fault):
    plant, message = FAULTS[fault]
    stored = read_model(model)
    stored = stored.with_int8(plant(stored.int8)) if plant else read_model(made / "plain")
    with pytest.raises(ModelError, match=message):
        prepare(stored, Machine("openvino", "cpu", "int8"), "cpu")


def test_int8_is_refused_where_it_cannot_run(model):
    settings = read_model(model).settings
    with pytest.raises(SettingsError, match="int8"):
        choose_machine(settings, engine="torch", device="cpu", precision="int8")


@pytest.mark.parametrize("close", [True, False])
def test_int8_is_used_unasked_only_if_it_is_close_to_float32(model, tmp_path, capsys, close):
    copy = shutil.copytree(model, tmp_path / "model")
    (copy / "int8.json").write_bytes(_with((copy / "int8.json").read_bytes(), close=close))
    out = tmp_path / "p.tif"
    tifffile.imwrite(tmp_path / "a.tif", IMAGE[:16, :16, :16])
    [report] = predict(tmp_path / "a.tif", model=copy, out=out, engine="openvino", gate=False)
    used = json.loads(report.record.read_text())["used"]["precision"]
    assert (used == "int8") is close


def test_a_variant_is_close_where_few_voxels_are_detected_in_one_precision_alone(model):
    said = json.loads((model / "int8.json").read_bytes())
    loss = said["loss"]
    few = loss["detected_by_one_alone"] <= 0.05 * loss["detected_float32"]
    assert said["close"] is few


def test_a_damaged_variant_is_refused_although_nobody_asked_for_it(model, tmp_path, capsys):
    copy = shutil.copytree(model, tmp_path / "model")
    (copy / "int8.json").write_text("{")
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    status, said = run(capsys, "predict", tmp_path / "a.tif", "--model", copy)
    assert (status, "--replace, or remove the file" in said) == (2, True)


def test_without_nncf_the_cure_is_its_extra(made, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nncf", None)
    status, said = run(capsys, "models", "optimise", made / "plain", made / "a.tif")
    assert (status, "neuroglow[optimise]" in said) == (2, True)
    assert not (made / "plain/int8.json").exists()

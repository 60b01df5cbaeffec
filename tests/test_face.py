"""The face: what was given, a model that predicts, masks beside outputs, summaries, progress."""

import inspect
import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from pydantic import BaseModel

import neuroglow
from neuroglow.errors import InputError, ModelError, OutputError, SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.space.geometry import Box


@pytest.fixture(scope="module")
def image():
    voxels = np.random.default_rng(3).normal(100, 8, (24, 32, 32)).astype(np.uint16)
    for width, bright in ((1, 60), (0, 120)):
        voxels[12 - width : 13 + width, 16 - width : 17 + width, :] += np.uint16(bright)
    return voxels


@pytest.fixture(scope="module")
def model():
    return neuroglow.load_model("light-microscopy")


class Settings(BaseModel):
    width: int = 3
    height: float = 1.5


@spelled_out(Settings)
def inner(*, width: int = 3, height: float = 1.5):
    return given()


@spelled_out(Settings)
def outer(*, width: int = 3, height: float = 1.5, progress: bool | None = None, on_progress=None):
    before, inside = given(), inner(height=2)
    assert given() == before
    return before, inside, on_progress


def test_a_value_that_equals_the_default_counts_as_given():
    assert outer(width=3)[:2] == ({"width": 3}, {"height": 2})
    assert outer(depth=1)[0] == {"depth": 1}  # its settings refuse it
    assert inspect.signature(outer).parameters["width"].default == 3


def test_nobody_is_shown_progress_in_a_pipe_unless_it_is_asked_for(capsys):
    assert outer()[2] is None
    assert callable(outer(progress=True)[2])
    assert "outer" in capsys.readouterr().err
    assert outer(progress=True, on_progress=print)[2] is print


def test_progress_is_shown_where_a_kernel_runs_and_not_where_one_was_imported(monkeypatch, capsys):
    """Another package may have imported ipykernel."""
    python, shell = ModuleType("IPython"), SimpleNamespace()
    python.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setitem(sys.modules, "IPython", python)
    assert outer()[2] is None
    shell.kernel = object()
    assert callable(outer()[2])


def test_a_loaded_model_predicts_as_the_verb_does(model, image):
    options = set(inspect.signature(neuroglow.predict).parameters)
    assert set(inspect.signature(type(model).predict).parameters) == options - {"model"} | {"self"}
    roi = np.s_[:, 8:24, :]
    expected = neuroglow.predict(image, model=model.path, roi="0:24,8:24,0:32")
    np.testing.assert_array_equal(model.predict(image, roi=roi), expected)


def test_a_model_that_changed_since_it_was_loaded_is_refused(model, image, tmp_path):
    copy = tmp_path / "run/checkpoints/best"
    copy.mkdir(parents=True)
    for file in model.path.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    loaded = neuroglow.load_model(tmp_path / "run")  # a run stands for its best model
    assert loaded.path == copy
    settings = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**settings, "name": "another"}))
    with pytest.raises(ModelError, match="of a loaded model must not change"):
        loaded.predict(image)


@pytest.mark.parametrize("ending", [".tif", ".ome.zarr"])
def test_a_threshold_writes_a_mask_beside_the_output(model, image, tmp_path, ending):
    out = tmp_path / f"a_prob{ending}"
    (report,) = model.predict(image, out=out, threshold=0.4)
    probability, mask = neuroglow.open_volume(out), neuroglow.open_volume(report.mask)
    assert report.mask == tmp_path / f"a_mask{ending}"
    assert mask.voxel_size_um == probability.voxel_size_um
    every = Box.of(image.shape)
    reached = probability.read(every) / np.float32(255) >= 0.4
    assert 0 < reached.sum() < reached.size
    np.testing.assert_array_equal(mask.read(every), reached)
    assert json.loads(report.record.read_text())["settings"]["threshold"] == 0.4
    assert str(report.mask) in str(report)
    if ending == ".tif":
        with pytest.raises(OutputError, match="not overwritten"):
            model.predict(image, out=tmp_path / "a.tif", threshold=0.4)
        with pytest.raises(OutputError, match="another threshold"):
            model.predict(image, out=out, threshold=0.6, mode="resume")
        report.mask.unlink()
        assert model.predict(image, out=out, threshold=0.4, mode="resume")[0].mask.exists()
        model.predict(image, out=out, threshold=0.5, mode="restart")
    else:
        with pytest.raises(SettingsError, match="next to an output"):
            model.predict(image, threshold=0.4)


def test_arrays_are_evaluated_and_refused_where_files_are_needed(tmp_path):
    truth = np.zeros((16, 16, 16), np.uint8)
    truth[8, 8, 2:14] = 1
    report = neuroglow.evaluate(truth.astype(np.float32), truth)
    assert report.means["dice"] == 1
    for refused in (neuroglow.survey, neuroglow.train):
        with pytest.raises(InputError, match="save the array first"):
            refused(truth, out=tmp_path / "a.csv")


def test_reports_print_one_screen_and_trees_are_public(tmp_path):
    line = np.zeros((9, 9, 40), np.float32)
    line[4, 4, 5:35] = 0.9
    report = neuroglow.trace(line)
    assert str(report).startswith("1 tree, 29 voxels")
    assert repr(report) == str(report)
    assert len(str(report).splitlines()) < 10
    assert report._repr_html_() == f"<pre>{report}</pre>"
    neuroglow.write_swc(report.trees[0], tmp_path / "a.swc")
    read = neuroglow.read_swc(tmp_path / "a.swc")
    assert isinstance(read, neuroglow.Tree)
    np.testing.assert_allclose(read.points, report.trees[0].points, atol=1e-3)

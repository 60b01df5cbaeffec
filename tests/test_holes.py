"""Voxels that are NaN or infinite are masked in every verb, as in predict, and said once."""

import json

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.cubes.manifest import read_manifest
from neuroglow.network.model_settings import FixedInput
from running import run
from training_sets import TINY, draw_cube

MASKED = "voxels of NaN or infinite are read as masked in"


def holed(image, bad=np.nan):
    """Give an image as floats, a tenth of it without a measurement."""
    found = image.astype(np.float32)
    found[:, : image.shape[1] // 10] = bad
    return found


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("holes")
    for number, bad in enumerate((np.nan, np.inf, -np.inf, np.nan)):
        image, label = draw_cube(number)
        for kind, voxels in (("image", holed(image, bad)), ("label", label)):
            (folder / kind).mkdir(exist_ok=True)
            tifffile.imwrite(folder / kind / f"c{number}.tif", voxels)
    return folder


def test_survey_and_select_take_them_as_masked(pool, tmp_path, capsys, caplog):
    status, _ = run(capsys, "survey", pool, "-o", tmp_path / "s.csv")
    assert status == 0
    assert caplog.text.count(MASKED) == 1
    cubes = read_manifest(tmp_path / "s.csv")
    assert len(cubes) == 4
    assert all(cube.other["note"] == "" for cube in cubes)
    measured = [n for n in cubes[0].other if n.startswith(("free_", "units_", "noise_"))]
    assert len(measured) > 5
    for cube in cubes:
        assert all(np.isfinite(float(cube.other[name])) for name in measured)
    status, _ = run(capsys, "select", tmp_path / "s.csv", "-n", 2, "-o", tmp_path / "m.csv")
    assert status == 0


def test_a_survey_of_a_volume_notes_cubes_without_a_measurement(tmp_path):
    image = draw_cube(1, 48)[0].astype(np.float32)
    image[:, :24] = np.nan
    tifffile.imwrite(tmp_path / "v.tif", image)
    neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "s.csv", cube=24, min_tissue=0)
    notes = {c.name: c.other["note"] for c in read_manifest(tmp_path / "s.csv")}
    assert {n for at, n in notes.items() if "y00000" in at} <= {"constant"} | {
        n for n in notes.values() if n.startswith("copy of")
    }
    assert {n for at, n in notes.items() if "y00024" in at} == {""}


@pytest.mark.parametrize("normalisation", ["noise_units", "db_enhance"])
def test_train_reads_them_as_background(pool, tmp_path, caplog, normalisation):
    out = tmp_path / "run"
    report = neuroglow.train(pool, out=out, normalisation=normalisation, **TINY)
    assert report.steps == TINY["steps"]
    images = [np.load(out / f"cache/{n:05d}-image.npy") for n in range(4)]
    assert all(np.isfinite(image).all() and not image[:, :3].any() for image in images)
    assert caplog.text.count(MASKED) == (normalisation == "noise_units")


def test_grey_levels_of_one_camera_read_them_as_its_mean():
    known = FixedInput(low=0, high=1500, mean=168.5, std=500)
    x = known.normalise(np.array([np.nan, np.inf, -np.inf, 668.5], np.float32))
    np.testing.assert_allclose(x, [0, 0, 0, 1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_trace_reads_them_as_no_neurite(bad, caplog):
    line = np.zeros((9, 9, 60), np.float32)
    line[4, 4, 5:55] = 0.9
    expected = neuroglow.trace(line).summary["length_um"]
    line[:3, :2] = bad
    assert neuroglow.trace(line).summary["length_um"] == expected
    assert "voxels of NaN or infinite are read as 0 in array" in caplog.text
    raw = 100 + 9 * np.random.default_rng(1).standard_normal(line.shape).astype(np.float32)
    raw[:, 7:] = bad
    assert neuroglow.trace(line, raw=raw).summary["trees"] == 1


def test_a_trace_with_them_has_its_picture(tmp_path):
    line = np.zeros((9, 40, 60), np.float32)
    line[4, 20, 5:55] = 0.9
    line[:, :3] = np.nan
    report = neuroglow.trace(line, out=tmp_path / "t.swc")
    assert report.picture.stat().st_size > 1000
    assert json.loads(report.record.read_text())["summary"]["trees"] == 1


def test_sensitivity_is_tried_on_what_is_there(caplog):
    image = 300 + 20 * np.random.default_rng(1).standard_normal((32, 40, 48)).astype(np.float32)
    image[:, :8] = np.nan
    report = neuroglow.sensitivity(image, snr=(1.0, 12.0), rounds=1, blocks=2, block=32)
    assert report.sentence.startswith("In this volume")
    assert np.isfinite(report.threshold)
    assert caplog.text.count(MASKED) == 1

"""A volume without a voxel size: said at once and once, and nothing claims micrometres."""

import numpy as np
import pytest
import tifffile

import neuroglow

UNSIZED = "no voxel size is stated, so that lengths are in voxels"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    line = np.zeros((12, 32, 64), np.uint8)
    line[5:7, 15:17, 5:55] = 230
    path = tmp_path_factory.mktemp("unsized") / "p.tif"
    tifffile.imwrite(path, line)
    return path


@pytest.mark.parametrize("unit", ["um", "voxel"])
def test_trace_says_it_once_and_writes_voxels(plain, tmp_path, caplog, unit):
    report = neuroglow.trace(plain, out=tmp_path / "t.swc", unit=unit)
    assert caplog.text.count(UNSIZED) == 1
    assert "# unit: voxels" in report.output.read_text()
    assert " voxels," in str(report)
    assert " um" not in str(report).replace("_um", "")


def test_with_a_size_trace_writes_micrometres_and_says_nothing(plain, tmp_path, caplog):
    report = neuroglow.trace(plain, out=tmp_path / "t.swc", voxel_size=(1, 1, 1))
    assert UNSIZED not in caplog.text
    assert "# unit: micrometres" in report.output.read_text()


def test_evaluate_says_it_of_all_volumes_in_one_line(plain, tmp_path, caplog):
    for name in ("a", "b", "c"):
        for folder in ("p", "t"):
            (tmp_path / folder).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / folder / f"{name}.tif", tifffile.imread(plain) // 230)
    neuroglow.evaluate(tmp_path / "p", tmp_path / "t")
    assert caplog.text.count(UNSIZED) == 1
    assert "a, b, c: no voxel size" in caplog.text
    caplog.clear()
    neuroglow.evaluate(tmp_path / "p", tmp_path / "t", voxel_size=(2, 1, 1))
    assert UNSIZED not in caplog.text


def test_each_run_says_it_again(plain, caplog):
    for _ in range(2):
        neuroglow.trace(plain)
    assert caplog.text.count(UNSIZED) == 2

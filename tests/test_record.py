"""Each output has a record and a picture of its own, and only our own files are replaced."""

import json

import pytest

from neuroglow.network.threshold import threshold_for
from neuroglow.space.record import files_beside, is_record, read_record


def finished(output, threshold=0.5):
    """Leave what a run leaves."""
    beside = files_beside(output)
    output.touch()
    model = {"name": "m", "threshold": threshold}
    beside.record.write_text(json.dumps({"output": output.name, "model": model}))
    beside.picture.touch()
    return beside


def test_outputs_of_one_stem_have_records_of_their_own(tmp_path):
    outputs = [tmp_path / name for name in ("x.tif", "x_prob.tif", "x.ome.zarr", "x.tiff")]
    files = [finished(output, i / 10) for i, output in enumerate(outputs)]
    assert len({path for beside in files for path in beside.files}) == 8
    assert files[0].record.name == "x_run.json"
    for i, output in enumerate(outputs):  # and each is found again
        assert files_beside(output) == files[i]
        assert threshold_for([str(output)])[0] == i / 10
    with pytest.raises(AssertionError):  # a check that can fail
        assert threshold_for(outputs)[0] == 0.1


def test_the_record_of_an_output_that_is_gone_is_replaced(tmp_path):
    first = finished(tmp_path / "x_prob.tif")
    (tmp_path / "x_prob.tif").unlink()
    assert files_beside(tmp_path / "x.tif") == first
    assert read_record(tmp_path / "x.tif") is None


def test_a_record_of_an_earlier_version_belongs_to_the_output_that_is_there(tmp_path):
    (tmp_path / "x_run.json").write_text('{"model": {"name": "m", "threshold": 0.2}}')
    (tmp_path / "x_prob.tif").touch()
    assert threshold_for([tmp_path / "x_prob.tif"])[0] == 0.2
    assert files_beside(tmp_path / "x.ome.zarr").record.name == "x.ome.zarr_run.json"


def test_what_is_no_record_is_none(tmp_path):
    for text in ("", "[1]", "{", '{"other": 1}'):
        (tmp_path / "x_run.json").write_text(text)
        assert not is_record(tmp_path / "x_run.json", "model")
        assert threshold_for([tmp_path / "x.tif"])[0] == 0.5

"""Each output has a record and a picture of its own, and only our own files are replaced."""

import json

import numpy as np
import pytest
import zarr

import neuroglow
from neuroglow.errors import OutputError
from neuroglow.files.record import files_beside, is_record, read_record, stamp_record
from neuroglow.network.threshold import threshold_for


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


def test_a_record_is_not_believed_of_what_another_tool_wrote(tmp_path, caplog):
    output = tmp_path / "x_prob.tif"
    beside = finished(output, 0.3)
    output.write_bytes(bytes(9000))
    stamp_record(output, beside.record)
    assert threshold_for([output])[0] == 0.3
    output.write_bytes(bytes(8999) + b"1")  # of the same size
    assert threshold_for([output])[0] == 0.5
    assert "was changed after it had been written" in caplog.text


def test_an_output_that_another_tool_changed_is_neither_continued_nor_replaced(tmp_path):
    image = np.random.default_rng(0).integers(0, 99, (16, 16, 32), np.uint16)
    out = tmp_path / "a.ome.zarr"
    small = {"chunk": (16, 16, 16), "shard": (16, 16, 16)}
    neuroglow.convert(image, out=out, **small)
    assert read_record(out)
    assert neuroglow.convert(image, out=out, mode="resume", **small).blocks.resumed == 1
    zarr.open_array(out / "0", mode="r+")[:, :, 20] = 7
    assert read_record(out) is None
    for mode in ("resume", "restart"):
        with pytest.raises(OutputError, match=r"not overwritten|only a conversion is replaced"):
            neuroglow.convert(image, out=out, mode=mode, **small)

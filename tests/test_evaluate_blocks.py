"""An evaluation whose blocks run anywhere: the same numbers, resumed, watched, and what it refuses."""

import os

import numpy as np
import pytest

from neuroglow import evaluate
from neuroglow.errors import BlocksFailedError, OutputError, ReadError, SettingsError
from neuroglow.evaluate.passes import DrawBlock
from neuroglow.status import status
from running import run
from test_evaluate import blurred, phantom, save


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    for number, shape in ((1, (40, 32, 48)), (2, (32, 32, 32))):
        made = phantom(number, shape)
        save(root / f"pred/cube{number}_prob.tif", blurred(made.label, number))
        save(root / f"label/cube{number}_label.tif", made.label)
        save(root / f"image/cube{number}.tif", made.image)
    return root


def scored(pairs, out=None, **how):
    how = {"label_map": "0=background,1=neurite,2=ignore", "raw": pairs / "image"} | how
    return evaluate(pairs / "pred", pairs / "label", out=out, block=32, **how)


@pytest.fixture(scope="module")
def serial(pairs):
    return numbers(scored(pairs))


def numbers(report):
    """All numbers of a report, but not how it was made."""
    return {k: v for k, v in report.results.items() if k not in ("command", "settings")}


def test_blocks_that_are_kept_give_the_same_numbers(pairs, serial, tmp_path):
    report = scored(pairs, tmp_path / "report", mode="resume")
    np.testing.assert_equal(numbers(report), serial)
    assert not (tmp_path / "report.partial").exists()


@pytest.mark.slow
def test_two_workers_equal_one(pairs, serial, tmp_path):
    np.testing.assert_equal(numbers(scored(pairs, tmp_path / "r.html", workers=2)), serial)
    assert not list(tmp_path.glob("*.partial"))


def test_a_stopped_evaluation_goes_on_where_it_was(pairs, serial, tmp_path, monkeypatch):
    out, drawn = tmp_path / "report", []
    draw = DrawBlock.__call__

    def meddled(self, block):
        drawn.append(block.index)
        if block.index == 2 and len(drawn) < 9:
            raise ReadError("bytes can be decoded", found="a torn chunk")
        return draw(self, block)

    monkeypatch.setattr(DrawBlock, "__call__", meddled)
    with pytest.raises(BlocksFailedError, match=r"cube1.*0:32,0:32,32:48|cube1"):
        scored(pairs, out, mode="resume")
    assert "pass: drawing lines" in str(status(out))
    assert "4 of 5 blocks complete" in str(status(out))
    drawn[:] = [0] * 9
    truth = pairs / "label/cube2_label.tif"
    kept, times = truth.read_bytes(), truth.stat()
    save(truth, np.zeros((32, 32, 32), np.uint8))
    with pytest.raises(OutputError, match="the input has changed"):
        scored(pairs, out, mode="resume")
    truth.write_bytes(kept)
    os.utime(truth, ns=(times.st_atime_ns, times.st_mtime_ns))
    np.testing.assert_equal(numbers(scored(pairs, out, mode="resume")), serial)
    assert drawn[9:] == [2]  # no other block was read again


def test_what_other_processes_cannot_read_is_refused(pairs, tmp_path, capsys):
    lit = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(SettingsError, match="from files to a file"):
        evaluate(lit, lit, out=tmp_path / "r", workers=2)
    with pytest.raises(SettingsError, match="no output"):
        scored(pairs, workers=2)
    words = (pairs / "pred", pairs / "label", "-o", tmp_path / "r", "--resume", "--restart")
    code, said = run(capsys, "evaluate", *words)
    assert (code, "exclude each other" in said) == (2, True)

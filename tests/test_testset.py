"""The test set: six volumes with truth, each model's prediction of each; nothing overwritten."""

import os
import subprocess
import sys
import time

import pytest

from neuroglow.errors import OutputError
from neuroglow.formats.opening import open_volume
from neuroglow.testset import LEVELS, MODELS, make_testset
from running import run


def test_six_volumes_with_truth_and_both_predictions(tmp_path, capsys):
    out = tmp_path / "set"
    status, said = run(capsys, "testset", "-o", out, "--size", 32)
    assert status == 0, said
    for name in LEVELS:
        shapes = {
            file: open_volume(out / name / file).shape
            for file in ("image.tif", "label.tif", *(f"{model}_prob.tif" for model in MODELS))
        }
        assert set(shapes.values()) == {(32, 32, 32)}, shapes
        assert (out / name / "tree.swc").is_file()
        assert name in said
    page = (out / "testset.html").read_text()
    assert page.count("<img") == page.count('<figure class="stack"') == 6
    assert page.index("light-microscopy: average precision") < page.index("<table")
    cube = out / "1-sparse"
    for words in (
        ("predict", cube, "-o", tmp_path / "again"),
        ("trace", cube, "-o", tmp_path / "trees.swc"),
        ("evaluate", cube, cube, "-o", tmp_path / "one"),
        ("evaluate", out, out, "-o", tmp_path / "all"),
    ):
        status, said_of_it = run(capsys, *words)
        assert status == 0, said_of_it
    assert MODELS[0] == "light-microscopy"
    status, said = run(capsys, "testset", "-o", out)
    assert (status, "not overwritten" in said) == (2, True)


def test_a_killed_test_set_is_continued_to_the_scores_of_the_same_seed(tmp_path):
    out = tmp_path / "set"
    words = [sys.executable, "-m", "neuroglow", "testset", "-o", str(out), "--size", "16"]
    process = subprocess.Popen(words, env=dict(os.environ), stdout=subprocess.DEVNULL)
    while process.poll() is None and not (out / "2-bundle/light-microscopy_run.json").exists():
        time.sleep(0.01)
    process.kill()
    assert process.wait() != 0
    assert not (out / "testset.html").exists()
    kept = out / "1-sparse/image.tif"
    before = kept.stat().st_mtime_ns
    with pytest.raises(OutputError, match=r"unfinished[\s\S]*the original command continues it"):
        make_testset(out, size=16, seed=7)
    rows = make_testset(out, size=16).rows
    assert len(rows) == len(LEVELS) * len(MODELS)
    assert kept.stat().st_mtime_ns == before
    assert repr(rows) == repr(make_testset(tmp_path / "whole", size=16).rows)
    assert not list(out.rglob("*.partial"))

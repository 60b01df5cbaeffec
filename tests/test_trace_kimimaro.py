"""Lines drawn by kimimaro: an extra (GPL), so most of this runs only where it is installed."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import neuroglow
from lines import ball, circle, draw, straight
from neuroglow.errors import InputError, SettingsError
from neuroglow.skeleton import teasar
from running import run

MISSING = importlib.util.find_spec("kimimaro") is None
installed = pytest.mark.skipif(MISSING, reason="kimimaro (GPL) is not installed")
LINES = draw(circle(22), straight((8, 8, 5), (52, 40, 60)))


@pytest.mark.skipif(not MISSING, reason="kimimaro is installed")
def test_without_the_package_the_cure_is_said(tmp_path, capsys):
    with pytest.raises(SettingsError, match=r"(?s)GPL.*neuroglow\[kimimaro\].*thinning"):
        neuroglow.trace(LINES, lines="kimimaro")
    status, said = run(capsys, "trace", "none.tif", "-o", tmp_path / "t.swc", "--lines", "kimimaro")
    assert status == 2
    assert "pip install" in said
    assert not (tmp_path / "t.swc").exists()


def test_it_is_not_imported_unasked():
    code = "import neuroglow, sys, numpy as np; neuroglow.trace(np.zeros((9, 9, 9), np.float32)); "
    code += "sys.exit('kimimaro' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_another_name_is_refused(capsys, tmp_path):
    status, said = run(capsys, "trace", "a.tif", "-o", tmp_path / "t.swc", "--lines", "skan")
    assert status == 2
    assert "thinning" in said


@installed
@pytest.mark.parametrize("unit", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_it_draws_what_thinning_draws(unit):
    own, other = (
        neuroglow.trace(LINES, lines=m, voxel_size=unit) for m in ("thinning", "kimimaro")
    )
    assert other.summary["trees"] == own.summary["trees"] == 2
    assert other.summary["length_um"] == pytest.approx(own.summary["length_um"], rel=0.08)


@installed
def test_empty_and_faint_leave_no_tree():
    assert not neuroglow.trace(np.zeros((9, 9, 9), np.float32), lines="kimimaro").trees
    faint = neuroglow.trace(0.45 * LINES, lines="kimimaro", threshold=0.5)
    assert not faint.trees


@installed
def test_a_soma_is_a_root():
    body = draw(ball((32, 32, 32), 7.0), straight((32, 32, 32), (32, 32, 62)))
    assert neuroglow.trace(body, lines="kimimaro").summary["somata"] == 1


@installed
def test_too_large_a_volume_is_refused(monkeypatch):
    monkeypatch.setattr(teasar, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"(?s)all at once.*block by block"):
        neuroglow.trace(LINES, lines="kimimaro")

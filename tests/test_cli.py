"""The commands that are not predict: what they print and how they end."""

import subprocess
import sysconfig
from pathlib import Path

import pytest
import tifffile
import torch

from neuroglow import __version__
from neuroglow.demo import run_demo
from neuroglow.network.voxresnet import VoxResNet
from running import run


def test_version_and_help(capsys):
    assert run(capsys, "--version") == (0, f"{__version__}\n")
    status, said = run(capsys, "--help")
    assert status == 0
    assert all(verb in said for verb in ("predict", "demo", "models"))


def test_the_installed_command_is_the_same():
    command = Path(sysconfig.get_path("scripts")) / "neuroglow"
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{__version__}\n"


def test_the_demo_finds_more_than_any_method_without_a_network(tmp_path):
    said = []
    report = run_demo(tmp_path, say=said.append)
    at_80_percent = {name: lengths[0] for name, lengths in report.length.items()}
    ours = at_80_percent.pop("neuroglow")
    assert ours > 0.5
    assert ours > 1.5 * max(at_80_percent.values())
    assert report.picture == tmp_path / "demo.png"
    assert any("neuroglow" in line for line in said)
    probability = tifffile.imread(tmp_path / "phantom_prob.tif")
    assert probability.shape == tifffile.imread(tmp_path / "truth.tif").shape
    assert (tmp_path / "truth.swc").is_file()


@pytest.mark.parametrize("arguments", [("nonsense",), ("predict",), ("predict", "a", "--wrong")])
def test_wrong_usage_is_status_2_without_a_traceback(capsys, arguments):
    status, said = run(capsys, *arguments)
    assert status == 2
    assert "Traceback" not in said


def test_a_demo_that_cannot_be_is_named(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file, no folder")
    status, said = run(capsys, "demo", "-o", tmp_path / "taken/demo")
    assert (status, "the output must be writable" in said) == (1, True), said
    status, said = run(capsys, "demo", "-o", tmp_path / "demo", "--seed", "-1")
    assert (status, "greater than or equal to 0" in said) == (2, True), said


def test_models_are_listed_shown_and_found(capsys):
    assert "light-microscopy" in run(capsys, "models", "list")[1]
    assert "threshold" in run(capsys, "models", "show", "light-microscopy")[1]
    assert run(capsys, "models", "path", "light-microscopy")[1].strip().endswith("light-microscopy")
    status, said = run(capsys, "models", "show", "nothing")
    assert (status, "known" in said) == (2, True)


def test_a_checkpoint_is_imported_and_a_bad_one_refused(capsys, tmp_path):
    state = {f"module.{name}": value for name, value in VoxResNet().state_dict().items()}
    torch.save({"epoch": 1, "state_dict": state, "optimizer": {}}, tmp_path / "a.ckpt")
    assert run(capsys, "models", "import", tmp_path / "a.ckpt", "-o", tmp_path / "m")[0] == 0
    assert "voxresnet" in run(capsys, "models", "show", tmp_path / "m")[1]
    status, said = run(capsys, "models", "import", tmp_path / "a.ckpt", "-o", tmp_path / "m")
    assert (status, "not overwritten" in said) == (2, True)
    (tmp_path / "b.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:1000])
    status, said = run(capsys, "models", "import", tmp_path / "b.ckpt", "-o", tmp_path / "n")
    assert (status, "b.ckpt" in said, "Traceback" in said) == (2, True, False)
    assert not (tmp_path / "n").exists()

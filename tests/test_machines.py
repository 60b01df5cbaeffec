"""Machines that are not as one expects: streams that take no words, names, places without room."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

import neuroglow
import neuroglow.bench
import neuroglow.sensitivity
from neuroglow.errors import InputError, OutputError, ReadError, WriteError
from neuroglow.files.names import stem_of
from neuroglow.files.writing import refuse_unwritable
from neuroglow.formats.opening import open_volume
from neuroglow.pictures.sheet import Panel, draw_sheet
from neuroglow.progress import Progress
from neuroglow.watching import watched
from running import run

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="a device of Linux that is always full")


def command(*words, **streams):
    """Run the command line in a process of its own."""
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    spelled = [sys.executable, "-m", "neuroglow", *map(str, words)]
    return subprocess.run(spelled, check=False, **(kept | streams))


def noise(path, side=16):
    """Write a volume of noise."""
    voxels = np.random.default_rng(1).normal(300, 20, (side, side, side)).astype("uint16")
    tifffile.imwrite(path, voxels)
    return voxels


class Closed:
    """A terminal that was closed: every word is refused."""

    encoding = "utf-8"

    def __init__(self, tty):
        self.tty = tty
        self.refused = 0

    def isatty(self):
        return self.tty

    def write(self, text):
        self.refused += 1
        raise OSError(errno.EIO, "Input/output error")

    flush = fileno = lambda self: self.write("")


@pytest.mark.parametrize("tty", [False, True])
def test_a_terminal_that_was_closed_ends_no_work(tty, monkeypatch):
    monkeypatch.setattr(sys, "stderr", closed := Closed(tty))
    with watched("a brain", every_s=0, every_steps=1) as tell:
        for done in range(3):
            tell(
                Progress(
                    "a brain",
                    done,
                    3,
                    row={"step": done, "loss": 1, "seconds": 1, "waiting": 0, "learning_rate": 1},
                )
            )
    assert closed.refused


@needs_full
def test_a_log_on_a_full_disk_ends_no_work(tmp_path):
    noise(tmp_path / "a.tif")
    with FULL.open("w") as log:
        run = command("convert", tmp_path / "a.tif", stdout=subprocess.PIPE, stderr=log)
    assert run.returncode == 0
    assert b"a.ome.zarr" in run.stdout


@needs_full
def test_a_result_that_cannot_be_printed_is_an_error_in_words(tmp_path):
    noise(tmp_path / "a.tif")
    with FULL.open("w") as out:
        run = command("convert", tmp_path / "a.tif", stdout=out, stderr=subprocess.PIPE)
    assert run.returncode == 1
    assert b"Traceback" not in run.stderr
    assert b"No space left" in run.stderr
    assert (tmp_path / "a.ome.zarr").is_dir()


def test_the_exit_status_is_right_where_no_error_can_be_written(tmp_path):
    if FULL.exists():
        with FULL.open("w") as full:
            assert (
                command("predict", tmp_path / "none.tif", stdout=full, stderr=full).returncode == 2
            )
    run = 'exec "$0" -m neuroglow predict none.tif 2>&- >&- <&-'
    assert subprocess.run(["sh", "-c", run, sys.executable], check=False).returncode == 2


def test_a_verb_works_in_a_process_without_a_standard_error(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    voxels = np.random.default_rng(1).normal(300, 20, (16, 16, 16)).astype("uint16")
    assert neuroglow.predict(voxels).shape == voxels.shape


def test_a_name_that_is_too_long_is_an_error_in_words(tmp_path):
    noise(name := tmp_path / ("x" * 246 + ".tif"))
    run = command("predict", name)
    assert run.returncode == 1
    assert b"Traceback" not in run.stderr
    assert b"File name too long" in run.stderr


def test_links_in_a_circle_are_an_error_in_words(tmp_path, capsys):
    (loop := tmp_path / "loop").symlink_to(loop)
    status, said = run(capsys, "convert", loop)
    assert status in (1, 2)
    assert "loop" in said


def test_what_the_system_refuses_is_shown_to_developers(tmp_path):
    noise(name := tmp_path / ("x" * 246 + ".tif"))
    run = [sys.executable, "-X", "dev", "-W", "ignore", "-m", "neuroglow", "predict", str(name)]
    assert b"Traceback" in subprocess.run(run, capture_output=True, check=False).stderr


@pytest.mark.parametrize("name", ["?a", "a?b"])
def test_a_question_mark_in_a_name_is_no_query(name):
    assert stem_of(f"{name}.tif") == name
    assert stem_of(f"s3://bucket/brain.zarr?token={name}") == "brain"


def test_a_file_whose_name_has_two_colons_is_refused_with_the_reason(tmp_path):
    noise(tmp_path / "a::b.tif")
    with pytest.raises(InputError, match="a name without `::`"):
        open_volume(tmp_path / "a::b.tif")


def test_a_line_break_in_a_name_is_drawn_as_a_gap():
    pixels = np.zeros((40, 300, 3), np.uint8)
    broken = draw_sheet([[Panel(pixels, "a\nb", None)]], note="c\nd")
    assert np.array_equal(broken, draw_sheet([[Panel(pixels, "a b", None)]], note="c d"))


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_names_that_are_no_utf8_are_spelled_out_in_trees_and_pages(tmp_path, capsys, caplog):
    caplog.set_level(logging.CRITICAL, "neuroglow")  # xdist sends what is logged, and only UTF-8
    probability = np.zeros((16, 16, 64), np.uint8)
    probability[7:9, 7:9] = 255
    name = os.fsdecode(b"M\xfcller")
    tifffile.imwrite(tmp_path / f"{name}.tif", probability)
    neuroglow.trace(tmp_path / f"{name}.tif", out=tmp_path / f"{name}.swc")
    assert "M\\udcfcller" in (tmp_path / f"{name}.swc").read_text("utf-8")
    neuroglow.evaluate(tmp_path / f"{name}.tif", tmp_path / f"{name}.swc", out=tmp_path / name)
    assert "M\\udcfcller" in (tmp_path / name / "report.html").read_text("utf-8")
    capsys.readouterr()


@pytest.fixture
def occupied(tmp_path):
    """A place in which no file can be made, whoever tries: a file in place of its folder."""
    (tmp_path / "file").touch()
    return tmp_path / "file" / "out.json"


def test_a_place_that_cannot_be_written_is_refused(occupied, tmp_path):
    with pytest.raises(WriteError):
        refuse_unwritable(occupied)
    refuse_unwritable(tmp_path / "free.json")
    assert not list(tmp_path.glob("*free*"))


def test_a_benchmark_is_not_begun_where_its_numbers_cannot_be_written(occupied, monkeypatch):
    monkeypatch.setattr(sys.modules["neuroglow.bench"], "Measuring", None)
    with pytest.raises(WriteError):
        neuroglow.bench(out=occupied)


def test_sensitivity_is_not_begun_where_its_report_cannot_be_written(occupied, monkeypatch):
    monkeypatch.setattr(sys.modules["neuroglow.sensitivity"]._Plan, "run", None)
    voxels = np.random.default_rng(1).normal(300, 20, (24, 32, 32)).astype("uint16")
    with pytest.raises(WriteError):
        neuroglow.sensitivity(voxels, out=occupied.with_suffix(""))


def test_a_script_from_standard_input_is_told_that_workers_need_a_file(tmp_path):
    noise(tmp_path / "a.tif", side=48)
    asked = "shard=(16, 48, 48), chunk=(16, 16, 16), workers=2"
    script = f'import neuroglow\nneuroglow.convert("a.tif", out="a.ome.zarr", {asked})'
    spelled = [sys.executable, "-"]
    ended = subprocess.run(
        spelled, input=script.encode(), capture_output=True, cwd=tmp_path, check=False
    )
    assert ended.returncode == 1
    assert b"a script from standard input" in ended.stderr
    assert len(ended.stderr.splitlines()) < 8


def replacing(path, other):
    """Replace a file by another one of its size as soon as work on it is reported."""

    def tell(progress):
        if progress.done and path.read_bytes() != other:
            path.write_bytes(other)

    return tell


@pytest.mark.parametrize("verb", ["predict", "convert", "label", "predict in memory"])
def test_an_input_that_is_replaced_while_it_is_read_gives_no_output(verb, tmp_path):
    voxels, file, out = noise(tmp_path / "a.tif", 64), tmp_path / "a.tif", tmp_path / "o.ome.zarr"
    tifffile.imwrite(tmp_path / "b.tif", voxels[::-1])
    (tmp_path / "t.swc").write_text("1 2 9 9 9 1 -1\n2 2 50 50 50 1 1\n")
    made = {
        "predict": lambda **how: neuroglow.predict(file, out=out, gate=False, **how),
        "predict in memory": lambda **how: neuroglow.predict(file, gate=False, **how),
        "convert": lambda **how: neuroglow.convert(file, out=out, **how),
        "label": lambda **how: neuroglow.label(tmp_path / "t.swc", like=file, out=out, **how),
    }[verb]
    with pytest.raises(ReadError, match="changed or replaced"):
        made(on_progress=replacing(file, (tmp_path / "b.tif").read_bytes()))
    assert not out.exists()
    if verb == "predict in memory":
        return
    with pytest.raises(OutputError, match="the input has changed"):
        made(mode="resume")
    made(mode="restart")
    assert open_volume(out).shape == voxels.shape


def test_an_input_that_is_gone_when_all_of_it_was_read_is_no_loss(tmp_path):
    noise(tmp_path / "a.tif")
    gone = neuroglow.predict(
        tmp_path / "a.tif",
        on_progress=lambda told: told.done and (tmp_path / "a.tif").unlink(missing_ok=True),
    )
    assert gone.shape == (16, 16, 16)

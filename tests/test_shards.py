"""Shards of a run for job arrays: each alone, joined to the same bytes; and the status of a run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.blocks.ledger import Ledger
from neuroglow.errors import BlocksFailedError, InputError, OutputError, ReadError, SettingsError
from neuroglow.runs.run import Run
from neuroglow.runs.shards import Shard, join_shards, parse_shard
from neuroglow.runs.unfinished import Unfinished
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import VolumeSpec
from neuroglow.status import status
from running import run
from test_predict import save_tiny, small_blocks, tree_bytes
from test_receipts import bytes_in

SHAPE = (40, 32, 90)  # 36 blocks
SIDE = 16
COUNT = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("tiny") / "tiny"))


@dataclass(frozen=True)
class Number:
    """Write each block's number, nothing in every fifth; meet a fault on one block."""

    volume: object
    fault: str = ""
    at: int = -1

    def files(self, block):
        return self.volume.files(block.write)

    def __call__(self, block):
        if block.index == self.at:
            if self.fault == "killed":
                os.kill(os.getpid(), 9)
            raise ReadError("bytes can be decoded", found=self.fault)
        if block.index % 5 == 0:
            return "skipped"
        self.volume.write(block.write, np.full(block.write.shape, block.index + 1, np.uint8))
        return "done"


def describe(report, projections, beside):
    kept = {"legend": "", "trees": [], "fingerprint": {"model": "m"}, "complete": report.ok}
    beside.record.write_text(json.dumps(kept | {"report": report.to_dict()}))


def work_on(out, shard=None, mode="new", *, fault="", at=-1, of="m"):
    spec = VolumeSpec(SHAPE, np.dtype(np.uint8), None, (SIDE,) * 3, (SIDE,) * 3)
    blocks = tile(Box.of(SHAPE), (SIDE,) * 3)
    made = Run("v", Path(out), spec, blocks, {"model": of}, kind="label", shard=parse_shard(shard))
    return made.execute(mode, lambda volume, _: Number(volume, fault, at), describe)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "v.ome.zarr"
    assert work_on(out).ok
    return bytes_in(out)


def kill_in(out, shard, at):
    """Start a shard in a process of its own, which is killed at a block."""
    code = f"import {__name__} as t; t.work_on({str(out)!r}, {shard!r}, fault='killed', at={at})"
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_sixteen_shards_of_which_three_are_killed_and_run_again_equal_the_serial_run(
    tmp_path, whole
):
    out = tmp_path / "v.ome.zarr"
    killed = {1: 16, 2: 1, 3: 34}  # in its second block, its first, and its last
    started = [kill_in(out, f"{k}/{COUNT}", at) for k, at in killed.items()]
    for number in range(4, COUNT + 1):
        assert work_on(out, f"{number}/{COUNT}").ok
    assert {process.wait() for process in started} == {-9}

    with pytest.raises(OutputError, match="all shards") as caught:
        join_shards(Unfinished(out))
    assert re.findall(r"shard (\d+)/16: (\d) of 3 ", caught.value.found) == [
        ("1", "1"), ("2", "0"), ("3", "2"),
    ]  # fmt: skip
    seen = status(out)
    assert (seen.done + seen.skipped, seen.total, seen.at_work) == (30, 36, 0)

    for number in killed:
        work_on(out, f"{number}/{COUNT}", "resume")
    join_shards(Unfinished(out))
    report = work_on(out, mode="resume")
    assert (report.total, report.resumed) == (36, 36)
    assert bytes_in(out) == whole
    assert not Unfinished(out).folder.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_shard_of_shards_lost_after_its_run_is_done_again_when_all_are_published(tmp_path, whole):
    out = tmp_path / "v.ome.zarr"
    for number in (1, 2):
        work_on(out, f"{number}/2")
    (Unfinished(out).folder / "volume.ome.zarr.partial/0/c/0/0/1").unlink()
    join_shards(Unfinished(out))
    assert work_on(out, mode="resume").ok
    assert bytes_in(out) == whole


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"shard": "1/2"}, "begun before"),
        ({"shard": "1/2", "mode": "restart"}, "--restart"),
        ({"shard": "1/3"}, "another number"),
        ({"shard": "1/2", "mode": "resume", "of": "n"}, "another model"),
        ({"mode": "resume"}, "ledgers of shards"),
        ({}, "ledgers of shards"),
    ],
)
def test_what_does_not_belong_to_the_shards_is_refused(tmp_path, how, said):
    out = tmp_path / "v.ome.zarr"
    work_on(out, "1/2")
    before = bytes_in(tmp_path)
    with pytest.raises(OutputError) as caught:
        work_on(out, **how)
    assert said in caught.value.found
    assert bytes_in(tmp_path) == before


def test_a_shard_of_another_run_is_not_joined(tmp_path):
    out = tmp_path / "v.ome.zarr"
    work_on(out, "1/2")
    work_on(out, "2/2", of="n")
    with pytest.raises(OutputError, match="all shards") as caught:
        join_shards(Unfinished(out))
    assert "shard 2/2: of another run" in caught.value.found


def test_a_shard_is_worked_on_by_one_process_and_not_while_all_are_published(tmp_path):
    out = tmp_path / "v.ome.zarr"
    shard = Shard(1, 2)
    with shard.claimed(Unfinished(out)), pytest.raises(OutputError, match="only one process"):
        work_on(out, "1/2")
    with (
        Unfinished(out).claimed(),
        pytest.raises(OutputError, match="no process works on the whole"),
    ):
        work_on(out, "2/2")
    work_on(out, "2/2")
    work_on(out, "1/2")
    with shard.claimed(Unfinished(out)):
        assert status(out).at_work == 1
        with pytest.raises(OutputError) as caught:
            join_shards(Unfinished(out))
    assert "shard 1/2: a process is working" in caught.value.found


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "a/b", "1/1000", "-1/4", "1/"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(SettingsError):
        parse_shard(text)


def test_every_block_belongs_to_one_shard():
    blocks = tile(Box.of(SHAPE), (SIDE,) * 3)
    parts = [block.index for k in range(1, 8) for block in Shard(k, 7).of(blocks)]
    assert sorted(parts) == list(range(len(blocks)))


def test_status_tells_failures_with_reasons_and_draws_a_map(tmp_path, capsys):
    out = tmp_path / "v.ome.zarr"
    with pytest.raises(BlocksFailedError):
        work_on(out, fault="a torn chunk", at=7)
    code, said = run(capsys, "status", out)
    assert code == 0
    assert "35 of 36 blocks complete: 27 done, 8 skipped, 1 failed" in said
    assert "block 7: bytes can be decoded" in said
    assert "a torn chunk" in said
    assert "no process is working on it" in said
    assert re.findall(r"\|.*\|", said) == ["|#!####|", "|######|", "|######|"]
    with Unfinished(out).claimed():
        assert "1 process works on it" in str(status(out))
    work_on(out, mode="resume")
    assert "published" in str(status(out))
    assert "36 of 36 blocks complete" in run(capsys, "status", f"{out}.partial")[1]


def test_the_map_shows_what_is_begun_and_what_is_not(tmp_path):
    ledger = Ledger.create(
        Unfinished(tmp_path / "v").ledger, {}, {"blocks": 4000, "grid": [20, 2, 100]}
    )
    for index in range(1000):
        ledger.mark(index, "done")
    ledger.close()
    seen = status(tmp_path / "v")
    rows = re.findall(r"\|(.*)\|", str(seen))
    assert len(rows) == 12
    assert {len(row) for row in rows} == {48}
    assert rows[0] == "#" * 48
    assert rows[-1] == " " * 48
    assert seen.rate == 0  # nobody works on it


def test_the_rate_counts_from_the_last_start_and_a_clock_set_back_gives_none(tmp_path):
    path = Unfinished(tmp_path / "v").ledger
    Ledger.create(path, {}, {"blocks": 10}).mark(0, "done")
    ledger = Ledger.resume(path, {})
    for index in range(1, 5):
        ledger.mark(index, "done")
    ledger.close()
    began = json.loads(path.read_text().splitlines()[2])["began"]
    with Unfinished(tmp_path / "v").claimed():
        os.utime(path, (began + 8, began + 8))
        assert status(tmp_path / "v").rate == pytest.approx(0.5)
        assert status(tmp_path / "v").remaining_s == pytest.approx(10)
        os.utime(path, (began - 100, began - 100))
        assert status(tmp_path / "v").remaining_s is None


def test_the_status_of_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="unfinished run"):
        status(tmp_path / "none.ome.zarr")


def test_predict_in_shards_is_finished_to_the_same_bytes(tmp_path, model, capsys):
    noise = np.random.default_rng(1).normal(300, 20, (64, 64, 150)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", noise)
    memory = f"{small_blocks(model, 300_000)}B"
    asked = ("predict", tmp_path / "in.tif", "--model", model, "--max-memory", memory)
    asked = (*asked, "--precision", "float32", "--no-gate", "--halo", "4", "--threshold", "0.5")
    out = tmp_path / "p.ome.zarr"
    assert run(capsys, *asked, "-o", tmp_path / "whole.ome.zarr")[0] == 0
    code, said = run(capsys, *asked, "-o", out, "--shard", "1/2", "--resume")
    assert code == 0, said
    assert "neuroglow finish" in said
    code, said = run(capsys, "finish", out)
    assert code == 2
    assert "shard 2/2: never begun" in said
    assert run(capsys, *asked, "-o", out, "--shard", "2/2", "--resume")[0] == 0
    assert not out.exists()
    assert "shard 2/2: 1 of 1 blocks, complete" in run(capsys, "status", out)[1]
    report = neuroglow.finish(f"{out}.partial")  # from Python, as the command
    assert report.blocks.ok
    assert tree_bytes(out) == tree_bytes(tmp_path / "whole.ome.zarr")
    assert (tmp_path / "p_mip.png").exists()
    assert (tmp_path / "p_mask.ome.zarr").exists()
    assert "published" in run(capsys, "status", out)[1]


def test_a_shard_of_an_array_is_refused(model):
    from neuroglow import predict

    with pytest.raises(SettingsError, match="from files to a file"):
        predict(np.zeros((8, 8, 8), np.uint16), model=model, shard="1/2")


def run_both_shards(capsys, out, *asked):
    """Run a command in two shards; neither publishes its output."""
    for shard in ("1/2", "2/2"):
        code, said = run(capsys, *asked, "-o", out, "--shard", shard, "--resume")
        assert (code, "neuroglow finish" in said) == (0, True), said
        assert not out.exists()


def test_a_label_in_shards_is_finished_to_the_same_bytes(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "in.tif", np.zeros((64, 64, 140), np.uint16))
    (tmp_path / "t.swc").write_text("1 0 20 20 10 2 -1\n2 0 120 20 30 2 1\n")
    asked = ("label", tmp_path / "t.swc", "--like", tmp_path / "in.tif", "--block", "64")
    (tmp_path / "whole").mkdir()
    out = tmp_path / "l.ome.zarr"
    assert run(capsys, *asked, "-o", tmp_path / "whole/l.ome.zarr")[0] == 0
    run_both_shards(capsys, out, *asked)
    report = neuroglow.finish(out)
    assert report.blocks.ok
    assert bytes_in(out) == bytes_in(tmp_path / "whole/l.ome.zarr")
    with pytest.raises(SettingsError, match="from files to a file"):
        neuroglow.label(tmp_path / "t.swc", np.zeros((8, 8, 8)), out=out, shard="1/2")


def test_a_conversion_in_shards_is_finished_to_the_same_bytes(tmp_path, capsys, monkeypatch):
    noise = np.random.default_rng(1).normal(300, 20, (40, 64, 140)).astype(np.uint16)
    noise[:, :, 64:] = 0  # a slab without a file
    tifffile.imwrite(tmp_path / "in.tif", noise)
    monkeypatch.chdir(tmp_path)  # a relative source, finished from another folder
    small = ("--chunk-shape", "16,32,32", "--shard-shape", "16,64,64", "--max-memory", "221MB")
    asked = ("convert", "in.tif", *small)
    (tmp_path / "whole").mkdir()
    out = tmp_path / "c.ome.zarr"
    assert run(capsys, *asked, "-o", tmp_path / "whole/c.ome.zarr")[0] == 0
    run_both_shards(capsys, out, *asked)
    assert "6 of 6 blocks complete" in run(capsys, "status", out)[1]
    (Unfinished(out).folder / "volume.ome.zarr.partial/0/c/0/0/0").unlink()
    monkeypatch.chdir("/")
    report = neuroglow.finish(out)
    assert report.blocks.ok
    assert bytes_in(out) == bytes_in(tmp_path / "whole/c.ome.zarr")
    monkeypatch.chdir(tmp_path)
    assert run(capsys, *asked, "-o", out, "--shard", "1/2", "--resume")[0] == 0  # queued again
    code, said = run(capsys, *asked, "-o", out, "--shard", "1/2", "--effort", 1, "--resume")
    assert (code, "it exists" in said) == (2, True)
    with pytest.raises(OutputError, match="published"):
        neuroglow.finish(out)
    for how, said in (
        ({"source": noise, "out": out}, "from files to a file"),
        ({"source": tmp_path / "in.tif", "out": "s3://bucket/c.ome.zarr"}, "store elsewhere"),
    ):
        with pytest.raises(SettingsError, match=said):
            neuroglow.convert(part="1/2", **how)


def test_a_survey_in_shards_is_finished_to_the_same_table(tmp_path, capsys, monkeypatch):
    noise = np.random.default_rng(1).normal(300, 20, (32, 64, 96)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", noise)
    monkeypatch.chdir(tmp_path)  # a relative source, finished from another folder
    asked = ("survey", "in.tif", "--cube", "32", "--min-tissue", "0")
    assert run(capsys, *asked, "-o", tmp_path / "whole.csv")[0] == 0
    out = tmp_path / "s.csv"
    run_both_shards(capsys, out, *asked)
    assert run(capsys, *asked, "-o", out, "--resume")[0] == 2  # not without shards
    monkeypatch.chdir("/")
    report = neuroglow.finish(out)
    assert (report.cubes, report.blocks.ok) == (6, True)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not Path(f"{out}.partial").exists()


def test_a_trace_in_shards_is_finished_to_the_same_trees(tmp_path, capsys):
    found = np.zeros((32, 32, 96), np.uint8)
    found[16:18, 15:17, 4:90] = 200
    found[10:30, 16:18, 50:52] = 180
    tifffile.imwrite(tmp_path / "in.tif", found)
    asked = ("trace", tmp_path / "in.tif", "--block", "32", "--voxel-size", "1,1,1")
    (tmp_path / "whole").mkdir()
    out = tmp_path / "t.swc"
    assert run(capsys, *asked, "-o", tmp_path / "whole/t.swc")[0] == 0
    run_both_shards(capsys, out, *asked)
    assert "3 of 3 blocks complete" in run(capsys, "status", out)[1]
    report = neuroglow.finish(out)
    assert report.summary["trees"] > 0
    assert out.read_bytes() == (tmp_path / "whole/t.swc").read_bytes()
    with pytest.raises(SettingsError, match="from files to a file"):
        neuroglow.trace(found, out=out, shard="1/2")


def test_only_failed_blocks_are_repeated_if_this_is_asked(tmp_path):
    out = tmp_path / "v.ome.zarr"
    with pytest.raises(OutputError, match="no unfinished run"):
        work_on(out, mode="retry-failed")
    with pytest.raises(BlocksFailedError):
        work_on(out, fault="a torn chunk", at=7)
    again = work_on(out, mode="retry-failed")
    assert (again.total, again.resumed, again.ok) == (36, 35, True)
    assert work_on(out, mode="retry-failed").ok  # nothing is left to do


def test_a_run_that_has_blocks_left_is_resumed_not_repeated(tmp_path):
    out = tmp_path / "v.ome.zarr"
    with pytest.raises(BlocksFailedError):
        work_on(out, fault="a torn chunk", at=7)
    file = Unfinished(out).ledger
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(OutputError, match=r"(?s)1 of 36 blocks were never done.*--resume"):
        work_on(out, mode="retry-failed")
    assert work_on(out, mode="resume").ok

"""A ledger that can be believed: what a block wrote is checked; what is lost is found and redone."""

import errno
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.ledger import Ledger
from neuroglow.errors import BlocksFailedError, OutputError, ReadError, StoppedError, WriteError
from neuroglow.files.locks import is_held, locked
from neuroglow.files.remarks import forget_remarks
from neuroglow.formats.opening import create_volume, open_volume
from neuroglow.label import LabelBlock, label
from neuroglow.runs.run import Run
from neuroglow.runs.unfinished import Unfinished
from neuroglow.space.geometry import Box, tile
from neuroglow.space.volume import VolumeSpec

SHAPE = (64, 128, 192)  # 6 blocks of 64, in 2 rows; the line lies in the first row
LINE = "1 0 20 20 10 2 -1\n2 0 150 20 30 2 1\n"
FIRST, EMPTY = "0/0/0", "0/1/1"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "line.swc"
    path.write_text(LINE)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tree):
    out = tmp_path_factory.mktemp("whole") / "label.ome.zarr"
    drawn(tree, out)
    return bytes_in(out)


def drawn(tree, out, mode="new"):
    forget_remarks()
    like = np.zeros(SHAPE, np.uint16)
    return label(tree, like, out=out, block=64, voxel_size=(1, 1, 1), mode=mode)


def bytes_in(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def at_block(monkeypatch, index, act):
    """Let something happen before a block is worked on."""
    work = LabelBlock.__call__

    def meddled(self, block):
        if block.index == index:
            act()
        return work(self, block)

    monkeypatch.setattr(LabelBlock, "__call__", meddled)


def unreadable():
    raise ReadError("bytes can be decoded", found="a torn chunk")


@pytest.fixture
def unfinished(tmp_path, tree, monkeypatch):
    """Leave a run in which only the last block is missing."""
    out = tmp_path / "label.ome.zarr"
    with monkeypatch.context() as meddling:
        at_block(meddling, 5, unreadable)
        with pytest.raises(BlocksFailedError):
            drawn(tree, out)
    return out


def ledger_of(out):
    lines = (Unfinished(out).folder / "ledger.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


def shard(out, place):
    return Unfinished(out).folder / "volume.ome.zarr.partial/0/c" / place


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    file.write_bytes(content)


DAMAGES = {
    "a shard deleted": lambda out: shard(out, FIRST).unlink(),
    "a shard cut off": lambda out: os.truncate(shard(out, FIRST), 100),
    "a shard with one wrong byte": lambda out: flip(shard(out, FIRST)),
    "a shard emptied": lambda out: shard(out, FIRST).write_bytes(b""),
    "a shard where there was none": lambda out: (
        shard(out, EMPTY).parent.mkdir(parents=True, exist_ok=True),
        shutil.copy(shard(out, FIRST), shard(out, EMPTY)),
    ),
    "projections deleted": lambda out: (
        Unfinished(out).projections / "00000000.npz"
    ).unlink(),
    "all projections deleted": lambda out: shutil.rmtree(Unfinished(out).projections),
    "all voxels deleted": lambda out: shutil.rmtree(shard(out, FIRST).parents[4]),
    "receipts lost": lambda out: strip(Unfinished(out).folder / "ledger.jsonl"),
}  # fmt: skip


def strip(ledger):
    head, *lines = ledger.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    kept = [json.dumps({k: v for k, v in e.items() if k != "wrote"}) for e in entries]
    ledger.write_text("\n".join([head, *kept]) + "\n")


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_lost_between_two_starts_is_found_and_done_again(
    unfinished, tree, whole, damage, caplog
):
    DAMAGES[damage](unfinished)
    report = drawn(tree, unfinished, "resume").blocks
    assert report.ok
    assert "is done again: its files were deleted or damaged" in caplog.text
    assert bytes_in(unfinished) == whole


def test_an_untouched_run_is_believed(unfinished, tree, whole, caplog):
    assert drawn(tree, unfinished, "resume").blocks.resumed == 5
    assert "done again" not in caplog.text
    assert bytes_in(unfinished) == whole


def test_a_damaged_description_of_the_voxels_is_written_again(unfinished, tree, whole):
    (shard(unfinished, FIRST).parents[3] / "zarr.json").write_text("{")
    assert drawn(tree, unfinished, "resume").blocks.resumed == 5
    assert bytes_in(unfinished) == whole


def test_receipts_tell_an_empty_block_from_a_lost_one(unfinished):
    wrote = {entry["block"]: entry.get("wrote", "") for entry in ledger_of(unfinished)}
    assert wrote[0].startswith(f"{shard(unfinished, FIRST).stat().st_size}:")
    assert wrote[4].startswith("- ")
    assert not shard(unfinished, EMPTY).exists()


def test_a_shard_that_is_damaged_while_the_run_goes_on_is_found_before_it_is_published(
    tmp_path, tree, whole, monkeypatch, caplog
):
    out = tmp_path / "label.ome.zarr"
    at_block(monkeypatch, 5, lambda: flip(shard(out, FIRST)))
    report = drawn(tree, out).blocks
    assert (report.done + report.skipped, report.total) == (6, 6)
    assert "block 0" in caplog.text
    assert bytes_in(out) == whole


def test_a_block_that_the_disk_never_keeps_has_failed(tmp_path):
    spec = VolumeSpec((64, 64, 128), np.dtype(np.uint8), None, (64, 64, 64))
    volume = create_volume(tmp_path / "v.ome.zarr", spec)

    class Forgotten:
        def files(self, block):
            return volume.files(block.write)

        def __call__(self, block):
            volume.write(block.write, np.ones(block.write.shape, np.uint8))
            return "done"

    blocks = tile(Box.of(spec.shape), spec.block_shape)
    last = volume.files(blocks[1].write)[0]
    report = run_blocks(
        Forgotten(),
        blocks,
        ledger=create_ledger(tmp_path),
        on_progress=lambda _: last.unlink(missing_ok=True),
    )
    assert list(report.failed) == [1]
    assert "deleted or damaged" in report.failed[1]
    assert (report.done, report.total) == (1, 2)


def create_ledger(folder):
    return Ledger.create(folder / "ledger", {"model": "m"})


def test_a_full_disk_stops_the_run_and_a_resume_completes_it(tmp_path, tree, whole, monkeypatch):
    out = tmp_path / "label.ome.zarr"
    written = []

    def full(file, **arrays):
        written.append(file)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        savez(file, **arrays)

    savez = np.savez
    with monkeypatch.context() as disk:
        disk.setattr(np, "savez", full)
        with pytest.raises(WriteError, match="enough space"):
            drawn(tree, out)
    assert len(written) == 2
    assert not out.exists()
    assert drawn(tree, out, "resume").blocks.resumed == 1
    assert bytes_in(out) == whole


def test_a_ledger_that_cannot_take_a_whole_line_stops_the_run(tmp_path, monkeypatch):
    """The rest of the line does not fit; what was written of it is dropped on resume."""
    ledger = create_ledger(tmp_path)
    ledger.mark(0, "done")
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[:10]))
    with pytest.raises(WriteError, match="No space"):
        ledger.mark(1, "done")
    monkeypatch.undo()
    ledger.close()
    again = Ledger.resume(tmp_path / "ledger", {"model": "m"})
    assert again.statuses == {0: "done"}


@pytest.mark.parametrize("lost", ["ledger.jsonl", "."])
def test_an_output_deleted_while_it_is_made_stops_the_run(tmp_path, tree, monkeypatch, lost):
    out = tmp_path / "label.ome.zarr"
    place = Unfinished(out).folder / lost
    at_block(monkeypatch, 1, lambda: place.unlink() if place.is_file() else shutil.rmtree(place))
    with pytest.raises(WriteError):
        drawn(tree, out)
    assert not out.exists()


def test_the_second_of_two_drivers_is_refused_by_the_name_of_the_first(tmp_path, tree):
    out = tmp_path / "label.ome.zarr"
    with Unfinished(out).claimed():
        for mode in ("new", "resume", "restart"):
            with pytest.raises(OutputError, match="only one process") as caught:
                drawn(tree, out, mode)
            assert f"process {os.getpid()} on " in caught.value.found
    drawn(tree, out)
    assert not list(tmp_path.glob(".*.lock"))


def test_a_dead_process_holds_no_lock(tmp_path, tree, whole):
    out = tmp_path / "label.ome.zarr"
    code = (
        "import os, sys; from neuroglow.runs.unfinished import Unfinished; from pathlib import Path\n"
        "with Unfinished(Path(sys.argv[1])).claimed(): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(out)], check=False)
    assert list(tmp_path.glob(".*.lock"))
    drawn(tree, out)
    assert bytes_in(out) == whole
    assert not list(tmp_path.glob(".*.lock"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit and no such lock")
def test_a_lock_is_held_and_given_back_where_not_even_its_holder_can_be_written(tmp_path):
    import resource

    path, before = tmp_path / ".lock", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # as on a full disk
    try:
        with locked(path, tmp_path / "out"):
            assert is_held(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()


def test_ctrl_c_keeps_what_was_done(tmp_path, tree, whole, monkeypatch):
    out = tmp_path / "label.ome.zarr"

    def press():
        raise KeyboardInterrupt

    with monkeypatch.context() as meddling:
        at_block(meddling, 3, press)
        with pytest.raises(StoppedError):
            drawn(tree, out)
    assert drawn(tree, out, "resume").blocks.resumed == 3
    assert bytes_in(out) == whole
    assert open_volume(out).read(Box.of(SHAPE)).any()


@pytest.mark.parametrize(
    "blocks", [tile(Box.of(SHAPE), (64, 64, 32)), tile(Box((0, 0, 0), (64, 128, 160)), (64,) * 3)]
)
def test_blocks_that_are_not_the_shards_are_refused_before_anything_is_written(tmp_path, blocks):
    spec = VolumeSpec(SHAPE, np.dtype(np.uint8), None, (64, 64, 64))
    run = Run("v", tmp_path / "v.ome.zarr", spec, blocks, {}, kind="label")
    with pytest.raises(ValueError, match="two of them would write one"):
        run.execute("new", lambda *_: None, lambda *_: None)
    assert not list(tmp_path.iterdir())

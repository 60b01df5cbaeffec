"""Blocks, ledger and workers: laws, and failures that really happen."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from neuroglow.blocks.blockwise import BlockReport, run_blocks
from neuroglow.blocks.executors import Workers, local_workers, make_executor
from neuroglow.blocks.ledger import Ledger
from neuroglow.errors import (
    OutputError,
    ReadError,
    RunError,
    SettingsError,
    StoppedError,
    WriteError,
)
from neuroglow.progress import Progress, tell_share
from neuroglow.space.geometry import Block, Box, tile

SHAPE = (19, 37, 23)
BLOCKS = tile(Box.of(SHAPE), (8, 16, 16), halo=2, align=4)  # 18 blocks
FINGERPRINT = {"model": "m", "settings": "s", "input": "i", "grid": "g"}
DEADLINE_S = 300  # reached only where something is broken

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="processes are killed and looked for as on Linux"
)


@dataclass(frozen=True)
class Smooth:
    """Write the sum of each voxel and its neighbours; leave a trace of each run of a block."""

    folder: Path

    def __call__(self, block: Block) -> str:
        leave_trace(self.folder, block)
        source = np.load(self.folder / "in.npy", mmap_mode="r")
        target = np.load(self.folder / "out.npy", mmap_mode="r+")
        target[block.write.slices] = smooth(source[block.read.slices])[block.inner.slices]
        target.flush()
        return "skipped" if block.index % 5 == 0 else "done"


@dataclass(frozen=True)
class SmoothThenWait(Smooth):
    """Smooth; from block 6 on wait, once smoothed, until there is a file `go`."""

    def __call__(self, block: Block) -> str:
        status = super().__call__(block)
        if block.index >= 6:
            (self.folder / f"waits-{block.index}").touch()
            until((self.folder / "go").exists)
        return status


@dataclass(frozen=True)
class Fault:
    """Meet a fault on block 7: always, or (with `once`) the first time only."""

    kind: str
    folder: Path
    once: bool = False

    def __call__(self, block: Block) -> str:
        leave_trace(self.folder, block)
        if block.index == 7 and not (self.once and len(traces(self.folder, 7)) > 1):
            fail(self.kind)
        return "done"


class UnpicklableError(Exception):
    """An exception that no other process can rebuild."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("badly made")


def fail(kind: str) -> None:
    match kind:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "full":
            raise WriteError("the output has room", found="disk full")
        case "ours":
            raise ReadError("bytes can be decoded", found="a torn chunk")
        case "unpicklable":
            raise UnpicklableError(1, 2)
        case _:
            raise ValueError("odd number")


def die(block: Block) -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def say_nothing(block: Block) -> str:
    return ""


def sign(folder: Path) -> None:
    (folder / f"worker-{os.getpid()}").touch()


def smooth(voxels: np.ndarray) -> np.ndarray:
    padded = np.pad(voxels.astype(np.int64), 1)
    shifts = itertools.product(range(3), repeat=3)
    z, y, x = voxels.shape
    return sum(padded[a : a + z, b : b + y, c : c + x] for a, b, c in shifts)


def leave_trace(folder: Path, block: Block) -> None:
    attempt = len(traces(folder, block.index))
    (folder / f"run-{block.index}-{attempt}-{os.getpid()}").touch()


def traces(folder: Path, index: int | str = "*") -> list[Path]:
    return list(folder.glob(f"run-{index}-*"))


def pids(folder: Path) -> set[int]:
    return {int(path.name.split("-")[3]) for path in traces(folder)}


def until(true) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, f"still waiting for {true}"
        time.sleep(0.01)


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def drive(folder: Path, workers: int) -> None:
    """Run in a process of its own: blocks from 6 on wait for `go`."""
    ledger = Ledger.create(folder / "ledger", FINGERPRINT)
    try:
        run_blocks(SmoothThenWait(folder), BLOCKS, ledger=ledger, workers=local_workers(workers))
    except StoppedError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(error.exit_status)


@contextmanager
def driving(folder: Path, workers: int = 2) -> Iterator[subprocess.Popen[str]]:
    """Start a driver, wait until it can get no further, and leave nothing of it behind."""
    code = f"import pathlib, {__name__} as t; t.drive(pathlib.Path({str(folder)!r}), {workers})"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as driver:
        try:
            until(lambda: len(list(folder.glob("waits-*"))) == workers)
            until(lambda: (folder / "ledger").read_text().count("\n") == 1 + 6)
            yield driver
        finally:
            with suppress(ProcessLookupError):
                os.killpg(driver.pid, signal.SIGKILL)


def interrupt(driver: subprocess.Popen[str]) -> None:
    """Press Ctrl-C: a terminal signals the whole group."""
    os.killpg(driver.pid, signal.SIGINT)


@pytest.fixture
def folder(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 1000, SHAPE, dtype=np.uint16)
    np.save(tmp_path / "in.npy", voxels)
    np.save(tmp_path / "out.npy", np.zeros(SHAPE, np.int64))
    return tmp_path


def result_is_whole(folder: Path) -> bool:
    whole = smooth(np.load(folder / "in.npy"))
    return np.array_equal(np.load(folder / "out.npy"), whole)


def memory() -> Ledger:
    return Ledger.create(None, FINGERPRINT)


@pytest.mark.parametrize("workers", [1, 2])
def test_blocked_equals_whole_in_this_thread_and_in_processes(folder, workers):
    ctrl_c = signal.getsignal(signal.SIGINT)
    report = run_blocks(Smooth(folder), BLOCKS, ledger=memory(), workers=local_workers(workers))
    assert signal.getsignal(signal.SIGINT) is ctrl_c
    assert result_is_whole(folder)
    assert report == BlockReport(total=18, done=14, skipped=4, failed={}, resumed=0)
    assert report.ok
    assert len(traces(folder)) == 18


def test_blocked_equals_whole_with_two_blocks_at_once_in_threads(folder):
    threads = local_workers(at_once=2)
    ctrl_c = signal.getsignal(signal.SIGINT)
    report = run_blocks(Smooth(folder), BLOCKS, ledger=memory(), workers=threads)
    assert signal.getsignal(signal.SIGINT) is ctrl_c
    assert result_is_whole(folder)
    assert report == BlockReport(total=18, done=14, skipped=4, failed={}, resumed=0)
    assert threads.in_flight == 2


def test_processes_can_be_driven_from_a_thread_that_is_not_the_main_one(folder):
    with ThreadPoolExecutor(1) as thread:
        run = partial(run_blocks, ledger=memory(), workers=local_workers(2))
        assert thread.submit(run, Smooth(folder), BLOCKS).result().ok
    assert result_is_whole(folder)


def test_no_blocks_are_a_complete_run():
    assert run_blocks(say_nothing, (), ledger=memory()).ok


def test_progress_counts_up_one_block_at_a_time(folder):
    seen: list[Progress] = []
    last = run_blocks(
        Fault("ours", folder), BLOCKS, ledger=memory(), retries=0, on_progress=seen.append
    )
    assert [p.done for p in seen] == list(range(19))
    assert {p.total for p in seen} == {last.total}


def test_the_report_in_words_and_in_json():
    report = BlockReport(total=9, done=5, skipped=2, failed={3: "torn", 1: "odd"}, resumed=4)
    assert str(report) == "7 of 9 blocks complete (4 of them earlier): 5 done, 2 skipped, 2 failed"
    assert json.loads(json.dumps(report.to_dict())) == {
        "ok": False, "total": 9, "done": 5, "skipped": 2,
        "failed": {"1": "odd", "3": "torn"}, "resumed": 4,
    }  # fmt: skip


class Counting(ThreadPoolExecutor):
    """Count how many calls are submitted and unfinished at most."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.futures, self.most = [], 0

    def submit(self, fn, /, *args, **kwargs):
        self.futures.append(super().submit(fn, *args, **kwargs))
        self.most = max(self.most, sum(not f.done() for f in self.futures))
        return self.futures[-1]


def test_workers_are_kept_busy_and_the_number_in_flight_is_bounded():
    executor = Counting(3)
    workers = Workers(3, lambda: executor)

    def work(block: Block) -> str:
        until(lambda: executor.most >= workers.in_flight)
        return "done"

    assert run_blocks(work, BLOCKS, ledger=memory(), workers=workers).ok
    assert executor.most == workers.in_flight == 6


@pytest.mark.parametrize(("kind", "workers"), [("ours", 1), ("value", 2)])
def test_a_block_that_fails_once_is_tried_again(tmp_path, kind, workers):
    work = Fault(kind, tmp_path, once=True)
    report = run_blocks(work, BLOCKS, ledger=memory(), workers=local_workers(workers))
    assert report.ok
    assert len(traces(tmp_path, 7)) == 2


@pytest.mark.parametrize(
    ("kind", "reason", "workers"),
    [
        ("ours", "torn chunk", 2),
        ("value", "ValueError: odd number (test_blockwise.py:", 1),
        ("unpicklable", "badly made", 2),
    ],
)
def test_a_block_that_always_fails_is_named_and_the_others_complete(
    tmp_path, kind, reason, workers
):
    work = Fault(kind, tmp_path)
    report = run_blocks(work, BLOCKS, ledger=memory(), workers=local_workers(workers), retries=2)
    assert not report.ok
    assert report.done == 17
    assert list(report.failed) == [7]
    assert reason in report.failed[7]
    assert len(traces(tmp_path, 7)) == 3


def test_work_that_does_not_say_what_it_did_has_failed():
    report = run_blocks(say_nothing, BLOCKS[:2], ledger=memory())
    assert set(report.failed) == {0, 1}


def test_a_failed_block_is_tried_again_on_resume(tmp_path):
    ledger = Ledger.create(tmp_path / "ledger", FINGERPRINT)
    first = run_blocks(Fault("ours", tmp_path), BLOCKS, ledger=ledger, retries=0)
    assert list(first.failed) == [7]
    ledger = Ledger.resume(tmp_path / "ledger", FINGERPRINT)
    second = run_blocks(Fault("ours", tmp_path, once=True), BLOCKS, ledger=ledger)
    assert second.ok
    assert second.resumed == 17
    assert len(traces(tmp_path)) == 19


@pytest.mark.parametrize("workers", [1, 2])
def test_an_output_that_cannot_be_written_stops_the_run(tmp_path, workers):
    ledger = Ledger.create(tmp_path / "ledger", FINGERPRINT)
    with pytest.raises(WriteError, match="disk full"):
        run_blocks(Fault("full", tmp_path), BLOCKS, ledger=ledger, workers=local_workers(workers))
    assert len(traces(tmp_path, 7)) == 1
    assert len(traces(tmp_path)) < 18
    finished = {b.index for b in BLOCKS if ledger.is_finished(b.index)}
    assert {0, 1, 2, 3} <= finished
    assert Ledger.resume(tmp_path / "ledger", FINGERPRINT).statuses == ledger.statuses


def test_a_ledger_that_cannot_be_written_stops_the_run(tmp_path):
    ledger = Ledger.create(tmp_path / "there" / "ledger", FINGERPRINT)
    (tmp_path / "there" / "ledger").unlink()
    (tmp_path / "there").rmdir()
    with pytest.raises(WriteError, match="ledger"):
        run_blocks(Fault("full", tmp_path), BLOCKS, ledger=ledger)
    assert len(traces(tmp_path)) == 1


@needs_proc
def test_a_block_that_kills_its_workers_is_named_and_the_others_complete(tmp_path):
    report = run_blocks(
        Fault("killed", tmp_path), BLOCKS, ledger=memory(), workers=local_workers(2)
    )
    assert list(report.failed) == [7]
    assert "out of memory" in report.failed[7]
    assert report.done == 17


@needs_proc
def test_a_worker_that_is_killed_once_costs_no_block(tmp_path):
    work = Fault("killed", tmp_path, once=True)
    assert run_blocks(work, BLOCKS, ledger=memory(), workers=local_workers(2)).ok


@needs_proc
def test_workers_that_all_die_end_the_run():
    with pytest.raises(RunError, match="in a row"):
        run_blocks(die, BLOCKS, ledger=memory(), workers=local_workers(2), retries=0)


@needs_proc
def test_a_killed_driver_leaves_no_worker_and_resumes_to_the_same_voxels(folder):
    with driving(folder) as driver:
        driver.kill()
    until(lambda: not any(lives(pid) for pid in pids(folder)))
    assert not result_is_whole(folder)
    before = len(traces(folder))

    ledger = Ledger.resume(folder / "ledger", FINGERPRINT)
    report = run_blocks(Smooth(folder), BLOCKS, ledger=ledger)
    assert result_is_whole(folder)
    assert report == BlockReport(total=18, done=14, skipped=4, failed={}, resumed=6)
    assert len(traces(folder)) == before + 12


@needs_proc
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_cleanly_and_can_be_resumed(folder, workers):
    with driving(folder, workers) as driver:
        interrupt(driver)
        (folder / "go").touch()
        said, errors = driver.communicate(timeout=DEADLINE_S)
        assert driver.returncode == StoppedError.exit_status, errors
        assert not any(lives(pid) for pid in pids(folder))
    assert "of 18 blocks complete" in said
    assert "repeat the same command" in said
    assert "Traceback" not in errors

    ledger = Ledger.resume(folder / "ledger", FINGERPRINT)
    ran = {int(path.name.split("-")[1]) for path in traces(folder)}
    finished = {b.index for b in BLOCKS if ledger.is_finished(b.index)}
    assert finished == (ran if workers > 1 else ran - {6})  # in this thread 6 is abandoned
    assert len(finished) < 18
    assert run_blocks(Smooth(folder), BLOCKS, ledger=ledger).ok
    assert result_is_whole(folder)


def test_ctrl_c_ends_blocks_in_threads_where_they_report(tmp_path):
    driver, told = threading.get_ident(), []

    def work(block: Block) -> str:
        while block.index > 1:
            tell_share(block.index, 0.5)
            time.sleep(0.01)
        return "done"

    def press(progress: Progress) -> None:
        told.append(threading.get_ident())
        if progress.done % 1:
            raise KeyboardInterrupt

    ledger = Ledger.create(tmp_path / "ledger", FINGERPRINT)
    with pytest.raises(StoppedError, match="repeat the same command"):
        run_blocks(work, BLOCKS, ledger=ledger, workers=local_workers(at_once=2), on_progress=press)
    assert set(told) == {driver}
    assert sorted(Ledger.resume(tmp_path / "ledger", FINGERPRINT).statuses) == [0, 1]


@needs_proc
def test_a_second_ctrl_c_ends_the_workers_at_once(folder):
    with driving(folder) as driver:
        interrupt(driver)
        assert "Ctrl-C again" in driver.stderr.readline()
        interrupt(driver)  # nothing ever makes `go`: only the end of the workers ends this
        said, errors = driver.communicate(timeout=DEADLINE_S)
        assert driver.returncode == StoppedError.exit_status, errors
        assert not any(lives(pid) for pid in pids(folder))
    assert "6 of 18 blocks complete" in said
    assert "Traceback" not in errors
    ledger = Ledger.resume(folder / "ledger", FINGERPRINT)
    assert sorted(ledger.statuses) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_initializer_runs_in_the_worker_before_its_work(tmp_path, workers):
    with make_executor(workers, initializer=partial(sign, tmp_path)) as executor:
        pid = executor.submit(os.getpid).result()
        assert (tmp_path / f"worker-{pid}").exists()
    assert (pid == os.getpid()) == (workers == 1)


def test_less_than_one_worker_is_refused():
    with pytest.raises(SettingsError):
        make_executor(0)


def test_a_ledger_is_read_back_as_it_was_written(tmp_path):
    ledger = Ledger.create(tmp_path / "new" / "ledger", FINGERPRINT)
    ledger.mark(3, "done")
    ledger.mark(1, "skipped")
    ledger.mark(2, "failed", "a torn chunk\nwhere: µ")
    ledger.mark(4, "failed", "odd")
    ledger.mark(4, "done")
    again = Ledger.resume(tmp_path / "new" / "ledger", FINGERPRINT)
    assert again.statuses == ledger.statuses
    assert [again.is_finished(i) for i in range(6)] == [False, True, False, True, True, False]


@pytest.mark.parametrize("lost", range(1, 32))
def test_a_torn_last_line_costs_one_block_at_most(tmp_path, lost):
    path = tmp_path / "ledger"
    ledger = Ledger.create(path, FINGERPRINT)
    ledger.mark(10, "done")
    ledger.mark(11, "done")
    path.write_bytes(path.read_bytes()[:-lost])
    again = Ledger.resume(path, FINGERPRINT)
    assert again.is_finished(10)
    assert again.is_finished(11) == (lost == 1)  # the newline alone says nothing
    again.mark(12, "done")
    assert Ledger.resume(path, FINGERPRINT).statuses == again.statuses
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("model", "another model"),
        ("settings", "other settings"),
        ("input", "the input has changed"),
        ("grid", "another grid"),
    ],
)
def test_another_run_is_refused_by_the_part_that_differs(tmp_path, part, said):
    Ledger.create(tmp_path / "ledger", FINGERPRINT).mark(1, "done")
    before = (tmp_path / "ledger").read_bytes()
    with pytest.raises(OutputError) as caught:
        Ledger.resume(tmp_path / "ledger", FINGERPRINT | {part: "x"})
    assert caught.value.found.startswith(said)
    assert "," not in caught.value.found
    assert "--restart" in caught.value.cure
    assert (tmp_path / "ledger").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", b"\xff\x00\xfe", b"{}", b"[1]", b"3", b'{"format": 1, "fingerprint": 5}',
     b'{"format": 2, "fingerprint": {}}'],
)  # fmt: skip
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "ledger").write_bytes(content)
    with pytest.raises(OutputError):
        Ledger.resume(tmp_path / "ledger", FINGERPRINT)
    assert (tmp_path / "ledger").read_bytes() == content


def test_a_missing_ledger_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OutputError):
            Ledger.resume(path, FINGERPRINT)


def test_a_restart_forgets_what_was_done(tmp_path):
    Ledger.create(tmp_path / "ledger", FINGERPRINT).mark(1, "done")
    Ledger.create(tmp_path / "ledger", FINGERPRINT | {"model": "n"})
    assert Ledger.resume(tmp_path / "ledger", FINGERPRINT | {"model": "n"}).statuses == {}

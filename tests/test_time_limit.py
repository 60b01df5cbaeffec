"""A block that never ends: its worker is ended, it is named after its retries, the rest completes."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from neuroglow.blocks.attempt import attempt_each
from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.executors import local_workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.errors import SettingsError
from test_blockwise import BLOCKS, FINGERPRINT, leave_trace, memory, traces


@dataclass(frozen=True)
class Hang:
    """Hang on block 7, always or the first time only: asleep, or so that no Python code can run."""

    kind: str
    folder: Path
    once: bool = False

    def __call__(self, block):
        leave_trace(self.folder, block)
        if block.index == 7 and not (self.once and len(traces(self.folder, 7)) > 1):
            if self.kind == "asleep":
                time.sleep(1000)
            re.match(r"(a+)+$", "a" * 60 + "b")
        return "done"


def limited(folder, work, workers=2):
    ledger = Ledger.create(folder / "ledger.jsonl", FINGERPRINT)
    return run_blocks(work, BLOCKS, ledger=ledger, workers=local_workers(workers, limit_s=0.3))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "workers"), [("asleep", 2), ("busy", 1)])
def test_a_block_that_never_ends_is_named_and_the_others_complete(tmp_path, kind, workers):
    (tmp_path / "runs").mkdir()
    report = limited(tmp_path, Hang(kind, tmp_path / "runs"), workers)
    assert list(report.failed) == [7]
    assert "did not end within 0.3 s (the time limit): File" in report.failed[7]
    assert "test_time_limit.py" in report.failed[7] or kind == "busy"
    assert (report.done, report.total) == (17, 18)
    assert len(traces(tmp_path / "runs", 7)) == 2
    assert [file.name for file in tmp_path.glob("ledger*")] == ["ledger.jsonl"]


@pytest.mark.slow
def test_a_block_that_hangs_once_costs_no_block(tmp_path):
    (tmp_path / "runs").mkdir()
    assert limited(tmp_path, Hang("asleep", tmp_path / "runs", once=True)).ok


def test_a_time_limit_needs_a_place_for_its_notes():
    with pytest.raises(SettingsError, match="a run with an output"):
        run_blocks(len, BLOCKS, ledger=memory(), workers=local_workers(limit_s=1))


def test_no_block_is_begun_after_the_time_of_those_that_are_handed_over_together():
    def work(block):
        time.sleep(0.002)
        return "done"

    assert len(attempt_each(work, None, 0, BLOCKS)) == 1
    assert len(attempt_each(work, None, 100, BLOCKS)) == len(BLOCKS)
    assert attempt_each(work, None, 0, BLOCKS)[0].seconds > 0.001

"""Run one function over many blocks: bounded, resumable, and explicit about failures."""

from __future__ import annotations

import itertools
import logging
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroglow.blocks.attempt import Deadline, Outcome, Work, attempt_each, reason_of
from neuroglow.blocks.executors import Workers, local_workers, running
from neuroglow.blocks.ledger import Ledger, Status
from neuroglow.blocks.receipts import damaged_blocks, files_of, looks_whole
from neuroglow.errors import RunError, SettingsError, StoppedError, WriteError
from neuroglow.files.remarks import remark
from neuroglow.files.writing import writing
from neuroglow.progress import Progress, Tell, hearing, say_nothing
from neuroglow.space.geometry import Block, Blocks

__all__ = ["BlockReport", "Work", "run_blocks"]

_DEATHS_IN_A_ROW = 3
_MOMENT_S = 0.2
_LOST_AT_MOST = 2
_NAMED = 10
_TOGETHER, _BRIEF_S = 64, 0.001
_LOOK_S = 10.0  # a resume of a million blocks begins soon; all are checked before the end anyway
_LOST = "its files were deleted or damaged after they had been written"
_DIED = "the worker died: most often out of memory; cure: fewer workers or a smaller --max-memory"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BlockReport:
    """The state of the blocks of a run, from this session and earlier ones together.

    total: blocks of the run.
    done: blocks computed and written.
    skipped: blocks that needed no computation.
    failed: block index -> reason.
    resumed: number of done and skipped blocks from before this session.
    """

    total: int
    done: int
    skipped: int
    failed: Mapping[int, str]
    resumed: int

    @property
    def finished(self) -> int:
        """Blocks that need no more work."""
        return self.done + self.skipped

    @property
    def ok(self) -> bool:
        """Return whether every block is done or skipped."""
        return self.finished == self.total

    def __str__(self) -> str:
        before = f" ({self.resumed} of them earlier)" if self.resumed else ""
        return (
            f"{self.finished} of {self.total} blocks complete{before}: "
            f"{self.done} done, {self.skipped} skipped, {len(self.failed)} failed"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; the keys of `failed` become texts."""
        return {
            "ok": self.ok,
            "total": self.total,
            "done": self.done,
            "skipped": self.skipped,
            "failed": {str(index): reason for index, reason in sorted(self.failed.items())},
            "resumed": self.resumed,
        }


def run_blocks(
    work: Work,
    blocks: Sequence[Block],
    *,
    ledger: Ledger,
    workers: Workers | None = None,
    retries: int = 1,
    on_progress: Tell | None = None,
) -> BlockReport:
    """Run `work` on every block that is not finished in the ledger.

    work: reads, computes and writes one block; returns "done" or "skipped"; picklable
        if the workers are processes.
    workers: where blocks run; by default in this thread.
    retries: how often a failed block is tried again before it is reported.
    on_progress: called in the driver, in blocks: at the start, after each finished block, and
        with the share of running blocks if they report it (progress.tell_share).

    If the work has a method `files` (receipts.py), those of each finished block are compared
    with its receipt: their sizes at the start, their content at the end. A block whose files were
    deleted or damaged is done again, and this is said.

    A block that fails, kills its worker, or takes longer than the workers' limit is reported, and
    the others complete. Where handing over a block is costly, several short ones are handed over
    together.
    Raises WriteError if the output cannot be written, since continuing is pointless;
    RunError if workers die block after block; StoppedError after Ctrl-C, when the
    blocks already handed to workers have finished (a second Ctrl-C ends them at once; in
    this thread the first does).
    """
    workers = workers or local_workers()
    deadline = _deadline(workers, ledger)
    run = _Run(work, ledger, workers, retries, on_progress or say_nothing, deadline)
    try:
        run.queue(blocks)
        run.tell()
        while not run.fatal and (run.suspects or run.waiting or run.lost(blocks)):
            run.one_pass()
    except KeyboardInterrupt:
        raise _stopped(run.report(), ledger) from None
    finally:
        ledger.close()
        if deadline:
            shutil.rmtree(deadline.folder, ignore_errors=True)
    if run.fatal:
        raise run.fatal
    return run.report()


@dataclass(slots=True)
class _Waiting:
    """Blocks that wait: first those that come again, then those not yet begun, made one by one."""

    again: deque[Block] = field(default_factory=deque)
    fresh: Iterator[Block] = field(default_factory=lambda: iter(()))

    def __bool__(self) -> bool:
        """Return whether there is a block; it is then the first of `again`."""
        if not self.again:
            self.again.extend(itertools.islice(self.fresh, 1))
        return bool(self.again)


@dataclass(slots=True)
class _Run:
    """Waiting blocks, running blocks, and the state of the rest."""

    work: Work
    ledger: Ledger
    workers: Workers
    retries: int
    on_progress: Tell
    deadline: Deadline | None = None
    waiting: _Waiting = field(default_factory=_Waiting)
    suspects: _Waiting = field(default_factory=_Waiting)
    in_flight: dict[Future[tuple[Outcome, ...]], list[Block]] = field(default_factory=dict)
    orphaned: list[Block] = field(default_factory=list)
    tries: Counter[int] = field(default_factory=Counter)
    times_lost: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)
    total: int = 0
    resumed: int = 0
    deaths_in_a_row: int = 0
    together: int = 1
    fatal: RunError | None = None
    heed: Callable[[], None] = lambda: None

    def queue(self, blocks: Sequence[Block]) -> None:
        """Count the blocks that the ledger holds as finished, and queue the rest."""
        numbers = blocks.numbers if isinstance(blocks, Blocks) else [b.index for b in blocks]
        known, stop = self.ledger.statuses, time.monotonic() + _LOOK_S
        for at, index in enumerate(numbers if known else ()):
            if not self.ledger.is_finished(index):
                continue
            if time.monotonic() > stop or looks_whole(self.work, blocks[at], self.ledger):
                self.counts[known[index]] += 1
            else:
                self._forget(blocks[at])
        self.waiting.again.clear()  # all of them are found again, in their order
        self.total, self.resumed = len(blocks), self.counts.total()
        finished = self.ledger.is_finished
        self.waiting.fresh = (blocks[at] for at, n in enumerate(numbers) if not finished(n))

    def lost(self, blocks: Sequence[Block]) -> bool:
        """Queue the blocks whose files are no longer as they were written; return whether any is.

        A block that is lost again and again has failed: the disk does not keep it.
        """
        for block in damaged_blocks(self.work, blocks, self.ledger, self.on_progress):
            self.counts[self.ledger.statuses[block.index]] -= 1
            if self.times_lost[block.index] < _LOST_AT_MOST:
                self._forget(block)
            else:
                self.failed[block.index] = _LOST
                self._mark(block, "failed", _LOST)
        return bool(self.waiting)

    def _forget(self, block: Block) -> None:
        """Remove what is left of a block, and queue it again."""
        self.times_lost[block.index] += 1
        if (lost := self.times_lost.total()) <= _NAMED:
            remark(f"block {block.index} [{block.write}] is done again: {_LOST}")
        elif lost == _NAMED + 1:
            remark("further blocks are done again, for the same reason")
        with writing(self.ledger.path or Path()):
            for file in files_of(self.work, block):
                file.unlink(missing_ok=True)
        self.ledger.mark(block.index, "failed", _LOST)
        self.waiting.again.append(block)

    def report(self) -> BlockReport:
        """Count the states of the blocks so far."""
        return BlockReport(
            total=self.total,
            done=self.counts["done"],
            skipped=self.counts["skipped"],
            failed=dict(self.failed),
            resumed=self.resumed,
        )

    def one_pass(self) -> None:
        """Run blocks in one executor until none is left, a worker dies, or all must stop.

        Blocks that were running when a worker died come first and one at a time, so that
        the one that caused it is found.
        """
        with (
            hearing(self._hear),
            running(self.workers, self._hear) as (executor, self.heed),
        ):
            try:
                if self.suspects:
                    self._pump(executor, self.suspects, lambda: 1)
                else:
                    self._pump(executor, self.waiting, lambda: self.workers.in_flight)
            except KeyboardInterrupt:
                if not self.workers.patient:
                    raise
                if self.in_flight:
                    _log.warning("stopping; running blocks finish (Ctrl-C again ends them at once)")
                self._finish_running()
                raise
        self._find_guilty()

    def _pump(self, executor: Executor, queue: _Waiting, limit: Callable[[], int]) -> None:
        """Keep `limit` blocks running, and settle each result."""
        while not self.fatal and not self.orphaned:
            self._fill(executor, queue, limit())
            if not self.in_flight:
                return
            self._settle_next()
        self._finish_running()

    def _fill(self, executor: Executor, queue: _Waiting, limit: int) -> None:
        left = self.total - self.counts.total()
        most = 1 if limit == 1 else min(self.together, 1 + left // (2 * limit))
        while queue and len(self.in_flight) < limit:
            blocks: list[Block] = []
            while len(blocks) < most and queue:
                blocks.append(queue.again.popleft())
            stop_s = self.workers.together_s
            try:
                future = executor.submit(attempt_each, self.work, self.deadline, stop_s, blocks)
            except BrokenExecutor:  # a worker died just now: the running blocks will report it
                queue.again.extendleft(reversed(blocks))
                return
            self.in_flight[future] = blocks

    def _finish_running(self) -> None:
        # Nothing is cancelled: running blocks are with a worker or next in its queue, and
        # ProcessPoolExecutor loses count of cancelled calls when a worker dies.
        while self.in_flight:
            self._settle_next()

    def _settle_next(self) -> None:
        """Wait briefly for results, settle them, and react to workers and Ctrl-C."""
        for future in wait(self.in_flight, _MOMENT_S, FIRST_COMPLETED).done:
            blocks = self.in_flight.pop(future)
            error = future.exception()
            if isinstance(error, KeyboardInterrupt):
                raise error
            if isinstance(error, BrokenExecutor):
                self.orphaned.extend(blocks)
            elif error is None:
                self._note_all(blocks, future.result())
            elif len(blocks) == 1:
                self._blame(blocks[0], reason_of(error), self.waiting)
            else:
                self.suspects.again.extend(blocks)
        self.heed()

    def _note_all(self, blocks: Sequence[Block], outcomes: Sequence[Outcome]) -> None:
        """Act on a worker's reports; blocks that it had no time for wait again."""
        for block, outcome in zip(blocks, outcomes, strict=False):
            self._note(block, outcome)
        self.waiting.again.extendleft(reversed(blocks[len(outcomes) :]))
        each = sum(outcome.seconds for outcome in outcomes) / len(outcomes)
        fit = int(self.workers.together_s / max(each, _BRIEF_S))
        self.together = max(1, min(fit, 2 * self.together, _TOGETHER))

    def _note(self, block: Block, outcome: Outcome) -> None:
        """Act on a worker's report about its block."""
        self.deaths_in_a_row = 0
        self.fatal = self.fatal or outcome.fatal
        for said in outcome.remarks:
            remark(said)
        if outcome.status == "failed":
            self._blame(block, outcome.reason, self.waiting)
        else:
            self._mark(block, outcome.status, wrote=outcome.wrote)

    def _find_guilty(self) -> None:
        """Blame those that took too long, or the only one that was running; suspect several."""
        missed = self.deadline.missed_by if self.deadline else lambda _: ""
        late = {block: why for block in self.orphaned if (why := missed(block))}
        alone = {block: _DIED for block in self.orphaned if len(self.orphaned) == 1}
        queue = self.waiting if late else self.suspects
        for block, why in (late or alone).items():
            self.deaths_in_a_row += 1
            self._blame(block, why, queue)
        queue.again.extend(block for block in self.orphaned if block not in (late or alone))
        self.orphaned.clear()
        if self.deaths_in_a_row >= _DEATHS_IN_A_ROW * (1 + self.retries):
            self.fatal = self.fatal or _all_die(self.deaths_in_a_row)

    def _blame(self, block: Block, reason: str, queue: _Waiting) -> None:
        """Queue a failed block again, or report it after its retries."""
        self.tries[block.index] += 1
        self.shares.pop(block.index, None)
        if self.tries[block.index] <= self.retries and not self.fatal:
            queue.again.appendleft(block)
        else:
            self.failed[block.index] = reason
            self._mark(block, "failed", reason)

    def _mark(self, block: Block, status: Status, reason: str = "", wrote: str = "") -> None:
        try:
            self.ledger.mark(block.index, status, reason, wrote)
        except WriteError as error:  # the block is repeated on resume
            self.fatal = self.fatal or error
        self.counts[status] += 1
        self.shares.pop(block.index, None)
        self.tell()

    def _hear(self, index: int, share: float) -> None:
        """Report the finished share of a running block."""
        if share > self.shares.get(index, 0.0):
            self.shares[index] = share
            self.tell()

    def tell(self) -> None:
        """Report the number of finished blocks, counting running ones by their share."""
        done = self.counts.total() + sum(self.shares.values())
        self.on_progress(Progress("blocks", done, self.total, "blocks"))


def _deadline(workers: Workers, ledger: Ledger) -> Deadline | None:
    """Make the folder of the notes of blocks that take too long, next to the ledger."""
    if workers.limit_s is None:
        return None
    if ledger.path is None:
        raise SettingsError(
            "a time limit is that of a run with an output", found="no output", where="time_limit"
        )
    folder = ledger.path.with_name(ledger.path.name + ".late")
    shutil.rmtree(folder, ignore_errors=True)
    with writing(folder):
        folder.mkdir(parents=True)
    return Deadline(workers.limit_s, folder.resolve())


def _stopped(report: BlockReport, ledger: Ledger) -> StoppedError:
    return StoppedError(
        "the work was stopped before it was finished",
        found=str(report),
        where=str(ledger.path or ""),
        cure="repeat the same command: it continues where it stopped" if ledger.path else "",
    )


def _all_die(deaths: int) -> RunError:
    return RunError(
        "a worker process must survive more than one block",
        found=f"{deaths} deaths in a row, each while running one block",
        cure="usually too little memory: a smaller --max-memory; in a script of your own, "
        'call from under `if __name__ == "__main__":`',
    )

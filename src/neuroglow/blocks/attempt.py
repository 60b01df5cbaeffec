"""Attempts at blocks, in the worker: one after another, each with its outcome, within a time limit.

Python cannot end a call that hangs, so a block that takes too long ends its process. It leaves a
note of where it hung, from which the driver knows which block it was.
"""

from __future__ import annotations

import faulthandler
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from neuroglow.blocks.ledger import Status
from neuroglow.blocks.receipts import files_of, receipt_of
from neuroglow.errors import NeuroglowError, WriteError
from neuroglow.files.remarks import take_remarks
from neuroglow.files.writing import writing
from neuroglow.space.geometry import Block

__all__ = ["Deadline", "Outcome", "Work", "attempt_each", "reason_of"]

Work = Callable[[Block], str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A worker's report about a block: plain values, which every process can unpickle.

    seconds: how long it took.
    """

    status: Status
    reason: str = ""
    wrote: str = ""
    fatal: WriteError | None = None
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Deadline:
    """How many seconds a block may take; then its process ends, with a note in this folder."""

    seconds: float
    folder: Path

    @contextmanager
    def over(self, block: Block) -> Iterator[None]:
        """End this process if the work in here does not end in time, whatever it is doing."""
        note = self._note(block)
        with writing(note):
            file = note.open("w")
        with file:
            faulthandler.dump_traceback_later(self.seconds, exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        note.unlink(missing_ok=True)

    def missed_by(self, block: Block) -> str:
        """Say that a block was ended, and where it hung; empty if not. The note is removed."""
        note = self._note(block)
        with suppress(OSError):
            found = note.read_text(encoding="utf-8", errors="replace")
            note.unlink()
            if found:
                return f"it did not end within {self.seconds:g} s (the time limit){_where(found)}"
        return ""

    def _note(self, block: Block) -> Path:
        return self.folder / f"{block.index:08d}.txt"


def _where(note: str) -> str:
    """Name the place that the work had reached, from the stacks of all threads of its process."""
    for stack in note.split("\n\n"):
        frames = [line.strip() for line in stack.splitlines() if line.startswith("  File ")]
        if any(frame.endswith("in _attempt") for frame in frames):
            return f": {frames[0]}"
    return ""


def attempt_each(
    work: Work, deadline: Deadline | None, stop_s: float, blocks: Sequence[Block]
) -> tuple[Outcome, ...]:
    """Run the work on each block, in the worker; after `stop_s` seconds no further one is begun.

    Returns the outcomes of those that were, in order: at least of the first.
    """
    outcomes: list[Outcome] = []
    began = time.monotonic()
    for block in blocks:
        if outcomes and (outcomes[-1].fatal or time.monotonic() - began > stop_s):
            break
        outcomes.append(_attempt(work, deadline, block))
    return tuple(outcomes)


def _attempt(work: Work, deadline: Deadline | None, block: Block) -> Outcome:
    began = time.monotonic()
    try:
        if deadline is None:
            status = work(block)
        else:
            with deadline.over(block):
                status = work(block)
        with writing(Path("receipts")):
            wrote = receipt_of(files_of(work, block), sync=True)
    except WriteError as error:
        return Outcome("failed", reason_of(error), fatal=error)
    except Exception as error:
        return Outcome("failed", reason_of(error))
    if status not in ("done", "skipped"):
        return Outcome("failed", f"the work returned {status!r}, neither 'done' nor 'skipped'")
    took = time.monotonic() - began
    return Outcome(cast(Status, status), wrote=wrote, remarks=take_remarks(), seconds=took)


def reason_of(error: BaseException) -> str:
    """Explain why a block failed: our errors are self-explanatory, others need type and place."""
    if isinstance(error, NeuroglowError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"

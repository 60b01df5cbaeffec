"""Status: an unfinished or finished output -> how far it is, in words, without touching it.

read the ledgers -> count, rate, remaining time, failures -> a coarse map of the blocks
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.blocks.ledger import Status, read_entries
from neuroglow.errors import InputError, first_of
from neuroglow.files.locks import is_held
from neuroglow.files.record import read_record
from neuroglow.printed import Printed, duration
from neuroglow.runs.shards import shard_ledgers
from neuroglow.runs.unfinished import Unfinished, lock_path

__all__ = ["StatusReport", "status"]

MAP_ROWS, MAP_COLUMNS = 12, 48
SHADES = " .:+#"
FAILED = "!"


@dataclass(frozen=True)
class Part:
    """One ledger: of the whole run, of a shard, or of a pass of a run that has several.

    statuses: of its blocks. reasons: of the failed ones. blocks: how many it has in all, None if it
    does not say. rate: blocks a second since its last start, 0 if not known. at_work: a process
    works on it now. began: when its run did.
    """

    name: str
    about: dict[str, Any]
    statuses: dict[int, Status]
    reasons: dict[int, str]
    blocks: int | None
    rate: float
    at_work: bool
    began: float = 0.0

    @classmethod
    def read(cls, path: Path, lock: Path) -> Part:
        """Read a ledger. Raises OutputError if it is none."""
        header, *entries = read_entries(path)
        about: dict[str, Any] = header.get("about", {})
        first = began = header.get("began", 0.0)
        since = 0
        statuses: dict[int, Status] = {}
        reasons = {}
        for entry in entries:
            if "block" in entry:
                statuses[entry["block"]] = entry["status"]
                reasons[entry["block"]] = entry.get("reason", "")
                since += 1
            else:
                began, since = entry["began"], 0
        seconds = os.stat(path).st_mtime - began if began else 0.0  # noqa: PTH116
        failed = {i: reasons[i] for i, state in statuses.items() if state == "failed"}
        return cls(
            name=about.get("shard", ""),
            about=about,
            statuses=statuses,
            reasons=failed,
            blocks=about.get("shard_blocks", about.get("blocks")),
            rate=since / seconds if seconds > 0 else 0.0,  # a clock that was set back says nothing
            at_work=is_held(lock),
            began=first,
        )

    @property
    def finished(self) -> int:
        """Blocks that need no more work."""
        return len(self.statuses) - len(self.reasons)

    def __str__(self) -> str:
        work = (
            "at work" if self.at_work else "complete" if self.finished == self.blocks else "stopped"
        )
        return f"shard {self.name}: {self.finished} of {self.blocks} blocks, {work}"


@dataclass(frozen=True, repr=False)
class StatusReport(Printed):
    """How far an output is.

    total, done, skipped: blocks; total is None if the run does not say. failed: block index ->
    reason. at_work: processes that work on it. rate: blocks a second of those. parts: its ledgers.
    All these are of the last pass, if there are several; earlier: the ledgers of those before it.
    published: the output is complete, and nothing is left to do.
    """

    output: Path
    total: int | None
    done: int
    skipped: int
    failed: dict[int, str]
    at_work: int
    rate: float
    published: bool = False
    parts: Sequence[Part] = ()
    earlier: Sequence[Part] = ()
    missing: Sequence[str] = ()
    grid: Sequence[int] = field(default=())

    @property
    def remaining_s(self) -> float | None:
        """Seconds to the end at this rate; None if not known."""
        if self.total is None or not self.rate or not self.at_work:
            return None
        return (self.total - self.done - self.skipped) / self.rate

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        yield str(self.output) + (", published" if self.published else ", unfinished")
        total = "" if self.total is None else f" of {self.total}"
        counts = f"{self.done} done, {self.skipped} skipped, {len(self.failed)} failed"
        yield f"{self.done + self.skipped}{total} blocks complete: {counts}"
        if self.published:
            return
        yield self._pace()
        yield from self._passes()
        yield from (str(part) for part in self.parts if part.name)
        yield from self.missing
        yield from self.map()
        if self.failed:
            yield "failed" + first_of(
                [f"block {i}: {why}" for i, why in sorted(self.failed.items())]
            )

    def _passes(self) -> Iterator[str]:
        """Say how far each pass is, if the run has several."""
        counts = [(part, part.finished, part.blocks) for part in self.earlier]
        counts += [(part, self.done + self.skipped, self.total) for part in self.parts[:1]]
        for part, done, total in counts:
            if "pass" in part.about:
                yield f"pass: {part.about['pass']}, {done} of {total} blocks complete"

    def _pace(self) -> str:
        if not self.at_work:
            return "no process is working on it (on this host, or where the file system has locks)"
        left = self.remaining_s
        of = " in this pass" if self.parts and "pass" in self.parts[0].about else ""
        rest = "" if left is None else f", about {duration(left)} to go{of}"
        workers = "1 process works" if self.at_work == 1 else f"{self.at_work} processes work"
        return f"{workers} on it, {self.rate:.3g} blocks a second{rest}"

    def map(self) -> Iterator[str]:
        """Draw the finished share of the blocks, over all y; FAILED where any has failed."""
        if len(self.grid) != 3:
            return
        rows, columns = min(MAP_ROWS, self.grid[0]), min(MAP_COLUMNS, self.grid[2])
        counts = np.zeros((3, rows, columns), int)
        finished = [i for p in self.parts for i, s in p.statuses.items() if s != "failed"]
        for layer, numbers in enumerate((finished, list(self.failed))):
            z, _, x = np.unravel_index(np.array(numbers, int), tuple(self.grid))
            np.add.at(counts[layer], (z * rows // self.grid[0], x * columns // self.grid[2]), 1)
        all_z, all_x = (
            np.arange(n) * m // n for n, m in ((self.grid[0], rows), (self.grid[2], columns))
        )
        whole = np.outer(np.bincount(all_z), np.bincount(all_x)) * self.grid[1]
        yield (
            "z down, x across; "
            + f"'{SHADES[1]}' begun to '{SHADES[-1]}' complete, '{FAILED}' failed"
        )
        for row in range(rows):
            cells = zip(counts[0, row], counts[1, row], whole[row], strict=True)
            yield "|" + "".join(_shade(*map(int, cell)) for cell in cells) + "|"


def status(run: str | Path) -> StatusReport:
    """Tell how far an output is: blocks done, skipped and failed, rate, remaining time, a map.

    run: the output, or its folder `.partial`. Nothing is changed, and runs at work go on.
    Raises InputError if there is neither an output with a record nor an unfinished run.
    """
    path = Path(run)
    output = path.with_name(path.name.removesuffix(".partial"))
    unfinished = Unfinished(output)
    *earlier, parts = _passes(unfinished) or [[]]
    if not parts:
        return _published(output)
    about = parts[0].about
    states = Counter(state for part in parts for state in part.statuses.values())
    return StatusReport(
        output=output,
        total=about.get("blocks"),
        done=states["done"],
        skipped=states["skipped"],
        failed={i: why for part in parts for i, why in part.reasons.items()},
        at_work=sum(part.at_work for part in parts),
        rate=sum(part.rate for part in parts if part.at_work),
        parts=parts,
        earlier=[part for group in earlier for part in group],
        missing=_never_begun(parts),
        grid=about.get("grid", ()),
    )


def _passes(unfinished: Unfinished) -> list[list[Part]]:
    """Read the ledgers of a run, pass by pass: several of one pass if it was begun in shards.

    Those of an evaluation lie in one folder. Those of a trace by regions follow its middle lines;
    only the folder of the settings that were used last counts.
    """
    whole, shards = lock_path(unfinished.folder), shard_ledgers(unfinished)
    first = [unfinished.ledger] if unfinished.ledger.exists() else shards
    parts = [Part.read(f, lock_path(f) if f in shards else whole) for f in first]
    later = [*(unfinished.folder / "passes").glob("*.jsonl")]
    by_settings = [[*folder.glob("*.jsonl")] for folder in unfinished.folder.glob("regions/*")]
    later += max(by_settings, key=lambda files: max(map(_written, files), default=0), default=[])
    rest = sorted((Part.read(f, whole) for f in later), key=lambda part: part.began)
    return ([parts] if parts else []) + [[part] for part in rest]


def _written(file: Path) -> float:
    return file.stat().st_mtime


def _never_begun(parts: Sequence[Part]) -> list[str]:
    """Name the shards without a ledger."""
    begun = {int(part.name.split("/")[0]) for part in parts if part.name}
    count = max((int(part.name.split("/")[1]) for part in parts if part.name), default=0)
    return [f"shard {n}/{count}: not begun" for n in range(1, count + 1) if n not in begun]


def _published(output: Path) -> StatusReport:
    kept = read_record(output) if output.exists() else None
    report = (kept or {}).get("report")
    if not report:
        raise InputError(
            "the status is that of an unfinished run, or of an output with its record",
            found="neither",
            where=str(output),
            cure="the OUTPUT of predict, label, survey or phantom, or its folder OUTPUT.partial",
        )
    failed = {int(i): why for i, why in report["failed"].items()}
    return StatusReport(
        output, report["total"], report["done"], report["skipped"], failed, 0, 0.0, published=True
    )


def _shade(finished: int, failed: int, whole: int) -> str:
    if failed:
        return FAILED
    return SHADES[-(-finished * (len(SHADES) - 1) // max(1, whole)) if finished < whole else -1]

"""Shards of a run: parts of its blocks, each worked on by a process that knows of no other.

    OUTPUT.partial/shards/003-of-016.jsonl    the ledger of a shard

For job arrays: no file is written by two processes. When all shards are complete, their ledgers
are joined to one, and the output is published by a resume of the whole run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroglow.blocks.ledger import Ledger, read_entries
from neuroglow.errors import OutputError, SettingsError, first_of
from neuroglow.files.locks import is_held, locked
from neuroglow.files.writing import writing
from neuroglow.runs.unfinished import Mode, Unfinished, check_begun, check_ended, lock_path
from neuroglow.space.geometry import Block, Blocks

__all__ = ["Shard", "join_shards", "lines_of_shard", "parse_shard", "shard_ledgers"]


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a run: every so many-th block, so that all parts cost alike."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, blocks: Blocks) -> Blocks:
        """Return the blocks of this part."""
        return blocks[self.number - 1 :: self.count]

    def part(self, blocks: Sequence[Block]) -> Sequence[Block]:
        """Return the blocks of this part of a list."""
        return blocks[self.number - 1 :: self.count]

    def ledger(self, unfinished: Unfinished) -> Path:
        """Name the ledger of this part."""
        return unfinished.shards / f"{self.number:03d}-of-{self.count:03d}.jsonl"

    @contextmanager
    def claimed(self, unfinished: Unfinished) -> Iterator[None]:
        """Lock this part against other processes.

        Raises OutputError if another one works on it, or on the whole.
        """
        path = self.ledger(unfinished)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        if is_held(lock_path(unfinished.folder)):
            raise OutputError(
                "a shard is worked on while no process works on the whole",
                found="another process is working on the whole output",
                where=str(unfinished.output),
                cure="wait for it",
            )
        with locked(lock_path(path), path):
            yield

    def prepare(
        self,
        unfinished: Unfinished,
        mode: Mode,
        fingerprint: Mapping[str, str],
        about: Mapping[str, Any],
    ) -> Ledger:
        """Return the ledger of this part: a new one, or that of an earlier start.

        Raises OutputError for a run that is another, or divided otherwise, or not in shards.
        """
        path = self.ledger(unfinished)
        check_begun(path, mode)
        if mode == "restart":
            raise _refused(unfinished, "--restart, which removes the work of all", "remove {}")
        if unfinished.ledger.exists():
            raise _refused(unfinished, "a run without shards", "the same command without --shard")
        others = [f for f in shard_ledgers(unfinished) if not f.stem.endswith(f"-{self.count:03d}")]
        if others:
            raise _refused(unfinished, f"shards of another number: {others[0].name}", "remove {}")
        if path.exists():
            if mode == "new":
                raise _refused(unfinished, f"shard {self} was begun before", "--resume")
            resumed = Ledger.resume(path, fingerprint)
            check_ended(resumed, mode, about["shard_blocks"])
            return resumed
        if unfinished.output.exists():
            raise OutputError(
                "a shard is a part of an output that is not there yet",
                found="it exists: all its shards were finished, or another run made it",
                where=str(unfinished.output),
                cure="nothing, if it is the one that was meant; else another -o",
            )
        with writing(unfinished.folder):
            unfinished.projections.mkdir(parents=True, exist_ok=True)
        return Ledger.create(path, fingerprint, about)


def parse_shard(text: str | None) -> Shard | None:
    """Read `3/16`, the third of 16; raises SettingsError if it has no such form."""
    if text is None:
        return None
    number, _, count = text.partition("/")
    if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= 999:
        return Shard(int(number), int(count))
    raise SettingsError(
        "a shard is written 3/16: the third of 16, counted from 1, at most 999",
        found=repr(text),
        where="--shard",
    )


def lines_of_shard(shard: str, output: Path, blocks: object) -> Iterator[str]:
    """Return the lines of the summary of a shard."""
    yield f"shard {shard} of {output}"
    yield str(blocks)
    yield f"when all shards are complete: neuroglow finish {output}"


def shard_ledgers(unfinished: Unfinished) -> list[Path]:
    """List the ledgers of the shards that were begun."""
    return sorted(unfinished.shards.glob("*.jsonl"))


def join_shards(unfinished: Unfinished) -> None:
    """Join the ledgers of all shards to one, so that a resume of the whole publishes the output.

    The output is claimed by the caller afterwards. Raises OutputError if a shard is missing, at
    work, of another run, or not complete.
    """
    if unfinished.ledger.exists():
        return
    found = shard_ledgers(unfinished)
    if not found:
        raise OutputError(
            "a run is finished from the ledgers of its shards",
            found="none; the output is published" if unfinished.output.exists() else "none",
            where=str(unfinished.shards),
        )
    wrong = list(_unready(found))
    if wrong:
        raise OutputError(
            "all shards of a run must be complete",
            found=first_of(wrong),
            where=str(unfinished.shards),
            cure="run these again with --shard and --resume, then finish",
        )
    Ledger.join(unfinished.ledger, found)


def _unready(found: Sequence[Path]) -> Iterator[str]:
    """Say what is missing, shard by shard."""
    count = int(found[0].stem.rpartition("-")[2])
    there = {int(path.stem.partition("-")[0]): path for path in found}
    first: Mapping[str, str] | None = None
    for number in range(1, count + 1):
        if number not in there:
            yield f"shard {number}/{count}: never begun"
            continue
        header, *entries = read_entries(there[number])
        first = header["fingerprint"] if first is None else first
        finished = {e["block"]: e["status"] for e in entries if "block" in e}
        total = header["about"]["shard_blocks"]
        ended = sum(status != "failed" for status in finished.values())
        if header["fingerprint"] != first:
            yield f"shard {number}/{count}: of another run"
        elif is_held(lock_path(there[number])):
            yield f"shard {number}/{count}: a process is working on it"
        elif ended < total:
            yield f"shard {number}/{count}: {ended} of {total} blocks complete"


def _refused(unfinished: Unfinished, found: str, cure: str) -> OutputError:
    return OutputError(
        "a shard continues only its own part of a run",
        found=found,
        where=str(unfinished.folder),
        cure=cure.format(unfinished.folder),
    )

"""The ledger: which blocks are done, for which run.

A JSON-lines file. Its first line identifies the run: the format, and a fingerprint of named
parts (model, settings, input, grid). Each further line records the state of one block, with the
receipt of what it wrote. Voxels cannot record it: zarr omits empty chunks, so a missing chunk
proves nothing.

A line is in the file before the next block is taken, so a killed process loses none; it is on
the disk a second later, so that a power cut costs the blocks of one second, which are repeated.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, get_args

from neuroglow.errors import OutputError
from neuroglow.files.writing import writing

__all__ = ["Ledger", "Status", "read_entries"]

Status = Literal["done", "skipped", "failed"]

_FORMAT = 1
_SYNC_S = 1.0
_STATUSES = get_args(Status)
_OTHER = {
    "model": "another model",
    "settings": "other settings",
    "input": "the input has changed",
    "grid": "another grid of blocks",
}


@dataclass(slots=True)
class Ledger:
    """The state of each block of one run; written only by the driver.

    path: the file; None keeps the ledger in memory, for runs without files.
    fingerprint: named parts, each a hash or a short text; blocks of runs whose
        fingerprints differ are never mixed.
    statuses: block index -> its last status. receipts: of finished blocks that left files.
    """

    path: Path | None
    fingerprint: Mapping[str, str]
    statuses: dict[int, Status] = field(default_factory=dict)
    receipts: dict[int, str] = field(default_factory=dict)
    _handle: int | None = field(default=None, repr=False, compare=False)
    _synced: float = field(default=0.0, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        path: Path | None,
        fingerprint: Mapping[str, str],
        about: Mapping[str, Any] | None = None,
    ) -> Ledger:
        """Start an empty ledger, replacing any at this path.

        about: what the run is, for `status` and `finish`: plain values.
        Raises WriteError if the file cannot be written.
        """
        if path is not None:
            own = {"format": _FORMAT, "fingerprint": dict(fingerprint), "about": dict(about or {})}
            _replace(path, [_line(own | _now())])
        return cls(path, dict(fingerprint))

    @classmethod
    def resume(cls, path: Path, fingerprint: Mapping[str, str]) -> Ledger:
        """Continue the ledger of an earlier start of the same run.

        A line cut off by a crash is dropped: its block is repeated.
        Raises OutputError if the file is not a ledger, or belongs to another run.
        """
        resumed, torn = cls(path, dict(fingerprint)), False
        with _reading(path) as file:
            _check_same_run(path, _header(path, file.readline()), fingerprint)
            for line in file:
                entry = _entry(line)
                torn = torn or entry is None or not line.endswith(b"\n")
                if entry and "block" in entry:
                    resumed._note(entry["block"], entry["status"], entry.get("wrote", ""))
        if torn:
            _keep_whole_lines(path)
        resumed._append(path, _line(_now()).encode())
        resumed.close()
        return resumed

    @classmethod
    def join(cls, path: Path, parts: Sequence[Path]) -> None:
        """Write one ledger from those of parts of the same run, which have no block in common."""

        def lines() -> Iterator[str]:
            for number, part in enumerate(parts):
                yield from map(_line, read_entries(part)[min(number, 1) :])

        _replace(path, lines())

    def is_finished(self, index: int) -> bool:
        """Return whether the block is finished; a failed one is not."""
        return self.statuses.get(index) in ("done", "skipped")

    def mark(self, index: int, status: Status, reason: str = "", wrote: str = "") -> None:
        """Record the state of a block, in the file before this returns.

        reason: why it failed. wrote: its receipt.
        Raises WriteError if the file cannot be written, or has been deleted.
        """
        said = {"reason": reason, "wrote": wrote}
        entry = {"block": index, "status": status} | {k: v for k, v in said.items() if v}
        if self.path is not None:
            self._append(self.path, _line(entry).encode())
        self._note(index, status, wrote)

    def close(self) -> None:
        """Put all lines on the disk; the next mark opens the file again."""
        if self._handle is not None and self.path is not None:
            handle, self._handle = self._handle, None
            with writing(self.path):
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def _note(self, index: int, status: Status, wrote: str) -> None:
        self.statuses[index] = status
        if wrote:
            self.receipts[index] = wrote
        else:
            self.receipts.pop(index, None)

    def _append(self, path: Path, line: bytes) -> None:
        with writing(path):
            if self._handle is None:
                self._handle = os.open(path, os.O_WRONLY | os.O_APPEND)  # never created here
            if os.fstat(self._handle).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "it has been deleted")
            if os.write(self._handle, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if time.monotonic() - self._synced > _SYNC_S:
                os.fsync(self._handle)
                self._synced = time.monotonic()


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=True) + "\n"


def _now() -> dict[str, Any]:
    """Note that a process began to work now: the rate of `status` counts from here."""
    return {"began": round(time.time(), 3)}


def _entry(line: bytes) -> dict[str, Any] | None:
    """Read the state of a block, or when a process began; None if the line is incomplete."""
    try:
        entry: dict[str, Any] = json.loads(line)
        known = "block" not in entry and "began" in entry
        known = known or (type(entry["block"]) is int and entry["status"] in _STATUSES)
    except (ValueError, KeyError, TypeError):
        return None
    return entry if known else None


def read_entries(path: Path, *, only_header: bool = False) -> list[dict[str, Any]]:
    """Read the header of a ledger and all its whole lines, changing nothing.

    Raises OutputError if the file is not a ledger.
    """
    with _reading(path) as file:
        first = file.readline()
        _header(path, first)
        if only_header:
            return [json.loads(first)]
        return [json.loads(first), *(entry for line in file if (entry := _entry(line)))]


def _header(path: Path, line: bytes) -> Mapping[str, str]:
    """Return the fingerprint in a ledger's first line."""
    try:
        header = json.loads(line)
        form, fingerprint = header["format"], dict(header["fingerprint"])
    except (ValueError, KeyError, TypeError):
        raise _no_ledger(path, "something else") from None
    if form != _FORMAT:
        raise _no_ledger(path, f"format {form}")
    return fingerprint


def _check_same_run(path: Path, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    parts = [p for p in dict.fromkeys([*now, *then]) if now.get(p) != then.get(p)]
    if parts:
        raise OutputError(
            "an output can only be continued by the run that began it",
            found=", ".join(_OTHER.get(part, f"another {part}") for part in parts),
            where=str(path),
            cure="--restart to start this output anew, or name another output",
        )


def _no_ledger(path: Path, found: str) -> OutputError:
    return OutputError(
        f"a run is continued from its ledger, a JSON-lines file of format {_FORMAT}",
        found=found,
        where=str(path),
        cure="--restart to start this output anew, or name another output",
    )


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise _no_ledger(path, error.strerror or str(error)) from error


def _keep_whole_lines(path: Path) -> None:
    with path.open("rb") as file:
        first = file.readline().decode()
        entries = (entry for line in file if (entry := _entry(line)))
        _replace(path, itertools.chain([first], map(_line, entries)))


def _replace(path: Path, lines: Iterable[str]) -> None:
    """Write the whole file, so that a crash leaves either the old or the new one."""
    beside = path.with_name(path.name + ".new")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

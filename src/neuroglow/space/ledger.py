"""The ledger: which blocks are done, for which run.

A JSON-lines file. Its first line identifies the run: the format, and a fingerprint of named
parts (model, settings, input, grid). Each further line records the state of one block.
Voxels cannot record it: zarr omits empty chunks, so a missing chunk proves nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, get_args

from neuroglow.errors import OutputError, WriteError

__all__ = ["Ledger", "Status"]

Status = Literal["done", "skipped", "failed"]

_FORMAT = 1
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
    statuses: block index -> its last status.
    """

    path: Path | None
    fingerprint: Mapping[str, str]
    statuses: dict[int, Status] = field(default_factory=dict)

    @classmethod
    def create(cls, path: Path | None, fingerprint: Mapping[str, str]) -> Ledger:
        """Start an empty ledger, replacing any at this path.

        Raises WriteError if the file cannot be written.
        """
        if path is not None:
            _replace(path, _line({"format": _FORMAT, "fingerprint": dict(fingerprint)}))
        return cls(path, dict(fingerprint))

    @classmethod
    def resume(cls, path: Path, fingerprint: Mapping[str, str]) -> Ledger:
        """Continue the ledger of an earlier start of the same run.

        A line cut off by a crash is dropped: its block is repeated.
        Raises OutputError if the file is not a ledger, or belongs to another run.
        """
        text = _read(path)
        first, *lines = text.splitlines() or [""]
        _check_same_run(path, _header(path, first), fingerprint)
        entries = [entry for line in lines if (entry := _entry(line))]
        whole = first + "\n" + "".join(_line(entry) for entry in entries)
        if whole != text:
            _replace(path, whole)
        return cls(path, dict(fingerprint), {e["block"]: e["status"] for e in entries})

    def is_finished(self, index: int) -> bool:
        """Return whether the block is finished; a failed one is not."""
        return self.statuses.get(index) in ("done", "skipped")

    def mark(self, index: int, status: Status, reason: str = "") -> None:
        """Record the state of a block, on disk before this returns.

        Raises WriteError if the file cannot be written.
        """
        entry = {"block": index, "status": status} | ({"reason": reason} if reason else {})
        if self.path is not None:
            _append(self.path, _line(entry))
        self.statuses[index] = status


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=True) + "\n"


def _entry(line: str) -> dict[str, Any] | None:
    """Read the state of a block; None if the line is incomplete."""
    try:
        entry: dict[str, Any] = json.loads(line)
        known = type(entry["block"]) is int and entry["status"] in _STATUSES
    except (ValueError, KeyError, TypeError):
        return None
    return entry if known else None


def _header(path: Path, line: str) -> Mapping[str, str]:
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


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _no_ledger(path, error.strerror or str(error)) from error


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            _write_through(file, text)
    except OSError as error:
        raise _unwritable(path, error) from error


def _replace(path: Path, text: str) -> None:
    """Write the whole file, so that a crash leaves either the old or the new one."""
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            _write_through(file, text)
        beside.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _write_through(file: IO[str], text: str) -> None:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _unwritable(path: Path, error: OSError) -> WriteError:
    return WriteError(
        "the ledger of a run is written next to its output",
        found=error.strerror or str(error),
        where=str(path),
        cure="free space or allow writing there, then repeat the same command",
    )

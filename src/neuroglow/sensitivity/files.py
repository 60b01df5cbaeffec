"""The folder of a report: report.html, scores.json, recall.csv, thresholds.csv."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from neuroglow.errors import OutputError
from neuroglow.runs.leaving import Kind, Leaving, NewOrRestart

__all__ = ["FILES", "Mode", "claimed", "refuse_existing", "write_folder"]

Mode = NewOrRestart

FILES = ("report.html", "scores.json", "recall.csv", "thresholds.csv")

RULE = "a report of sensitivity is a folder"

REPORT = Kind(
    name="report",
    rule=RULE,
    endings=(),
    paths=lambda out: {name: out / name for name in FILES},
    record="scores.json",
    keys=("sentence", "recall"),
    is_own=lambda _: False,
)


def refuse_existing(out: Path, mode: Mode) -> None:
    """Refuse to replace a report unless asked to, and anything else in any case.

    Raises OutputError.
    """
    if out.suffix in (".html", ".htm", ".json", ".csv"):
        raise OutputError(RULE, found=out.suffix, where=str(out), cure=f"-o {out.with_suffix('')}")
    Leaving(REPORT, out).refuse_existing(mode)


def claimed(out: Path | None) -> AbstractContextManager[None]:
    """Lock a report against other processes. Raises WriteError if it cannot be written."""
    return nullcontext() if out is None else Leaving(REPORT, out).claimed()


def write_folder(out: Path, texts: Mapping[str, str]) -> None:
    """Write the files (by name); the folder appears whole or not at all.

    The output is claimed by the caller. Raises WriteError.
    """
    Leaving(REPORT, out).write(texts)

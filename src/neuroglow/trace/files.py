"""The files of a trace: `OUT.swc` and six more next to it, or a folder of one file per tree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from neuroglow.files.names import TREE_SUFFIX
from neuroglow.runs.leaving import Content, Kind, Leaving
from neuroglow.runs.unfinished import Mode, Unfinished

__all__ = ["Mode", "claimed", "is_file", "refuse_existing", "trace_paths", "write_trace"]

RECORD = "trace.json"
"""The file that every folder of a trace has."""

TREE = re.compile(r"tree_\d+\.swc")
"""The names of a folder's trees."""


def is_file(out: Path) -> bool:
    """Return whether all trees go into one file."""
    return _trace_at(out).is_file


def trace_paths(out: Path) -> dict[str, Path]:
    """Name the files of a trace, besides the trees of a folder."""
    if out.suffix.lower() == TREE_SUFFIX:
        stem = out.with_suffix("") if out.suffix == TREE_SUFFIX else out  # a.SWC next to a.swc
        # names other than those of `predict`, whose output may have the same stem
        names = {
            "page": "_trees.html",
            "table": "_trees.csv",
            "bridges": "_bridges.csv",
            "decisions": "_decisions.csv",
            "picture": "_trees.png",
            "record": "_trees.json",
        }
        return {n: stem.with_name(stem.name + end) for n, end in names.items()}
    names = {
        "page": "trees.html",
        "table": "trees.csv",
        "bridges": "bridges.csv",
        "decisions": "decisions.csv",
        "picture": "trees.png",
        "record": RECORD,
    }
    return {n: out / end for n, end in names.items()}


TRACE = Kind(
    name="trace",
    rule="trees are written to an .swc file, or to a folder",
    endings=(TREE_SUFFIX,),
    paths=trace_paths,
    record="record",
    keys=("used", "summary"),
    is_own=lambda path: TREE.fullmatch(path.as_posix()) is not None,
)


def _trace_at(out: Path) -> Leaving:
    return Leaving(TRACE, out)


def refuse_existing(out: Path, mode: Mode) -> None:
    """Refuse to replace a trace unless asked to, and anything else in any case.

    Raises OutputError.
    """
    _trace_at(out).refuse_existing("restart" if mode == "restart" else "new")


def claimed(out: Path | None) -> AbstractContextManager[None]:
    """Lock an output against other processes."""
    return nullcontext() if out is None else _trace_at(out).claimed()


def write_trace(out: Path, trees: Mapping[str, Content], texts: Mapping[str, Content]) -> None:
    """Write a trace: the trees appear last, a folder completely or not at all.

    trees: SWC texts by name; for a single file, the only one, named "". texts: by the names of
    trace_paths. Raises WriteError.
    """
    _trace_at(out).write({**trees, **texts})
    if is_file(out):
        Unfinished(out).empty()

"""The files of a trace: `OUT.swc` and three beside it, or a folder of one file a tree."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from neuroglow.errors import OutputError
from neuroglow.space.record import is_record
from neuroglow.space.unfinished import Unfinished, claim
from neuroglow.space.writing import appearing, writing

__all__ = ["Mode", "claimed", "is_file", "refuse_existing", "trace_paths", "write_trace"]

Mode = Literal["new", "restart"]

RECORD = "trace.json"
"""The file that every folder of a trace has."""

TREE = re.compile(r"tree_\d+\.swc")
"""The names of a folder's trees."""


def is_file(out: Path) -> bool:
    """Tell whether all trees go into one file."""
    return out.suffix.lower() == ".swc"


def trace_paths(out: Path) -> dict[str, Path]:
    """Name the files of a trace, besides those of a folder's trees."""
    if is_file(out):
        stem = out.with_suffix("")
        # other names than those of `predict`, whose output may have the same stem
        names = {"bridges": "_bridges.csv", "picture": "_trees.png", "record": "_trees.json"}
        return {n: stem.with_name(stem.name + end) for n, end in names.items()}
    names = {"bridges": "bridges.csv", "picture": "trees.png", "record": RECORD}
    return {n: out / end for n, end in names.items()}


def refuse_existing(out: Path, mode: Mode) -> None:
    """Refuse to replace a trace without being told to, and anything else in any case.

    Raises OutputError.
    """
    ending = "" if out.suffix[1:].isdigit() else out.suffix  # a folder may be `trees_0.5`
    if ending and not is_file(out) and not out.is_dir():
        raise OutputError(
            "trees are written to an .swc file, or to a folder",
            found=ending,
            where=str(out),
            cure=f"-o {out.with_suffix('.swc')}",
        )
    there = out.exists() and (not out.is_dir() or any(out.iterdir()))
    files = [out, *trace_paths(out).values()] if is_file(out) else [out]
    existing = files if there else [path for path in files[1:] if path.exists()]
    if existing and mode == "new":
        raise OutputError(
            "an existing output is not overwritten",
            found="it exists",
            where=str(existing[0]),
            cure="another -o, or --restart to replace it",
        )
    if existing and (strange := _strange(out)):
        raise OutputError(
            "only a trace is replaced", found=strange, where=str(existing[0]), cure="another -o"
        )


def _strange(out: Path) -> str:
    """Say what at an output no trace has left there; nothing where it is a trace."""
    if out.exists() and out.is_dir() == is_file(out):
        return "a folder" if out.is_dir() else "a file"
    record = trace_paths(out)["record"]
    if not is_record(record, "used", "summary"):
        return f"something else: {record.name} is missing, or of no trace"
    own = {path.name for path in trace_paths(out).values()}
    names = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    others = [name for name in names if name not in own and not TREE.fullmatch(name)]
    return f"something else in it: {', '.join(others[:3])}" if others else ""


@contextmanager
def claimed(out: Path | None) -> Iterator[None]:
    """Keep every other process off an output."""
    if out is None:
        yield
        return
    with claim(Unfinished(out).folder, out):
        yield


def write_trace(out: Path, trees: Mapping[str, str], texts: Mapping[str, str | bytes]) -> None:
    """Write a trace: the trees appear last, a folder whole or not at all.

    trees: SWC texts by name; of one file, the only one. texts: of trace_paths' names.
    Raises WriteError.
    """
    if is_file(out):
        files: dict[Path, str | bytes] = {out: next(iter(trees.values()))}
        files |= {path: texts[name] for name, path in trace_paths(out).items()}
        with ExitStack() as all_or_none:  # the record is the first to appear, the trees the last
            for path, content in files.items():
                _write(all_or_none.enter_context(appearing(path)), content)
        return
    unfinished = Unfinished(out)
    unfinished.empty()  # of a trace that was killed
    with writing(out):
        for name, text in trees.items():
            _write(unfinished.folder / name, text)
        for name, path in trace_paths(unfinished.folder).items():
            _write(path, texts[name])
        if out.exists():
            shutil.rmtree(out)
        unfinished.folder.rename(out)


def _write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)

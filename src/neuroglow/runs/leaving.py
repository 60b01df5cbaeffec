"""Files that a verb writes together: one file with others next to it, or a folder.

A report is `REPORT.html` with its numbers next to it, or a folder; a trace is `TREES.swc` with
three files next to it, or a folder of one file per tree. They appear completely or not at all.
Existing files are replaced only on request, and only if they are of the same kind.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neuroglow.errors import OutputError
from neuroglow.files.record import is_record
from neuroglow.files.writing import appearing, as_utf8, writing
from neuroglow.runs.unfinished import Unfinished, claim

__all__ = ["Content", "Kind", "Leaving", "NewOrRestart"]

NewOrRestart = Literal["new", "restart"]
Content = str | bytes | Iterable[str]
"""What is in a file: whole, or in pieces that are made when they are written."""


@dataclass(frozen=True)
class Kind:
    """A kind of output.

    name: for messages. rule: a description of this kind of output. endings: of a single file;
    none if it is always a folder, of any name.
    paths: names all files of an output, besides those named by its content. record, keys: which
    of them is the record, and the keys it contains. is_own: tells which other files in a folder are
    ours, by their path in it.
    """

    name: str
    rule: str
    endings: Sequence[str]
    paths: Callable[[Path], Mapping[str, Path]]
    record: str
    keys: Sequence[str]
    is_own: Callable[[Path], bool]


@dataclass(frozen=True)
class Leaving:
    """One output of a kind."""

    kind: Kind
    out: Path

    @property
    def is_file(self) -> bool:
        """Return whether it is one file with others next to it, not a folder."""
        return self.out.suffix.lower() in self.kind.endings

    def refuse_existing(self, mode: NewOrRestart) -> None:
        """Refuse to replace an output unless asked to, and anything else in any case.

        Raises OutputError.
        """
        ending = "" if self.out.suffix[1:].isdigit() else self.out.suffix  # a folder `trees_0.5`
        if self.kind.endings and ending and not self.is_file and not self.out.is_dir():
            raise OutputError(
                self.kind.rule,
                found=ending,
                where=str(self.out),
                cure=f"-o {self.out.with_suffix(self.kind.endings[0])}",
            )
        there = self._existing()
        if there and mode == "new":
            raise OutputError(
                f"an existing {self.kind.name} is not overwritten",
                found="it exists",
                where=str(there[0]),
                cure="another -o, or --restart to replace it",
            )
        if there and (strange := self._strange()):
            raise OutputError(
                f"only a {self.kind.name} is replaced",
                found=strange,
                where=str(there[0]),
                cure="another -o",
            )

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the output against other processes."""
        with claim(Unfinished(self.out).folder, self.out):
            yield

    def write(self, files: Mapping[str, Content]) -> None:
        """Write all files; a folder appears completely or not at all.

        files: contents by name, in the order in which single files appear: for a single file, `""`
        is the output itself, other names are those of `kind.paths`; in a folder, names not among
        these are files in it. The output is claimed by the caller. Raises WriteError.
        """
        if self.is_file:
            paths = self.kind.paths(self.out)
            with ExitStack() as all_or_none:  # the first named is the last to appear
                for name, content in files.items():
                    path = self.out if name == "" else paths[name]
                    _write(all_or_none.enter_context(appearing(path)), content)
            return
        unfinished = Unfinished(self.out)
        unfinished.empty()  # left by a run that was killed
        paths = self.kind.paths(unfinished.folder)
        with writing(self.out):
            for name, content in files.items():
                path = paths.get(name, unfinished.folder / name)
                path.parent.mkdir(exist_ok=True)
                _write(path, content)
            if self.out.exists():
                shutil.rmtree(self.out)
            unfinished.folder.rename(self.out)

    def _existing(self) -> list[Path]:
        if self.is_file:
            return [p for p in {self.out, *self.kind.paths(self.out).values()} if p.exists()]
        some = self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir()))
        return [self.out] if some else []

    def _strange(self) -> str:
        """Name files that were not written by a run of this kind; nothing if all are ours."""
        if self.out.exists() and self.out.is_dir() == self.is_file:
            return "a folder" if self.out.is_dir() else "a file"
        paths = self.kind.paths(self.out)
        record = paths[self.kind.record]
        if not is_record(record, *self.kind.keys):
            return f"something else: {record.name} is missing, or not of a {self.kind.name}"
        if self.is_file:
            return ""
        found = [p for p in self.out.rglob("*") if p.is_file() and p not in paths.values()]
        names = sorted(p.name for p in found if not self.kind.is_own(p.relative_to(self.out)))
        return f"something else in it: {', '.join(names[:3])}" if names else ""


def _write(path: Path, content: Content) -> None:
    pieces = [content] if isinstance(content, str | bytes) else content
    with path.open("wb") as file:
        for piece in pieces:
            file.write(as_utf8(piece) if isinstance(piece, str) else piece)

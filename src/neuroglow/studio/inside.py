"""Inside: the one function through which every path of a request becomes a place on the disk."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

from neuroglow.studio.refusals import RefusedError, missing

__all__ = ["OWN", "Inside"]

OWN = ".neuroglow-studio"
"""The studio's own folder: jobs, caches, voxel sizes that were given. No request names it."""

LONGEST = 2000
"""Characters of a path."""

LONGEST_NAME = 255
"""Bytes of one name in it, as the systems have it."""


@dataclass(frozen=True)
class Inside:
    """A folder, outside of which nothing is seen. root: resolved."""

    root: Path

    def find(self, relative: str) -> Path:
        """Return the place of something that exists; `a.h5::/b` stands for the file.

        Raises RefusedError if there is nothing, or if the path or a link in it leads out.
        """
        path = self.place(relative)
        if not path.exists():
            raise missing(relative)
        return path

    def place(self, relative: str) -> Path:
        """Return a place that may be empty. Raises RefusedError if the path leads out."""
        parts = _parts(relative.partition("::")[0], relative)
        path = self.root.joinpath(*parts)
        self.check(path, relative)
        return path

    def check(self, path: Path, said: str) -> None:
        """Refuse a place that lies, or is linked to, outside. Raises RefusedError."""
        try:
            real = _resolved(path)
        except (OSError, RuntimeError, ValueError):  # links in a circle, or a name of no file
            raise missing(said) from None
        if not real.is_relative_to(self.root):
            raise RefusedError(403, "only the folder of the studio is visible", where=said)

    def source(self, relative: str) -> str:
        """Return what the verbs take for a path: the place, and the dataset inside the file."""
        inner = relative.partition("::")[2]
        return f"{self.find(relative)}::{inner}" if inner else str(self.find(relative))

    def relative(self, path: str | Path) -> str:
        """Return the path of a place as requests give it; empty for the folder itself."""
        inner = os.path.relpath(path, self.root)
        return "" if inner == "." else Path(inner).as_posix()

    def relative_if_inside(self, path: str | Path) -> str | None:
        """Return the path of a place as requests give it; None if it lies outside.

        path: one that is relative begins at the folder, from which the jobs of the studio run.
        """
        try:
            real = _resolved(self.root / path)
        except (OSError, RuntimeError, ValueError):
            return None
        return self.relative(real) if real.is_relative_to(self.root) else None


def _resolved(path: Path) -> Path:
    """Follow links; raises OSError or, before Python 3.13, RuntimeError for a circle of them."""
    real = path.resolve()
    if any(part.is_symlink() for part in (real, *real.parents)):  # one that leads on to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return real


def _parts(text: str, said: str) -> list[str]:
    """Split a path; refuse all that is no plain path down from the folder."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    bad = (
        ".." in parts
        or text.startswith("/")
        or "\\" in text
        or len(text) > LONGEST
        or any(len(part.encode("utf-8", "replace")) > LONGEST_NAME for part in parts)
        or OWN in parts
        or any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in text)
        or any(":" in part for part in parts[:1] if os.name == "nt")
    )
    if bad:
        raise RefusedError(
            403,
            "a path leads down from the folder of the studio: a/b.tif",
            found="one that does not",
            where=said[:200].encode("ascii", "backslashreplace").decode(),
        )
    return parts

"""How files are written: completely or not at all, with readable errors; hashes of content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroglow.errors import WriteError

__all__ = [
    "appearing",
    "as_utf8",
    "file_sha256",
    "file_stats",
    "hash_of",
    "refuse_unwritable",
    "writing",
]

SAMPLE, SAMPLES = 4096, 5
"""Bytes of a piece, and pieces, of the sample of a file's content."""


def hash_of(*parts: object) -> str:
    """Hash some plain values."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def as_utf8(text: str) -> bytes:
    """Encode a text for people; bytes of file names that are no UTF-8 are spelled out."""
    return text.encode("utf-8", "backslashreplace")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's errors while writing `path` into WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            "the output must be writable, on a disk with enough space",
            found=str(error),
            where=str(path),
            cure="another -o, other permissions, or a larger disk (then --resume, if offered)",
        ) from error


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Return a file to write that replaces `path` at the end: completely or not at all.

    Raises WriteError if it cannot be written.
    """
    partial = _partial(path)
    with writing(path):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def refuse_unwritable(path: Path) -> None:
    """Raise WriteError where a file could not appear at `path`, before any work is done for it."""
    with writing(path):
        _partial(path).touch()
        _partial(path).unlink()


def _partial(path: Path) -> Path:
    """Name the file that is written before it appears at a path."""
    return path.with_name(f".{path.name}.partial")


def file_sha256(path: Path) -> str:
    """Hash a file's bytes; empty for a folder."""
    if path.is_dir():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sample(path: Path) -> str:
    """Hash SAMPLES pieces of a file, spread evenly over it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        last = max(0, path.stat().st_size - SAMPLE)
        for number in range(SAMPLES):
            file.seek(last * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()


def file_stats(path: Path) -> list[tuple[str, int, int | str]]:
    """List the files at a path, or below it, with size and time of the last change, by name.

    A file alone has a sample of its content, too: copies that keep the time of their originals
    (`cp -p`, archives) may replace one another.
    """
    if not path.is_dir():
        stat = path.stat()
        return [
            (path.name, stat.st_size, stat.st_mtime_ns),
            ("sample", stat.st_size, _sample(path)),
        ]
    found: list[tuple[str, int, int | str]] = []
    folders = [str(path)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    stat = entry.stat()
                    found.append((entry.path[len(str(path)) :], stat.st_size, stat.st_mtime_ns))
    return sorted(found)

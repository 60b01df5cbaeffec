"""One writer at a time: a lock on a file, which the system releases when its process or host ends.

The file says who holds it, for messages only: nothing is read from it to decide.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neuroglow.errors import OutputError
from neuroglow.files.remarks import remark
from neuroglow.files.writing import writing

__all__ = ["is_held", "locked"]

_MOMENT_S = 0.1


@contextmanager
def locked(path: Path, output: Path) -> Iterator[None]:
    """Hold the lock at `path`, for work on `output`; the file is removed at the end.

    Raises OutputError if another process holds it; WriteError if it cannot be written. Where the
    file system has no locks, this is said, and the work goes on.
    """
    with writing(path):
        handle = _take(path)
    if handle is None:
        raise OutputError(
            "only one process at a time works on an output",
            found=f"another process is working on it{_holder(path)}",
            where=str(output),
            cure="wait for it or stop it; then continue with --resume",
        )
    try:
        yield
    finally:
        with suppress(OSError):  # before it is released: who waits for it looks whether it is there
            path.unlink()
        os.close(handle)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock."""
    try:
        handle = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(handle, path)
    finally:
        os.close(handle)


def _take(path: Path) -> int | None:
    """Lock the file at this path; None if it is locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(handle, path):
            time.sleep(_MOMENT_S)  # `status` holds it for a moment, to see whether anyone does
            if not _lock(handle, path):
                os.close(handle)
                return None
        if _is_at(path, handle):
            _sign(handle)
            return handle
        os.close(handle)  # its last holder removed it meanwhile


def _sign(handle: int) -> None:
    """Write who holds a lock; on a full disk nobody is named, but it is held all the same."""
    with suppress(OSError):
        os.truncate(handle, 0)
        os.write(handle, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())


def _lock(handle: int, path: Path) -> bool:
    """Lock an open file: False if another process holds it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        remark(
            f"{path.parent}: this file system has no locks ({error.strerror}); "
            "make sure that no other process writes the same output"
        )
    return True


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    """Say who holds a lock, if the file does."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return f": process {held['pid']} on {held['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""

"""Ctrl-C at the command line: heeded from the first moment, and answered in words."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from neuroglow.errors import StoppedError

__all__ = ["Interrupted", "as_command", "heeding_ctrl_c", "stopping"]

NOTHING = "no output was written"
AGAIN = "the same command begins again"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, of a kind of its own.

    Where KeyboardInterrupt itself has passed through an `exec`, such as that of a dataclass that
    is being imported, CPython ends by the signal, whatever status it was asked for.
    """


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise Interrupted; where whoever started us ignores it, it stays ignored.

    Afterwards, while Python clears away, it ends the process at once and without a traceback.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise Interrupted


@contextmanager
def stopping(found: str = NOTHING, cure: str = AGAIN) -> Iterator[None]:
    """Answer Ctrl-C where the work has not: say what is kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError("the work was stopped before its end", found=found, cure=cure) from None


def as_command(words: Sequence[str]) -> str:
    """Write down the command that goes on with a run: the same, but for its mode."""
    program = "python -m neuroglow" if Path(words[0]).stem == "__main__" else "neuroglow"
    kept = [word for word in words[1:] if word not in ("--restart", "--resume")]
    return f"{program} {shlex.join([*kept, '--resume'])}"

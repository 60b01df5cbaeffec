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

RETRY_S = 0.01
"""Seconds after which a Ctrl-C pressed during an import is looked at again."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, of a kind of its own.

    Where KeyboardInterrupt itself has passed through an `exec`, such as that of a dataclass that
    is being imported, CPython ends by the signal, whatever status it was asked for.
    """


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise Interrupted; where whoever started us ignores it, it stays ignored.

    A first one during an import is raised when the import has ended: raised within, it can be
    swallowed by a bare `except`, or leave a lock of the import held, on which a thread then waits
    for ever. A second one is raised at once.

    Afterwards, while Python clears away, it ends the process at once and without a traceback.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    press = _Press()
    signal.signal(signal.SIGINT, press.at)
    try:
        yield
    finally:
        press.forget()
        signal.signal(signal.SIGINT, signal.SIG_DFL)


class _Press:
    """Ctrl-C, raised where nothing is imported; asked again by a timer until then."""

    def __init__(self) -> None:
        self.waits = False

    def at(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal, the user's or the timer's."""
        again = number == signal.SIGINT and self.waits
        if again or not _is_importing(frame) or not hasattr(signal, "setitimer"):
            self.forget()
            raise Interrupted
        self.waits = True
        signal.signal(signal.SIGALRM, self.at)
        signal.setitimer(signal.ITIMER_REAL, RETRY_S)

    def forget(self) -> None:
        """Stop the timer."""
        if self.waits:
            self.waits = False
            signal.setitimer(signal.ITIMER_REAL, 0)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


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

"""Ctrl-C at a moment of our choosing: what must stay whole is not left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["at_rest", "held", "uninterrupted"]


@contextmanager
def held(*names: str, twice: bool = True) -> Iterator[list[int]]:
    """Collect signals, in place of what answers them; that answers them again afterwards.

    names: of signals; those that are answered by no function of Python, or do not exist here,
    stay as they are, and so do all of them outside the main thread. twice: whether a second one
    is collected, too; else it raises KeyboardInterrupt at once. Yields the numbers collected.
    """
    pressed: list[int] = []

    def press(number: int, _: object) -> None:
        if pressed and not twice:
            raise KeyboardInterrupt
        pressed.append(number)

    main = threading.current_thread() is threading.main_thread()
    here = [getattr(signal, name) for name in names if main and hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in here}
    answered = {number: handler for number, handler in before.items() if callable(handler)}
    for number in answered:
        signal.signal(number, press)
    try:
        yield pressed
    finally:
        for number, handler in answered.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the end, where it is answered as ever.

    Also the timer by which one that was pressed during an import is raised (cli/stopping.py).
    """
    pressed: list[int] = []
    try:
        with held("SIGINT", "SIGALRM") as pressed:
            yield
    finally:
        for number in pressed[:1]:
            signal.raise_signal(number)


@contextmanager
def at_rest(*, waits: bool = True, twice: bool = True) -> Iterator[Callable[[], None]]:
    """Let Ctrl-C wait until the yielded function is called, which then raises KeyboardInterrupt.

    waits: else it is answered at once, as ever. twice: as for `held`.
    """
    heeded = 0
    with held(*(("SIGINT",) if waits else ()), twice=twice) as pressed:

        def heed() -> None:
            nonlocal heeded
            if heeded < len(pressed):
                heeded = len(pressed)
                raise KeyboardInterrupt

        yield heed

"""Ctrl-C between two steps, never within one: the saved state is always complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["at_rest"]


@contextmanager
def at_rest(*, alone: bool) -> Iterator[Callable[[], None]]:
    """Delay Ctrl-C until the yielded function is called; a second one comes at once.

    alone: no other processes share the steps; they would wait for each other for ever, so
    Ctrl-C then comes at once.
    """
    pressed: list[int] = []

    def heed() -> None:
        if pressed:
            raise KeyboardInterrupt

    def press(number: int, _: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not (alone and main and callable(before)):
        yield heed
        return
    signal.signal(signal.SIGINT, press)
    try:
        yield heed
    finally:
        signal.signal(signal.SIGINT, before)

"""Progress of work: one value, which every verb reports to a callback.

    neuroglow.predict(image, on_progress=lambda p: print(p.work, p.done, p.total, p.unit))

How progress is displayed is in watching.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = [
    "Hear",
    "Progress",
    "Tell",
    "counted_as",
    "hearing",
    "listen",
    "say_nothing",
    "tell_share",
]


@dataclass(frozen=True)
class Progress:
    """Progress of a piece of work.

    work: its name, in words. done, total: in `unit`: voxels, blocks, cubes, steps; total
    is None if the end is not known. row: further figures, of a training step or a
    validation.
    """

    work: str
    done: float = 0
    total: float | None = None
    unit: str = "voxels"
    row: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Progress], object]
"""Called with each progress; an exception in it ends the work."""


def say_nothing(_: Progress) -> None:
    """Ignore the progress."""


def counted_as(tell: Tell | None, work: str, total: float, unit: str = "voxels") -> Tell:
    """Report blocks of work under another name, with their share converted to another unit.

    Other work on the way is reported as it is, after that name.
    """

    def told(progress: Progress) -> None:
        if tell is not None and progress.work != "blocks":
            tell(replace(progress, work=f"{work}: {progress.work}"))
        elif tell is not None:
            share = progress.done / progress.total if progress.total else 1.0
            tell(replace(progress, work=work, done=share * total, total=total, unit=unit))

    return told


Hear = Callable[[int, float], object]
"""Called with a block's index and its finished share."""

_ears: list[Hear] = []


def tell_share(index: int, share: float) -> None:
    """Report the finished share (0..1) of a block, from inside the work on it."""
    if _ears:
        _ears[-1](index, share)


def listen(hear: Hear) -> None:
    """Receive the reports of blocks in this process, until it ends."""
    _ears.append(hear)


@contextmanager
def hearing(hear: Hear) -> Iterator[None]:
    """Receive the reports of blocks in this process."""
    listen(hear)
    try:
        yield
    finally:
        _ears.pop()

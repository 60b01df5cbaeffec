"""How far work has come: one value, which every verb tells to whoever asks.

    neuroglow.predict(image, on_progress=lambda p: print(p.work, p.done, p.total, p.unit))

What a person sees of it is in watching.py.
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
    """How far a piece of work has come.

    work: what is at work, in words. done, total: in `unit`: voxels, blocks, cubes, steps; total
    is None where the end is not known. row: figures told along, of a training step or a
    validation.
    """

    work: str
    done: float = 0
    total: float | None = None
    unit: str = "voxels"
    row: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Progress], object]
"""Called with each progress; what it raises ends the work."""


def say_nothing(_: Progress) -> None:
    """Tell nobody."""


def counted_as(tell: Tell | None, work: str, total: float, unit: str = "voxels") -> Tell:
    """Tell a piece of work under another name, its share counted in another unit."""

    def told(progress: Progress) -> None:
        if tell is not None:
            share = progress.done / progress.total if progress.total else 1.0
            tell(replace(progress, work=work, done=share * total, total=total, unit=unit))

    return told


Hear = Callable[[int, float], object]
"""Called with a block's index and the share of it that is done."""

_ears: list[Hear] = []


def tell_share(index: int, share: float) -> None:
    """Tell, from inside the work on a block, what share of it is done (0..1)."""
    if _ears:
        _ears[-1](index, share)


def listen(hear: Hear) -> None:
    """Hear what work on blocks tells of itself in this process, to its end."""
    _ears.append(hear)


@contextmanager
def hearing(hear: Hear) -> Iterator[None]:
    """Hear what work on blocks tells of itself in this process."""
    listen(hear)
    try:
        yield
    finally:
        _ears.pop()

"""What a person sees while blocks are worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroglow.predict import Progress
    from neuroglow.space.blockwise import BlockReport
    from neuroglow.space.geometry import Block


@contextmanager
def block_progress() -> Iterator[Progress]:
    """Show blocks, rate and remaining time on a terminal; nothing in a pipe."""
    with _bars() as bars:
        tasks: dict[str, Any] = {}

        def tell(name: str, report: BlockReport, blocks: Sequence[Block]) -> None:
            total = sum(block.write.size for block in blocks) / 1e6
            share = (report.finished + len(report.failed)) / len(blocks)
            if name not in tasks:
                tasks[name] = bars.add_task(Path(name).name, total=total, rate="")
            speed = bars.tasks[tasks[name]].speed
            rate = f"{speed:.1f} Mvoxel/s" if speed else ""
            bars.update(tasks[name], completed=share * total, rate=rate)

        yield tell


@contextmanager
def voxel_progress() -> Iterator[Callable[[str, int, int], object]]:
    """Show what is at work, voxels, rate and remaining time on a terminal; nothing in a pipe."""
    with _bars() as bars:
        task = bars.add_task("", total=None, rate="")

        def tell(work: str, done: int, total: int) -> None:
            speed = bars.tasks[task].speed
            rate = f"{speed:.1f} Mvoxel/s" if speed else ""
            bars.update(task, description=work, completed=done / 1e6, total=total / 1e6, rate=rate)

        yield tell


@contextmanager
def _bars() -> Iterator[Any]:
    """Draw bars on a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total:.1f} Mvoxel, {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        yield bars


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on a terminal that something is at work whose end is not known; nothing in a pipe."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(text):
        yield

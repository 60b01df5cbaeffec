"""Display of progress: a live bar on a terminal, a line every minute in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

from neuroglow.errors import without_secrets
from neuroglow.interrupts import uninterrupted
from neuroglow.progress import Progress, Tell
from neuroglow.progress_file import is_due, keep_progress

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["MINUTE_S", "watched"]

MINUTE_S = 60.0
"""Seconds between two lines of a log."""

RECENT = 50
"""Steps over which losses and times are averaged."""

SCALES = ((1e9, "Gvoxel"), (1e6, "Mvoxel"), (1e3, "kvoxel"))

Clock = Callable[[], float]


@contextmanager
def watched(
    first: str,
    *,
    console: Console | None = None,
    every_s: float = MINUTE_S,
    every_steps: int = 0,
    clock: Clock | None = None,
) -> Iterator[Tell]:
    """Show work: live on a terminal and in a notebook; otherwise a line now and then.

    first: printed at once. every_s: seconds between two lines of a log. every_steps: for training,
    also a line every so many steps, and for each validation, on a terminal too; 0: never. clock:
    seconds.
    """
    screen = console or _screen()
    seen = _Seen(clock or time.monotonic)
    live = screen.is_interactive or screen.is_jupyter
    with _live(screen, seen) if live else _logged(screen, seen, every_s) as tell:
        tell(Progress(without_secrets(first)))
        yield _with_file(seen, _with_lines(screen, seen, tell, every_steps))


def _screen() -> Console:
    from rich.console import Console

    if sys.stderr is None:
        return Console(stderr=True)
    stream: Any = _Losing(sys.stderr)
    return Console(file=stream)


class _Losing:
    """A stream whose words may be lost: no closed terminal and no full disk ends the work."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or lose the text."""
        with suppress(OSError):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError):
            self.stream.flush()


def _with_file(seen: _Seen, tell: Tell) -> Tell:
    """Keep the newest progress in the file that whoever started this process reads, if any."""
    last = 0.0

    def told(progress: Progress) -> None:
        nonlocal last
        tell(progress)
        if is_due(last) or (progress.total is not None and progress.done >= progress.total):
            last = time.monotonic()
            keep_progress(seen.state())

    return told


def _with_lines(screen: Console, seen: _Seen, tell: Tell, every: int) -> Tell:
    """Print a line every so many steps, and for each validation."""

    def told(progress: Progress) -> None:
        tell(progress)
        if every and progress.row and ("validation" in progress.row or progress.done % every == 0):
            screen.print(seen.line(), highlight=False, markup=False, soft_wrap=True)

    return told if every else tell


@contextmanager
def _live(screen: Console, seen: _Seen) -> Iterator[Tell]:
    """Draw a bar with its figures below, and those of a training run; no trace without any."""
    from rich.live import Live
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    bars = Bars(
        SpinnerColumn("line" if screen.options.ascii_only else "dots"),
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=2, no_wrap=True)),
        BarColumn(None, table_column=Column(ratio=1)),
        TimeElapsedColumn(),
        expand=True,
    )
    bar = bars.add_task("", total=None)
    view = Live(console=screen, refresh_per_second=4, get_renderable=lambda: seen.drawn(bars))

    def tell(progress: Progress) -> None:
        seen.take(progress)
        bars.update(bar, description=progress.work, completed=progress.done, total=progress.total)
        bars.tasks[0].finished_time = None  # the clock runs on: more work may follow
        view.transient = progress.total is None
        if not view.is_started:
            with uninterrupted():
                view.start(refresh=True)

    try:
        yield tell
    finally:
        with uninterrupted():
            view.stop()


@contextmanager
def _logged(screen: Console, seen: _Seen, every_s: float) -> Iterator[Tell]:
    """Write lines, also while nothing is told: who reads a log wonders whether it still works."""
    log, over = _Log(screen, seen, every_s), threading.Event()

    def beat() -> None:
        while not over.wait(every_s / 4):
            log.beat()

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield log.tell
    finally:
        over.set()
        heart.join()


@dataclass
class _Log:
    """Lines in a log: the first at once, then one every so many seconds."""

    screen: Console
    seen: _Seen
    every_s: float
    said: float | None = None
    began: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, progress: Progress) -> None:
        """Take up what is told; say it where it is time."""
        with self.lock:
            self.seen.take(progress)
            self._say_in_time("")

    def beat(self) -> None:
        """Say again what was told last, where nothing has been since."""
        with self.lock:
            if self.said is not None:
                self._say_in_time(f" (at work for {_clock(self.seen.clock() - self.began)})")

    def _say_in_time(self, more: str) -> None:
        now = self.seen.clock()
        if self.said is None:
            self.began = now
        if self.said is None or now - self.said >= self.every_s:
            self.said = now
            self.screen.print(
                self.seen.line() + more, highlight=False, markup=False, soft_wrap=True
            )


@dataclass
class _Pace:
    """Speed of a piece of work since it was first reported."""

    first: float
    began: float
    done: float
    now: float

    @property
    def rate(self) -> float:
        """Amount done per second; 0 if nothing is known yet."""
        return (self.done - self.first) / max(self.now - self.began, 1e-9)


@dataclass
class _Seen:
    """The progress reported so far."""

    clock: Clock
    newest: Progress = field(default_factory=lambda: Progress(""))
    paces: dict[tuple[str, float], _Pace] = field(default_factory=dict)
    rows: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=RECENT))
    checks: list[Mapping[str, Any]] = field(default_factory=list)

    def take(self, progress: Progress) -> None:
        """Receive a progress."""
        self.newest, now = progress, self.clock()
        if "validation" in progress.row:
            self.checks.append({"step": progress.row["step"], **progress.row["validation"]})
        elif progress.row:
            self.rows.append(progress.row)
        if progress.total is None:
            return
        key = (progress.unit, progress.total)
        pace = self.paces.get(key)
        if pace is None or progress.done < pace.done:
            self.paces[key] = _Pace(progress.done, now, progress.done, now)
        else:
            pace.done, pace.now = progress.done, now

    def state(self) -> dict[str, Any]:
        """Return the newest progress, and its rate in units a second, as plain values."""
        newest = self.newest
        pace = None if newest.total is None else self.paces[newest.unit, newest.total]
        named = {
            "work": without_secrets(newest.work),
            "done": float(newest.done),
            "unit": newest.unit,
        }
        total = None if newest.total is None else float(newest.total)
        return {**named, "total": total, "rate": pace.rate if pace else 0.0, "exit": None}

    def figures(self) -> str:
        """Describe the amount done, the speed, and the remaining time."""
        done, total, unit = self.newest.done, self.newest.total, self.newest.unit
        if total is None:
            return ""
        size, unit = _scale(total, unit)
        digits = 1 if size > 1 else 0
        amount = f"{done / size:.{digits}f}/{total / size:.{digits}f} {unit}"
        rate = self.paces[self.newest.unit, total].rate
        if not rate or done >= total:
            return amount
        return f"{amount}, {_clock((total - done) / rate)} left, {_speed(rate, self.newest.unit)}"

    def line(self) -> str:
        """Describe everything in one line."""
        parts = [self.newest.work, self.figures()]
        text = ": ".join(part for part in parts if part)
        if self.rows and self.newest.row:
            pace = self._averages()
            text += f", loss {pace['loss']:.4f}, {pace['seconds']:.2f} s/step"
        if "validation" in self.newest.row:
            check = self.checks[-1]
            text += f", AP {check['average_precision']:.3f}, Dice {check['dice']:.3f}"
        return text

    def drawn(self, bars: RenderableType) -> RenderableType:
        """Return the bar and its figures, with a table below where a network is trained."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        figures = Text(f"  {self.figures()}", no_wrap=True, overflow="ellipsis")
        if not self.rows and not self.checks:
            return Group(bars, figures) if figures.plain.strip() else bars
        table = Table(show_header=False)
        for name, value in self._trained():
            table.add_row(name, value)
        return Group(bars, figures, table)

    def _trained(self) -> Iterator[tuple[str, str]]:
        if self.rows:
            pace = self._averages()
            yield "step", str(self.rows[-1]["step"])
            yield "loss", f"{pace['loss']:.4f}"
            yield "learning rate", f"{self.rows[-1]['learning_rate']:.2e}"
            waiting = f"{pace['waiting']:.1%} of it waiting for data"
            yield "time per step", f"{pace['seconds']:.2f} s, {waiting}"
        if self.checks:
            best = max(self.checks, key=lambda row: row["average_precision"])
            for name, row in (("newest", self.checks[-1]), ("best", best)):
                figures = f"AP {row['average_precision']:.3f}, Dice {row['dice']:.3f}"
                yield f"{name} validation", f"{figures}, step {row['step']}"

    def _averages(self) -> dict[str, float]:
        count = len(self.rows)
        seconds = sum(row["seconds"] for row in self.rows)
        return {
            "loss": sum(row["loss"] for row in self.rows) / count,
            "seconds": seconds / count,
            "waiting": sum(row["waiting"] for row in self.rows) / max(seconds, 1e-9),
        }


def _scale(total: float, unit: str) -> tuple[float, str]:
    """Return the size of the unit for counting so many, and its name."""
    if unit != "voxels":
        return 1.0, unit
    return next((scale for scale in SCALES if total >= scale[0]), (1.0, unit))


def _speed(rate: float, unit: str) -> str:
    """Say how fast: so many a second, or so many seconds each; voxels at the rate's own scale."""
    size, unit = _scale(rate, unit)
    if rate >= 0.95 * size or unit == "voxels":
        return f"{rate / size:.1f} {unit}/s"
    return f"{1 / rate:.1f} s/{unit.removesuffix('s')}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"

"""What a person sees while a network is trained: a live table; nothing in a pipe."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from neuroglow.train.session import TrainProgress

RECENT = 50
"""Steps over which losses and times are averaged."""


@contextmanager
def watch(*, say_every: int = 0) -> Iterator[Callable[[TrainProgress], None]]:
    """Show a run as a live table on a terminal; in a pipe a line every so many steps, if asked."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    seen = _Seen()

    def tell(progress: TrainProgress) -> None:
        seen.take(progress)
        if say_every and seen.is_due(progress, say_every):
            console.print(seen.line(), highlight=False, soft_wrap=True)
        if live.is_started:
            live.update(seen.table())

    live = Live(console=console, refresh_per_second=4, transient=False)
    if not console.is_terminal:
        yield tell
        return
    with live:
        yield tell


@dataclass
class _Seen:
    """What has been told of a run."""

    stage: str = "pool"
    done: int = 0
    total: int = 1
    step: int = 0
    steps: int = 0
    rows: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=RECENT))
    checks: list[dict[str, Any]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def take(self, progress: TrainProgress) -> None:
        """Take up what is told."""
        if progress.stage != self.stage:
            self.stage, self.began = progress.stage, time.monotonic()
        self.done, self.total = progress.done, progress.total
        if progress.stage == "train":
            self.step, self.steps = progress.done, progress.total
            self.rows.append(dict(progress.row))
        elif progress.row:
            self.checks.append({"step": progress.row["step"], **progress.row["validation"]})

    def is_due(self, progress: TrainProgress, every: int) -> bool:
        """Tell whether a line is to be said: every so many steps, and of each validation."""
        trained = progress.stage == "train" and progress.done % every == 0
        return trained or (progress.stage == "validate" and bool(progress.row))

    def _pace(self) -> dict[str, float]:
        count = max(1, len(self.rows))
        seconds = sum(row["seconds"] for row in self.rows)
        return {
            "loss": sum(row["loss"] for row in self.rows) / count,
            "seconds": seconds / count,
            "waiting": sum(row["waiting"] for row in self.rows) / max(seconds, 1e-9),
        }

    def line(self) -> str:
        """Give one line."""
        pace = self._pace()
        text = f"step {self.step}/{self.steps} loss {pace['loss']:.4f} {pace['seconds']:.2f} s/step"
        if self.stage == "validate" and self.checks:
            newest = self.checks[-1]
            text += f" validation: AP {newest['average_precision']:.3f} Dice {newest['dice']:.3f}"
        return text

    def table(self) -> Table:
        """Give the table."""
        from rich.table import Table

        table = Table(title="neuroglow train", show_header=False)
        if self.stage != "train":
            pace = self.done / max(time.monotonic() - self.began, 1e-9)
            left = (self.total - self.done) / pace if pace else 0.0
            what = {"pool": "reading cubes", "validate": "validating"}[self.stage]
            table.add_row(what, f"{self.done}/{self.total}, {pace:.2f}/s, {_clock(left)} left")
        if self.rows:
            pace_of = self._pace()
            left = (self.steps - self.step) * pace_of["seconds"]
            table.add_row("step", f"{self.step}/{self.steps}, {_clock(left)} left")
            table.add_row("loss", f"{pace_of['loss']:.4f}")
            table.add_row("learning rate", f"{self.rows[-1]['learning_rate']:.2e}")
            waiting = f"{pace_of['waiting']:.1%} of it waiting for data"
            table.add_row("a step", f"{pace_of['seconds']:.2f} s, {waiting}")
        if self.checks:
            best = max(self.checks, key=lambda row: row["average_precision"])
            for name, row in (("newest", self.checks[-1]), ("best", best)):
                figures = f"AP {row['average_precision']:.3f}, Dice {row['dice']:.3f}"
                table.add_row(f"{name} validation", f"{figures}, step {row['step']}")
        return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"

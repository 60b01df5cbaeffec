"""Bench: how fast this computer predicts, what to use, and how long a brain would take.

    the computer -> engines, each in a process of its own -> a whole prediction -> several workers

It stands above the verbs, because it measures one: `predict`. All that it prints was measured by
this run on this computer, but for the estimate of a brain, which is computed from that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from neuroglow.bench.measuring import Measuring
from neuroglow.bench.report import BenchReport
from neuroglow.bench.settings import BenchSettings
from neuroglow.errors import OutputError
from neuroglow.face import given, spelled_out
from neuroglow.files.writing import appearing, refuse_unwritable
from neuroglow.progress import Tell, say_nothing
from neuroglow.settings import check_settings

__all__ = ["BenchReport", "BenchSettings", "bench"]


@spelled_out(BenchSettings)
def bench(  # noqa: PLR0913  # every option, for editors
    *,
    model: str = "light-microscopy",
    brain: Sequence[int] | str = (2048, 2048, 1024),
    max_memory: int | str = "1600MB",
    device: str = "auto",
    seconds: float = 110.0,
    out: str | Path | None = None,
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> BenchReport:
    """Measure how fast this computer predicts, and estimate how long a brain would take.

    out: a file for all numbers, `.json`; an existing one is not replaced.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        BenchSettings.

    Returns a report that prints one screen. It names what was not measured. Voxels are read from
    the temporary folder, so the speed of other storage is not in the numbers.
    Raises ModelError if there is no such model, SettingsError for a device that is not there,
    WriteError before anything is measured if `out` cannot be written.
    """
    chosen = check_settings(BenchSettings, given())
    file = None if out is None else _new_file(Path(out))
    report = Measuring(chosen, on_progress or say_nothing).run()
    if file is not None:
        with appearing(file) as new:
            new.write_text(json.dumps(report.as_json(), indent=1) + "\n", encoding="utf-8")
    return report


def _new_file(path: Path) -> Path:
    if path.suffix != ".json" or path.exists():
        raise OutputError(
            "the numbers of a benchmark are written to a new .json",
            found="an existing file" if path.exists() else path.suffix or "no ending",
            where=str(path),
            cure="another -o, or none: they are also printed",
        )
    refuse_unwritable(path)
    return path

"""Training runs, also while they go on: curves from their own log, and their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neuroglow.files.tables import plain
from neuroglow.studio.inside import Inside
from neuroglow.studio.refusals import missing
from neuroglow.train.run_folder import RunFolder

__all__ = ["MOST", "not_begun", "run_picture", "show_run"]

MOST = 2000
"""Points of a curve that are sent; of a longer run, means over several steps."""


def show_run(inside: Inside, path: str) -> dict[str, Any]:
    """Return the losses and validations of a run. Raises RefusedError if it is none."""
    run = _run(inside, path)
    steps: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for row in run.rows():
        if "validation" in row:
            checks.append({"step": row["step"], **row["validation"]})
        elif "loss" in row:
            steps.append(row)
    record = run.read()
    pictures = sorted(
        int(f.stem.removeprefix("step-")) for f in run.path.glob("pictures/step-*.png")
    )
    return {
        "path": path,
        "steps": [_mean(part) for part in _parts(steps)],
        "validations": plain(checks),
        "wanted": (record.get("settings") or {}).get("steps"),
        "pictures": pictures,
        "report": run.report.is_file(),
        "model": run.best.is_dir(),
        "modified": run.log.stat().st_mtime if run.log.is_file() else None,
    }


def not_begun(path: str) -> dict[str, Any]:
    """Return what is known of a run that is ordered, and has not written its first line."""
    lists: dict[str, Any] = {"steps": [], "validations": [], "pictures": []}
    nothing = {"wanted": None, "report": False, "model": False, "modified": None}
    return {"path": path, **lists, **nothing}


def run_picture(inside: Inside, path: str, step: int) -> bytes:
    """Return the picture of a validation. Raises RefusedError if there is none."""
    picture = _run(inside, path).picture(step)
    inside.check(picture, path)
    if not picture.is_file():
        raise missing(path, f"no picture of step {step}")
    return picture.read_bytes()


def _run(inside: Inside, path: str) -> RunFolder:
    folder: Path = inside.find(path)
    run = RunFolder(folder)
    for file in (run.record, run.log):
        inside.check(file, path)
    if not run.record.is_file():
        raise missing(path, "no training run")
    return run


def _parts(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    size = -(-len(rows) // MOST)
    return [rows[i : i + size] for i in range(0, len(rows), size)] if size else []


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the means of some steps, at the last of them."""
    found: dict[str, Any] = {"step": rows[-1]["step"]}
    for name in ("loss", "learning_rate", "seconds", "waiting"):
        values = [float(row[name]) for row in rows if isinstance(row.get(name), int | float)]
        found[name] = sum(values) / len(values) if values else None
    return dict(plain(found))

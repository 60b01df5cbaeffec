"""The files of a report: a folder, or one page with its numbers in files next to it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from neuroglow.runs.leaving import Kind, Leaving
from neuroglow.runs.unfinished import Mode, Unfinished

__all__ = ["Mode", "claimed", "refuse_existing", "report_paths", "write_report"]

SCORES, PICTURES = "scores.json", "pictures"
"""The file that every report folder contains, and the folder in it."""

PAGES = (".html", ".htm")


def report_paths(out: Path) -> dict[str, Path]:
    """Name the page, the scores and the table of a report."""
    if out.suffix.lower() in PAGES:
        name = out.stem if out.suffix == PAGES[0] else out.name  # a.htm shares no file with a.html
        ends = {"scores": f"{name}.json", "table": f"{name}.csv"}
        return {"page": out, **{part: out.with_name(end) for part, end in ends.items()}}
    return {"page": out / "report.html", "scores": out / SCORES, "table": out / "scores.csv"}


REPORT = Kind(
    name="report",
    rule="a report is a folder, or .html",
    endings=PAGES,
    paths=report_paths,
    record="scores",
    keys=("summary", "volumes"),
    is_own=lambda path: path.parent == Path(PICTURES) and path.suffix == ".png",
)


def refuse_existing(out: Path, mode: Mode) -> None:
    """Refuse to replace a report unless asked to, and anything else in any case.

    Raises OutputError.
    """
    Leaving(REPORT, out).refuse_existing("restart" if mode == "restart" else "new")


def claimed(out: Path | None) -> AbstractContextManager[None]:
    """Lock a report against other processes."""
    return nullcontext() if out is None else Leaving(REPORT, out).claimed()


def write_report(
    out: Path, texts: Mapping[str, str], pictures: Mapping[str, bytes]
) -> dict[str, Path]:
    """Write a report; the page appears last, a folder completely or not at all.

    texts: of the page, the scores and the table. pictures: PNGs by name, only for a folder.
    The output is claimed by the caller. Raises WriteError.
    """
    report = Leaving(REPORT, out)
    files: dict[str, str | bytes] = {part: texts[part] for part in ("page", "table", "scores")}
    if not report.is_file:
        files |= {f"{PICTURES}/{name}.png": png for name, png in pictures.items()}
    report.write(files)
    if report.is_file:
        Unfinished(out).empty()
    return report_paths(out)

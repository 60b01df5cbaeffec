"""The files of a report: a folder, or one page with its numbers beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from neuroglow.errors import OutputError
from neuroglow.space.unfinished import Unfinished
from neuroglow.space.volume import appearing, writing

__all__ = ["Mode", "refuse_existing", "report_paths", "write_report"]

Mode = Literal["new", "restart"]

SCORES = "scores.json"
"""The file that every folder of a report has."""


def report_paths(out: Path) -> dict[str, Path]:
    """Name the page, the scores and the table of a report."""
    if out.suffix.lower() in (".html", ".htm"):
        return {"page": out, "scores": out.with_suffix(".json"), "table": out.with_suffix(".csv")}
    return {"page": out / "report.html", "scores": out / SCORES, "table": out / "scores.csv"}


def refuse_existing(out: Path, mode: Mode) -> None:
    """Refuse to replace a report without being told to, and anything else in any case.

    Raises OutputError.
    """
    paths = report_paths(out)
    if out.suffix and paths["page"] != out and not out.is_dir():
        raise OutputError(
            "a report is a folder, or .html",
            found=out.suffix,
            where=str(out),
            cure=f"-o {out.with_suffix('.html')}",
        )
    if paths["page"] == out:
        there = [path for path in paths.values() if path.exists()]
    else:
        there = [out] if out.exists() and (not out.is_dir() or any(out.iterdir())) else []
    if there and mode == "new":
        raise OutputError(
            "an existing report is not overwritten",
            found="one that exists",
            where=str(there[0]),
            cure="another -o, or --restart to replace it",
        )
    if there and not paths["scores"].exists():
        raise OutputError(
            "only a report is replaced",
            found="something else",
            where=str(there[0]),
            cure="another -o",
        )


def write_report(
    out: Path, texts: Mapping[str, str], pictures: Mapping[str, bytes]
) -> dict[str, Path]:
    """Write a report; the folder appears whole or not at all.

    texts: of the page, the scores and the table. pictures: PNGs by name, for a folder alone.
    Raises WriteError.
    """
    paths = report_paths(out)
    if paths["page"] == out:
        for part in ("scores", "table", "page"):
            with appearing(paths[part]) as partial:
                partial.write_text(texts[part], encoding="utf-8")
        return paths
    unfinished = Unfinished(out)
    with unfinished.claimed(), writing(out):
        for part, path in report_paths(unfinished.folder).items():
            path.write_text(texts[part], encoding="utf-8")
        (unfinished.folder / "pictures").mkdir(exist_ok=True)
        for name, png in pictures.items():
            (unfinished.folder / "pictures" / f"{name}.png").write_bytes(png)
        if out.exists():
            shutil.rmtree(out)
        unfinished.folder.rename(out)
    return paths

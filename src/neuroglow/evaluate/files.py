"""The files of a report: a folder, or one page with its numbers beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from neuroglow.errors import OutputError
from neuroglow.space.record import is_record
from neuroglow.space.unfinished import Unfinished
from neuroglow.space.writing import appearing, writing

__all__ = ["Mode", "refuse_existing", "report_paths", "write_report"]

Mode = Literal["new", "restart"]

SCORES, PICTURES = "scores.json", "pictures"
"""The file that every folder of a report has, and the folder in it."""


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
    ending = "" if out.suffix[1:].isdigit() else out.suffix  # a folder may be `scores_0.5`
    if ending and paths["page"] != out and not out.is_dir():
        raise OutputError(
            "a report is a folder, or .html",
            found=ending,
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
    if there and (strange := _strange(out)):
        raise OutputError(
            "only a report is replaced", found=strange, where=str(there[0]), cure="another -o"
        )


def _strange(out: Path) -> str:
    """Say what at an output no evaluation has left there; nothing where it is a report."""
    paths = report_paths(out)
    if not is_record(paths["scores"], "summary", "volumes"):
        return f"something else: {paths['scores'].name} is missing, or holds no scores"
    if paths["page"] == out:
        return ""
    own = {PICTURES, *(path.name for path in paths.values())}
    found = [path for path in out.iterdir() if path.name not in own]
    if (out / PICTURES).is_dir():
        found += [path for path in (out / PICTURES).iterdir() if path.suffix != ".png"]
    names = sorted(path.name for path in found)
    return f"something else in it: {', '.join(names[:3])}" if names else ""


def write_report(
    out: Path, texts: Mapping[str, str], pictures: Mapping[str, bytes]
) -> dict[str, Path]:
    """Write a report; the folder appears whole or not at all.

    texts: of the page, the scores and the table. pictures: PNGs by name, for a folder alone.
    Raises WriteError.
    """
    paths = report_paths(out)
    if paths["page"] == out:
        with ExitStack() as all_or_none:  # the page is the last to appear
            for part in ("page", "table", "scores"):
                partial = all_or_none.enter_context(appearing(paths[part]))
                partial.write_text(texts[part], encoding="utf-8")
        return paths
    unfinished = Unfinished(out)
    with unfinished.claimed(), writing(out):
        unfinished.empty()  # of an evaluation that was killed
        for part, path in report_paths(unfinished.folder).items():
            path.write_text(texts[part], encoding="utf-8")
        (unfinished.folder / PICTURES).mkdir()
        for name, png in pictures.items():
            (unfinished.folder / PICTURES / f"{name}.png").write_bytes(png)
        if out.exists():
            shutil.rmtree(out)
        unfinished.folder.rename(out)
    return paths

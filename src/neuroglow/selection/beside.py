"""The page and picture next to a table of cubes; those of another output are never replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from neuroglow.errors import OutputError
from neuroglow.report import is_page

__all__ = ["page_of", "picture_of", "refuse_anothers", "title_of"]


def page_of(table: Path) -> Path:
    """Name the page of a table: `a.csv` has `a.html`, `a.parquet` has `a.parquet.html`."""
    return _next_to(table, ".html")


def picture_of(table: Path) -> Path:
    """Name the picture of a table."""
    return _next_to(table, ".png")


def _next_to(table: Path, ending: str) -> Path:
    if table.suffix == ".csv":
        return table.with_suffix(ending)
    return table.with_name(table.name + ending)


def refuse_anothers(kind: str, table: Path, beside: Sequence[Path]) -> None:
    """Refuse to replace files that do not belong to an output of this kind with this name.

    kind: `Survey` or `Selection`, with which the title of its page begins. Raises OutputError.
    """
    there = [path for path in (table, *beside) if path.exists()]
    if there and not is_page(page_of(table), title_of(kind, table)):
        raise OutputError(
            f"only a {kind.lower()} is replaced",
            found=f"no page of a {kind.lower()} next to it",
            where=str(there[0]),
            cure="another -o",
        )


def title_of(kind: str, table: Path) -> str:
    """Give the title of the page of a table."""
    return f"{kind}: {table.name}"

"""Origins: from what an output was made, as its record says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neuroglow.files.record import read_record
from neuroglow.files.writing import appearing
from neuroglow.studio.growing import about_growing
from neuroglow.studio.inside import Inside
from neuroglow.studio.kinds import VOXELS, Kind

__all__ = ["origin_file", "origins_of", "write_origins"]


LISTED = "made_from"
"""The list of all that trees were made from, in the file of their origin."""


def origins_of(inside: Inside, path: Path, kind: Kind) -> list[str]:
    """List the paths, inside of the folder, of the files from which something was made."""
    record = _record(path, kind)
    named = record.get("input") or {}
    named = named if isinstance(named, dict) else {"name": named}
    listed = record.get(LISTED)
    sources = [named.get("name"), named.get("raw"), record.get("raw")]
    sources += listed if isinstance(listed, list) else []
    found = [_found(inside, path, str(source)) for source in sources if source]
    return [place for place in dict.fromkeys(found) if place]


def origin_file(swc: Path) -> Path:
    """Name the file that tells from what trees were made by hand."""
    return swc.with_name(f"{swc.stem}_origin.json")


def write_origins(swc: Path, sources: Sequence[str]) -> None:
    """Tell next to trees that were made by hand from what they were made; replaces nothing."""
    with appearing(origin_file(swc)) as partial:
        partial.write_text(json.dumps({LISTED: list(sources)}, indent=1), encoding="utf-8")


def _record(path: Path, kind: Kind) -> dict[str, Any]:
    """Read what the maker of a file left next to it, or in it."""
    if kind in VOXELS:
        return read_record(path) or about_growing(path)
    if kind == "trees":
        single = path.with_name(f"{path.stem}_trees.json")
        return _json(path / "trace.json" if path.is_dir() else single) or _json(origin_file(path))
    return _json(path / "run.json") if kind == "run" else {}


def _found(inside: Inside, path: Path, source: str) -> str | None:
    """Find a file that a record names: there, or, if the folder was moved, next to its output."""
    named = Path(source.partition("::")[0])
    places = [named] if named.is_absolute() else [inside.root / named, path.parent / named]
    for place in (*places, path.parent / named.name):
        relative = inside.relative_if_inside(place)
        if relative and place != path and place.exists():
            return relative
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}

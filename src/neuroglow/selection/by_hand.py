"""A selection by hand: cubes of a survey, each with a reason, written as `select` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from neuroglow.cubes.manifest import Cube, check_files, write_manifest
from neuroglow.cubes.splits import split_apart
from neuroglow.errors import InputError, OutputError
from neuroglow.selection.beside import page_of, picture_of
from neuroglow.selection.pages import selection_page
from neuroglow.selection.survey_table import FREE, numbers

__all__ = ["ByHand", "write_by_hand"]

RULE = "by hand"

MINUTES_PER_CUBE, VOX_PER_MINUTE = 2.0, 100.0
"""For the estimate of the minutes, as by default in `select`."""


@dataclass(frozen=True)
class ByHand:
    """What a person chose: name -> reason of cubes taken, and of cubes looked at and dropped.

    Shares of the chosen cubes that validate and test, and the seed that draws them.
    """

    taken: Mapping[str, str]
    dropped: Mapping[str, str] = field(default_factory=dict)
    val_fraction: float = 0.2
    test_fraction: float = 0.0
    seed: int = 1


def write_by_hand(cubes: Sequence[Cube], chosen: ByHand, out: Path) -> list[Cube]:
    """Write the manifest of the chosen cubes, in the order of the survey, its page and picture.

    A cube that a rule had chosen before keeps its rank and reason unless another is given.
    Raises InputError for a cube that the survey does not have, none chosen, or a file that has
    changed; OutputError if the output exists.
    """
    _refuse(cubes, chosen, out)
    ranks = {name: rank for rank, name in enumerate(chosen.taken, start=1)}
    selection = [
        _described(cube, ranks[cube.name], chosen.taken[cube.name])
        for cube in cubes
        if cube.name in ranks
    ]
    check_files(selection)
    picked = split_apart(selection, chosen.val_fraction, chosen.test_fraction, chosen.seed)
    left = {name: f"dropped: {why or 'no reason given'}" for name, why in chosen.dropped.items()}
    selection_page(cubes, picked, left, out, RULE, looked_at=FREE[:3])
    write_manifest(picked, out)
    return picked


def _described(cube: Cube, rank: int, reason: str) -> Cube:
    length = float(numbers([cube], "length_vox")[0])
    minutes = MINUTES_PER_CUBE + (length if length > 0 else 0.0) / VOX_PER_MINUTE
    own = {"rule": RULE, "rank": str(rank), "reason": reason or RULE, "minutes": f"{minutes:.1f}"}
    return replace(cube, other={**own, **{k: v for k, v in cube.other.items() if k not in own}})


def _refuse(cubes: Sequence[Cube], chosen: ByHand, out: Path) -> None:
    known = {cube.name for cube in cubes}
    strange = [name for name in (*chosen.taken, *chosen.dropped) if name not in known]
    if strange:
        raise InputError("a cube that is chosen is one of the survey", found=repr(strange[0]))
    if not chosen.taken:
        raise InputError("a selection has at least one cube", found="none", cure="take a cube")
    if out.suffix != ".csv":
        raise OutputError(
            "a manifest is a CSV file",
            found=out.suffix or "no suffix",
            where=str(out),
            cure=f"{out.stem}.csv",
        )
    there = [path for path in (out, page_of(out), picture_of(out)) if path.exists()]
    if there:
        raise OutputError(
            "an existing output is not overwritten",
            found="it exists",
            where=str(there[0]),
            cure="another name",
        )

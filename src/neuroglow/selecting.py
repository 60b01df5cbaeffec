"""Select: a survey -> the cubes to annotate or to train on, each with a reason.

leave out cubes that cannot be chosen -> rank by a rule -> cut to the budget -> split -> manifest

Not named `select`: in this folder, `python -m neuroglow` would find it instead of Python's module.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from neuroglow.cubes.excluded import find_known
from neuroglow.cubes.export import export_cubes
from neuroglow.cubes.manifest import Cube, check_files, write_manifest
from neuroglow.cubes.splits import split_apart
from neuroglow.errors import InputError, OutputError, SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.printed import Printed, counted, first_names
from neuroglow.selection.beside import page_of, picture_of, refuse_anothers
from neuroglow.selection.db_enhance_lists import find_recorded, read_recorded
from neuroglow.selection.pages import selection_page
from neuroglow.selection.rules import ChosenCube, Table, check_rule, interleave, order_by
from neuroglow.selection.survey_table import (
    FREE,
    LABELLED,
    check_suffix,
    doubts_in,
    numbers,
    read_survey,
)
from neuroglow.settings import check_settings

__all__ = ["SelectReport", "SelectSettings", "select"]

Floats = NDArray[np.float64]

FREE_THREE = ("free_signal_density", "free_noise", "free_low_snr_ratio")
UNITS_THREE = ("units_signal_density", "noise_variance", "units_low_snr_ratio")
"""Labelled, and independent of the camera's constants; `dhpr` keeps DB-Enhance's own."""

FURTHER = tuple(name for name in FREE if name not in FREE_THREE)


class SelectSettings(BaseModel):
    """All settings of a selection, besides the survey.

    n, voxels, minutes: the budget, one of them: cubes, voxels, or estimated minutes of
        annotation. at_most: choose n cubes, or all that the rule can choose if there are fewer.
        from_db_enhance: its selectd_rule1.npy, or folder of lists, instead of a budget and a rule.
    minutes_per_cube, vox_per_minute: for the estimate: minutes for each cube, plus neurite length
        over the length annotated per minute. Measure your own.
    rule: dhpr, random, foreground-random, diverse or entropy.
    indicators: from labels, without labels (free), or `auto`: from labels if all cubes have them.
    stratify: a column; each of its values gets its share. exclude: manifests, or surveys, of
        cubes that are not chosen again: matched by hash, by image and box, or
        by name only, which is reported.
    val_fraction, test_fraction: shares of the chosen cubes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int | None = None
    at_most: bool = False
    from_db_enhance: str | None = None
    voxels: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    minutes_per_cube: float = Field(default=2.0, ge=0)
    vox_per_minute: float = Field(default=100.0, gt=0)
    rule: str = "diverse"
    indicators: Literal["auto", "labels", "free"] = "auto"
    stratify: str | None = None
    exclude: tuple[str, ...] = ()
    val_fraction: float = Field(default=0.2, ge=0, lt=1)
    test_fraction: float = Field(default=0.0, ge=0, lt=1)
    seed: int = Field(default=1, ge=0)


@dataclass(frozen=True, repr=False)
class SelectReport(Printed):
    """The result of a selection: the manifest, its page and picture, and counts.

    left_out: reason -> number of cubes that the rule did not consider. splits: split -> chosen
    cubes. strange: names of excluded cubes that match none of the survey. notes: further remarks.
    """

    selection: Path
    page: Path
    picture: Path
    chosen: int
    left_out: dict[str, int]
    splits: dict[str, int]
    strange: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        splits = ", ".join(f"{count} {split}" for split, count in sorted(self.splits.items()))
        yield str(self.selection)
        yield f"{counted(self.chosen, 'cube')}: {splits}"
        yield from self.notes
        for reason, count in sorted(self.left_out.items()):
            yield f"left out: {count} ({reason})"
        if self.strange:
            strange = f"{counted(len(self.strange), 'cube')} matched none of the survey"
            yield f"of --exclude, {strange}: {first_names(self.strange)}"
            yield "(cubes are matched by hash, by image and box, or by name)"
        yield f"page {self.page}"
        yield f"picture {self.picture}"


@spelled_out(SelectSettings)
def select(  # noqa: PLR0913  # every option, for editors
    survey: str | Path,
    *,
    out: str | Path,
    export: str | Path | None = None,
    n: int | None = None,
    at_most: bool = False,
    from_db_enhance: str | Path | None = None,
    voxels: float | None = None,
    minutes: float | None = None,
    minutes_per_cube: float = 2.0,
    vox_per_minute: float = 100.0,
    rule: str = "diverse",
    indicators: Literal["auto", "labels", "free"] = "auto",
    stratify: str | None = None,
    exclude: Sequence[str | Path] = (),
    val_fraction: float = 0.2,
    test_fraction: float = 0.0,
    seed: int = 1,
    mode: Literal["new", "restart"] = "new",
) -> SelectReport:
    """Choose cubes of a survey by a rule; write them as the manifest that `train` reads.

    survey: the table written by `survey`, or DB-Enhance's sample_information.npy (rows by
        position); with `from_db_enhance` also the folder of the pool.
    out: `.csv`; a page (.html) and a picture (.png) are written next to it.
    export: a new folder for the cubes as TIFF with empty labels named to match.
    mode: `new` refuses an existing output; `restart` replaces it.
    The other options are those of SelectSettings.

    Raises SettingsError if fewer cubes can be chosen than requested, InputError if a
    chosen file is missing or has changed since the survey, OutputError if `out` exists.
    """
    chosen, source, output = check_settings(SelectSettings, given()), Path(survey), Path(out)
    _check_asked(chosen, output, replace_existing=mode == "restart")
    cubes = read_survey(source)
    named = source.suffix.lower() != ".npy"
    done = [cube for path in chosen.exclude for cube in read_survey(Path(path))]
    known, strange = find_known(cubes, done)
    candidates, left_out = _candidates(cubes, known, set(strange))
    costs = _costs(candidates, chosen)
    notes: tuple[str, ...] = ()
    if chosen.from_db_enhance:
        columns, rule = LABELLED, "of DB-Enhance"
        choices, notes, candidates = _recorded(candidates, chosen.from_db_enhance)
    else:
        columns, rule = _columns(candidates, chosen), chosen.rule
        table = _table(candidates, columns)
        choices = _within_budget(_ordered(candidates, table, costs, chosen), costs, chosen)
        notes = _fewer(choices, chosen)
    selection = _describe(candidates, choices, costs, rule)
    if named:
        check_files(selection)
    picked = split_apart(selection, chosen.val_fraction, chosen.test_fraction, chosen.seed)
    if export:
        export_cubes(picked, Path(export))
    page, picture = selection_page(cubes, picked, left_out, output, rule, looked_at=columns)
    write_manifest(picked, output)
    reasons = Counter(left_out.values())
    names = {cube.name for cube in cubes}
    splits = dict(Counter(str(cube.split) for cube in picked))
    return SelectReport(
        output,
        page,
        picture,
        len(picked),
        dict(reasons),
        splits,
        tuple(n for n in strange if n not in names),
        (*notes, *doubts_in(picked).lines()),
    )


def _recorded(
    cubes: Sequence[Cube], source: str
) -> tuple[list[ChosenCube], tuple[str, ...], list[Cube]]:
    """Match DB-Enhance's selection: choices, remarks, and the cubes with patches."""
    recorded = read_recorded(Path(source))
    choices, how = find_recorded(cubes, recorded)
    notes = [f"found by {how} in {recorded.source.name}"]
    if recorded.validates:
        both = len(recorded.validates & set(recorded.names))
        notes.append(
            f"DB-Enhance validates on {both} of the cubes that it trains on; here no cube does both"
        )
    with_patches = list(cubes)
    for choice, name in zip(choices, recorded.names, strict=True):
        if starts := recorded.patches.get(name):
            cube = cubes[choice.row]
            text = ";".join(" ".join(map(str, start)) for start in starts)
            with_patches[choice.row] = replace(cube, other={**cube.other, "patches": text})
    if recorded.patches:
        count = sum(len(starts) for starts in recorded.patches.values())
        notes.append(f"{count} patches: `sampling: listed` in train's --config trains on them")
    return choices, tuple(notes), with_patches


def _fewer(choices: Sequence[ChosenCube], settings: SelectSettings) -> tuple[str, ...]:
    """Report that fewer cubes were chosen than requested at most."""
    if settings.n is None or len(choices) >= settings.n:
        return ()
    return (f"the rule {settings.rule} can only choose {len(choices)} of {settings.n}",)


def _check_asked(settings: SelectSettings, output: Path, *, replace_existing: bool) -> None:
    """Refuse an invalid budget, and an output that exists or is not CSV."""
    budgets = [name for name in ("n", "voxels", "minutes") if getattr(settings, name) is not None]
    if settings.from_db_enhance and (budgets or "rule" in settings.model_fields_set):
        raise SettingsError(
            "DB-Enhance's selection is used unchanged, without a budget or a rule",
            found=f"--from-db-enhance together with {', '.join([*budgets, *_rule(settings)])}",
            cure="leave them out",
        )
    if settings.at_most and settings.n is None:
        raise SettingsError(
            "--at-most limits a number of cubes", found="--at-most without -n", cure="-n 300"
        )
    if len(budgets) != 1 and not settings.from_db_enhance:
        raise SettingsError(
            "a selection has one budget: cubes, voxels or minutes",
            found=" and ".join(budgets) or "none",
            where="-n, --voxels, --minutes",
            cure="-n 300, for example",
        )
    if settings.n is not None and settings.n < 1:
        raise SettingsError("at least one cube is chosen", found=f"-n {settings.n}", where="-n")
    if settings.val_fraction + settings.test_fraction >= 1:
        raise SettingsError(
            "some of the chosen cubes must be left to train on",
            found=f"{settings.val_fraction:g} validate, {settings.test_fraction:g} test",
            where="--val-fraction, --test-fraction",
        )
    check_rule(settings.rule)
    check_suffix(output)
    if output.suffix.lower() != ".csv":
        raise OutputError("a manifest is a CSV file", found=output.suffix, where=str(output))
    beside = page_of(output), picture_of(output)
    if replace_existing:
        refuse_anothers("Selection", output, beside)
    there = [path for path in (output, *beside) if path.exists()]
    if there and not replace_existing:
        raise OutputError(
            "an existing output is not overwritten",
            found="it exists",
            where=str(there[0]),
            cure="another -o, or --restart to replace it",
        )


def _rule(settings: SelectSettings) -> list[str]:
    return ["--rule"] if "rule" in settings.model_fields_set else []


def _candidates(
    cubes: Sequence[Cube], known: set[str], strange: set[str]
) -> tuple[list[Cube], dict[str, str]]:
    """Separate cubes that can be chosen from the others, with the reason, by name."""
    left: dict[str, str] = {}
    for cube in cubes:
        note = cube.other.get("note", "")
        if cube.name in known:
            left[cube.name] = "excluded: already annotated"
        elif cube.name in strange:
            left[cube.name] = "excluded: another cube with this name is annotated"
        elif cube.split in ("val", "test"):
            left[cube.name] = "already held out for validation or testing"
        elif note.startswith("copy of"):
            left[cube.name] = "a copy of another cube"
        elif note == "constant":
            left[cube.name] = "constant: a single value"
    return [cube for cube in cubes if cube.name not in left], left


def _columns(cubes: Sequence[Cube], settings: SelectSettings) -> tuple[str, str, str]:
    """Return the columns of density, noise and low-SNR ratio for the rule."""
    labelled = np.stack([numbers(cubes, k) for k in LABELLED], 1)
    use = settings.indicators != "free" and bool(cubes)
    use = use and (settings.indicators == "labels" or not np.isnan(labelled).any())
    known = not np.isnan(numbers(cubes, "units_low_snr_ratio")).any()
    if not use:
        return FREE_THREE
    return UNITS_THREE if known and settings.rule != "dhpr" else LABELLED


def _table(cubes: Sequence[Cube], three: tuple[str, str, str]) -> Table:
    """Return the indicators for rules. Raises InputError if a cube lacks one."""
    columns = [numbers(cubes, name) for name in three]
    for name, values in zip(three, columns, strict=True):
        if np.isnan(values).any():
            raise InputError(
                "each cube needs the indicators that the rule uses",
                found=f"{cubes[int(np.isnan(values).argmax())].name!r} without {name}",
                cure="neuroglow survey; or --indicators free, which needs no labels",
            )
    foreground = numbers(cubes, "free_vox" if three == FREE_THREE else "label_vox")
    foreground = np.where(np.isnan(foreground), 50_000 * columns[0], foreground)
    others = {name: numbers(cubes, name) for name in FURTHER}
    known = {name: values for name, values in others.items() if not np.isnan(values).all()}
    entropy = numbers(cubes, "entropy")
    density, noise, low_snr = columns
    names = [cube.name for cube in cubes]
    return Table(names, density, noise, low_snr, foreground, known, entropy)


def _costs(cubes: Sequence[Cube], settings: SelectSettings) -> dict[str, Floats]:
    """Return the cost of each cube, in each unit."""
    shapes = [cube.other.get("shape", "").split() for cube in cubes]
    voxels = np.array([_volume_of(shape) for shape in shapes])
    length = np.nan_to_num(numbers(cubes, "length_vox"))
    minutes = settings.minutes_per_cube + length / settings.vox_per_minute
    return {"n": np.ones(len(cubes)), "voxels": voxels, "minutes": minutes}


def _volume_of(shape: Sequence[str]) -> float:
    """Give the voxels of a cube; NaN where its shape is not three whole numbers."""
    known = len(shape) == 3 and all(n.isdecimal() for n in shape)
    return math.prod(float(n) for n in shape) if known else math.nan


def _budget(settings: SelectSettings) -> tuple[str, float]:
    values = ((name, getattr(settings, name)) for name in ("n", "voxels", "minutes"))
    return next((name, float(value)) for name, value in values if value is not None)


def _ordered(
    cubes: Sequence[Cube], table: Table, costs: dict[str, Floats], settings: SelectSettings
) -> list[ChosenCube]:
    """Rank the candidates by the rule, in each stratum, and merge the strata."""
    unit, budget = _budget(settings)
    count = len(cubes)
    if count and np.isfinite(costs[unit]).all():  # the largest number that the cheapest allow
        count = int(min(count, np.ceil(budget / max(float(np.mean(costs[unit])) / 2, 1e-9))))
    count = min(count, int(budget)) if unit == "n" else count
    if settings.stratify is None:
        return order_by(settings.rule, table, count, settings.seed)
    strata = _strata(cubes, settings.stratify)
    orders = {}
    for name, rows in strata.items():
        inner = order_by(settings.rule, table.part(rows), count, settings.seed)
        orders[name] = [
            ChosenCube(int(rows[c.row]), f"{settings.stratify} {name}: {c.reason}") for c in inner
        ]
    return interleave(orders, {name: len(rows) for name, rows in strata.items()})


def _strata(cubes: Sequence[Cube], column: str) -> dict[str, NDArray[np.int64]]:
    values = [cube.other.get(column, "") for cube in cubes]
    if not any(values):
        known = dict.fromkeys(k for cube in cubes for k in cube.other)
        raise SettingsError(
            "strata are the values of a column of the survey",
            found=f"no column {column!r}, or an empty one",
            where="--stratify",
            cure=f"the columns are {', '.join(known)}",
        )
    return {
        name: np.flatnonzero(np.array(values) == name).astype(np.int64)
        for name in sorted(set(values))
    }


def _within_budget(
    order: Sequence[ChosenCube], costs: dict[str, Floats], settings: SelectSettings
) -> list[ChosenCube]:
    """Take choices in their order until the budget is used up.

    Raises SettingsError if it pays for no cube, or if there are fewer cubes than requested.
    """
    unit, budget = _budget(settings)
    spent = np.cumsum([costs[unit][choice.row] for choice in order])
    taken = list(order[: int((spent <= budget).sum())])
    if unit == "n" and len(taken) < budget and not (settings.at_most and taken):
        cure = "a larger survey"
        raise SettingsError(
            "there must be as many cubes to choose as requested",
            found=f"the rule {settings.rule} can choose {len(taken)}, {budget:g} requested",
            where="-n",
            cure=f"--at-most, -n {len(taken)}, another --rule, or {cure}" if taken else cure,
        )
    if not taken:
        raise SettingsError(
            f"the budget must pay for at least one cube (the survey lists its {unit})",
            found=f"{budget:g} {unit}",
            where=f"--{unit}",
        )
    return taken


def _describe(
    cubes: Sequence[Cube],
    choices: Sequence[ChosenCube],
    costs: dict[str, Floats],
    rule: str,
) -> list[Cube]:
    """Assign each chosen cube its rank and reason, in the order of the survey."""
    ranked = sorted(enumerate(choices, start=1), key=lambda pair: pair[1].row)
    return [
        replace(
            cubes[choice.row],
            other={
                "rule": rule,
                "rank": str(rank),
                "reason": choice.reason,
                "minutes": f"{costs['minutes'][choice.row]:.1f}",
                **cubes[choice.row].other,
            },
        )
        for rank, choice in ranked
    ]

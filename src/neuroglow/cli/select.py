"""`neuroglow select`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

if TYPE_CHECKING:
    from neuroglow.runs.leaving import NewOrRestart

Survey = Annotated[
    Path, typer.Argument(metavar="SURVEY", help=".csv, .parquet, or sample_information.npy.")
]
Selection = Annotated[Path, typer.Option("-o", "--out", metavar="CSV", help="The manifest.")]
Number = Annotated[
    int | None,
    typer.Option("-n", help="Cubes to choose. One of -n, --voxels, --minutes is required."),
]
AtMost = Annotated[
    bool, typer.Option("--at-most", help="Choose fewer than -n if the rule finds no more.")
]
FromDbEnhance = Annotated[
    str | None,
    typer.Option(
        "--from-db-enhance",
        metavar="FILE|DIR",
        help="DB-Enhance's selectd_rule1.npy or lists, instead of a rule.",
    ),
]
Voxels = Annotated[float | None, typer.Option(help="Budget in voxels, instead of -n.")]
Minutes = Annotated[
    float | None, typer.Option(help="Budget in minutes of annotation, instead of -n.")
]
PerCube = Annotated[
    float | None, typer.Option(help="Estimated minutes of annotation per cube.  [2]")
]
PerMinute = Annotated[
    float | None,
    typer.Option(help="Estimated neurite length (voxels) annotated per minute.  [100]"),
]
RuleName = Annotated[
    str | None,
    typer.Option(
        "--rule", help="Rule: diverse, dhpr, random, foreground-random, entropy.  [diverse]"
    ),
]
Which = Annotated[
    str | None,
    typer.Option("--indicators", help="Indicators: labels, free (without labels) or auto.  [auto]"),
]
Stratify = Annotated[
    str | None, typer.Option(help="Choose evenly over this column, such as region or brain.")
]
Exclude = Annotated[
    list[str] | None, typer.Option(help="A manifest of cubes not to choose; may be repeated.")
]
Val = Annotated[
    float | None,
    typer.Option(
        "--val-fraction", help="Share of the chosen cubes held out for validation.  [0.2]"
    ),
]
Test = Annotated[
    float | None,
    typer.Option("--test-fraction", help="Share of the chosen cubes held out for testing.  [0]"),
]
Seed = Annotated[int | None, typer.Option(help="Random seed.  [1]")]
Export = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the chosen cubes as TIFF here, with empty labels."),
]


def select(
    survey: Survey,
    out: Selection,
    n: Number = None,
    at_most: AtMost = False,
    from_db_enhance: FromDbEnhance = None,
    voxels: Voxels = None,
    minutes: Minutes = None,
    minutes_per_cube: PerCube = None,
    vox_per_minute: PerMinute = None,
    rule: RuleName = None,
    indicators: Which = None,
    stratify: Stratify = None,
    exclude: Exclude = None,
    val_fraction: Val = None,
    test_fraction: Test = None,
    seed: Seed = None,
    export: Export = None,
    restart: options.Restart = False,
) -> None:
    """Choose cubes from a survey, with a reason for each; writes the manifest that train reads."""
    given: dict[str, Any] = {
        "n": n,
        "at_most": at_most or None,
        "from_db_enhance": from_db_enhance,
        "voxels": voxels,
        "minutes": minutes,
        "minutes_per_cube": minutes_per_cube,
        "vox_per_minute": vox_per_minute,
        "rule": rule,
        "indicators": indicators,
        "stratify": stratify,
        "exclude": tuple(exclude) if exclude else None,
        "val_fraction": val_fraction,
        "test_fraction": test_fraction,
        "seed": seed,
    }
    settings = {k: v for k, v in given.items() if v is not None}
    with watched(f"reading {survey}"):
        from neuroglow.selecting import select as run

        mode: NewOrRestart = "restart" if restart else "new"
        report = run(survey, out=out, export=export, mode=mode, **settings)
    typer.echo(str(report))

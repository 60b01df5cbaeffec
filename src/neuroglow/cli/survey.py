"""`neuroglow survey`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.errors import SettingsError
from neuroglow.watching import watched

if TYPE_CHECKING:
    from neuroglow.space.unfinished import Mode

Source = Annotated[
    str,
    typer.Argument(
        metavar="POOL|VOLUME",
        help="A folder of cubes, a manifest, a volume, or a sample_information.npy.",
    ),
]
Table = Annotated[Path, typer.Option("-o", "--out", metavar="TABLE", help=".csv or .parquet.")]
CubeSide = Annotated[
    int | None, typer.Option("--cube", help="Voxels an axis of a volume's cubes.  [128]")
]
Overlap = Annotated[int | None, typer.Option(help="Voxels that neighbouring cubes share.  [0]")]
Region = Annotated[
    str | None, typer.Option("--roi", metavar="Z0:Z1,Y0:Y1,X0:X1", help="Cut this box alone.")
]
MinTissue = Annotated[
    float | None, typer.Option(help="Share of a volume's cube that is tissue.  [0.25]")
]
NoLabels = Annotated[bool, typer.Option("--no-labels", help="Do not use the labels.")]
Legend = Annotated[
    str | None, typer.Option("--label-map", metavar="LEGEND", help="As `train` reads it.")
]
Model = Annotated[
    str | None, typer.Option(help="Find neurites with a model; adds entropy and disagreement.")
]
Seed = Annotated[int | None, typer.Option(help="Of the sample of the background.  [1]")]
Workers = Annotated[int | None, typer.Option(help="Processes.  [1]")]


def survey(
    source: Source,
    out: Table,
    cube: CubeSide = None,
    overlap: Overlap = None,
    roi: Region = None,
    min_tissue: MinTissue = None,
    no_labels: NoLabels = False,
    label_map: Legend = None,
    channel: options.Channel = None,
    model: Model = None,
    device: options.Device = None,
    seed: Seed = None,
    workers: Workers = None,
    resume: options.Resume = False,
    restart: options.Restart = False,
) -> None:
    """Measure each cube of a pool, or of a volume: a table of indicators, and a page (.html)."""
    from neuroglow.survey import survey as run

    if resume and restart:
        raise SettingsError("--resume and --restart exclude each other", cure="give one of them")
    given: dict[str, Any] = {
        "cube": cube,
        "overlap": overlap,
        "roi": roi,
        "min_tissue": min_tissue,
        "labels": False if no_labels else None,
        "label_map": label_map,
        "channel": channel,
        "model": model,
        "device": device,
        "seed": seed,
        "workers": workers,
    }
    settings = {k: v for k, v in given.items() if v is not None}
    mode: Mode = "resume" if resume else "restart" if restart else "new"
    with watched(f"opening {source}") as tell:
        report = run(source, out=out, mode=mode, on_progress=tell, **settings)
    typer.echo(str(report))

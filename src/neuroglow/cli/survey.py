"""`neuroglow survey`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Source = Annotated[
    str,
    typer.Argument(
        metavar="POOL|VOLUME",
        help="A folder of cubes, a manifest, a volume, or a sample_information.npy.",
    ),
]
Table = Annotated[Path, typer.Option("-o", "--out", metavar="TABLE", help=".csv or .parquet.")]
CubeSide = Annotated[
    int | None,
    typer.Option("--cube", help="Side of the cubes that a volume is cut into, in voxels.  [128]"),
]
Overlap = Annotated[int | None, typer.Option(help="Overlap of neighbouring cubes, in voxels.  [0]")]
Region = Annotated[
    str | None,
    typer.Option("--roi", metavar="Z0:Z1,Y0:Y1,X0:X1", help="Survey only this box, in voxels."),
]
MinTissue = Annotated[
    float | None, typer.Option(help="Skip cubes with a smaller share of tissue.  [0.25]")
]
NoLabels = Annotated[bool, typer.Option("--no-labels", help="Do not use the labels.")]
Legend = Annotated[
    str | None,
    typer.Option(
        "--label-map",
        metavar="LEGEND",
        help="Meaning of label values: 1=background,2=neurite,4=ignore",
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Find neurites with this model; adds entropy, disagreement.")
]
Seed = Annotated[int | None, typer.Option(help="Random seed of the background sample.  [1]")]
Workers = Annotated[int | None, typer.Option(help="Number of processes.  [1]")]


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
    invert: options.Invert = False,
    model: Model = None,
    device: options.Device = None,
    seed: Seed = None,
    workers: Workers = None,
    scheduler: options.Scheduler = None,
    shard: options.Shard = None,
    time_limit: options.TimeLimit = None,
    mask: options.Mask = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
) -> None:
    """Measure every cube of a pool or a volume; write a table and a page (.html)."""
    mode = options.mode(resume=resume, restart=restart, retry_failed=retry_failed)
    given: dict[str, Any] = {
        "cube": cube,
        "overlap": overlap,
        "roi": roi,
        "min_tissue": min_tissue,
        "labels": False if no_labels else None,
        "label_map": label_map,
        "channel": channel,
        "invert": invert or None,
        "model": model,
        "device": device,
        "seed": seed,
        "workers": workers,
        "scheduler": scheduler,
        "shard": shard,
        "time_limit": time_limit,
        "mask": mask,
    }
    settings = {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {source}") as tell:
        from neuroglow.survey import survey as run

        report = run(source, out=out, mode=mode, on_progress=tell, **settings)
    typer.echo(str(report))

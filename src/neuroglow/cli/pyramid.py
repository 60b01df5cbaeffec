"""`neuroglow pyramid`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Source = Annotated[
    str, typer.Argument(metavar="ZARR", help="An OME-Zarr of one level, or a group of one array.")
]
Coarser = Annotated[str | None, typer.Option(help="Means, or nearest voxels for labels.  [mean]")]


def pyramid(
    source: Source,
    coarser: Coarser = None,
    voxel_size: options.VoxelSize = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
) -> None:
    """Add coarser levels to an OME-Zarr that has none, in place. A stopped run goes on if repeated.

    Viewers then show a whole brain at once; the voxels stay as they are.
    """
    import neuroglow

    given: dict[str, Any] = {
        "coarser": coarser,
        "voxel_size": options.numbers(voxel_size),
        "workers": workers,
        "scheduler": scheduler,
    }
    settings = {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {source}") as tell:
        report = neuroglow.pyramid(source, on_progress=tell, **settings)
    typer.echo(str(report))

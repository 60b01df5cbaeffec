"""`neuroglow label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Trees = Annotated[Path, typer.Argument(metavar="TREES", help="An SWC file, or a folder of them.")]
Like = Annotated[
    str,
    typer.Option(
        metavar="VOLUME", help="Volume whose shape, voxel size and position the label takes."
    ),
]
Output = Annotated[Path, typer.Option("-o", "--out", metavar="LABEL", help=".ome.zarr or .tif.")]
SwcUnit = Annotated[
    str | None,
    typer.Option(help="Unit of the SWC files: um, voxel or nm.  [what their headers say, else um]"),
]
Radius = Annotated[
    float | None,
    typer.Option(
        "--radius-um",
        metavar="UM",
        help="Radius of every neurite, instead of the radii in the SWC files.",
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        "--margin-vox",
        metavar="N",
        help="Width of the ignored margin around neurites; 0: no margin.  [1.5]",
    ),
]
Ids = Annotated[
    bool, typer.Option("--ids", help="Give each tree its own number as label, without a margin.")
]
Block = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Side of the blocks in which the label is drawn, in voxels.  [128]"
    ),
]
Workers = Annotated[int | None, typer.Option(help="Number of processes.  [1]")]


def label(
    trees: Trees,
    like: Like,
    out: Output,
    swc_unit: SwcUnit = None,
    offset: options.Offset = None,
    radius_um: Radius = None,
    margin_vox: Margin = None,
    ids: Ids = False,
    voxel_size: options.VoxelSize = None,
    channel: options.Channel = None,
    time: options.Time = None,
    invert: options.Invert = False,
    block: Block = None,
    workers: Workers = None,
    scheduler: options.Scheduler = None,
    shard: options.Shard = None,
    time_limit: options.TimeLimit = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: options.Config = None,
) -> None:
    """Draw traced trees (SWC) as a label volume: 0 background, 1 neurite, 2 ignored.

    Leaves the label, a picture (_mip.png) and a record (_run.json) next to it.
    """
    import neuroglow

    mode = options.mode(resume=resume, restart=restart, retry_failed=retry_failed)
    given: dict[str, Any] = {
        "swc_unit": swc_unit,
        "offset": options.numbers(offset),
        "radius_um": radius_um,
        "margin_vox": margin_vox,
        "ids": True if ids else None,
        "voxel_size": options.numbers(voxel_size),
        "channel": channel,
        "time": time,
        "invert": invert or None,
        "block": block,
        "workers": workers,
        "scheduler": scheduler,
        "shard": shard,
        "time_limit": time_limit,
    }
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {trees}") as tell:
        report = neuroglow.label(trees, like, out=out, mode=mode, on_progress=tell, **settings)
    typer.echo(str(report))

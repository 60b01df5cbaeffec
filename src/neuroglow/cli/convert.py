"""`neuroglow convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Output = Annotated[
    Path | None,
    typer.Option("-o", "--out", metavar="OUTPUT", help=".ome.zarr  [next to INPUT]"),
]
Chunk = Annotated[
    str | None,
    typer.Option("--chunk-shape", metavar="Z,Y,X", help="Voxels of a chunk.  [64,64,64]"),
]
ShardShape = Annotated[
    str | None,
    typer.Option(
        "--shard-shape", metavar="Z,Y,X", help="Voxels of a shard, one file.  [64,512,512]"
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Only the K-th of N parts, for job arrays; then `neuroglow finish`.",
    ),
]
Compression = Annotated[str | None, typer.Option(help="zstd, lz4, zlib or none.  [zstd]")]
Effort = Annotated[
    int | None, typer.Option(metavar="1..9", help="Of the compression: 1 fast, 9 small.  [3]")
]
Coarser = Annotated[
    str | None, typer.Option(help="Pyramid of means, or nearest voxels for labels.  [mean]")
]
Roi = Annotated[
    str | None,
    typer.Option(metavar="Z0:Z1,Y0:Y1,X0:X1", help="Convert only this box, in voxels."),
]


def convert(
    source: options.Input,
    out: Output = None,
    roi: Roi = None,
    voxel_size: options.VoxelSize = None,
    channel: options.Channel = None,
    time: options.Time = None,
    chunk: Chunk = None,
    shard: ShardShape = None,
    compression: Compression = None,
    effort: Effort = None,
    coarser: Coarser = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    part: Part = None,
    time_limit: options.TimeLimit = None,
    max_memory: options.MaxMemory = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: options.Config = None,
) -> None:
    """Convert a volume to OME-Zarr with a pyramid, in slabs; every voxel is read back and compared.

    Leaves the volume, and a record (_run.json) next to it.
    """
    import neuroglow

    mode = options.mode(resume=resume, restart=restart, retry_failed=retry_failed)
    given: dict[str, Any] = {
        "roi": roi,
        "voxel_size": options.numbers(voxel_size),
        "channel": channel,
        "time": time,
        "chunk": options.numbers(chunk),
        "shard": options.numbers(shard),
        "compression": compression,
        "effort": effort,
        "coarser": coarser,
        "workers": workers,
        "scheduler": scheduler,
        "part": part,
        "time_limit": time_limit,
        "max_memory": max_memory,
    }
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {source}") as tell:
        place = out or _beside(source)
        report = neuroglow.convert(source, out=place, mode=mode, on_progress=tell, **settings)
    typer.echo(str(report))


def _beside(source: str) -> Path:
    """Name the output next to the input."""
    from neuroglow.files.names import stem_of
    from neuroglow.files.remote import remote_path, resolved

    path = resolved(source.split("::", maxsplit=1)[0])
    folder = Path() if remote_path(source) else path.parent
    return folder / f"{stem_of(path)}.ome.zarr"

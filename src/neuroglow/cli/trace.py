"""`neuroglow trace`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Probability = Annotated[
    str,
    typer.Argument(
        metavar="PROBABILITY", help="Probability written by `predict`: TIFF, OME-Zarr, ..."
    ),
]
Trees = Annotated[
    Path,
    typer.Option(
        "-o",
        "--out",
        metavar="TREES",
        help=".swc for all trees, or a folder with one file per tree.",
    ),
]
Raw = Annotated[
    str | None,
    typer.Option(metavar="IMAGE", help="Raw image, as further evidence when gaps are bridged."),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Keep neurites that reach this probability.  [the model's, else 0.5]"),
]
Low = Annotated[
    float | None, typer.Option(help="Follow a neurite down to this probability.  [0.6 x threshold]")
]
Spur = Annotated[
    float | None,
    typer.Option(
        "--spur-um", metavar="UM", help="Remove side branches shorter than this.  [5 voxels]"
    ),
]
Crossing = Annotated[
    float | None,
    typer.Option(
        metavar="DEGREES", help="Largest bend of a fibre at a crossing; 0: separate none.  [75]"
    ),
]
Gap = Annotated[
    float | None,
    typer.Option(
        "--gap-um", metavar="UM", help="Longest gap to bridge; 0: bridge none.  [10 voxels]"
    ),
]
GapAngle = Annotated[
    float | None, typer.Option(metavar="DEGREES", help="Largest turn of a bridge.  [40]")
]
GapProbability = Annotated[
    float | None, typer.Option(help="Lowest mean probability along a bridge.  [0.1]")
]
Soma = Annotated[
    float | None,
    typer.Option("--soma-um", metavar="UM", help="Smallest radius of a soma; 0: no somata.  [5]"),
]
Shortest = Annotated[
    float | None,
    typer.Option(
        "--min-length-um", metavar="UM", help="Leave out trees shorter than this.  [15 voxels]"
    ),
]
Step = Annotated[
    float | None,
    typer.Option("--step-um", metavar="UM", help="Distance between nodes.  [2 voxels]"),
]
Smooth = Annotated[
    float | None, typer.Option(metavar="VOXELS", help="Smoothing of the lines, in voxels.  [1.5]")
]
Lines = Annotated[
    str | None,
    typer.Option(help="Method for middle lines: thinning, or kimimaro (an extra).  [thinning]"),
]
Unit = Annotated[str | None, typer.Option(help="Unit of the trees: um or voxel.  [um]")]
Block = Annotated[
    int | None,
    typer.Option(metavar="N", help="Side of the blocks that are read, in voxels.  [128]"),
]
Workers = Annotated[int | None, typer.Option(help="Number of processes.  [1]")]
Region = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Trace by regions of so many voxels per axis, and join them.  [only where the lines "
        "need more than --max-memory]",
    ),
]


def trace(
    probability: Probability,
    out: Trees,
    raw: Raw = None,
    threshold: Threshold = None,
    low: Low = None,
    voxel_size: options.VoxelSize = None,
    spur_um: Spur = None,
    crossing_angle: Crossing = None,
    gap_um: Gap = None,
    gap_angle: GapAngle = None,
    gap_probability: GapProbability = None,
    soma_um: Soma = None,
    min_length_um: Shortest = None,
    step_um: Step = None,
    smooth: Smooth = None,
    lines: Lines = None,
    unit: Unit = None,
    invert: options.InvertRaw = None,
    mask: options.Mask = None,
    block: Block = None,
    workers: Workers = None,
    scheduler: options.Scheduler = None,
    max_memory: options.MaxMemory = None,
    region: Region = None,
    shard: options.Shard = None,
    time_limit: options.TimeLimit = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: options.Config = None,
) -> None:
    """Trace a probability into trees: SWC files, with every bridged gap numbered.

    Leaves the trees, a page, a table of bridges, a picture and a record.
    """
    import neuroglow

    mode = options.mode(resume=resume, restart=restart, retry_failed=retry_failed)
    given: dict[str, Any] = {
        "threshold": threshold,
        "low": low,
        "voxel_size": options.numbers(voxel_size),
        "spur_um": spur_um,
        "crossing_angle": crossing_angle,
        "gap_um": gap_um,
        "gap_angle": gap_angle,
        "gap_probability": gap_probability,
        "soma_um": soma_um,
        "min_length_um": min_length_um,
        "step_um": step_um,
        "smooth": smooth,
        "lines": lines,
        "unit": unit,
        "invert": invert,
        "mask": mask,
        "block": block,
        "workers": workers,
        "scheduler": scheduler,
        "max_memory": max_memory,
        "region": region,
        "shard": shard,
        "time_limit": time_limit,
    }
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {probability}") as tell:
        report = neuroglow.trace(
            probability,
            out=out,
            raw=raw,
            mode=mode,
            on_progress=tell,
            **settings,
        )
    typer.echo(str(report))

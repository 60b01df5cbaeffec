"""`neuroglow evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Prediction = Annotated[
    str,
    typer.Argument(
        metavar="PREDICTION", help="A probability, a mask or an SWC file, or a folder of them."
    ),
]
Truth = Annotated[
    str,
    typer.Argument(
        metavar="TRUTH", help="A mask, a label volume or an SWC file, or a folder of them."
    ),
]
Report = Annotated[
    Path,
    typer.Option("-o", "--out", metavar="REPORT", help="Folder of the report, or an .html file."),
]
Raw = Annotated[
    str | None,
    typer.Option(
        metavar="IMAGES", help="Raw images: adds SNR scores, and methods without a network."
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(help="A voxel is detected at or above this probability.  [the model's, else 0.5]"),
]
LabelMap = Annotated[
    str | None,
    typer.Option(metavar="LEGEND", help="Meaning of label values: 1=background,2=neurite,4=ignore"),
]
PredictionMap = Annotated[
    str | None,
    typer.Option(metavar="LEGEND", help="Legend of the prediction, if it is a label volume."),
]
Tolerances = Annotated[
    str | None,
    typer.Option(metavar="N,N", help="A line counts as found within these distances.  [1,2,3]"),
]
Unit = Annotated[str | None, typer.Option(help="Unit of --tolerances: voxel or um.  [voxel]")]
SwcUnit = Annotated[
    str | None,
    typer.Option(help="Unit of the SWC files: um, voxel or nm.  [what their headers say, else um]"),
]
SwcRadius = Annotated[
    float | None,
    typer.Option(
        "--swc-radius-um", metavar="UM", help="Draw trees with this radius instead of their own."
    ),
]
Block = Annotated[
    int | None,
    typer.Option(metavar="N", help="Side of the blocks that are read, in voxels.  [128]"),
]
Trace = Annotated[
    bool,
    typer.Option("--trace", help="Trace every method with the same tracer and score its trees."),
]
Pictures = Annotated[
    int | None, typer.Option(metavar="N", help="Pictures of the N worst volumes.  [6]")
]
Workers = Annotated[
    int | None, typer.Option(help="Number of processes that read the volumes.  [1]")
]


def evaluate(
    prediction: Prediction,
    truth: Truth,
    out: Report,
    raw: Raw = None,
    threshold: Threshold = None,
    label_map: LabelMap = None,
    prediction_map: PredictionMap = None,
    voxel_size: options.VoxelSize = None,
    tolerances: Tolerances = None,
    unit: Unit = None,
    swc_unit: SwcUnit = None,
    offset: options.Offset = None,
    swc_radius_um: SwcRadius = None,
    block: Block = None,
    pictures: Pictures = None,
    trace: Trace = False,
    invert: options.InvertRaw = None,
    workers: Workers = None,
    scheduler: options.Scheduler = None,
    time_limit: options.TimeLimit = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: options.Config = None,
) -> None:
    """Score predictions against truths: voxels, middle lines, trees, signal.

    Leaves report.html, scores.json, scores.csv and pictures in REPORT.
    """
    import neuroglow

    mode = options.mode(resume=resume, restart=restart, retry_failed=retry_failed)
    given: dict[str, Any] = {
        "threshold": threshold,
        "label_map": label_map,
        "prediction_map": prediction_map,
        "voxel_size": options.numbers(voxel_size),
        "tolerances": options.numbers(tolerances),
        "unit": unit,
        "swc_unit": swc_unit,
        "offset": options.numbers(offset),
        "swc_radius_um": swc_radius_um,
        "block": block,
        "pictures": pictures,
        "trace": trace or None,
        "invert": invert,
        "workers": workers,
        "scheduler": scheduler,
        "time_limit": time_limit,
    }
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {prediction}") as tell:
        report = neuroglow.evaluate(
            prediction,
            truth,
            out=out,
            raw=raw,
            mode=mode,
            on_progress=tell,
            **settings,
        )
    typer.echo(str(report))

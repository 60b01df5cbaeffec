"""`neuroglow sensitivity`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

if TYPE_CHECKING:
    from neuroglow.sensitivity import SensitivityReport

Source = Annotated[
    str, typer.Argument(metavar="VOLUME", help="A file, a folder of slices, or an OME-Zarr.")
]
Report = Annotated[Path, typer.Option("-o", "--out", metavar="REPORT", help="A folder.")]
Threshold = Annotated[
    float | None, typer.Option(help="A voxel is detected at or above this.  [the model's]")
]
FalseRate = Annotated[
    float | None, typer.Option(help="Accepted share of falsely detected voxels.  [0.01]")
]
Found = Annotated[
    float | None, typer.Option(help="Share of the length that counts as found.  [0.9]")
]
Snr = Annotated[
    str | None, typer.Option(metavar="N,N", help="SNR of added neurites.  [1,1.5,2,3,4,6,10]")
]
Rounds = Annotated[int | None, typer.Option(help="Rounds of added neurites per block.  [2]")]
Blocks = Annotated[int | None, typer.Option(help="Number of blocks.  [8]")]
Block = Annotated[int | None, typer.Option(metavar="N", help="Side of a block, in voxels.  [64]")]
Calibre = Annotated[
    str | None,
    typer.Option(
        "--calibre-um", metavar="UM,UM", help="Smallest and largest radius of added neurites."
    ),
]
Blur = Annotated[
    str | None,
    typer.Option(
        "--blur-um", metavar="UM,UM", help="Range of the optical blur in plane (deviation)."
    ),
]
Swc = Annotated[
    str | None, typer.Option(metavar="TREES", help="Add pieces of these trees, not grown lines.")
]
SwcUnit = Annotated[
    str | None,
    typer.Option(help="Unit of the trees: um, voxel or nm.  [from their headers, else um]"),
]
NoFilters = Annotated[
    bool, typer.Option("--no-filters", help="Leave out the methods without a network.")
]
Seed = Annotated[int | None, typer.Option(help="Random seed of blocks and neurites.  [1]")]


def sensitivity(
    source: Source,
    out: Report,
    model: options.Model = None,
    threshold: Threshold = None,
    false_rate: FalseRate = None,
    found: Found = None,
    snr: Snr = None,
    rounds: Rounds = None,
    blocks: Blocks = None,
    block: Block = None,
    calibre_um: Calibre = None,
    blur_um: Blur = None,
    swc: Swc = None,
    swc_unit: SwcUnit = None,
    no_filters: NoFilters = False,
    voxel_size: options.VoxelSize = None,
    channel: options.Channel = None,
    time: options.Time = None,
    invert: options.Invert = False,
    device: options.Device = None,
    precision: options.Precision = None,
    seed: Seed = None,
    restart: options.Restart = False,
    config: options.Config = None,
) -> None:
    """Measure how faint a neurite is found in a volume, without labels, by adding neurites to it.

    Leaves report.html, scores.json, recall.csv and thresholds.csv in REPORT.
    """
    given: dict[str, Any] = {**locals(), "filters": False if no_filters else None}
    given["invert"] = invert or None
    import neuroglow

    for name in ("source", "out", "restart", "config", "no_filters"):
        del given[name]
    for name in ("snr", "calibre_um", "blur_um", "voxel_size"):
        given[name] = options.numbers(given[name])
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {source}") as tell:
        report = neuroglow.sensitivity(
            source,
            out=out,
            mode="restart" if restart else "new",
            on_progress=tell,
            **settings,
        )
    _tell(report)


def _tell(report: SensitivityReport) -> None:
    typer.echo(f"{report.page}\n  {report.sentence}")
    own = report.results["methods"][0]
    typer.echo(
        f"  at its own threshold of {own['threshold']:.3g}: SNR {own['reached']}; "
        f"{own['false_rate']:.2%} falsely detected"
    )
    typer.echo(f"  for the requested false rate: --threshold {report.threshold:.3g}")
    for note in report.results["notes"]:
        typer.echo(f"  {note}")

"""`neuroglow view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Volume = Annotated[
    str, typer.Argument(metavar="VOLUME", help="The raw image: TIFF, OME-Zarr, HDF5, ...")
]
Probability = Annotated[
    str | None,
    typer.Argument(metavar="[PROBABILITY]", help="Its probability, written by `predict`."),
]
Trees = Annotated[
    Path | None, typer.Argument(metavar="[TREES]", help="Its trees: an .swc, or a folder of them.")
]
Threshold = Annotated[
    float | None,
    typer.Option(help="Show the probability from this value.  [the model's, else 0.5]"),
]
SwcUnit = Annotated[
    str | None, typer.Option(help="Unit of the trees: um, voxel or nm.  [their header's, else um]")
]
State = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Open the view saved in this file, if it exists; save it there."
    ),
]
Port = Annotated[int | None, typer.Option(help="Port of the address.  [0, which takes a free one]")]
Napari = Annotated[bool, typer.Option("--napari", help="Open napari instead of neuroglancer.")]


def view(
    volume: Volume,
    probability: Probability = None,
    trees: Trees = None,
    threshold: Threshold = None,
    voxel_size: options.VoxelSize = None,
    channel: options.Channel = None,
    time: options.Time = None,
    swc_unit: SwcUnit = None,
    offset: options.Offset = None,
    state: State = None,
    port: Port = None,
    napari: Napari = False,
) -> None:
    """Open a volume in neuroglancer, with its probability and trees over it; Ctrl-C ends it.

    VOLUME, PROBABILITY and TREES are given in this order. --napari opens the same in napari.
    """
    import neuroglow

    given = {
        "threshold": threshold,
        "voxel_size": options.numbers(voxel_size),
        "channel": channel,
        "time": time,
        "swc_unit": swc_unit,
        "offset": options.numbers(offset),
        "state": state,
        "port": port,
        "napari": napari,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    with watched(f"opening {volume}"):
        opened = neuroglow.view(volume, probability, trees, **chosen)  # type: ignore[arg-type]  # checked by its settings
    if opened.url:
        typer.echo(f"open {opened.url} in a browser on this machine; Ctrl-C ends it")
    opened.wait()
    if state is not None:
        typer.echo(f"the view is saved in {state}")

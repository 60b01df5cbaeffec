"""`neuroglow bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.watching import watched

Brain = Annotated[
    str | None,
    typer.Option(
        metavar="ZxYxX", help="Voxels of a brain whose time is estimated.  [2048,2048,1024]"
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Memory to start from; 2 and 4 times as much is tried too.  [1600MB]"
    ),
]
Seconds = Annotated[
    float | None, typer.Option(help="It takes no longer; the rest is named.  [110]")
]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="FILE", help="All numbers, as .json.")
]


def bench(
    model: options.Model = None,
    brain: Brain = None,
    max_memory: MaxMemory = None,
    device: options.Device = None,
    seconds: Seconds = None,
    out: Out = None,
) -> None:
    """Measure how fast this computer predicts, say what to use, and how long a brain would take.

    Two minutes: engines, precisions, blocks, workers, memory, a whole prediction.
    """
    import neuroglow

    given: dict[str, Any] = {
        "model": model,
        "brain": brain,
        "max_memory": max_memory,
        "device": device,
        "seconds": seconds,
        "out": out,
    }
    settings = {k: v for k, v in given.items() if v is not None}
    with watched("measuring this computer") as tell:
        report = neuroglow.bench(on_progress=tell, **settings)
    typer.echo(str(report))

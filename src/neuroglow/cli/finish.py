"""`neuroglow finish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.watching import watched

Run = Annotated[Path, typer.Argument(metavar="OUTPUT", help="The output of the shards.")]


def finish(run: Run) -> None:
    """Publish an output that was made in shards (`--shard`), when all are complete."""
    with watched(f"finishing {run}") as tell:
        from neuroglow.finish import finish as publish

        report = publish(run, on_progress=tell)
    typer.echo(str(report))

"""`neuroglow finish`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.errors import OutputError
from neuroglow.watching import watched

Run = Annotated[Path, typer.Argument(metavar="OUTPUT", help="The output of the shards.")]


def finish(run: Run) -> None:
    """Publish an output that was made in shards (`predict --shard`), when all are complete."""
    import neuroglow
    from neuroglow.space.ledger import read_entries
    from neuroglow.space.shards import join_shards
    from neuroglow.space.unfinished import Unfinished

    output = run.with_name(run.name.removesuffix(".partial"))
    unfinished = Unfinished(output)
    join_shards(unfinished)
    again = read_entries(unfinished.ledger)[0].get("about", {}).get("again")
    if not again:
        raise OutputError(
            "an output is finished from what its shards say of their run",
            found="a run that says nothing of it",
            where=str(unfinished.ledger),
            cure="the same command without --shard, with --resume",
        )
    with watched(f"opening {again['source']}") as tell:
        reports = neuroglow.predict(
            again["source"], out=output, mode="resume", on_progress=tell, **again["settings"]
        )
    for report in reports:
        typer.echo(str(report))

"""`neuroglow status`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path, typer.Argument(metavar="OUTPUT", help="An output, finished or not.")]


def status(run: Run) -> None:
    """Show how far an output is: blocks, failures with reasons, rate, remaining time, a map."""
    from neuroglow.status import status as look

    typer.echo(str(look(run)))

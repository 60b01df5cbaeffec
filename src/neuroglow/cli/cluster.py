"""`neuroglow cluster init | script`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.cli.guesses import GuessingCommand, GuessingGroup

cluster_app = typer.Typer(
    cls=GuessingGroup,
    help="Profiles of clusters, for --scheduler.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The profile.  [neuroglow-cluster.yaml]")
]
Kind = Annotated[
    str, typer.Option("--scheduler", metavar="KIND", help="slurm, lsf, sge, pbs or local.")
]
DEFAULT = Path("neuroglow-cluster.yaml")


@cluster_app.command(cls=GuessingCommand)
def init(file: File = DEFAULT, scheduler: Kind = "slurm") -> None:
    """Write a profile with comments: what the jobs of a run ask for."""
    from neuroglow.blocks.cluster_profile import write_profile

    write_profile(file, scheduler)
    typer.echo(f"{file}\nedit it; `neuroglow cluster script {file}` shows the job")


@cluster_app.command(cls=GuessingCommand)
def script(file: File = DEFAULT) -> None:
    """Print the script of the jobs that a profile would submit; nothing is started."""
    from neuroglow.blocks.cluster_profile import job_script, read_profile

    typer.echo(job_script(read_profile(str(file))))

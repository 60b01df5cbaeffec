"""The commands: `neuroglow` and all that follows it on the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from neuroglow.cli.bench import bench
from neuroglow.cli.cluster import cluster_app
from neuroglow.cli.convert import convert
from neuroglow.cli.demo import demo
from neuroglow.cli.evaluate import evaluate
from neuroglow.cli.finish import finish
from neuroglow.cli.guesses import GuessingCommand, GuessingGroup
from neuroglow.cli.label import label
from neuroglow.cli.models import models_app
from neuroglow.cli.phantom import phantom_app
from neuroglow.cli.predict import predict
from neuroglow.cli.pyramid import pyramid
from neuroglow.cli.select import select
from neuroglow.cli.sensitivity import sensitivity
from neuroglow.cli.status import status
from neuroglow.cli.studio import studio
from neuroglow.cli.survey import survey
from neuroglow.cli.testset import testset
from neuroglow.cli.trace import trace
from neuroglow.cli.train import train
from neuroglow.cli.view import view

app = typer.Typer(
    cls=GuessingGroup,
    name="neuroglow",
    help="Make faint neurites visible in 3D light microscopy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Make faint neurites visible in 3D light microscopy."""
    if version:
        from neuroglow import __version__

        typer.echo(__version__)
        raise typer.Exit


app.command(cls=GuessingCommand)(predict)
app.command(cls=GuessingCommand)(train)
app.command(cls=GuessingCommand)(survey)
app.command(cls=GuessingCommand)(select)
app.command(cls=GuessingCommand)(label)
app.command(cls=GuessingCommand)(trace)
app.command(cls=GuessingCommand)(evaluate)
app.command(cls=GuessingCommand)(sensitivity)
app.command(cls=GuessingCommand)(view)
app.command(cls=GuessingCommand)(status)
app.command(cls=GuessingCommand)(finish)
app.command(cls=GuessingCommand)(convert)
app.command(cls=GuessingCommand)(pyramid)
app.command(cls=GuessingCommand)(studio)
app.command(cls=GuessingCommand)(bench)
app.command(cls=GuessingCommand)(demo)
app.command(cls=GuessingCommand)(testset)
app.add_typer(models_app, name="models")
app.add_typer(cluster_app, name="cluster")
app.add_typer(phantom_app, name="phantom")

"""`neuroglow models list | show | path | import | export | optimise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.cli.guesses import GuessingCommand
from neuroglow.watching import watched

models_app = typer.Typer(no_args_is_help=True, help="List, show, import and export models.")


@models_app.command("list", cls=GuessingCommand)
def models_list() -> None:
    """List the models that are known by name."""
    from neuroglow.network.models import list_models

    for entry in list_models():
        typer.echo(f"{entry.name:24} {entry.source:8} {entry.summary}")


@models_app.command("show", cls=GuessingCommand)
def models_show(model: Annotated[str, typer.Argument(help="Name or folder.")]) -> None:
    """Show a model's settings and card."""
    from neuroglow.network.models import show_model

    typer.echo(show_model(model))


@models_app.command("path", cls=GuessingCommand)
def models_path(model: Annotated[str, typer.Argument(help="Name or folder.")]) -> None:
    """Print the folder of a model."""
    from neuroglow.network.models import find_model

    typer.echo(str(find_model(model)))


@models_app.command("import", cls=GuessingCommand)
def models_import(
    file: Annotated[Path, typer.Argument(help="A DB-Enhance .ckpt file.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="MODEL", help="Folder of the new model.")
    ],
) -> None:
    """Convert a DB-Enhance checkpoint to a neuroglow model; no pickle is executed."""
    with watched(f"reading {file}"):
        from neuroglow.network.db_enhance import import_model

        import_model(file, out)
    typer.echo(str(out))


@models_app.command("export", cls=GuessingCommand)
def models_export(
    model: Annotated[str, typer.Argument(help="Name or folder.")],
    bioimageio: Annotated[
        Path,
        typer.Option("--bioimageio", metavar="OUT.zip", help="Package for bioimage.io to write."),
    ],
    author: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who made the model; may be given several times."),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="SPDX", help="Licence, such as CC-BY-4.0.  [the model's]")
    ] = "",
) -> None:
    """Write a model as a package that other programs run: TorchScript, grey levels to probability.

    It has neuroglow's numbers on its test image, or is not written.
    """
    with watched(f"exporting {model}"):
        from neuroglow.network.bioimageio import export_package

        export_package(model, bioimageio, authors=author or (), licence=licence)
    typer.echo(str(bioimageio))


@models_app.command("optimise", cls=GuessingCommand)
def models_optimise(
    model: Annotated[str, typer.Argument(help="Name or folder.")],
    volumes: Annotated[
        list[str], typer.Argument(metavar="VOLUME...", help="Volumes of many kinds, unlike ones.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the int8 variant that the model has.")
    ] = False,
) -> None:
    """Make a model's int8 variant: faster on CPUs, less exact; used by default if it is close.

    Half of what it reads of the volumes calibrates it, the other half shows its loss.
    """
    with watched(f"optimising {model}"):
        from neuroglow.network.optimise import optimise_model

        made = optimise_model(model, volumes, replace=replace)
    for line in made.lines():
        typer.echo(line)

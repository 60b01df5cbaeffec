"""The command line: parse, call one function, print."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.errors import NeuroglowError, SettingsError

if TYPE_CHECKING:
    from neuroglow.predict import Progress
    from neuroglow.space.blockwise import BlockReport
    from neuroglow.space.geometry import Block
    from neuroglow.space.unfinished import Mode

app = typer.Typer(
    name="neuroglow",
    help="Make faint neurites visible in 3D light microscopy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT", help="A file, folder of slices, OME-Zarr, or folder of volumes."
    ),
]
Output = Annotated[
    Path, typer.Option("-o", "--out", metavar="OUTPUT", help=".ome.zarr, .tif, or a folder.")
]
Model = Annotated[str | None, typer.Option(help="Name or folder of a model.  [light-microscopy]")]
Roi = Annotated[
    str | None,
    typer.Option(metavar="Z0:Z1,Y0:Y1,X0:X1", help="Predict this box alone (voxels)."),
]
VoxelSize = Annotated[
    str | None, typer.Option(metavar="Z,Y,X", help="Micrometres, instead of the metadata's.")
]
Channel = Annotated[int | None, typer.Option(help="Which channel, where there are several.")]
Time = Annotated[int | None, typer.Option(help="Which time point, where there are several.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.  [auto]")]
Precision = Annotated[str | None, typer.Option(help="auto, float32, bfloat16.  [auto]")]
Dtype = Annotated[str | None, typer.Option(help="uint8 (0-255) or float32 (0-1).  [uint8]")]
Workers = Annotated[int | None, typer.Option(help="Processes.  [1, which uses all cores]")]
MaxMemory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Of all workers, as 2GB.  [1200MB]")
]
Halo = Annotated[int | None, typer.Option(help="Voxels read around a block.  [the model's]")]
NoGate = Annotated[bool, typer.Option("--no-gate", help="Run the network on empty tiles too.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run.")]
Restart = Annotated[bool, typer.Option("--restart", help="Replace what is there.")]
Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings in YAML; options here win.")
]

models_app = typer.Typer(no_args_is_help=True, help="List, show and import models.")
app.add_typer(models_app, name="models")


def main() -> None:
    """Run the command line; our errors become a message and an exit status."""
    try:
        app()
    except NeuroglowError as error:
        typer.echo(f"neuroglow: {error}", err=True)
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        typer.echo("neuroglow: stopped", err=True)
        sys.exit(130)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Make faint neurites visible in 3D light microscopy."""
    if version:
        from neuroglow import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.command()
def predict(
    source: Input,
    out: Output,
    model: Model = None,
    roi: Roi = None,
    voxel_size: VoxelSize = None,
    channel: Channel = None,
    time: Time = None,
    device: Device = None,
    precision: Precision = None,
    dtype: Dtype = None,
    workers: Workers = None,
    max_memory: MaxMemory = None,
    halo: Halo = None,
    no_gate: NoGate = False,
    resume: Resume = False,
    restart: Restart = False,
    config: Config = None,
) -> None:
    """Predict the probability of a neurite for each voxel of a volume.

    Leaves the probability, a picture (_mip.png) and a record (_run.json) beside it.
    """
    import neuroglow

    if resume and restart:
        raise SettingsError("--resume and --restart exclude each other", cure="give one of them")
    given: dict[str, Any] = {
        "model": model,
        "roi": roi,
        "voxel_size": _numbers(voxel_size),
        "channel": channel,
        "time": time,
        "device": device,
        "precision": precision,
        "dtype": dtype,
        "workers": workers,
        "max_memory": max_memory,
        "halo": halo,
        "gate": False if no_gate else None,
    }
    settings = _read_config(config) | {k: v for k, v in given.items() if v is not None}
    mode: Mode = "resume" if resume else "restart" if restart else "new"
    with _progress() as tell:
        reports = neuroglow.predict(source, out=out, mode=mode, on_progress=tell, **settings)
    for report in reports:
        typer.echo(f"{report.output}\n  {report.blocks}")
        typer.echo(f"  picture {report.picture}\n  record  {report.record}")


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for what the demo makes.")
    ] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Another seed, another phantom.")] = 1,
) -> None:
    """Make a phantom volume, find its faint neurites, and score them against the truth."""
    from neuroglow.demo import run_demo

    run_demo(out, seed=seed, say=typer.echo)


@models_app.command("list")
def models_list() -> None:
    """List the models that can be named."""
    from neuroglow.learn.models import list_models

    for entry in list_models():
        typer.echo(f"{entry.name:24} {entry.source:8} {entry.summary}")


@models_app.command("show")
def models_show(model: Annotated[str, typer.Argument(help="Name or folder.")]) -> None:
    """Show a model's settings and card."""
    from neuroglow.learn.models import show_model

    typer.echo(show_model(model))


@models_app.command("path")
def models_path(model: Annotated[str, typer.Argument(help="Name or folder.")]) -> None:
    """Print the folder of a model."""
    from neuroglow.learn.models import find_model

    typer.echo(str(find_model(model)))


@models_app.command("import")
def models_import(
    file: Annotated[Path, typer.Argument(help="A DB-Enhance .ckpt file.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="MODEL", help="Folder of the new model.")
    ],
) -> None:
    """Turn a DB-Enhance checkpoint into a neuroglow model; no pickle is executed."""
    from neuroglow.learn.models import import_model

    import_model(file, out)
    typer.echo(str(out))


def _numbers(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",")]


def _read_config(path: Path | None) -> dict[str, Any]:
    """Read one flat YAML file of settings."""
    if path is None:
        return {}
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            "the configuration is one flat YAML file", found=str(error), where=str(path)
        ) from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or any(isinstance(value, dict) for value in loaded.values()):
        raise SettingsError(
            "the configuration is one flat YAML mapping", found=repr(loaded)[:80], where=str(path)
        )
    return {str(key).replace("-", "_"): value for key, value in loaded.items()}


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show blocks, rate and remaining time on a terminal; nothing in a pipe."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.1f}/{task.total:.1f} Mvoxel, {task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def tell(name: str, report: BlockReport, blocks: Sequence[Block]) -> None:
            total = sum(block.write.size for block in blocks) / 1e6
            share = (report.finished + len(report.failed)) / len(blocks)
            if name not in tasks:
                tasks[name] = bars.add_task(Path(name).name, total=total, rate="")
            speed = bars.tasks[tasks[name]].speed
            rate = f"{speed:.1f} Mvoxel/s" if speed else ""
            bars.update(tasks[name], completed=share * total, rate=rate)

        yield tell

"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroglow.errors import SettingsError

if TYPE_CHECKING:
    from neuroglow.runs.unfinished import Mode

Input = Annotated[
    str,
    typer.Argument(
        metavar="INPUT", help="A file, folder of slices, OME-Zarr, or folder of volumes."
    ),
]
Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Files, folders of slices, OME-Zarr, or folders of volumes: one or several.",
    ),
]
Output = Annotated[
    Path, typer.Option("-o", "--out", metavar="OUTPUT", help=".ome.zarr, .tif, or a folder.")
]
OutputBeside = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--out",
        metavar="OUTPUT",
        help=".ome.zarr, .tif, or a folder.  [next to INPUT, _prob]",
    ),
]
Model = Annotated[str | None, typer.Option(help="Name or folder of a model.  [light-microscopy]")]
Roi = Annotated[
    str | None,
    typer.Option(metavar="Z0:Z1,Y0:Y1,X0:X1", help="Predict only this box, in voxels."),
]
VoxelSize = Annotated[
    str | None,
    typer.Option(metavar="Z,Y,X", help="Voxel size in micrometres; overrides the file's."),
]
Offset = Annotated[
    str | None,
    typer.Option(
        metavar="Z,Y,X",
        help="Voxel of the larger volume, which the trees are of, where this one begins."
        "  [what its file or record says]",
    ),
]
Channel = Annotated[
    int | None, typer.Option(help="Channel to use if there are several, counted from 0.")
]
Time = Annotated[
    int | None, typer.Option(help="Time point to use if there are several, counted from 0.")
]
Invert = Annotated[bool, typer.Option("--invert", help="Neurites are darker than the background.")]
InvertRaw = Annotated[
    bool | None,
    typer.Option(
        "--invert/--no-invert",
        help="In the raw image neurites are darker than the background.  [as predicted]",
    ),
]
Device = Annotated[str | None, typer.Option(help="Device: auto, cpu, cuda, cuda:1 or mps.  [auto]")]
Engine = Annotated[
    str | None,
    typer.Option(
        help="What runs the network: auto, torch, or openvino (CPUs, without PyTorch).  [auto]"
    ),
]
Precision = Annotated[
    str | None, typer.Option(help="Precision of the network: auto, float32 or bfloat16.  [auto]")
]
Dtype = Annotated[
    str | None, typer.Option(help="Type of the output: uint8 (0-255) or float32 (0-1).  [uint8]")
]
Workers = Annotated[
    int | None, typer.Option(help="Number of processes.  [1, which uses all cores]")
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS|KIND|FILE",
        help="Work on a cluster through Dask: tcp://HOST:8786, slurm, lsf, sge, pbs, or a profile"
        " (`neuroglow cluster init`).",
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="K/N", help="Only the K-th of N parts, for job arrays; then `neuroglow finish`."
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="End a block that takes longer; it is tried again, then named.  [no limit]",
    ),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory of all workers together, such as 2GB."
        "  [1600MB each, at most half of what is free]",
    ),
]
Halo = Annotated[int | None, typer.Option(help="Voxels read around each block.  [the model's]")]
NoGate = Annotated[bool, typer.Option("--no-gate", help="Run the network on empty tissue too.")]
Views = Annotated[
    int | None,
    typer.Option(
        metavar="1|2|4|8", help="Average over mirrored views: slightly better, N times slower.  [1]"
    ),
]
Tiling = Annotated[
    str | None,
    typer.Option(help="blocks; db-enhance: overlapping patches, averaged.  [blocks]"),
]
Devices = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda or mps; cuda:0,cuda:1 uses both GPUs.  [auto]")
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="VOLUME",
        help="Only where this volume, at any resolution, is not zero; auto: where a coarse look "
        "shows tissue.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")]
RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Repeat only the failed blocks of a run that has ended."),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Replace an existing output of the same command.")
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Settings in a YAML file; options on the command line win."),
]


RESERVED = {"out", "raw", "export", "mode", "on_progress", "progress", "source", "manifest"}
"""Parameters of verbs that are not settings."""


def mode(*, resume: bool, restart: bool, retry_failed: bool) -> Mode:
    """Return how a run begins; raises SettingsError if two ways are asked for."""
    if resume + restart + retry_failed > 1:
        raise SettingsError(
            "--resume, --restart and --retry-failed exclude each other", cure="give one of them"
        )
    return (
        "resume" if resume else "restart" if restart else "retry-failed" if retry_failed else "new"
    )


def numbers(text: str | None) -> list[str] | None:
    """Split a value at its commas, semicolons or spaces."""
    return None if text is None else [part for part in re.split(r"[\s,;]+", text.strip()) if part]


def read_config(path: Path | None) -> dict[str, Any]:
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
    settings = {str(key).replace("-", "_"): value for key, value in loaded.items()}
    if reserved := sorted(settings.keys() & RESERVED):
        raise SettingsError(
            "files and modes are given on the command line, not in the configuration",
            found=", ".join(reserved),
            where=str(path),
        )
    return settings

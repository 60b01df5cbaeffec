"""`neuroglow predict`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from neuroglow.cli import options
from neuroglow.errors import SettingsError
from neuroglow.watching import watched

Threshold = Annotated[
    float | None,
    typer.Option(metavar="P", help="Also write a mask: 1 where the probability is P or higher."),
]

Precision = Annotated[
    str | None,
    typer.Option(
        help="Precision of the network: auto, float32, bfloat16, or int8 (models optimise).  [auto]"
    ),
]


def predict(
    source: options.Inputs,
    out: options.OutputBeside = None,
    model: options.Model = None,
    roi: options.Roi = None,
    voxel_size: options.VoxelSize = None,
    channel: options.Channel = None,
    time: options.Time = None,
    invert: options.Invert = False,
    engine: options.Engine = None,
    device: options.Devices = None,
    precision: Precision = None,
    dtype: options.Dtype = None,
    threshold: Threshold = None,
    workers: options.Workers = None,
    max_memory: options.MaxMemory = None,
    halo: options.Halo = None,
    no_gate: options.NoGate = False,
    views: options.Views = None,
    tiling: options.Tiling = None,
    scheduler: options.Scheduler = None,
    shard: options.Shard = None,
    time_limit: options.TimeLimit = None,
    mask: options.Mask = None,
    resume: options.Resume = False,
    retry_failed: options.RetryFailed = False,
    restart: options.Restart = False,
    config: options.Config = None,
) -> None:
    """Predict the probability of a neurite for each voxel of a volume.

    Leaves the probability, a picture (_mip.png) and a record (_run.json) next to it.
    """
    import neuroglow

    mode = options.mode(resume=resume, restart=restart, retry_failed=retry_failed)
    given: dict[str, Any] = {
        "model": model,
        "roi": roi,
        "voxel_size": options.numbers(voxel_size),
        "channel": channel,
        "time": time,
        "invert": invert or None,
        "engine": engine,
        "device": device,
        "precision": precision,
        "dtype": dtype,
        "threshold": threshold,
        "workers": workers,
        "max_memory": max_memory,
        "halo": halo,
        "gate": False if no_gate else None,
        "views": views,
        "tiling": tiling,
        "scheduler": scheduler,
        "shard": shard,
        "time_limit": time_limit,
        "mask": mask,
    }
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    inputs = source[0] if len(source) == 1 else source
    with watched(f"opening {source[0]}") as tell:
        place = out or _beside(source)
        reports = neuroglow.predict(inputs, out=place, mode=mode, on_progress=tell, **settings)
    for report in reports:
        typer.echo(str(report))


def _beside(sources: Sequence[str]) -> Path:
    """Name the output next to the input, of the same kind: a file, an OME-Zarr, or a folder."""
    from neuroglow.files.names import is_tiff, stem_of
    from neuroglow.files.remote import remote_path
    from neuroglow.formats.opening import find_volumes

    if len(sources) > 1:
        raise SettingsError(
            "several inputs need a folder as output",
            found=f"{len(sources)} inputs, no -o",
            cure="-o FOLDER",
        )
    source = sources[0]
    if remote_path(source):
        return Path(f"{stem_of(source)}_prob.ome.zarr")
    path = Path(source.split("::", maxsplit=1)[0])
    folder = path.resolve().parent
    if path.is_dir() and len(find_volumes(source)) > 1:
        return folder / f"{path.resolve().name}_prob"
    name = stem_of(path.resolve())
    as_tiff = is_tiff(path) or (path.is_dir() and not path.suffix)
    return folder / (f"{name}_prob.tif" if as_tiff else f"{name}_prob.ome.zarr")

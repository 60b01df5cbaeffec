"""Predict neurite probability: checkpoint x volume -> probability volume.

    read a block -> noise units -> gate -> network -> crop -> write -> mark it done

All files of an unfinished run are in OUTPUT.partial; OUTPUT appears when the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from neuroglow.blocks.blockwise import run_blocks
from neuroglow.blocks.cluster import HERE, Place, work_at
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import block_names, refuse_failures
from neuroglow.errors import (
    BlocksFailedError,
    ModelError,
    NeuroglowError,
    OutputError,
    SettingsError,
    StoppedError,
    WriteError,
)
from neuroglow.face import given, spelled_out
from neuroglow.files.names import bare_name, is_output_file
from neuroglow.files.outputs import output_names
from neuroglow.formats.opening import find_volumes, open_watched
from neuroglow.labels.mask import mask_path, needs_mask, write_mask
from neuroglow.network.stored import read_model
from neuroglow.predict.planned import Prediction
from neuroglow.predict.report import PredictReport
from neuroglow.predict.settings import PredictSettings
from neuroglow.progress import Tell, counted_as
from neuroglow.runs.shards import parse_shard
from neuroglow.runs.unfinished import Mode
from neuroglow.space.arrays import VolumeSource, is_path
from neuroglow.space.geometry import Roi
from neuroglow.space.volume import Array, ArrayVolume

__all__ = ["Mode", "PredictReport", "PredictSettings", "predict"]


@spelled_out(PredictSettings)
def predict(  # noqa: PLR0913  # every option, for editors
    source: VolumeSource,
    *,
    model: str | PathLike[str] = "light-microscopy",
    out: str | Path | None = None,
    roi: Roi | None = None,
    voxel_size: Sequence[float] | None = None,
    channel: int | None = None,
    time: int | None = None,
    invert: bool = False,
    engine: Literal["auto", "torch", "openvino"] = "auto",
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "int8"] = "auto",
    dtype: Literal["uint8", "float32"] | None = None,
    threshold: float | None = None,
    workers: int = 1,
    max_memory: int | str | None = None,
    halo: int | None = None,
    gate: bool = True,
    views: Literal[1, 2, 4, 8] = 1,
    tiling: Literal["blocks", "db-enhance"] = "blocks",
    scheduler: str | None = None,
    shard: str | None = None,
    time_limit: float | None = None,
    mask: str | PathLike[str] | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> Array | list[PredictReport]:
    """Predict the probability of a neurite for each voxel of a volume.

    source: an array (zyx; NumPy's or another kind, space/arrays.py), a file, a folder of
        slices, an OME-Zarr, or a folder of volumes.
    model: a name, a model's folder, a training run (its best model), or the result of load_model.
    out: `.ome.zarr`, `.tif`, or a folder; None returns an array in memory.
    mode: `new` refuses an existing output; `resume` continues an unfinished run with the
        same input, model and settings; `retry-failed` does only the failed blocks of one that has
        ended; `restart` replaces.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        PredictSettings.

    Returns an array (zyx; float32 in 0..1, or of type `dtype`) if out is None; otherwise
    a PredictReport for each volume. Raises UsageError for invalid requests,
    BlocksFailedError when blocks failed (the others are complete), StoppedError on Ctrl-C.

    >>> import numpy as np
    >>> image = np.random.default_rng(1).normal(100, 10, (24, 32, 32)).astype("uint16")
    >>> predict(image).shape
    (24, 32, 32)
    """
    chosen = PredictSettings.of(given())
    _refuse_changed(model)
    apart = "scheduler" if chosen.scheduler else "shard" if parse_shard(chosen.shard) else ""
    if apart and (out is None or not (is_path(source) or isinstance(source, list | tuple))):
        raise SettingsError(
            "other processes work from files to a file",
            found="an array" if out else "no output",
            where=apart,
        )
    if out is None:
        return _predict_array(source, chosen.with_dtype("float32"), on_progress)
    chosen = chosen.with_dtype("uint8")
    jobs = _plan_outputs(source, Path(out))
    reports, failures = [], []
    with work_at(chosen.scheduler) as place:
        for volume_source, output in jobs:
            try:
                threshold = None if chosen.shard else chosen.threshold
                to_mask = threshold is not None and needs_mask(output, threshold, mode)
                run, check = _planned(volume_source, output, chosen, place)
                report = run.execute(mode, on_progress, check)
                if threshold is not None:
                    mask = write_mask(output, threshold) if to_mask else mask_path(output)
                    report = replace(report, mask=mask)
                reports.append(report)
            except NeuroglowError as error:
                if len(jobs) == 1 or isinstance(error, StoppedError | WriteError | SettingsError):
                    raise
                failures.append(error)
    if failures:
        raise BlocksFailedError(
            "every volume must succeed",
            found=f"{len(failures)} of {len(jobs)} failed",
            cure="\n".join(str(f) for f in failures),
        )
    return reports


def _planned(
    source: VolumeSource, output: Path | None, settings: PredictSettings, place: Place = HERE
) -> tuple[Prediction, Callable[[], None]]:
    """Open and plan one volume; give what raises if its file is another one by then, too."""
    volume, check = open_watched(
        source,
        channel=settings.channel,
        time=settings.time,
        voxel_size_um=settings.voxel_size,
        invert=settings.invert,
    )
    return Prediction.plan(volume, settings, output, place), check


def _refuse_changed(model: object) -> None:
    """Refuse a loaded model if its folder now holds another one: workers load it from there."""
    before = getattr(model, "sha256", None)
    if before is None or not isinstance(model, PathLike):
        return
    if read_model(model).sha256 != before:
        raise ModelError(
            "the folder of a loaded model must not change",
            found="another model in its folder",
            where=str(Path(model)),
            cure="load it again",
        )


def _predict_array(
    source: VolumeSource, settings: PredictSettings, on_progress: Tell | None
) -> Array:
    """Predict in memory, serially: nothing is written."""
    if settings.threshold is not None:
        raise SettingsError(
            "a mask is written next to an output",
            found="a threshold, but no output",
            where="threshold",
            cure=f"predict(...) >= {settings.threshold:g}, or out=...",
        )
    if settings.time_limit is not None:
        raise SettingsError(
            "a block with a time limit runs in a process of its own, for an output file",
            found="an array in memory",
            where="time_limit",
            cure="out=...",
        )
    if "," in settings.device:
        raise SettingsError(
            "several devices need an output file; an array in memory uses one device",
            found=settings.device,
            where="device",
            cure="out=..., or one device",
        )
    run, check = _planned(source, None, settings)
    blocks = run.blocks()
    output = ArrayVolume(np.zeros(run.roi.shape, settings.dtype))
    report = run_blocks(
        run.work(output, None),
        blocks,
        ledger=Ledger.create(None, {}),
        retries=0,
        on_progress=counted_as(on_progress, Path(run.source.name).name, run.roi.size),
    )
    refuse_failures(report, block_names(blocks), Path("array"))
    check()
    return output.voxels


def _plan_outputs(source: VolumeSource, out: Path) -> list[tuple[VolumeSource, Path]]:
    """Pair each input volume with its output."""
    volumes = _volumes_of(source)
    single = is_output_file(out)
    if out.suffix and not single and not out.is_dir():
        raise OutputError(
            "the output is .ome.zarr, .tif, or a folder",
            found=out.suffix,
            where=str(out),
            cure=f"-o {bare_name(out)}.ome.zarr or -o {bare_name(out)}.tif",
        )
    if is_path(source) and Path(source).resolve() == out.resolve() and single:
        raise OutputError(
            "the output must not be the input",
            found="the same path",
            where=str(out),
            cure="another -o",
        )
    if single and len(volumes) == 1:
        return [(volumes[0], out)]
    if single:
        raise OutputError(
            "several volumes need a folder as output",
            found=f"{len(volumes)} volumes in {source!s}, one output file",
            where=str(out),
            cure=f"-o {out.with_suffix('').with_suffix('')}",
        )
    names = output_names([str(v) for v in volumes if is_path(v)]) or ["array"]
    return [(v, out / f"{name}_prob.tif") for v, name in zip(volumes, names, strict=True)]


def _volumes_of(source: VolumeSource) -> list[VolumeSource]:
    """List the volumes of a path, or of several; anything else is a single volume."""
    if isinstance(source, list | tuple) and source and all(map(is_path, source)):
        return [volume for path in source for volume in find_volumes(path)]
    return [*find_volumes(source)] if is_path(source) else [source]

"""Predict neurite probability: checkpoint x volume -> probability volume.

    read a block -> noise units -> gate -> network -> crop -> write -> mark it done

All files of an unfinished run are in OUTPUT.partial; OUTPUT appears when the run ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

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
from neuroglow.network.db_enhance_facts import PATCH
from neuroglow.network.enhance import EnhanceBlock, ModelOnDevice, begin_worker, settle_memory
from neuroglow.network.machine import Machine, bytes_per_voxel, choose_machine, process_bytes
from neuroglow.network.model_settings import refuse_inverted
from neuroglow.network.patchwork import BYTES_PER_VOXEL, PatchworkBlock, plan_patchwork
from neuroglow.network.stored import StoredModel, read_model
from neuroglow.pictures.overlays import draw_overlay
from neuroglow.pictures.view import View
from neuroglow.predict.report import PredictReport
from neuroglow.predict.settings import PredictSettings
from neuroglow.progress import Tell, counted_as
from neuroglow.space.arrays import VolumeSource, is_path
from neuroglow.space.blockwise import BlockReport, run_blocks
from neuroglow.space.executors import local_workers
from neuroglow.space.geometry import (
    Blocks,
    Box,
    Roi,
    Zyx,
    parse_box,
    plan_block_shape,
    tile,
    voxels_read,
)
from neuroglow.space.ledger import Ledger
from neuroglow.space.mask import mask_path, needs_mask, write_mask
from neuroglow.space.names import bare_name, is_output_file
from neuroglow.space.opening import find_volumes, open_volume
from neuroglow.space.outcome import block_names, refuse_failures
from neuroglow.space.outputs import output_names
from neuroglow.space.place import place_of
from neuroglow.space.projections import has_middle, merge_projections
from neuroglow.space.record import Beside, files_beside
from neuroglow.space.remarks import remark
from neuroglow.space.run import Run, describe_run, write_record
from neuroglow.space.shards import parse_shard
from neuroglow.space.unfinished import Mode
from neuroglow.space.volume import Array, ArrayVolume, Volume, VolumeSpec, WritableVolume
from neuroglow.space.writing import hash_of

__all__ = ["Mode", "PredictReport", "PredictSettings", "predict"]

CHUNK = 64
"""Voxels per axis of an output chunk; blocks are whole multiples of it."""


WORTH = 1.1
"""Several workers read at most so many times the voxels that one would read."""


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
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    dtype: Literal["uint8", "float32"] | None = None,
    threshold: float | None = None,
    workers: int = 1,
    max_memory: int | str = "1600MB",
    halo: int | None = None,
    gate: bool = True,
    views: Literal[1, 2, 4, 8] = 1,
    tiling: Literal["blocks", "db-enhance"] = "blocks",
    shard: str | None = None,
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
        same input, model and settings; `restart` replaces.
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
    part = parse_shard(chosen.shard)
    if part and (out is None or not (is_path(source) or isinstance(source, list | tuple))):
        raise SettingsError(
            "a shard is a part of a run from files to a file",
            found="an array" if out else "no output",
            where="shard",
        )
    if out is None:
        return _predict_array(source, chosen.with_dtype("float32"), on_progress)
    chosen = chosen.with_dtype("uint8")
    jobs = _plan_outputs(source, Path(out))
    reports, failures = [], []
    for volume_source, output in jobs:
        try:
            threshold = None if chosen.shard else chosen.threshold
            to_mask = threshold is not None and needs_mask(output, threshold, mode)
            run = _Prediction.plan(_open(volume_source, chosen), chosen, output)
            report = run.execute(mode, on_progress)
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
    if "," in settings.device:
        raise SettingsError(
            "several devices need an output file; an array in memory uses one device",
            found=settings.device,
            where="device",
            cure="out=..., or one device",
        )
    run = _Prediction.plan(_open(source, settings), settings, None)
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
    return output.voxels


def _open(source: VolumeSource, settings: PredictSettings) -> Volume:
    return open_volume(
        source,
        channel=settings.channel,
        time=settings.time,
        voxel_size_um=settings.voxel_size,
        invert=settings.invert,
    )


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


@dataclass(frozen=True)
class _Prediction:
    """One volume, one model, one output: planned before anything is written."""

    source: Volume
    model: StoredModel
    settings: PredictSettings
    output: Path | None
    roi: Box
    block_shape: Zyx
    halo: int
    machine: Machine
    workers: int = 1

    @classmethod
    def plan(cls, source: Volume, settings: PredictSettings, output: Path | None) -> _Prediction:
        """Choose device, precision and blocks."""
        settle_memory()
        model = read_model(settings.model)
        model.weights()  # damaged ones are found before anything is written
        refuse_inverted(model.settings.normalisation, invert=settings.invert)
        machine = choose_machine(
            model.settings,
            engine=settings.engine,
            device=settings.device,
            precision=settings.precision,
        )
        roi = parse_box(settings.roi, source.shape) if settings.roi else Box.of(source.shape)
        halo = model.settings.halo if settings.halo is None else settings.halo
        patched = settings.tiling == "db-enhance"
        each = bytes_per_voxel(model.settings.network, machine)
        if patched:
            halo, plan = 0, partial(_plan_patchwork, each, roi, source.shape)
            cost: Callable[[Zyx], int] = lambda _: 1  # noqa: E731  # patches do not shrink
        else:
            plan = partial(_plan_blocks, each, roi, source.shape, halo=halo)
            cost = partial(voxels_read, roi, halo=halo, within=Box.of(source.shape))
        workers, shape = _share_out(settings, process_bytes(machine), plan, cost)
        return cls(source, model, settings, output, roi, shape, halo, machine, workers)

    def blocks(self) -> Blocks:
        """Cut the region into blocks; the network sees the same grid in each."""
        if self.settings.tiling == "db-enhance":
            return tile(self.roi, self.block_shape)
        whole = Box.of(self.source.shape)
        stride = self.model.stride
        return tile(self.roi, self.block_shape, halo=self.halo, align=stride, within=whole)

    def work(self, output: WritableVolume, projections: Path | None) -> EnhanceBlock:
        """Make the function that a worker runs on each block."""
        noise_units = self.model.settings.normalisation.kind == "noise_units"
        patched = self.settings.tiling == "db-enhance"
        return (PatchworkBlock if patched else EnhanceBlock)(
            source=self.source,
            output=output,
            roi=self.roi,
            model=ModelOnDevice(self.model.path, self.model.sha256, self.machine),
            gated=self.settings.gate and noise_units and not patched,
            projections=projections,
            views=self.settings.views,
        )

    def fingerprint(self) -> dict[str, str]:
        """Return everything that determines the output's voxels."""
        decides = {"roi", "dtype", "channel", "time", "gate", "views"}
        chosen = self.settings.model_dump(include=decides, mode="json")
        machine = self.machine
        chosen |= {"halo": self.halo, "device": machine.kind, "precision": machine.precision}
        if machine.engine != "torch":
            chosen |= {"engine": machine.engine}
        if self.settings.invert:
            chosen |= {"invert": True}
        if self.settings.tiling != "blocks":
            chosen |= {"tiling": self.settings.tiling}
        return {
            "model": self.model.sha256,
            "settings": hash_of(chosen),
            "input": self.source.identity,
            "grid": f"{self.roi} in blocks of {self.block_shape}",
        }

    def execute(self, mode: Mode, on_progress: Tell | None) -> PredictReport:
        """Run all blocks, then publish the output with its picture and record."""
        assert self.output is not None
        run = Run(
            self.source.name,
            self.output,
            self._spec(),
            self.blocks(),
            self.fingerprint(),
            kind="prediction",
            publishes="partly",
            shard=parse_shard(self.settings.shard),
            again=self._again(),
        )
        report = run.execute(
            mode,
            self.work,
            partial(self._describe, run),
            workers=local_workers(self.workers, initializer=self._begin_worker()),
            on_progress=on_progress,
        )
        beside = files_beside(self.output)
        shard = self.settings.shard
        return PredictReport(self.output, beside.picture, beside.record, report, shard=shard)

    def _again(self) -> dict[str, Any]:
        """Give all that `finish` needs to publish this run, from any folder."""
        name, inside, dataset = self.source.name.partition("::")
        chosen = self.settings.model_dump(mode="json", exclude_unset=True, exclude={"shard"})
        source = f"{Path(name).resolve()}{inside}{dataset}"
        chosen |= {"model": str(self.model.path.resolve()), "dtype": self.settings.dtype}
        return {"verb": "predict", "source": source, "settings": chosen}

    def _spec(self) -> VolumeSpec:
        return VolumeSpec(
            shape=self.roi.shape,
            dtype=np.dtype(self.settings.dtype),
            voxel_size_um=self.source.voxel_size_um,
            block_shape=self.block_shape,
            chunk_shape=(CHUNK, CHUNK, CHUNK),
            origin_vox=self._origin(),
        )

    def _origin(self) -> Zyx:
        """Give where the output begins, in the volume that the input itself was cut from."""
        place = place_of(self.source)
        begin = place.offset if place.certain else (0, 0, 0)
        z, y, x = (round(a) + b for a, b in zip(begin, self.roi.start, strict=True))
        return z, y, x

    def _begin_worker(self) -> Callable[[], object] | None:
        """Divide the cores among the workers, and assign the devices."""
        count = self.workers
        if count == 1:
            return None
        turn = get_context("spawn").Value("i", 0)
        return partial(begin_worker, max(1, (os.cpu_count() or 1) // count), turn)

    def _describe(self, run: Run, report: BlockReport, projections: Path, beside: Beside) -> None:
        """Draw the picture and write the record."""
        files = sorted(projections.glob("*.npz"))
        pairs = [
            (
                merge_projections(files, self.roi.shape, "raw" + of),
                merge_projections(files, self.roi.shape, "probability" + of),
            )
            for of in ("", "_middle")[: 1 + has_middle(self.roi.shape)]
        ]
        state = "" if report.ok else f"   INCOMPLETE: {len(report.failed)} blocks failed (red)"
        note = f"{Path(self.source.name).name}, model {self.model.settings.name}{state}"
        view = View.of(self.roi.shape, self.source.voxel_size_um)
        draw_overlay(beside.picture, view, pairs, words="probability", note=note)
        write_record(beside, self._record(run, report))

    def _record(self, run: Run, report: BlockReport) -> dict[str, Any]:
        record = describe_run(run, report, self.source, self.settings.model_dump(mode="json"))
        return record | {
            "model": {
                "name": self.model.settings.name,
                "sha256": self.model.sha256,
                "threshold": self.model.settings.threshold,
            },
            "used": {
                "roi": str(self.roi),
                "block_shape": self.block_shape,
                "halo": self.halo,
                "engine": self.machine.engine,
                "device": self.machine.devices,
                "precision": self.machine.precision,
            }
            | ({"engine_because": self.machine.because} if self.machine.because else {}),
            "versions": record["versions"] | self.machine.versions,
            "skipped_blocks": "listed as 'skipped'; they hold zeros",
        }


def _share_out(
    settings: PredictSettings, process: int, plan: Callable[[int], Zyx], cost: Callable[[Zyx], int]
) -> tuple[int, Zyx]:
    """Choose how many workers share the memory, at most as many as asked for, and their blocks.

    process: bytes of a worker besides its block. plan: blocks for so many bytes. cost: voxels read.
    """

    def blocks_of(workers: int) -> Zyx:
        return plan(max(0, settings.max_memory // workers - process))

    least = settings.device.count(",") + 1
    best = blocks_of(least)
    for workers in range(settings.processes, least, -1):
        with suppress(SettingsError):  # no room for so many
            if cost(shape := blocks_of(workers)) <= WORTH * cost(best):
                return workers, shape
    if settings.processes > least:
        remark(
            f"{settings.max_memory / 1e6:.0f} MB do not suffice for {settings.processes} workers: "
            "their small blocks would read too much twice, so fewer work, on all cores; "
            "a larger --max-memory lets all of them work"
        )
    return least, best


def _plan_blocks(each: int, roi: Box, shape: Zyx, budget: int, *, halo: int) -> Zyx:
    """Choose blocks that fit into this memory with their halo; SettingsError if none does.

    each: bytes that the network needs per voxel.
    """
    voxels = budget // each
    whole = Box.of(shape)
    planned = plan_block_shape(roi, halo=halo, unit=CHUNK, voxels=voxels, within=whole)
    if planned is None:
        raise _no_room(f"{CHUNK} x {CHUNK} x {CHUNK} voxels and its halo", voxels, CHUNK + 2 * halo)
    return planned


def _plan_patchwork(each: int, roi: Box, shape: Zyx, budget: int) -> Zyx:
    """Choose blocks that fit into this memory with a patch of the network, or SettingsError."""
    voxels = max(0, budget - each * PATCH**3) // BYTES_PER_VOXEL
    planned = plan_patchwork(roi, shape, unit=CHUNK, voxels=voxels)
    if planned is None:
        raise _no_room(f"a patch of {PATCH}^3 voxels", budget // each, PATCH)
    return planned


def _no_room(what: str, voxels: int, side: int) -> SettingsError:
    return SettingsError(
        f"a worker needs memory for one block of {what}",
        found=f"room for {voxels} voxels; {side**3} are needed",
        where="--max-memory",
        cure="more memory, fewer --workers, or a smaller --halo",
    )

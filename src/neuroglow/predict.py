"""Predict neurite probability: checkpoint x volume -> probability volume.

    read a block -> noise units -> gate -> network -> crop -> write -> mark it done

Everything of an unfinished run lies in OUTPUT.partial; OUTPUT appears when the run ends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ByteSize, ConfigDict, Field

from neuroglow.errors import (
    BlocksFailedError,
    NeuroglowError,
    OutputError,
    SettingsError,
    StoppedError,
    WriteError,
    first_of,
)
from neuroglow.network.enhance import EnhanceBlock, settle_memory, use_threads
from neuroglow.settings import check_settings
from neuroglow.space.blockwise import BlockReport, run_blocks
from neuroglow.space.executors import local_workers
from neuroglow.space.geometry import Block, Box, Zyx, parse_box, plan_block_shape, tile
from neuroglow.space.ledger import Ledger
from neuroglow.space.names import is_output_file, stem_of
from neuroglow.space.opening import find_volumes, open_volume
from neuroglow.space.projections import draw_picture, has_middle, merge_projections
from neuroglow.space.unfinished import Mode, Unfinished
from neuroglow.space.volume import Array, ArrayVolume, Volume, VolumeSpec, WritableVolume
from neuroglow.space.writing import writing

if TYPE_CHECKING:
    from neuroglow.network.checkpoint import Model

__all__ = ["Mode", "PredictReport", "PredictSettings", "predict"]

Progress = Callable[[str, BlockReport, Sequence[Block]], object]

CHUNK = 64
"""Voxels an axis of an output chunk; blocks are whole multiples of it."""

PROCESS_BYTES = 450_000_000
"""What a worker holds besides its block: Python, torch, the model."""


class PredictSettings(BaseModel):
    """All that decides a prediction, besides input and output; flat, frozen, saved beside it.

    roi: `Z0:Z1,Y0:Y1,X0:X1` in voxels. voxel_size: micrometres along z, y, x.
    dtype: uint8 (0..255) or float32 (0..1). max_memory: bytes, of all workers together.
    halo: voxels read around each block; by default the model's. gate: skip empty tiles.
    views: mean over so many mirrored views; a little better, as many times slower.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "light-microscopy"
    roi: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    dtype: Literal["uint8", "float32"] = "uint8"
    workers: int = Field(default=1, ge=1)
    max_memory: ByteSize = Field(default=ByteSize(1_600_000_000), gt=0)
    halo: int | None = Field(default=None, ge=0)
    gate: bool = True
    views: Literal[1, 2, 4, 8] = 1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PredictSettings:
        """Check values that a person gave; raises SettingsError that names the first wrong one."""
        return check_settings(cls, values)


@dataclass(frozen=True)
class PredictReport:
    """What a prediction left: the output, its picture, its record, and the blocks' fate."""

    output: Path
    picture: Path
    record: Path
    blocks: BlockReport


def predict(
    source: Array | str | Path,
    *,
    out: str | Path | None = None,
    mode: Mode = "new",
    on_progress: Progress | None = None,
    **settings: Any,
) -> Array | list[PredictReport]:
    """Predict the probability of a neurite for each voxel of a volume.

    source: an array (zyx), a file, a folder of slices, an OME-Zarr, or a folder of volumes.
    out: `.ome.zarr`, `.tif`, or a folder; None returns an array in memory.
    mode: `new` refuses an existing output; `resume` goes on with an unfinished run of the
        same input, model and settings; `restart` replaces.
    settings: the fields of PredictSettings (`model`, `roi`, `dtype`, ...).

    Returns an array (zyx; float32 in 0..1, or as `dtype` says) when out is None; otherwise
    a PredictReport for each volume. Raises UsageError for what cannot be asked,
    BlocksFailedError when blocks failed (the others are complete), StoppedError on Ctrl-C.

    >>> import numpy as np
    >>> image = np.random.default_rng(1).normal(100, 10, (24, 32, 32)).astype("uint16")
    >>> predict(image).shape
    (24, 32, 32)
    """
    if out is None:
        return _predict_array(source, PredictSettings.of({"dtype": "float32", **settings}))
    chosen = PredictSettings.of(settings)
    jobs = _plan_outputs(source, Path(out))
    reports, failures = [], []
    for volume_source, output in jobs:
        try:
            run = _Run.plan(_open(volume_source, chosen), chosen, output)
            reports.append(run.execute(mode, on_progress))
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


def _predict_array(source: Array | str | Path, settings: PredictSettings) -> Array:
    """Predict in memory, serially: nothing is written."""
    run = _Run.plan(_open(source, settings), settings, None)
    blocks = run.blocks()
    output = ArrayVolume(np.zeros(run.roi.shape, settings.dtype))
    report = run_blocks(run.work(output, None), blocks, ledger=Ledger.create(None, {}), retries=0)
    _check(report, blocks, "array")
    return output.voxels


def _open(source: Array | str | Path, settings: PredictSettings) -> Volume:
    return open_volume(
        source,
        channel=settings.channel,
        time=settings.time,
        voxel_size_um=settings.voxel_size,
    )


def _plan_outputs(source: Array | str | Path, out: Path) -> list[tuple[Array | str | Path, Path]]:
    """Pair each input volume with its output."""
    volumes = [source] if isinstance(source, np.ndarray) else find_volumes(source)
    single = is_output_file(out)
    if out.suffix and not single and not out.is_dir():
        raise OutputError(
            "the output is .ome.zarr, .tif, or a folder",
            found=out.suffix,
            where=str(out),
            cure=f"{out.with_suffix('.ome.zarr')}, for example",
        )
    if not isinstance(source, np.ndarray) and Path(source).resolve() == out.resolve() and single:
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
            "several volumes go into a folder",
            found=f"{len(volumes)} volumes in {source}, one output file",
            where=str(out),
            cure=f"-o {out.with_suffix('').with_suffix('')}",
        )
    return [(volume, out / f"{_stem(volume)}_prob.tif") for volume in volumes]


def _stem(source: Array | str | Path) -> str:
    if isinstance(source, np.ndarray):
        return "array"
    return stem_of(source)


@dataclass(frozen=True)
class _Run:
    """One volume, one model, one output: planned before anything is written."""

    source: Volume
    model: Model
    settings: PredictSettings
    output: Path | None
    roi: Box
    block_shape: Zyx
    halo: int
    device: str
    precision: str

    @classmethod
    def plan(cls, source: Volume, settings: PredictSettings, output: Path | None) -> _Run:
        """Choose device, precision and blocks."""
        settle_memory()
        from neuroglow.network.checkpoint import load_model
        from neuroglow.network.inference import bytes_per_voxel, choose_device, choose_precision
        from neuroglow.network.models import find_model

        model = load_model(find_model(settings.model))
        device = choose_device(settings.device)
        dtype = choose_precision(settings.precision, device)
        roi = parse_box(settings.roi, source.shape) if settings.roi else Box.of(source.shape)
        halo = model.settings.halo if settings.halo is None else settings.halo
        budget = settings.max_memory // settings.workers - PROCESS_BYTES
        voxels = max(0, budget) // bytes_per_voxel(model, dtype)
        whole = Box.of(source.shape)
        block_shape = plan_block_shape(roi, halo=halo, unit=CHUNK, voxels=voxels, within=whole)
        if block_shape is None:
            raise _no_room(halo, voxels)
        precision = str(dtype).removeprefix("torch.")
        return cls(source, model, settings, output, roi, block_shape, halo, str(device), precision)

    def blocks(self) -> tuple[Block, ...]:
        """Cut the region into blocks; the network sees the same grid in each."""
        stride = int(self.model.network.stride)  # type: ignore[arg-type]  # every network has one
        whole = Box.of(self.source.shape)
        return tile(self.roi, self.block_shape, halo=self.halo, align=stride, within=whole)

    def work(self, output: WritableVolume, projections: Path | None) -> EnhanceBlock:
        """Make the work that a worker does on each block."""
        noise_units = self.model.settings.normalisation.kind == "noise_units"
        return EnhanceBlock(
            source=self.source,
            output=output,
            roi=self.roi,
            model=(self.model.path, self.model.sha256),
            hardware=(self.device, self.precision),
            gated=self.settings.gate and noise_units,
            projections=projections,
            views=self.settings.views,
        )

    def fingerprint(self) -> dict[str, str]:
        """Name all that decides the output's voxels."""
        decides = {"roi", "dtype", "channel", "time", "gate", "views"}
        chosen = self.settings.model_dump(include=decides, mode="json")
        chosen |= {"halo": self.halo, "device": self.device, "precision": self.precision}
        return {
            "model": self.model.sha256,
            "settings": hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest(),
            "input": self.source.identity,
            "grid": f"{self.roi} in blocks of {self.block_shape}",
        }

    def execute(self, mode: Mode, on_progress: Progress | None) -> PredictReport:
        """Run all blocks, then publish the output with its picture and record."""
        assert self.output is not None
        unfinished = Unfinished(self.output)
        if mode == "resume" and not unfinished.folder.exists():
            before = self._finished_before()
            if before:
                return before
        with unfinished.claimed():
            return self._execute(unfinished, mode, on_progress)

    def _execute(
        self, unfinished: Unfinished, mode: Mode, on_progress: Progress | None
    ) -> PredictReport:
        ledger = unfinished.prepare(mode, self.fingerprint())
        blocks = self.blocks()
        output = unfinished.volume(self._spec())

        def tell(report: BlockReport) -> None:
            if on_progress:
                on_progress(self.source.name, report, blocks)

        try:
            report = run_blocks(
                self.work(output, unfinished.projections),
                blocks,
                ledger=ledger,
                workers=local_workers(self.settings.workers, initializer=self._share_cores()),
                on_progress=tell,
            )
        except StoppedError as stopped:
            raise StoppedError(
                stopped.rule,
                found=stopped.found,
                where=str(unfinished.folder),
                cure="the same command with --resume goes on where it stopped",
            ) from None
        if not report.finished:
            unfinished.discard()
            _check(report, blocks, self.source.name)
        result = self._describe(unfinished.projections, report)
        unfinished.publish(output, complete=report.ok)
        _check(report, blocks, str(self.output))
        return result

    def _spec(self) -> VolumeSpec:
        return VolumeSpec(
            shape=self.roi.shape,
            dtype=np.dtype(self.settings.dtype),
            voxel_size_um=self.source.voxel_size_um,
            block_shape=self.block_shape,
            chunk_shape=(CHUNK, CHUNK, CHUNK),
            origin_vox=self.roi.start,
        )

    def _share_cores(self) -> Callable[[], object] | None:
        if self.settings.workers == 1:
            return None
        return partial(use_threads, max(1, (os.cpu_count() or 1) // self.settings.workers))

    def _describe(self, projections: Path, report: BlockReport) -> PredictReport:
        """Write picture and record beside the output."""
        assert self.output is not None
        picture, record = _beside(self.output)
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
        with writing(record):
            draw_picture(picture, pairs, titles=("raw", "probability"), note=note)
            record.write_text(json.dumps(self._record(report), indent=1), encoding="utf-8")
        return PredictReport(self.output, picture, record, report)

    def _finished_before(self) -> PredictReport | None:
        """Give the report of an earlier run of the very same, when its output is whole."""
        assert self.output is not None
        picture, record = _beside(self.output)
        if not (self.output.exists() and record.exists()):
            return None
        kept = json.loads(record.read_text(encoding="utf-8"))
        if kept.get("fingerprint") != self.fingerprint() or not kept["complete"]:
            return None
        total, done, skipped = (kept["report"][name] for name in ("total", "done", "skipped"))
        return PredictReport(
            self.output, picture, record, BlockReport(total, done, skipped, {}, total)
        )

    def _record(self, report: BlockReport) -> dict[str, Any]:
        packages = ("neuroglow", "numpy", "torch", "zarr", "tifffile")
        return {
            "complete": report.ok,
            "fingerprint": self.fingerprint(),
            "input": {
                "name": self.source.name,
                "identity": self.source.identity,
                "shape": self.source.shape,
                "dtype": str(self.source.dtype),
                "voxel_size_um": self.source.voxel_size_um,
            },
            "model": {"name": self.model.settings.name, "sha256": self.model.sha256},
            "settings": self.settings.model_dump(mode="json"),
            "used": {
                "roi": str(self.roi),
                "block_shape": self.block_shape,
                "halo": self.halo,
                "device": self.device,
                "precision": self.precision,
            },
            "versions": {name: version(name) for name in packages},
            "report": report.to_dict(),
            "skipped_blocks": "listed as 'skipped'; they hold zeros",
        }


def _beside(output: Path) -> tuple[Path, Path]:
    """Name the picture and the record of an output."""
    stem = output.with_name(_stem(output).removesuffix("_prob"))
    return Path(f"{stem}_mip.png"), Path(f"{stem}_run.json")


def _no_room(halo: int, voxels: int) -> SettingsError:
    return SettingsError(
        "a worker needs memory for one block of 64 x 64 x 64 voxels and its halo",
        found=f"room for {voxels} voxels, {(CHUNK + 2 * halo) ** 3} are needed",
        where="--max-memory",
        cure="more memory, fewer --workers, or a smaller --halo",
    )


def _check(report: BlockReport, blocks: Sequence[Block], where: str) -> None:
    """Raise BlocksFailedError that names each failed block, when there is one."""
    if report.ok:
        return
    named = [f"block {i} [{blocks[i].write}]: {why}" for i, why in sorted(report.failed.items())]
    raise BlocksFailedError(
        "every block must succeed; the others are complete",
        found=f"{report}{first_of(named, rest=', in the run record')}",
        where=where,
        cure="mend the cause, then the same command with --resume does the failed ones alone",
    )

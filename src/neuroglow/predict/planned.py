"""One prediction, planned before anything is written: one volume, one model, one output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.blocks.blockwise import BlockReport
from neuroglow.blocks.cluster import HERE, Place
from neuroglow.cores import cores_here
from neuroglow.files.names import absolute
from neuroglow.files.record import Beside, files_beside, read_record
from neuroglow.files.writing import hash_of
from neuroglow.formats.zarr_chunks import keep_chunks
from neuroglow.network.enhance import (
    EnhanceBlock,
    ModelOnDevice,
    begin_on_cluster,
    begin_worker,
    reuse_memory,
    settle_memory,
)
from neuroglow.network.machine import Machine, bytes_per_voxel, choose_machine, process_bytes
from neuroglow.network.model_settings import refuse_inverted
from neuroglow.network.patchwork import PatchworkBlock
from neuroglow.network.stored import StoredModel, read_model
from neuroglow.network.tiles import TILE, count_tiles
from neuroglow.pictures.overlays import draw_overlay
from neuroglow.pictures.view import View
from neuroglow.predict.memory import (
    CHUNK,
    of_second,
    pair_blocks,
    plan_blocks,
    plan_patches,
    room_of,
    roomier,
    share_out,
)
from neuroglow.predict.report import PredictReport
from neuroglow.predict.settings import PredictSettings
from neuroglow.progress import Tell
from neuroglow.runs.free_memory import spare_memory
from neuroglow.runs.run import Run, describe_run, write_record
from neuroglow.runs.shards import parse_shard
from neuroglow.runs.tissue_mask import AUTO, TissueMask, outside
from neuroglow.runs.unfinished import Mode
from neuroglow.space.geometry import Blocks, Box, Zyx, parse_box, tile, voxels_read
from neuroglow.space.pieces import check_pieces
from neuroglow.space.projections import has_middle, merge_projections
from neuroglow.space.volume import Volume, VolumeSpec, WritableVolume
from neuroglow.trees.place import place_of

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """One volume, one model, one output: planned before anything is written.

    at_once: blocks that a worker works on at once. room: bytes that it has for the first of them.
    """

    source: Volume
    model: StoredModel
    settings: PredictSettings
    output: Path | None
    roi: Box
    block_shape: Zyx
    halo: int
    machine: Machine
    workers: int = 1
    place: Place = HERE
    within: TissueMask | None = None
    at_once: int = 1
    room: int = 0

    @classmethod
    def plan(
        cls, source: Volume, settings: PredictSettings, output: Path | None, place: Place = HERE
    ) -> Prediction:
        """Choose device, precision and blocks."""
        settle_memory()
        known = settings.known_memory(output)
        settings = settings.with_memory(settings.processes, output, place.ask)
        model = read_model(settings.model)
        model.weights()  # damaged ones are found before anything is written
        refuse_inverted(model.settings.normalisation, invert=settings.invert)
        machine = place.ask(
            choose_machine,
            model.settings,
            engine=settings.engine,
            device=settings.device,
            precision=settings.precision,
            int8=model.int8_by_default,
        )
        roi = parse_box(settings.roi, source.shape) if settings.roi else Box.of(source.shape)
        halo = model.settings.halo if settings.halo is None else settings.halo
        patched = settings.tiling == "db-enhance"
        each = bytes_per_voxel(model.settings.network, machine)
        if patched:
            halo, plan = 0, partial(plan_patches, each, roi, source.shape)
            cost: Callable[[Zyx], int] = lambda _: 1  # noqa: E731  # patches do not shrink
        else:
            plan = partial(plan_blocks, each, roi, source.shape, halo=halo)
            cost = partial(voxels_read, roi, halo=halo, within=Box.of(source.shape))
        if known is None and place is HERE and not settings.shard:  # all shards have equal blocks
            settings = roomier(settings, spare_memory(), process_bytes(machine), plan, cost)
        whole = roi.shape if place is HERE and not settings.shard else None
        cores = cores_here() if place is HERE and machine.kind == "cpu" else None
        workers, shape = share_out(settings, process_bytes(machine), plan, cost, whole, cores=cores)
        room, at_once = room_of(settings.memory, workers, process_bytes(machine)), 1
        check_pieces(source, room)
        if workers == 1 and not patched:
            at_once, shape = pair_blocks(shape, each, roi, source.shape, room, halo=halo)
        if at_once > 1:
            room -= of_second(shape, roi, source.shape, halo=halo)
        within = TissueMask.of(settings.mask, source) if settings.mask else None
        made = (source, model, settings, output, roi, shape, halo, machine, workers)
        return cls(*made, place, within, at_once, room)

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
            model=self._model(),
            gated=self.settings.gate and noise_units and not patched,
            projections=projections,
            views=self.settings.views,
            halo=self.halo,
            within=self.within,
            room=self.room if projections and len(self.blocks()) > 1 else 0,
        )

    def _model(self) -> ModelOnDevice:
        return ModelOnDevice(self.model.path, self._model_hash, self.machine)

    @property
    def _model_hash(self) -> str:
        return self.model.hash_in(self.machine.precision)

    def fingerprint(self) -> dict[str, str]:
        """Return everything that determines the output's voxels."""
        decides = {"roi", "dtype", "channel", "time", "gate", "views"}
        chosen = self.settings.model_dump(include=decides, mode="json")
        machine = self.machine
        chosen |= {"halo": self.halo, "device": machine.kind, "precision": machine.precision}
        if self.settings.gate:
            chosen |= {"gate": f"by tile of {TILE}, lines and single boxes"}
        if machine.engine != "torch":
            chosen |= {"engine": machine.engine}
        if self.settings.invert:
            chosen |= {"invert": True}
        if self.within:
            chosen |= {"mask": self.within.identity}
        if self.settings.tiling != "blocks":
            chosen |= {"tiling": self.settings.tiling}
        return {
            "model": self._model_hash,
            "settings": hash_of(chosen),
            "input": self.source.identity,
            "grid": f"{self.roi} in blocks of {self.block_shape}",
        }

    def execute(
        self, mode: Mode, on_progress: Tell | None, check: Callable[[], object]
    ) -> PredictReport:
        """Run all blocks, then publish the output with its picture and record; check: of Run."""
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
            max_memory=self.settings.memory,
        )
        try:
            report = run.execute(
                mode,
                self.work,
                partial(self._describe, run),
                workers=self.place.workers(
                    self.workers,
                    begin=self._begin_worker(),
                    limit_s=self.settings.time_limit,
                    at_once=self.at_once,
                ),
                on_progress=on_progress,
                check=check,
            )
        finally:
            keep_chunks(0)
        beside = files_beside(self.output)
        shard = self.settings.shard
        kept = (None if shard else read_record(self.output)) or {}
        return PredictReport(
            self.output,
            beside.picture,
            beside.record,
            report,
            shard=shard,
            tiles=kept.get("tiles", {}),
            outside=kept.get("used", {}).get("outside"),
        )

    def _again(self) -> dict[str, Any]:
        """Give all that `finish` needs to publish this run, from any folder."""
        chosen = self.settings.model_dump(
            mode="json", exclude_unset=True, exclude={"shard", "scheduler", "time_limit"}
        )
        chosen |= {"model": str(self.model.path.resolve()), "dtype": self.settings.dtype}
        if self.settings.mask and self.settings.mask != AUTO:
            chosen |= {"mask": absolute(self.settings.mask)}
        return {"verb": "predict", "source": absolute(self.source.name), "settings": chosen}

    def _spec(self) -> VolumeSpec:
        return VolumeSpec(
            shape=self.roi.shape,
            dtype=np.dtype(self.settings.dtype),
            voxel_size_um=self.source.voxel_size_um,
            block_shape=self.block_shape,
            chunk_shape=(CHUNK, CHUNK, CHUNK),
            origin_vox=self._origin(),
            effort=1,  # twice as fast as 3, and 1 % larger
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
        if self.place.remote:
            return partial(begin_on_cluster, self._model())
        if count == 1:
            return None
        turn = get_context("spawn").Value("i", 0)
        return partial(begin_worker, max(1, cores_here() // count), turn)

    def _describe(self, run: Run, report: BlockReport, projections: Path, beside: Beside) -> None:
        """Draw the picture and write the record."""
        reuse_memory()
        files = sorted(projections.glob("*.npz"))
        pairs = [
            (
                merge_projections(files, self.roi.shape, "raw" + of),
                merge_projections(files, self.roi.shape, "probability" + of, levels=255),
            )
            for of in ("", "_middle")[: 1 + has_middle(self.roi.shape)]
        ]
        state = "" if report.ok else f"   INCOMPLETE: {len(report.failed)} blocks failed (red)"
        note = f"{Path(self.source.name).name}, model {self.model.settings.name}{state}"
        view = View.of(self.roi.shape, self.source.voxel_size_um)
        draw_overlay(beside.picture, view, pairs, words="probability", note=note)
        write_record(beside, self._record(run, report) | {"tiles": count_tiles(files)})

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
            | ({"outside": outside(self.within, run.blocks)} if self.within else {})
            | ({"engine_because": self.machine.because} if self.machine.because else {}),
            "versions": record["versions"] | self.machine.versions,
            "skipped_blocks": "listed as 'skipped'; they hold zeros",
        }

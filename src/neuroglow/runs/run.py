"""A run that makes one output block by block; the same in every verb.

    claim the output -> prepare or resume -> blocks -> picture and record -> publish

All files of an unfinished run are in OUTPUT.partial (unfinished.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from neuroglow.blocks.blockwise import BlockReport, Work, run_blocks
from neuroglow.blocks.executors import Workers
from neuroglow.blocks.outcome import block_names, refuse_failures, resumable
from neuroglow.errors import OutputError
from neuroglow.files.record import Beside, files_beside, is_record, read_record, stamp_record
from neuroglow.files.remote import RemotePath
from neuroglow.files.writing import hash_of, writing
from neuroglow.progress import Tell, counted_as
from neuroglow.runs.shards import Shard
from neuroglow.runs.unfinished import CONTINUED, Mode, Unfinished
from neuroglow.space.geometry import Blocks
from neuroglow.space.volume import Volume, VolumeSpec, WritableVolume

__all__ = ["Run", "describe_run", "write_record"]

MakeWork = Callable[[WritableVolume, Path], Work]
"""Makes the function that works on a block, from the output and the folder of projections."""

Describe = Callable[[BlockReport, Path, Beside], None]
"""Draws the picture and writes the record, from the folder of projections."""


@dataclass(frozen=True)
class Run:
    """One output, planned before anything is written.

    name: of its input. fingerprint: everything that determines the output's voxels; resuming
    another run is refused. kind: of output, for messages. publishes: only `whole` outputs, or also
    `partly` finished ones, which picture and record mark as such. shard: the part that is run; it
    publishes nothing. again: what `finish` needs to publish all shards. elsewhere: the address
    of the output; `output` is then its name, for the files that stay on this machine.
    max_memory: bytes for which the blocks were planned.
    """

    name: str
    output: Path
    spec: VolumeSpec
    blocks: Blocks
    fingerprint: Mapping[str, str]
    kind: Literal["prediction", "label", "conversion"]
    publishes: Literal["whole", "partly"] = "whole"
    shard: Shard | None = None
    again: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: RemotePath | None = None
    max_memory: int | None = None

    def _unfinished(self) -> Unfinished:
        if self.elsewhere is None:
            return Unfinished(self.output)
        from neuroglow.runs.remote_output import RemoteUnfinished  # zarr: takes long to import

        return RemoteUnfinished(self.output, self.elsewhere)

    @property
    def about(self) -> dict[str, Any]:
        """Describe the run in its ledger, for `status` and `finish`."""
        return {
            "kind": self.kind,
            "input": self.name,
            "blocks": len(self.blocks),
            "grid": list(self.blocks.grid),
            "origin_vox": list(self.spec.origin_vox),
            **({"again": dict(self.again)} if self.again else {}),
            **({"max_memory": self.max_memory} if self.max_memory else {}),
        }

    @property
    def voxels(self) -> int:
        """How many the blocks write."""
        return self.blocks.voxels

    @property
    def record_keys(self) -> tuple[str, ...]:
        """The keys in a record of this kind, and no other."""
        keys = {"prediction": ("model", "used"), "label": ("legend", "trees")}
        return (keys | {"conversion": ("voxels", "stored")})[self.kind]

    def execute(
        self,
        mode: Mode,
        make_work: MakeWork,
        describe: Describe,
        *,
        workers: Workers | None = None,
        on_progress: Tell | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> BlockReport:
        """Run all blocks, then publish the output with its picture and record.

        check: called when the blocks are done; where it raises, nothing is published.
        Raises OutputError for existing files that are not replaced, BlocksFailedError,
        StoppedError, WriteError.
        """
        unfinished = self._unfinished()
        self._check_shards()
        ended = mode in CONTINUED and not unfinished.folder.exists()
        if ended and (before := self.finished_before()):
            return before
        if self.shard:
            report = self._execute_shard(self.shard, mode, make_work, workers, on_progress)
            check()
            return report
        self._refuse_strangers(mode)
        with resumable(unfinished.folder), unfinished.claimed():
            beside = files_beside(self.output)
            ledger = unfinished.prepare(
                mode, self.fingerprint, beside=self._foreign(beside), about=self.about
            )
            volume = unfinished.volume(self.spec, anew=not ledger.statuses)
            report = run_blocks(
                make_work(volume, unfinished.projections),
                self.blocks,
                ledger=ledger,
                workers=workers,
                on_progress=counted_as(on_progress, Path(self.name).name, self.voxels),
            )
            check()
            if not report.finished:
                unfinished.discard()
            if not report.finished or self.publishes == "whole":
                self._refuse(report, unfinished.folder)
            with writing(beside.record):
                describe(report, unfinished.projections, beside)
            unfinished.publish(
                volume,
                complete=report.ok,
                workers=workers,
                tell=on_progress,
                state=hash_of(sorted(ledger.receipts.items())),
            )
            if self.elsewhere is None:
                stamp_record(self.output, beside.record)
            self._refuse(report, self.output)
        return report

    def _execute_shard(
        self,
        shard: Shard,
        mode: Mode,
        make_work: MakeWork,
        workers: Workers | None,
        on_progress: Tell | None,
    ) -> BlockReport:
        """Run the blocks of one shard; nothing is published."""
        unfinished, blocks = Unfinished(self.output), shard.of(self.blocks)
        with resumable(unfinished.folder), shard.claimed(unfinished):
            about = self.about | {"shard": str(shard), "shard_blocks": len(blocks)}
            ledger = shard.prepare(unfinished, mode, self.fingerprint, about)
            volume = unfinished.volume(self.spec, anew=not ledger.statuses)
            report = run_blocks(
                make_work(volume, unfinished.projections),
                blocks,
                ledger=ledger,
                workers=workers,
                on_progress=counted_as(on_progress, f"shard {shard}", blocks.voxels),
            )
        self._refuse(report, unfinished.folder)
        return report

    def _check_shards(self) -> None:
        """Refuse blocks of which two would write one shard: an error of the program."""
        blocks, spec = self.blocks, self.spec
        cut = any(n % shard for n, shard in zip(blocks.shape, spec.block_shape, strict=True))
        if blocks.roi.shape != spec.shape or cut:
            raise ValueError(
                f"blocks of {blocks.shape} in {blocks.roi.shape} are not whole shards "
                f"of {spec.block_shape} in {spec.shape}: two of them would write one"
            )

    def finished_before(self) -> BlockReport | None:
        """Return the report of an earlier identical run, if its output is complete."""
        kept = read_record(self.output) if self.output.exists() else None
        if kept is None or kept.get("fingerprint") != self.fingerprint or not kept["complete"]:
            return None
        total, done, skipped = (kept["report"][name] for name in ("total", "done", "skipped"))
        return BlockReport(total, done, skipped, {}, total)

    def _foreign(self, beside: Beside) -> list[Path]:
        """List the files with the output's names that no earlier run wrote."""
        ours = is_record(beside.record, *self.record_keys) and read_record(self.output)
        return [] if ours else [path for path in beside.files if path.exists()]

    def _refuse(self, report: BlockReport, where: Path) -> None:
        if not report.ok:
            refuse_failures(report, block_names(self.blocks), where, rest=", in the run record")

    def _refuse_strangers(self, mode: Mode) -> None:
        """Refuse to replace files that were not written by a run of this kind."""
        beside = files_beside(self.output)
        there = [path for path in (self.output, *beside.files) if path.exists()]
        record = beside.record
        ours = is_record(record, *self.record_keys)
        if ours and self.output.exists():
            ours = read_record(self.output) is not None
        if mode == "restart" and there and not ours:
            raise OutputError(
                f"only a {self.kind} is replaced",
                found=f"something else: {record.name} is missing, or not of this {self.kind}",
                where=str(there[0]),
                cure="another -o",
            )


def describe_run(
    run: Run, report: BlockReport, source: Volume, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the part of a record that is the same in every verb: plain values for JSON."""
    return {
        "output": run.output.name,
        "complete": report.ok,
        "origin_vox": list(run.spec.origin_vox),
        "fingerprint": dict(run.fingerprint),
        "input": {
            "name": source.name,
            "identity": source.identity,
            "shape": source.shape,
            "dtype": str(source.dtype),
            "voxel_size_um": source.voxel_size_um,
        },
        "settings": dict(settings),
        "report": report.to_dict(),
        "versions": {name: version(name) for name in ("neuroglow", "numpy", "zarr", "tifffile")},
    }


def write_record(beside: Beside, record: Mapping[str, Any]) -> None:
    """Write the record of an output."""
    beside.record.write_text(json.dumps(record, indent=1), encoding="utf-8")

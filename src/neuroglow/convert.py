"""Convert: any volume that can be opened -> OME-Zarr, in slabs, verified voxel by voxel.

    read a slab -> write its shards -> read them back, compare -> pyramid, record

All files of an unfinished run are in OUTPUT.partial; OUTPUT appears when it is complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field

from neuroglow.blocks.blockwise import BlockReport
from neuroglow.blocks.cluster import Place, work_at
from neuroglow.errors import OutputError, ReadError, SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.files.names import absolute, bare_name
from neuroglow.files.record import Beside, files_beside, read_record
from neuroglow.files.remarks import remark_unsized
from neuroglow.files.remote import RemotePath, remote_path
from neuroglow.files.writing import hash_of, writing
from neuroglow.formats.opening import open_watched
from neuroglow.printed import Printed
from neuroglow.progress import Tell
from neuroglow.runs.free_memory import Memory
from neuroglow.runs.run import Run, describe_run, write_record
from neuroglow.runs.shards import lines_of_shard, parse_shard
from neuroglow.runs.unfinished import Mode
from neuroglow.settings import check_settings
from neuroglow.space.arrays import VolumeSource, is_path
from neuroglow.space.geometry import Block, Blocks, Box, Roi, Zyx, box_text, parse_box, tile
from neuroglow.space.pieces import check_pieces
from neuroglow.space.volume import Array, Compression, Volume, VolumeSpec, WritableVolume
from neuroglow.trees.place import place_of

__all__ = ["ConvertReport", "ConvertSettings", "convert"]

PROCESS_BYTES = 220_000_000
"""Memory of a worker besides the voxels of its slab (measured)."""

COPIES = 3.5
"""Memory for a slab, in its own bytes: as read, in the order zyx, one shard in the codec."""

HOW = {"max_memory", "workers", "scheduler", "part", "time_limit"}
"""Settings that do not decide on what is written."""


class ConvertSettings(Memory):
    """All settings of a conversion, besides input and output; flat, frozen, saved in the record.

    roi: `Z0:Z1,Y0:Y1,X0:X1` in voxels, the part that is converted. voxel_size: micrometres along
    z, y, x; overrides the metadata. channel, time: if there are several.
    chunk: voxels along z, y, x of a chunk, the unit of reading; shard: of a shard, which is one
    file and has whole chunks. compression: `zstd`, `lz4`, `zlib` or `none`; effort: 1 (fast) to 9
    (small). coarser: how the levels of the pyramid are made: `mean`, or `nearest` for labels.
    workers: number of processes; scheduler: a cluster instead, as in predict; max_memory is then
    that of one worker. part: `3/16`, a part of the slabs for job arrays, as `shard` is in predict
    (`--shard`); `neuroglow finish` publishes all parts. time_limit: seconds that a block may take;
    then its process is ended, and it is tried again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    roi: Annotated[str | None, BeforeValidator(box_text)] = None
    voxel_size: tuple[float, float, float] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    chunk: tuple[int, int, int] = (64, 64, 64)
    shard: tuple[int, int, int] = (64, 512, 512)
    compression: Compression = "zstd"
    effort: int = Field(default=3, ge=1, le=9)
    coarser: Literal["mean", "nearest"] = "mean"
    workers: int = Field(default=1, ge=1)
    scheduler: str | None = None
    part: str | None = None
    time_limit: float | None = Field(default=None, gt=0)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ConvertSettings:
        """Check values that a person gave; raises SettingsError that names the first wrong one."""
        chosen = check_settings(cls, values)
        pairs = list(zip(chosen.chunk, chosen.shard, strict=True))
        if not all(c > 0 and s > 0 and s % c == 0 for c, s in pairs):
            near = [max(1, round(s / max(1, c))) * max(1, c) for c, s in pairs]
            raise SettingsError(
                "a shard has whole chunks along z, y and x",
                found=f"chunks of {chosen.chunk}, shards of {chosen.shard}",
                where="--shard-shape",
                cure=f"--shard-shape {','.join(map(str, near))}",
            )
        return chosen


@dataclass(frozen=True, repr=False)
class ConvertReport(Printed):
    """The result of a conversion: the volume, its record, the state of blocks, the checksum.

    voxels: checksum of all voxels, of the input as read and of the output as read back. part: the
    one that was converted; there is no volume before `finish`.
    """

    output: Path
    record: Path
    blocks: BlockReport
    voxels: str
    stored: Mapping[str, Any]
    part: str | None = None

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        if self.part:
            yield from lines_of_shard(self.part, self.output, self.blocks)
            return
        yield str(self.output)
        yield str(self.blocks)
        yield f"every voxel read back and compared with the input; checksum {self.voxels}"
        yield f"chunks {self.stored['chunk']} in shards {self.stored['shard']}, {self._size()}"
        yield f"record  {self.record}"

    def _size(self) -> str:
        held, raw = self.stored["bytes"], self.stored["bytes_of_voxels"]
        return f"{held / 1e6:.1f} MB for {raw / 1e6:.1f} MB of voxels, without the pyramid"


@spelled_out(ConvertSettings)
def convert(  # noqa: PLR0913  # every option, for editors
    source: VolumeSource,
    *,
    out: str | Path,
    roi: Roi | None = None,
    voxel_size: Sequence[float] | None = None,
    channel: int | None = None,
    time: int | None = None,
    chunk: Sequence[int] = (64, 64, 64),
    shard: Sequence[int] = (64, 512, 512),
    compression: Compression = "zstd",
    effort: int = 3,
    coarser: Literal["mean", "nearest"] = "mean",
    max_memory: int | str | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    part: str | None = None,
    time_limit: float | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> ConvertReport:
    """Convert a volume to OME-Zarr 0.5 with a pyramid, block by block, without changing a voxel.

    source: anything that open_volume opens. out: `.ome.zarr` or `.zarr`, also at an address that
        can be written (`s3://`, `gs://`); ledger and record are then in the current folder.
    mode: `new` refuses an existing output; `resume` continues an unfinished conversion of the
        same input with the same settings; `retry-failed` does only the failed blocks of one that
        has ended; `restart` replaces.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        ConvertSettings.

    Raises UsageError for invalid requests, BlocksFailedError when blocks could not be read or did
    not read back as they were written, StoppedError on Ctrl-C.
    """
    chosen, output = ConvertSettings.of(given()), Path(out)
    _check_output(source, output)
    elsewhere = remote_path(out)
    if elsewhere and mode == "restart":
        raise OutputError(
            "an output in a store elsewhere is not replaced",
            found="--restart",
            where=str(elsewhere),
            cure="remove it by the store's own tool, then leave out --restart",
        )
    output = Path(elsewhere.name) if elsewhere else output
    apart = "scheduler" if chosen.scheduler else "part" if parse_shard(chosen.part) else ""
    if apart and not is_path(source):
        raise SettingsError(
            "other processes work from files to a file", found="an array", where=apart
        )
    if chosen.part and elsewhere:
        raise SettingsError(
            "shards of a run leave their ledgers next to its output, on this machine",
            found=f"an output in a store elsewhere: {elsewhere}",
            where=f"--shard {chosen.part}",
            cure="leave out --shard (--workers and --scheduler work), or convert to a folder",
        )
    with work_at(chosen.scheduler) as place:
        chosen = chosen.with_memory(chosen.workers, output, place.ask)
        volume, check = open_watched(
            source, channel=chosen.channel, time=chosen.time, voxel_size_um=chosen.voxel_size
        )
        run = _Conversion.plan(volume, chosen, place)
        return run.execute(output, elsewhere, mode, on_progress, check)


def _check_output(source: VolumeSource, output: Path) -> None:
    if output.suffix.lower() != ".zarr":
        raise OutputError(
            "a volume is converted to OME-Zarr",
            found=output.suffix or "no ending",
            where=str(output),
            cure=f"-o {bare_name(output)}.ome.zarr",
        )
    if is_path(source) and Path(source).resolve() == output.resolve():
        raise OutputError(
            "the output must not be the input", found="the same path", where=str(output)
        )


@dataclass(frozen=True)
class ConvertBlock:
    """The work on one slab: read it, write its shards, read them back."""

    source: Volume
    output: WritableVolume
    roi: Box
    sums: Path

    def __call__(self, block: Block) -> Literal["done", "skipped"]:
        """Convert one slab; shards of zeros are not written."""
        voxels = self.source.read(block.write)
        if voxels.dtype.kind == "f":
            voxels += voxels.dtype.type(0)  # -0 becomes 0, which is what empty chunks hold
        place = block.write.relative_to(self.roi)
        sums, found = {}, False
        for shard in tile(place, self.output.block_shape):
            part = np.ascontiguousarray(voxels[shard.write.relative_to(place).slices])
            if part.any():
                found = True
                self.output.write(shard.write, part)
            sums[str(shard.write)] = self._compared(part, shard.write)
        with writing(file := self._sums(block)):
            file.write_text(json.dumps(sums), encoding="utf-8")
        return "done" if found else "skipped"

    def _compared(self, part: Array, place: Box) -> str:
        """Return the checksum of what was read, which what was written must have, too."""
        read, written = checksum(part), checksum(self.output.read(place))
        if read != written:
            raise ReadError(
                "voxels read back must be those that were written",
                found=f"checksum {written}, but {read} in the input",
                where=f"{self.output.name} [{place}]",
                cure="check the disk; then --resume",
            )
        return read

    def files(self, block: Block) -> list[Path]:
        """Name the files of a block: its shards, and their checksums."""
        return [*self.output.files(block.write.relative_to(self.roi)), self._sums(block)]

    def _sums(self, block: Block) -> Path:
        return self.sums / f"{block.index:08d}.json"


def checksum(voxels: Array) -> str:
    """Hash the voxels of an array (zyx), in the byte order of this machine."""
    return hashlib.blake2b(np.ascontiguousarray(voxels).data, digest_size=8).hexdigest()


@dataclass(frozen=True)
class _Conversion:
    """One volume to convert: planned before anything is written."""

    source: Volume
    settings: ConvertSettings
    roi: Box
    slab: Zyx
    place: Place

    @classmethod
    def plan(cls, volume: Volume, settings: ConvertSettings, place: Place) -> _Conversion:
        """Choose the slabs."""
        remark_unsized([] if volume.voxel_size_um else [volume.name])
        roi = parse_box(settings.roi, volume.shape) if settings.roi else Box.of(volume.shape)
        each = settings.memory // settings.workers - PROCESS_BYTES
        check_pieces(volume, each)
        return cls(volume, settings, roi, _plan_slab(volume, roi, settings, each), place)

    def execute(
        self,
        output: Path,
        elsewhere: RemotePath | None,
        mode: Mode,
        on_progress: Tell | None,
        check: Callable[[], object],
    ) -> ConvertReport:
        """Convert all slabs, then publish the volume with its record; check: of Run."""
        blocks = self.blocks()
        spec = self._spec()
        run = Run(
            self.source.name,
            output,
            spec,
            blocks,
            self.fingerprint(),
            kind="conversion",
            shard=parse_shard(self.settings.part),
            again=self._again(),
            elsewhere=elsewhere,
            max_memory=self.settings.memory,
        )
        report = run.execute(
            mode,
            lambda volume, folder: ConvertBlock(self.source, volume, self.roi, folder),
            partial(self._describe, run),
            workers=self.place.workers(self.settings.workers, limit_s=self.settings.time_limit),
            on_progress=on_progress,
            check=check,
        )
        beside, part = files_beside(output), self.settings.part
        if part:
            return ConvertReport(output, beside.record, report, "", {}, part)
        kept = read_record(output) or {}
        written = Path(str(elsewhere)) if elsewhere else output
        return ConvertReport(written, beside.record, report, kept["voxels"], kept["stored"])

    def _again(self) -> dict[str, Any]:
        """Give all that `finish` needs to publish this run, from any folder."""
        chosen = self.settings.model_dump(
            mode="json", exclude_unset=True, exclude={"part", "scheduler", "time_limit"}
        )
        source = absolute(self.source.name)
        return {"verb": "convert", "source": source, "settings": chosen}

    def blocks(self) -> Blocks:
        """Cut the region into slabs."""
        return tile(self.roi, self.slab)

    def fingerprint(self) -> dict[str, str]:
        """Return everything that determines the output's voxels and files."""
        chosen = self.settings.model_dump(mode="json", exclude=HOW)
        return {
            "settings": hash_of(chosen),
            "input": self.source.identity,
            "grid": f"{self.roi} in slabs of {self.slab}",
        }

    def _spec(self) -> VolumeSpec:
        place = place_of(self.source)
        begin = place.offset if place.certain else (0, 0, 0)
        z, y, x = (round(a) + b for a, b in zip(begin, self.roi.start, strict=True))
        return VolumeSpec(
            shape=self.roi.shape,
            dtype=self.source.dtype,
            voxel_size_um=self.source.voxel_size_um,
            block_shape=self.settings.shard,
            chunk_shape=self.settings.chunk,
            origin_vox=(z, y, x),
            coarser=self.settings.coarser,
            compression=self.settings.compression,
            effort=self.settings.effort,
        )

    def _describe(self, run: Run, report: BlockReport, sums: Path, beside: Beside) -> None:
        """Write the record, with one checksum of all voxels, whatever the slabs were."""
        every: dict[str, str] = {}
        for file in sorted(sums.glob("*.json")):
            every |= json.loads(file.read_text(encoding="utf-8"))
        stored = {
            "chunk": list(self.settings.chunk),
            "shard": list(self.settings.shard),
            "compression": self.settings.compression,
            "bytes": _bytes_below(sums.parent),
            "bytes_of_voxels": self.roi.size * self.source.dtype.itemsize,
        }
        record = describe_run(run, report, self.source, self.settings.model_dump(mode="json"))
        voxels = hash_of(sorted(every.items()))[:16]
        write_record(beside, record | {"voxels": voxels, "stored": stored})


def _plan_slab(volume: Volume, roi: Box, settings: ConvertSettings, each: int) -> Zyx:
    """Choose slabs as high as a shard, as wide and as deep as the memory of a worker allows.

    Whole rows come first, then whole planes: a strip of a TIFF is then decoded as rarely as can be.
    """
    z, y, x = settings.shard
    room = int(each / (COPIES * volume.dtype.itemsize))
    if room < z * y * x:
        raise SettingsError(
            "a worker needs memory for one shard",
            found=f"room for {max(0, room)} voxels; {z * y * x} are needed",
            where="--max-memory",
            cure="more memory, fewer --workers, or a smaller --shard-shape",
        )
    columns = min(-(-roi.shape[2] // x), room // (z * y * x))
    rows = min(-(-roi.shape[1] // y), room // (z * y * x * columns))
    return z, rows * y, columns * x


def _bytes_below(folder: Path) -> int:
    """Count the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

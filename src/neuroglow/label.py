"""Label: traced trees -> the label of their volume, block by block.

place the trees, report assumptions -> draw each block -> label, picture, record
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from neuroglow.blocks.blockwise import BlockReport
from neuroglow.blocks.cluster import Place, work_at
from neuroglow.errors import (
    InputError,
    OutputError,
    ReadError,
    SettingsError,
)
from neuroglow.face import given, spelled_out
from neuroglow.files.names import absolute, bare_name, is_output_file
from neuroglow.files.record import Beside, files_beside, read_record
from neuroglow.files.remarks import remark_unsized
from neuroglow.files.writing import file_sha256, hash_of, writing
from neuroglow.formats.opening import open_watched
from neuroglow.labels.label_values import crowded
from neuroglow.labels.labels import BACKGROUND, LEGEND, MASK_LEGEND, NEURITE
from neuroglow.pictures.overlays import draw_overlay
from neuroglow.pictures.view import View
from neuroglow.printed import Printed
from neuroglow.progress import Tell
from neuroglow.runs.run import Run, describe_run, write_record
from neuroglow.runs.shards import lines_of_shard, parse_shard
from neuroglow.runs.unfinished import Mode
from neuroglow.settings import check_settings
from neuroglow.space.arrays import VolumeSource, is_path
from neuroglow.space.geometry import Block, Blocks, Box, tile
from neuroglow.space.projections import merge_projections, save_projections
from neuroglow.space.volume import Array, Volume, VolumeSpec, WritableVolume
from neuroglow.trees.drawn_trees import MARGIN_VOX, DrawnTrees, draw_files, find_trees
from neuroglow.trees.place import place_of
from neuroglow.trees.swc import Tree, one_by_one
from neuroglow.trees.swc_unit import SwcUnit

__all__ = ["LabelReport", "LabelSettings", "label"]

CHUNK = 64

MANY = 65_534
"""Maximum number of neurites with own numbers; 0 is background, and 65535 is not used."""


class LabelSettings(BaseModel):
    """All settings of a label, besides trees and volume; flat, frozen, saved with the label.

    swc_unit: of the trees; by default from their headers, else micrometres. offset: position of the
    volume's first voxel in the larger volume of the trees, in voxels along z, y, x; by
    default from its own translation, record or manifest, else none.
    radius_um: for every neurite, instead of the trees' own.
    margin_vox: width of the ignored margin, in voxels of the finest axis; 0 for no margin.
    ids: number the trees (roots) from 1, in the order of files, without a margin.
    voxel_size: micrometres along z, y, x; overrides the volume's metadata.
    channel, time: of the volume, for the picture; invert: the same, if neurites are darker than
    the background. block: voxels per axis that are drawn together.
    workers: number of processes. scheduler: a cluster instead. shard: `3/16`, a part of the blocks,
    for job arrays; `neuroglow finish` publishes all parts. time_limit: of a block; as in predict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    swc_unit: SwcUnit | None = None
    offset: tuple[float, float, float] | None = None
    radius_um: float | None = Field(default=None, gt=0)
    margin_vox: float = Field(default=MARGIN_VOX, ge=0)
    ids: bool = False
    voxel_size: tuple[float, float, float] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    invert: bool = False
    block: int = Field(default=128, ge=CHUNK, multiple_of=CHUNK, le=512)
    workers: int = Field(default=1, ge=1)
    scheduler: str | None = None
    shard: str | None = None
    time_limit: float | None = Field(default=None, gt=0)


HOW = {"block", "workers", "scheduler", "shard", "time_limit"}
"""Settings that do not affect the label's voxels."""


@dataclass(frozen=True, repr=False)
class LabelReport(Printed):
    """The result of a labelling: the label, its picture, its record, the state of blocks.

    legend: meaning of the values, as read by `--label-map`. notes: assumptions.
    """

    output: Path
    picture: Path
    record: Path
    blocks: BlockReport
    legend: str
    notes: Sequence[str]
    shard: str | None = None

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        if self.shard:
            yield from lines_of_shard(self.shard, self.output, self.blocks)
            return
        yield str(self.output)
        yield str(self.blocks)
        yield f"legend  {self.legend}"
        yield from self.notes
        yield f"picture {self.picture}"
        yield f"record  {self.record}"


@spelled_out(LabelSettings)
def label(  # noqa: PLR0913  # every option, for editors
    trees: str | Path,
    like: VolumeSource,
    *,
    out: str | Path,
    swc_unit: SwcUnit | None = None,
    offset: Sequence[float] | None = None,
    radius_um: float | None = None,
    margin_vox: float = 1.5,
    ids: bool = False,
    voxel_size: Sequence[float] | None = None,
    channel: int | None = None,
    time: int | None = None,
    invert: bool = False,
    block: int = 128,
    workers: int = 1,
    scheduler: str | None = None,
    shard: str | None = None,
    time_limit: float | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> LabelReport:
    """Draw traced trees as the label of a volume: 0 background, 1 neurite, 2 ignored.

    trees: an SWC file, or a folder of them. like: the volume (zyx array, or anything that
        open_volume opens) whose shape, voxel size and position the label takes.
    out: `.ome.zarr` or `.tif` (uint8; uint16 with `ids`).
    mode: `new`, `resume`, `retry-failed` or `restart`, as in predict.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        LabelSettings.

    Raises UsageError for a broken SWC file, trees outside the volume or in another unit, an
    output that exists; BlocksFailedError, WriteError, StoppedError as predict does.
    """
    chosen = check_settings(LabelSettings, given())
    if chosen.ids and "margin_vox" in chosen.model_fields_set and chosen.margin_vox:
        raise SettingsError(
            "numbered trees have no margin",
            found="--ids and --margin-vox",
            cure="leave out one of them",
        )
    output = Path(out)
    _check_output(output, like)
    apart = "scheduler" if chosen.scheduler else "shard" if parse_shard(chosen.shard) else ""
    if apart and not is_path(like):
        raise SettingsError(
            "other processes work from files to a file", found="an array", where=apart
        )
    with work_at(chosen.scheduler) as place:
        files = find_trees(trees)
        volume, check = open_watched(
            like,
            channel=chosen.channel,
            time=chosen.time,
            voxel_size_um=chosen.voxel_size,
            invert=chosen.invert,
        )
        run = _Labelling.plan(Path(trees), files, volume, chosen)
        return run.execute(output, mode, place, on_progress, check)


def _check_output(output: Path, like: VolumeSource) -> None:
    if not is_output_file(output):
        raise OutputError(
            "the label is .ome.zarr or .tif",
            found=output.suffix or "no such ending",
            where=str(output),
            cure=f"-o {bare_name(output)}.ome.zarr or -o {bare_name(output)}.tif",
        )
    if is_path(like) and Path(like).resolve() == output.resolve():
        raise OutputError(
            "the output must not be the input", found="the same path", where=str(output)
        )


@dataclass(frozen=True)
class NumberedTrees:
    """Trees drawn one by one with their numbers, from 1; where two meet the first one stays."""

    trees: Sequence[Tree]
    drawn: DrawnTrees
    reach: Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = field(repr=False)

    @classmethod
    def of(cls, drawn: DrawnTrees) -> NumberedTrees:
        """Take trees of one root each. Raises InputError if there are too many to number."""
        trees = one_by_one(drawn.tree)
        if len(trees) > MANY:
            raise InputError(
                f"at most {MANY} neurites are numbered", found=str(len(trees)), where="--ids"
            )
        unit = np.asarray(drawn.unit_um)
        reach = []
        for tree in trees:
            wide = max(float(tree.radii.max()), drawn.radius_um or 0.0, float(unit.min())) + unit
            low, high = tree.points.min(axis=0) - wide, tree.points.max(axis=0) + wide
            reach.append((low / unit, high / unit))
        return cls(trees, drawn, reach)

    def read(self, box: Box) -> Array:
        """Draw a box (zyx, uint16)."""
        numbers = np.zeros(box.shape, np.uint16)
        for number, (tree, (low, high)) in enumerate(zip(self.trees, self.reach, strict=True), 1):
            if (low < box.stop).all() and (high >= box.start).all():
                own = DrawnTrees(
                    tree, self.drawn.shape, self.drawn.unit_um, self.drawn.radius_um, margin_vox=0
                )
                numbers[(own.read(box) == NEURITE) & (numbers == 0)] = number
        return numbers


@dataclass(frozen=True)
class LabelBlock:
    """The work on one block: draw, write, and project it with the volume."""

    drawn: DrawnTrees | NumberedTrees
    volume: Volume
    output: WritableVolume
    projections: Path | None

    def __call__(self, block: Block) -> Literal["done", "skipped"]:
        """Draw one block and write it, if anything lies in it."""
        box = block.write
        values = self.drawn.read(box)
        if values.any():
            self.output.write(box, values)
        if self.projections:
            detected = values > 0 if values.dtype == np.uint16 else values == NEURITE
            images: dict[str, Array] = {"image": self._image(box), "label": detected}
            file, beside = self._own(self.projections, block)
            counts = [int(detected.sum()), int((values == BACKGROUND).sum())]
            with writing(file):
                beside.write_text(json.dumps(counts), encoding="utf-8")
                save_projections(file, images, box, self.volume.shape)
        return "done" if values.any() else "skipped"

    def files(self, block: Block) -> list[Path]:
        """Name the files of a block: its shard, its projections, its counts."""
        own = self._own(self.projections, block) if self.projections else ()
        return [*self.output.files(block.write), *own]

    def _own(self, folder: Path, block: Block) -> tuple[Path, Path]:
        return folder / f"{block.index:08d}.npz", folder / f"{block.index:08d}.json"

    def _image(self, box: Box) -> Array:
        """Read the volume for the picture; if it is damaged, the label is still drawn."""
        try:
            return self.volume.read(box).astype(np.float32)
        except ReadError:
            return np.full(box.shape, np.nan, np.float32)


@dataclass(frozen=True)
class _Labelling:
    """One label: planned before anything is written."""

    trees: Path
    files: Sequence[Path]
    volume: Volume
    drawn: DrawnTrees | NumberedTrees
    settings: LabelSettings
    notes: Sequence[str]

    @classmethod
    def plan(
        cls,
        trees: Path,
        files: list[Path],
        volume: Volume,
        settings: LabelSettings,
    ) -> _Labelling:
        """Place the trees in the volume."""
        if settings.swc_unit != "voxel":
            remark_unsized([] if volume.voxel_size_um else [volume.name])
        drawn, notes = draw_files(
            files,
            volume.shape,
            volume.voxel_size_um,
            settings.swc_unit,
            radius_um=settings.radius_um,
            margin_vox=settings.margin_vox,
            place=place_of(volume, settings.offset),
        )
        if not len(drawn.tree.points):
            raise InputError("a label needs trees with nodes", found="none", where=str(trees))
        numbered = NumberedTrees.of(drawn) if settings.ids else drawn
        return cls(trees, files, volume, numbered, settings, notes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the label's voxels."""
        return np.dtype(np.uint16 if self.settings.ids else np.uint8)

    @property
    def legend(self) -> str:
        """Meaning of the values."""
        if isinstance(self.drawn, NumberedTrees):
            return f"0: background, 1 to {len(self.drawn.trees)}: one tree each"
        return LEGEND if self.settings.margin_vox else MASK_LEGEND

    def blocks(self) -> Blocks:
        """Divide the volume into blocks."""
        return tile(Box.of(self.volume.shape), (self.settings.block,) * 3)

    def fingerprint(self) -> dict[str, str]:
        """Return everything that determines the label's voxels and its picture."""
        return {
            "settings": hash_of(self.settings.model_dump(mode="json", exclude=HOW)),
            "input": hash_of(
                self.volume.identity, [(f.name, file_sha256(f)) for f in self.files], self.notes
            ),
            "grid": f"{self.volume.shape} in blocks of {self.settings.block}",
        }

    def execute(
        self,
        output: Path,
        mode: Mode,
        place: Place,
        on_progress: Tell | None,
        check: Callable[[], object],
    ) -> LabelReport:
        """Draw all blocks, then publish the label with its picture and record; check: of Run."""
        run = Run(
            self.volume.name,
            output,
            self._spec(),
            self.blocks(),
            self.fingerprint(),
            kind="label",
            shard=parse_shard(self.settings.shard),
            again=self._again(),
        )
        report = run.execute(
            mode,
            self.work,
            partial(self._describe, run),
            workers=place.workers(self.settings.workers, limit_s=self.settings.time_limit),
            on_progress=on_progress,
            check=check,
        )
        beside, kept = files_beside(output), read_record(output) or {}
        notes = kept.get("notes", self.notes)
        shard = self.settings.shard
        return LabelReport(output, beside.picture, beside.record, report, self.legend, notes, shard)

    def _again(self) -> dict[str, Any]:
        """Give all that `finish` needs to publish this run, from any folder."""
        chosen = self.settings.model_dump(
            mode="json", exclude_unset=True, exclude={"shard", "scheduler", "time_limit"}
        )
        trees, source = str(self.trees.resolve()), absolute(self.volume.name)
        return {"verb": "label", "trees": trees, "source": source, "settings": chosen}

    def work(self, output: WritableVolume, projections: Path) -> LabelBlock:
        """Make the function that runs on each block."""
        return LabelBlock(self.drawn, self.volume, output, projections)

    def _spec(self) -> VolumeSpec:
        return VolumeSpec(
            shape=self.volume.shape,
            dtype=self.dtype,
            voxel_size_um=self.volume.voxel_size_um,
            block_shape=(self.settings.block,) * 3,
            chunk_shape=(CHUNK,) * 3,
            origin_vox=getattr(self.volume, "origin_vox", (0, 0, 0)),
            attributes={"neuroglow": {"legend": self.legend}},
            coarser="nearest",
        )

    def _describe(self, run: Run, report: BlockReport, projections: Path, beside: Beside) -> None:
        """Draw the picture and write the record."""
        files = sorted(projections.glob("*.npz"))
        image, detected = (
            merge_projections(files, self.volume.shape, name) for name in ("image", "label")
        )
        note = f"{Path(self.volume.name).name}, {len(self.files)} SWC, {self.notes[0]}"
        view = View.of(self.volume.shape, self.volume.voxel_size_um)
        draw_overlay(beside.picture, view, [(image, detected)], words="label", note=note)
        record = describe_run(run, report, self.volume, self.settings.model_dump(mode="json"))
        trees = [str(file) for file in self.files]
        notes = [*self.notes, *_doubts(projections)]
        own = {"legend": self.legend, "notes": notes, "trees": trees}
        write_record(beside, record | own)


def _doubts(projections: Path) -> list[str]:
    """Doubt a label of which blocks have drawn more neurite than background."""
    counts = [json.loads(file.read_text()) for file in sorted(projections.glob("*.json"))]
    neurites, background = (sum(count[i] for count in counts) for i in (0, 1))
    said = crowded(neurites, background, "a smaller --radius-um or the right voxel size thins it")
    return [said] if said else []

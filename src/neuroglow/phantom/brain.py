"""Make one volume of any size, block by block, from one set of trees.

    OUT/image.ome.zarr  OUT/label.ome.zarr   the volume and its truth
    OUT/tree.swc  OUT/neurites.csv           all trees, in micrometres; one row per neurite
    OUT/brain.json  OUT/brain.png            the drawn values; projections

Trees are grown once, one at a time, and all that shines is sorted into files by place. The
volume is then rendered in cells of 64 voxels on a grid that is fixed to its origin: a cell
depends only on the trees and the seed, and a block is assembled from cells, so the voxels are
the same however it is divided, and whichever process renders it. Memory does not grow with it.
"""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroglow.blocks.blockwise import BlockReport, run_blocks
from neuroglow.blocks.cluster import work_at
from neuroglow.blocks.executors import Workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import block_names, fingerprint_of, refuse_failures, resumable
from neuroglow.errors import SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.files.writing import writing
from neuroglow.formats.opening import create_volume
from neuroglow.phantom.anatomy import Item, populate
from neuroglow.phantom.files import (
    COMMENT,
    TABLE_COLUMNS,
    draw_projections,
    put_in_place,
    refuse_foreign,
    shown_truth,
    write_record,
)
from neuroglow.phantom.marks import REACH, Marks
from neuroglow.phantom.microscope import Ellipsoid, Microscope
from neuroglow.phantom.neurons import read_neurons
from neuroglow.phantom.region import Length, Range, RegionSettings
from neuroglow.phantom.truth import clip, describe, forest
from neuroglow.pictures.view import View
from neuroglow.progress import Progress, Tell, counted_as, say_nothing, tell_share
from neuroglow.runs.unfinished import CONTINUED, Mode, Unfinished
from neuroglow.space.geometry import Block, Box, Zyx, tile
from neuroglow.space.projections import merge_projections, save_projections
from neuroglow.space.volume import VolumeSpec, WritableVolume
from neuroglow.trees.swc import swc_header, swc_rows

__all__ = ["BrainReport", "phantom_brain"]


CELL = 64
BUCKET = 256
"""Voxels per axis that are rendered together, and whose marks are filed together."""

LARGEST_CHUNK = 64
FORMAT = 1

FILLED = 0.95
"""Share of the volume's length along each axis that an ellipsoid of tissue fills."""


@dataclass(frozen=True)
class BrainReport:
    """The result of rendering a brain."""

    folder: Path
    image: Path
    label: Path
    picture: Path
    blocks: BlockReport


class BrainSettings(RegionSettings):
    """All that decides a phantom brain besides its seed: a region's settings, a larger shape.

    tissue: everywhere, or in an ellipsoid that nearly fills the volume, as a brain does, with
    nothing but the noise of the camera around it.
    """

    shape: tuple[Length, Length, Length] = (512, 512, 512)
    tissue: Literal["everywhere", "ellipsoid"] = "everywhere"

    def scope(self, seed: int) -> Microscope:
        """Draw the microscope, and with it the outline of the tissue."""
        drawn = Microscope.draw(self, seed)
        return replace(drawn, body=self._body()) if self.tissue == "ellipsoid" else drawn

    def _body(self) -> Ellipsoid:
        z, y, x = ((n - 1) / 2 for n in self.shape)
        return Ellipsoid((z, y, x), (FILLED * z, FILLED * y, FILLED * x))


@spelled_out(BrainSettings)
def phantom_brain(  # noqa: PLR0913  # every option, for editors
    out: str | Path,
    *,
    region: str = "sparse",
    shape: Zyx = (512, 512, 512),
    tissue: Literal["everywhere", "ellipsoid"] = "everywhere",
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    swc: str | PathLike[str] | None = None,
    density: Range = (0.5, 4.0),
    snr: Range = (4.0, 60.0),
    radius: Range = (0.2, 0.8),
    dendrite: Range = (0.6, 1.6),
    length: Range = (150.0, 3000.0),
    tortuosity: Range = (0.03, 0.2),
    branches: float = 0.4,
    bundles: float = 0.05,
    beads: float = 0.5,
    puncta: float = 20.0,
    puncta_snr: Range = (2.0, 20.0),
    somata: float = 0.4,
    vessels: float = 2.0,
    tracts: float = 0.1,
    neurons: float = 0.0,
    nuclei: float = 0.0,
    microglia: float = 0.0,
    plaques: float = 0.0,
    body_snr: Range = (2.0, 40.0),
    vessels_as: Literal["background", "neurite", "ignore"] = "background",
    edge: float = 0.05,
    texture: Range = (0.0, 0.5),
    grain: Range = (0.2, 1.6),
    grain_size: Range = (1.6, 5.0),
    blur: Range = (0.5, 1.0),
    anisotropy: Range = (1.0, 2.2),
    depth_blur: Range = (0.0, 0.5),
    haze: Range = (0.0, 0.3),
    pedestal: Range = (3.0, 14.0),
    shot: Range = (0.1, 0.9),
    stripes: Range = (0.0, 0.06),
    tiles: Range = (0.0, 0.0),
    illumination: Range = (0.02, 0.15),
    bleaching: Range = (0.0, 0.2),
    correlation: Range = (0.0, 0.9),
    compression: Range = (0.0, 0.0),
    noise: Range = (15.0, 400.0),
    offset: Range = (50.0, 1500.0),
    saturation: Range = (60.0, 1000.0),
    bits: tuple[int, ...] = (8, 12, 16, 16, 16),
    seed: int = 1,
    block: int = 256,
    workers: int = 1,
    scheduler: str | None = None,
    time_limit: float | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> BrainReport:
    """Render one volume of any size as OME-Zarr, with its label, trees and table.

    block: voxels along each axis of a block, at least 16; it affects the speed, not the voxels.
    workers: number of processes. scheduler: a cluster instead of this machine; time_limit: seconds
        that a block may take; both as in predict.
    mode: `new` refuses an existing output; `resume` continues an unfinished one with the
        same settings, seed and block; `retry-failed` does only its failed blocks; `restart`
        replaces.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given.
    tissue: everywhere, or in an ellipsoid that nearly fills the volume, with noise around it.
    The other options are those of RegionSettings; an option that is not given has the value
    of the region, and the defaults shown are those of `sparse`.
    Raises SettingsError, OutputError, InputError, WriteError; BlocksFailedError; StoppedError.

    """
    chosen = BrainSettings.of(given())
    if block < 16:
        raise SettingsError("a block has at least 16 voxels per axis", found=str(block))
    run = _Brain.plan(Path(out), chosen, seed, block)
    with work_at(scheduler) as place:
        return run.execute(mode, place.workers(workers, limit_s=time_limit), on_progress)


@dataclass(frozen=True)
class _Brain:
    """One volume, planned before anything is written."""

    output: Path
    settings: BrainSettings
    seed: int
    block_shape: Zyx
    chunk: int
    scope: Microscope

    @classmethod
    def plan(cls, output: Path, settings: BrainSettings, seed: int, block: int) -> _Brain:
        """Choose blocks no larger than necessary, and draw the microscope."""
        if settings.swc:
            read_neurons(settings.swc)
        chunk = max(n for n in range(1, LARGEST_CHUNK + 1) if block % n == 0)
        z, y, x = (min(block, -(-n // chunk) * chunk) for n in settings.shape)
        return cls(output, settings, seed, (z, y, x), chunk, settings.scope(seed))

    def execute(self, mode: Mode, workers: Workers, on_progress: Tell | None) -> BrainReport:
        """Grow the trees, render all blocks, publish."""
        unfinished = Unfinished(self.output)
        refuse_foreign(self.output, "brain.json")
        if mode in CONTINUED and not unfinished.folder.exists() and (before := self._finished()):
            return self._report(before)
        with resumable(unfinished.folder), unfinished.claimed():
            blocks = tile(Box.of(self.settings.shape), self.block_shape)
            about = {"kind": "phantom brain", "blocks": len(blocks), "grid": list(blocks.grid)}
            ledger = unfinished.prepare(mode, self._fingerprint(), about=about)
            folder = unfinished.folder
            if not (folder / "marks/whole").exists():
                _file_anatomy(folder, self.settings, self.scope, self._tell_trees(on_progress))
            volumes = (self._volume(folder, "image"), self._volume(folder, "label"))
            work = RenderBlock(self.scope, folder / "marks", volumes, unfinished.projections)
            report = self._render(work, ledger, workers, on_progress)
            self._describe(folder, report)
            self._publish(folder, volumes, workers)
        return self._report(report)

    def _report(self, blocks: BlockReport) -> BrainReport:
        image, label = (self.output / f"{name}.ome.zarr" for name in ("image", "label"))
        return BrainReport(self.output, image, label, self.output / "brain.png", blocks)

    def _finished(self) -> BlockReport | None:
        """Return the report of an earlier identical run, if it is complete."""
        record = self.output / "brain.json"
        if not record.exists():
            return None
        kept = json.loads(record.read_text(encoding="utf-8"))
        if kept["fingerprint"] != self._fingerprint():
            return None
        total = int(kept["report"]["total"])
        return BlockReport(total=total, done=total, skipped=0, failed={}, resumed=total)

    def _render(
        self, work: RenderBlock, ledger: Ledger, workers: Workers, on_progress: Tell | None
    ) -> BlockReport:
        blocks = tile(Box.of(self.settings.shape), self.block_shape)
        voxels = Box.of(self.settings.shape).size
        report = run_blocks(
            work,
            blocks,
            ledger=ledger,
            workers=workers,
            on_progress=counted_as(on_progress, self.output.name, voxels),
        )
        refuse_failures(report, block_names(blocks), work.filed.parent)
        return report

    def _tell_trees(self, on_progress: Tell | None) -> Callable[[float], object]:
        """Make the callback for the progress of trees: at most a hundred reports."""
        tell = on_progress or say_nothing
        told: set[int] = set()

        def tell_trees(share: float) -> None:
            if (percent := int(100 * share)) not in told:
                told.add(percent)
                tell(Progress(f"{self.output.name}: trees", percent, 100, "%"))

        return tell_trees

    def _fingerprint(self) -> dict[str, str]:
        plain = [FORMAT, self.settings.model_dump(mode="json")]
        grid = {"grid": f"blocks of {self.block_shape}"}
        return fingerprint_of(plain, self.seed, self.settings.swc) | grid

    def _volume(self, folder: Path, name: str) -> Any:
        path = folder / f"{name}.ome.zarr"
        partial = path.with_name(path.name + ".partial")
        if path.exists() and not partial.exists():  # finished, and stopped before the end of all
            with writing(path):
                path.rename(partial)
        bits = 8 if name == "label" else self.scope.bits
        spec = VolumeSpec(
            shape=self.settings.shape,
            dtype=np.dtype(np.uint8 if bits == 8 else np.uint16),
            voxel_size_um=self.settings.voxel_size,
            block_shape=self.block_shape,
            chunk_shape=(self.chunk,) * 3,
            coarser="nearest" if name == "label" else "mean",
        )
        return create_volume(path, spec, resume=True)

    def _describe(self, folder: Path, report: BlockReport) -> None:
        files = sorted((folder / "projections").glob("*.npz"))
        image, label = (
            merge_projections(files, self.settings.shape, name) for name in ("image", "label")
        )
        record = {
            "synthetic": True,
            "seed": self.seed,
            "settings": self.settings.model_dump(mode="json"),
            "microscope": self.scope.to_dict(),
            "label": "0 background, 1 neurite, 2 ignore",
            "fingerprint": self._fingerprint(),
            "report": report.to_dict(),
        }
        write_record(folder / "brain.json", record)
        view = View.of(self.settings.shape, self.settings.voxel_size)
        draw_projections(folder / "brain.png", view, image, label, self.output.name)

    def _publish(self, folder: Path, volumes: Sequence[Any], workers: Workers) -> None:
        """Write the pyramids, and publish the folder in one rename."""
        for volume in volumes:
            volume.finish(workers=workers)
        with writing(self.output):
            for name in ("marks", "projections"):
                shutil.rmtree(folder / name)
            (folder / "ledger.jsonl").unlink()
        put_in_place(folder, self.output)


def _file_anatomy(
    folder: Path,
    settings: RegionSettings,
    scope: Microscope,
    tell: Callable[[float], object],
) -> None:
    """Grow all trees, one at a time, into tree.swc, neurites.csv and the files of marks."""
    filed, first, number, neuron = folder / "marks", 1, 0, 1
    bounds = Box.of(settings.shape).grow(REACH)
    with writing(folder):
        shutil.rmtree(filed, ignore_errors=True)
        filed.mkdir()
        with (
            (folder / "tree.swc").open("w", encoding="utf-8") as trees,
            (folder / "neurites.csv").open("w", encoding="utf-8", newline="") as rows,
        ):
            table = csv.DictWriter(rows, TABLE_COLUMNS, lineterminator="\n", extrasaction="ignore")
            table.writeheader()
            trees.writelines(f"{line}\n" for line in swc_header(forest([]), COMMENT))
            for item in populate(settings, scope):
                _file_marks(filed, item.marks, bounds)
                tell(item.share)
                if not item.neurites:
                    continue
                whole = forest([item.neurites], first_neuron=neuron)
                neuron += int((whole.parents < 0).sum())
                tree = clip(whole, settings, scope)
                trees.writelines(f"{row}\n" for row in swc_rows(tree, first=first))
                first += len(tree.points)
                for row in _rows(item, settings, scope):
                    number += 1
                    table.writerow({**row, "neurite": number})
        (filed / "whole").touch()


def _rows(item: Item, settings: RegionSettings, scope: Microscope) -> list[dict[str, Any]]:
    found = [describe(n, settings, scope, scope.visibility_at) for n in item.neurites]
    return [row for row in found if row]


def _file_marks(filed: Path, marks: Marks, bounds: Box) -> None:
    """Append marks to the files of the places where they are."""
    near = ((marks[:, :3] >= bounds.start) & (marks[:, :3] < bounds.stop)).all(axis=1)
    marks = marks[near]
    buckets = np.floor(marks[:, :3] / BUCKET).astype(np.int64)
    for bucket in np.unique(buckets, axis=0):
        chosen = marks[(buckets == bucket).all(axis=1)]
        with _bucket_file(filed, *bucket.tolist()).open("ab") as file:
            file.write(np.ascontiguousarray(chosen, np.float32).tobytes())


def _bucket_file(filed: Path, z: int, y: int, x: int) -> Path:
    return filed / f"{z}_{y}_{x}.float32"


def _read_bucket(path: Path) -> Marks:
    if not path.exists():
        return np.empty((0, 9), np.float32)
    return _read_marks(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=12)
def _read_marks(path: Path, written_ns: int) -> Marks:
    """Read a file of marks; the time distinguishes it from an earlier run at this path."""
    return np.fromfile(path, np.float32).reshape(-1, 9)


def _marks_near(filed: Path, box: Box) -> Marks:
    """Read the marks that may reach into a box, in an order that depends on it alone."""
    wide = box.grow(REACH)
    spans = zip(wide.start, wide.stop, strict=True)
    buckets = itertools.product(*(range(a // BUCKET, -(-b // BUCKET)) for a, b in spans))
    parts = [_read_bucket(_bucket_file(filed, *bucket)) for bucket in buckets]
    marks = np.concatenate(parts)
    near = ((marks[:, :3] >= wide.start) & (marks[:, :3] < wide.stop)).all(axis=1)
    return np.asarray(marks[near])


@dataclass(frozen=True)
class RenderBlock:
    """The work on one block: render each cell that it touches, and write image and label."""

    scope: Microscope
    filed: Path
    volumes: tuple[WritableVolume, WritableVolume]
    projections: Path

    def __call__(self, block: Block) -> str:
        """Render and write one block; returns "done"."""
        image, label = (np.empty(block.write.shape, v.dtype) for v in self.volumes)
        cells = block.write.grow(0, align=CELL)
        parts = tile(cells, (CELL, CELL, CELL))
        for number, cell in enumerate(parts):
            tell_share(block.index, number / len(parts))
            seen = self.scope.look(_marks_near(self.filed, cell.write), cell.write)
            part = cell.write.intersect(block.write)
            there, here = part.relative_to(block.write).slices, part.relative_to(cell.write).slices
            image[there], label[there] = seen.image[here], seen.label[here]
        for volume, voxels in zip(self.volumes, (image, label), strict=True):
            volume.write(block.write, voxels)
        with writing(self.projections):
            save_projections(
                self._picture(block),
                {"image": image, "label": shown_truth(label)},
                block.write,
                self.volumes[0].shape,
            )
        return "done"

    def files(self, block: Block) -> list[Path]:
        """Name the files of a block: a shard of the image, one of the label, its projections."""
        shards = [file for volume in self.volumes for file in volume.files(block.write)]
        return [*shards, self._picture(block)]

    def _picture(self, block: Block) -> Path:
        return self.projections / f"{block.index}.npz"

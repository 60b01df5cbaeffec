"""Make a pool of cubes that vary as regions of a brain do, in DB-Enhance's layout.

    OUT/image/  OUT/label/  OUT/swc/  OUT/neurites/   one file per cube
    OUT/record/                                       the values drawn for it
    OUT/manifest.csv  OUT/pool.json  OUT/pool.png     the table, the settings, a contact sheet

A pool grows in OUT.partial, which becomes OUT when every cube is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neuroglow.blocks.blockwise import BlockReport, run_blocks
from neuroglow.blocks.executors import Workers, local_workers
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import fingerprint_of, refuse_failures, resumable
from neuroglow.cubes.manifest import Cube, Split, write_manifest
from neuroglow.errors import SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.files.writing import file_sha256, writing
from neuroglow.formats.opening import open_volume
from neuroglow.labels.labels import LEGEND
from neuroglow.phantom.cube import check_size, describe_cube, make_cube
from neuroglow.phantom.files import (
    Pictured,
    draw_cubes,
    put_in_place,
    refuse_foreign,
    write_record,
    write_table,
    write_tiff,
    write_tree,
)
from neuroglow.phantom.neurons import read_neurons
from neuroglow.phantom.region import REGIONS, Range, RegionSettings
from neuroglow.progress import Tell, counted_as
from neuroglow.runs.unfinished import CONTINUED, Mode, Unfinished
from neuroglow.space.geometry import Block, Box, Zyx

__all__ = ["PoolReport", "phantom_pool"]


FORMAT = 1
"""Version of the cube made from a (seed, index): changed when the cube changes."""

LEDGER = "ledger.jsonl"
FOLDERS = ("image", "label", "swc", "neurites", "record")
VAL, TEST = 0.15, 0.15
SHOWN = 24
"""Cubes on the contact sheet, at most."""


@dataclass(frozen=True)
class PoolReport:
    """The result of making a pool."""

    folder: Path
    manifest: Path
    picture: Path
    cubes: BlockReport


@dataclass(frozen=True)
class _MakeCube:
    """The work on one cube, picklable: the index determines everything."""

    folder: Path
    seed: int
    regions: tuple[RegionSettings, ...]

    def __call__(self, block: Block) -> str:
        """Make the cube and write its files, its record last."""
        name = _name(block.index)
        rng = np.random.default_rng([self.seed, block.index])
        settings = self.regions[int(rng.integers(len(self.regions)))]
        seed = int(rng.integers(2**62))
        cube = make_cube(settings, seed=seed)
        write_tiff(self.folder / f"image/{name}.tif", cube.image, settings.voxel_size)
        write_tiff(self.folder / f"label/{name}.tif", cube.label, settings.voxel_size)
        write_tree(self.folder / f"swc/{name}.swc", cube.tree)
        write_table(self.folder / f"neurites/{name}.csv", cube.table)
        record = {"seed": seed, **describe_cube(cube)}
        write_record(self.folder / f"record/{name}.json", record)
        return "done"


@spelled_out(RegionSettings)
def phantom_pool(  # noqa: PLR0913  # every option, for editors
    out: str | Path,
    *,
    cubes: int = 100,
    regions: Sequence[str] = tuple(REGIONS),
    shape: Zyx = (96, 96, 96),
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
    workers: int = 1,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> PoolReport:
    """Make a pool of cubes; each depends only on seed, its index and the settings.

    regions: each cube draws one of them. workers: number of processes.
    mode: `new` refuses an existing pool; `resume` keeps the finished cubes of a stopped pool,
        or extends a smaller one; `restart` replaces.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given.
    The other options are those of RegionSettings, for all regions; an option that is not given
    has the value of each region, and the defaults shown are those of `sparse`.
    Raises SettingsError, OutputError, InputError, WriteError; BlocksFailedError when cubes
    failed (the others are kept in OUT.partial); StoppedError on Ctrl-C.

    """
    output = Path(out)
    if cubes < 1:
        raise SettingsError("a pool has at least one cube", found=str(cubes), where="--cubes")
    run = _Pool(output, cubes, seed, _kinds(regions, given()))
    refuse_foreign(output, "pool.json")
    unfinished = Unfinished(output)
    with resumable(unfinished.folder), unfinished.claimed():
        ledger = run.prepare(unfinished, mode)
        report = run.make(unfinished.folder, ledger, local_workers(workers), on_progress)
        run.describe(unfinished.folder)
        put_in_place(unfinished.folder, output)
    return PoolReport(output, output / "manifest.csv", output / "pool.png", report)


@dataclass(frozen=True)
class _Pool:
    """A pool, planned before anything is written."""

    output: Path
    cubes: int
    seed: int
    regions: tuple[RegionSettings, ...]

    def prepare(self, unfinished: Unfinished, mode: Mode) -> Ledger:
        """Prepare the folder in which the pool grows; a finished pool is moved back to it."""
        folder, fingerprint = unfinished.folder, self._fingerprint()
        before = self.output / LEDGER
        if mode in CONTINUED and before.exists() and not (folder / LEDGER).exists():
            self._refuse_fewer(Ledger.resume(before, fingerprint), before)
            with writing(folder):  # the ledger last: an interruption can be continued
                for part in sorted(self.output.iterdir(), key=lambda p: p.name == LEDGER):
                    part.replace(folder / part.name)
                self.output.rmdir()
        ledger = unfinished.prepare(mode, fingerprint, about={"kind": "pool", "blocks": self.cubes})
        self._refuse_fewer(ledger, folder / LEDGER)
        with writing(folder):
            for name in FOLDERS:
                (folder / name).mkdir(exist_ok=True)
        return ledger

    def make(
        self, folder: Path, ledger: Ledger, workers: Workers, on_progress: Tell | None
    ) -> BlockReport:
        """Make the cubes that the ledger does not hold."""
        box = Box.of(self.regions[0].shape)
        blocks = [Block(index, box, box) for index in range(self.cubes)]
        report = run_blocks(
            _MakeCube(folder, self.seed, self.regions),
            blocks,
            ledger=ledger,
            workers=workers,
            on_progress=counted_as(on_progress, self.output.name, self.cubes, "cubes"),
        )
        refuse_failures(report, _name, folder)
        return report

    def describe(self, folder: Path) -> None:
        """Write manifest, settings and contact sheet."""
        rows = [_row(folder, _name(index), self.seed) for index in range(self.cubes)]
        write_manifest(rows, folder / "manifest.csv")
        plain = {kind.region: kind.model_dump(mode="json") for kind in self.regions}
        about = {"synthetic": True, "seed": self.seed, "cubes": self.cubes, "format": FORMAT}
        write_record(folder / "pool.json", {**about, "regions": plain})
        _draw_sheet(folder, rows)
        with writing(folder):
            shutil.rmtree(folder / "projections", ignore_errors=True)

    def _fingerprint(self) -> dict[str, str]:
        plain = [region.model_dump(mode="json") for region in self.regions]
        return fingerprint_of([FORMAT, plain], self.seed, self.regions[0].swc)

    def _refuse_fewer(self, ledger: Ledger, where: Path) -> None:
        most = max(ledger.statuses, default=-1) + 1
        if self.cubes < most:
            raise SettingsError(
                "a pool can only be continued to at least as many cubes as it has",
                found=f"{self.cubes}, of {most}",
                where=str(where.parent),
                cure=f"--cubes {most}, or --restart to start anew",
            )


def _kinds(regions: Sequence[str], settings: dict[str, Any]) -> tuple[RegionSettings, ...]:
    """Check the settings in each region before anything is written."""
    if "region" in settings:
        raise SettingsError(
            "a pool has regions, a cube has one", found="region", cure="regions, a list"
        )
    if not regions:
        raise SettingsError("a pool has at least one region", cure=", ".join(REGIONS))
    kinds = tuple(RegionSettings.of({**settings, "region": name}) for name in regions)
    check_size(kinds[0])
    if kinds[0].swc:
        read_neurons(kinds[0].swc)
    return kinds


def _row(folder: Path, name: str, seed: int) -> Cube:
    record = json.loads((folder / f"record/{name}.json").read_text(encoding="utf-8"))
    image, label = (folder / kind / f"{name}.tif" for kind in ("image", "label"))
    scope = record["microscope"]
    other = {
        "label_map": LEGEND,
        "region": record["settings"]["region"],
        "density": f"{record['density']:.5f}",
        "snr": "" if record["snr"] is None else f"{record['snr']:.2f}",
        "noise": f"{scope['noise']:.2f}",
        "bits": str(scope["bits"]),
        "neurites": str(record["neurites"]),
    }
    return Cube(
        name,
        image,
        label,
        _split(seed, name),
        image_sha256=file_sha256(image),
        label_sha256=file_sha256(label),
        other=other,
    )


def _split(seed: int, name: str) -> Split:
    """Return the split of a cube, which does not change when the pool grows."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return "val" if place < VAL else "test" if place < VAL + TEST else "train"


def _draw_sheet(folder: Path, rows: Sequence[Cube]) -> None:
    """Draw the contact sheet: cubes from the whole pool, by region."""
    shown = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(int))]
    shown.sort(key=lambda row: row.other["region"])
    draw_cubes(folder / "pool.png", [_pictured(row) for row in shown])


def _pictured(row: Cube) -> Pictured:
    assert row.label is not None  # of a phantom
    image, label = (open_volume(path) for path in (row.image, row.label))
    voxels, truth = (volume.read(Box.of(volume.shape)) for volume in (image, label))
    region, snr = row.other["region"], row.other["snr"]
    return Pictured(row.name, region, snr, voxels, truth, image.voxel_size_um)


def _name(index: int) -> str:
    return f"cube_{index:05d}"

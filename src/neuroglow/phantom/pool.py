"""Make a pool of cubes that vary as regions of a brain do, in DB-Enhance's layout.

    OUT/image/  OUT/label/  OUT/swc/  OUT/neurites/   a file a cube
    OUT/record/                                       what was drawn for it
    OUT/manifest.csv  OUT/pool.json  OUT/pool.png     the table, the settings, a contact sheet

A pool grows in OUT.partial, which becomes OUT when every cube is whole.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import BlocksFailedError, OutputError, SettingsError
from neuroglow.learn.manifest import Cube, Split, file_sha256, write_manifest
from neuroglow.phantom.cube import check_size, describe_cube, make_cube
from neuroglow.phantom.files import (
    draw_cubes,
    write_record,
    write_table,
    write_tiff,
    write_tree,
)
from neuroglow.phantom.neurons import read_neurons
from neuroglow.phantom.region import REGIONS, RegionSettings
from neuroglow.space.blockwise import BlockReport, run_blocks
from neuroglow.space.executors import local_workers
from neuroglow.space.geometry import Block, Box
from neuroglow.space.ledger import Ledger
from neuroglow.space.unfinished import Mode
from neuroglow.space.volume import writing

__all__ = ["PoolReport", "phantom_pool"]

Progress = Callable[[str, BlockReport, Sequence[Block]], object]

FORMAT = 1
"""Of what a (seed, index) makes: another number where it makes another cube."""

FOLDERS = ("image", "label", "swc", "neurites", "record")
VAL, TEST = 0.15, 0.15
SHOWN = 36


@dataclass(frozen=True)
class PoolReport:
    """What a pool left."""

    folder: Path
    manifest: Path
    picture: Path
    cubes: BlockReport


@dataclass(frozen=True)
class _MakeCube:
    """The work of one cube, picklable: its index says all."""

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


def phantom_pool(
    out: str | Path,
    *,
    cubes: int = 100,
    seed: int = 1,
    regions: Sequence[str] = tuple(REGIONS),
    workers: int = 1,
    mode: Mode = "new",
    on_progress: Progress | None = None,
    **settings: Any,
) -> PoolReport:
    """Make a pool of cubes; each depends on seed, its index and the settings alone.

    regions: of which each cube draws one. settings: fields of RegionSettings, for all regions.
    mode: `new` refuses an existing pool; `resume` keeps the cubes that are whole, of a stopped
        pool or of a smaller one; `restart` replaces.
    Raises SettingsError, OutputError, InputError, WriteError; BlocksFailedError when cubes
    failed (the others are kept in OUT.partial); StoppedError on Ctrl-C.
    """
    output = Path(out)
    if cubes < 1:
        raise SettingsError("a pool has at least one cube", found=str(cubes), where="--cubes")
    kinds = _kinds(regions, settings)
    folder, ledger = _prepare(output, mode, _fingerprint(kinds, seed), cubes)
    box = Box.of(kinds[0].shape)
    blocks = [Block(index, box, box) for index in range(cubes)]
    report = run_blocks(
        _MakeCube(folder, seed, kinds),
        blocks,
        ledger=ledger,
        workers=local_workers(workers),
        on_progress=lambda r: on_progress(output.name, r, blocks) if on_progress else None,
    )
    _check(report, folder)
    _finish(folder, cubes, seed, kinds)
    with writing(output):
        if output.exists():
            shutil.rmtree(output)
        folder.rename(output)
    return PoolReport(output, output / "manifest.csv", output / "pool.png", report)


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


def _fingerprint(kinds: Sequence[RegionSettings], seed: int) -> dict[str, str]:
    plain = json.dumps([kind.model_dump(mode="json") for kind in kinds], sort_keys=True)
    swc = kinds[0].swc
    trees = "".join(file_sha256(f) for f in sorted(Path(swc).glob("*.swc"))) if swc else ""
    return {
        "settings": hashlib.sha256(f"{FORMAT} {plain}".encode()).hexdigest(),
        "seed": str(seed),
        "input": hashlib.sha256(trees.encode()).hexdigest() if trees else "",
    }


def _prepare(
    output: Path, mode: Mode, fingerprint: dict[str, str], cubes: int
) -> tuple[Path, Ledger]:
    """Give the folder in which the pool grows, and its ledger."""
    folder = output.with_name(output.name + ".partial")
    path = folder / "ledger.jsonl"
    if mode == "new" and (output.exists() or folder.exists()):
        there = output if output.exists() else folder
        raise OutputError(
            "an existing output is not overwritten",
            found="a pool that was stopped" if there == folder else "it exists",
            where=str(there),
            cure="another -o, --resume to go on with it, or --restart to replace it",
        )
    if mode == "resume" and (output / "ledger.jsonl").exists() and not folder.exists():
        whole = Ledger.resume(output / "ledger.jsonl", fingerprint)
        _refuse_fewer(whole, cubes, output)
        with writing(output):
            output.rename(folder)
    elif mode == "resume" and output.exists() and not path.exists():
        raise OutputError(
            "an existing output is not overwritten",
            found="something that is no pool",
            where=str(output),
            cure="another -o, or --restart to replace it",
        )
    with writing(folder):
        if mode == "restart":
            shutil.rmtree(folder, ignore_errors=True)
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    if path.exists():
        ledger = Ledger.resume(path, fingerprint)
        _refuse_fewer(ledger, cubes, folder)
        return folder, ledger
    return folder, Ledger.create(path, fingerprint)


def _refuse_fewer(ledger: Ledger, cubes: int, where: Path) -> None:
    most = max(ledger.statuses, default=-1) + 1
    if cubes < most:
        raise SettingsError(
            "a pool is continued to as many cubes as it has, or more",
            found=f"{cubes}, of {most}",
            where=str(where),
            cure=f"--cubes {most}, or --restart to begin anew",
        )


def _check(report: BlockReport, folder: Path) -> None:
    if not report.ok:
        reasons = [f"{_name(i)}: {why}" for i, why in sorted(report.failed.items())][:10]
        raise BlocksFailedError(
            "every cube must succeed; the others are complete",
            found=str(report).replace("blocks", "cubes") + "\n    " + "\n    ".join(reasons),
            where=str(folder),
            cure="mend the cause, then the same command with --resume does the failed ones alone",
        )


def _finish(folder: Path, cubes: int, seed: int, kinds: Sequence[RegionSettings]) -> None:
    """Write manifest, settings and contact sheet."""
    rows = [_row(folder, _name(index), seed) for index in range(cubes)]
    write_manifest(rows, folder / "manifest.csv")
    plain = {kind.region: kind.model_dump(mode="json") for kind in kinds}
    write_record(
        folder / "pool.json",
        {"synthetic": True, "seed": seed, "cubes": cubes, "format": FORMAT, "regions": plain},
    )
    _draw_sheet(folder, rows)


def _row(folder: Path, name: str, seed: int) -> Cube:
    record = json.loads((folder / f"record/{name}.json").read_text(encoding="utf-8"))
    image, label = (folder / kind / f"{name}.tif" for kind in ("image", "label"))
    scope = record["microscope"]
    other = {
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
    """Give a cube's part of the pool: it stays the same when the pool grows."""
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return "val" if place < VAL else "test" if place < VAL + TEST else "train"


def _draw_sheet(folder: Path, rows: Sequence[Cube]) -> None:
    import tifffile

    shown = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, SHOWN).astype(int))]
    shown.sort(key=lambda row: row.other["region"])
    draw_cubes(
        folder / "pool.png",
        [
            (
                f"{row.name}  {row.other['region']}  SNR {row.other['snr'] or '-'}",
                tifffile.imread(row.image),
                tifffile.imread(folder / f"label/{row.name}.tif"),
            )
            for row in shown
        ],
    )


def _name(index: int) -> str:
    return f"cube_{index:05d}"

"""Survey: a pool of cubes, or a volume cut into cubes -> a table of indicators, one row per cube.

    read a cube -> noise units -> indicators of its label, and of provisional neurites -> a row

All files of an unfinished survey are in OUTPUT.partial; the table appears when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from os import PathLike
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from neuroglow.blocks.blockwise import BlockReport, run_blocks
from neuroglow.blocks.cluster import Place, work_at
from neuroglow.blocks.ledger import Ledger
from neuroglow.blocks.outcome import resumable
from neuroglow.cubes.manifest import (
    Cube,
    as_inverted,
    command_line_wins,
    in_channel,
    open_image,
    read_manifest,
)
from neuroglow.errors import (
    BlocksFailedError,
    InputError,
    NeuroglowError,
    SettingsError,
    first_of,
)
from neuroglow.face import given, spelled_out
from neuroglow.files.names import absolute, stem_of
from neuroglow.files.remote import resolved
from neuroglow.files.writing import hash_of
from neuroglow.formats.opening import find_volumes, open_volume
from neuroglow.imaging.noise_units import say_holes
from neuroglow.imaging.polarity import Polarity, say_of
from neuroglow.labels.labels import parse_label_map
from neuroglow.network.engine import use_threads
from neuroglow.network.enhance import begin_on_cluster
from neuroglow.printed import Printed, counted
from neuroglow.progress import Tell, counted_as
from neuroglow.runs.shards import Shard, lines_of_shard, parse_shard
from neuroglow.runs.tissue_mask import AUTO, TissueMask
from neuroglow.runs.unfinished import Mode, Unfinished
from neuroglow.selection.beside import page_of, refuse_anothers
from neuroglow.selection.pages import survey_page
from neuroglow.selection.survey_cube import Grid, Measured, Pool, SurveyCube, read_row
from neuroglow.selection.survey_network import SurveyNetwork
from neuroglow.selection.survey_table import (
    KNOWN,
    check_suffix,
    doubts_in,
    match_rows,
    read_sample_information,
    write_survey,
)
from neuroglow.selection.tissue import tissue_level, tissue_share
from neuroglow.settings import check_settings
from neuroglow.space.arrays import require_path
from neuroglow.space.geometry import Block, Box, Roi, Zyx, box_text, parse_box, tile

__all__ = ["SurveyReport", "SurveySettings", "survey"]


class SurveySettings(BaseModel):
    """All settings of a survey, besides its input.

    cube: side in voxels of the cubes that a volume is cut into. overlap: voxels shared by
    neighbours. roi: `Z0:Z1,Y0:Y1,X0:X1`, the part of a volume that is cut.
    min_tissue: minimum share of tissue in a cube; 0 keeps all. labels: use them.
    label_map: meaning of their values, as in training. channel: of images with several.
    invert: neurites are darker than the background.
    mask: a volume at any resolution, not zero in the tissue; cubes outside are not read. `auto`:
    found in the volume's pyramid, else in a few of its planes.
    model: finds neurites instead of ridges, and adds its uncertainty. seed: of the sample of
    the background. scheduler: a cluster instead of this machine, shard: a part of
    the cubes, time_limit: of a cube, in seconds; as in predict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cube: int = Field(default=128, ge=16, le=1024)
    overlap: int = Field(default=0, ge=0)
    roi: Annotated[str | None, BeforeValidator(box_text)] = None
    min_tissue: float = Field(default=0.25, ge=0, le=1)
    labels: bool = True
    label_map: str = ""
    channel: int | None = Field(default=None, ge=0)
    invert: bool = False
    model: str | None = None
    device: str = "auto"
    seed: int = Field(default=1, ge=0)
    workers: int = Field(default=1, ge=1)
    scheduler: str | None = None
    shard: str | None = None
    time_limit: float | None = Field(default=None, gt=0)
    mask: str | None = None


HOW = {"workers", "model", "scheduler", "shard", "time_limit"}
"""Settings that do not affect the table, or are in its fingerprint by themselves."""


@dataclass(frozen=True, repr=False)
class SurveyReport(Printed):
    """The result of a survey: the table, its page, and how many cubes are in it or left out.

    notes: assumptions about labels, and labels that look inverted. shard: the part that was
    measured; there is no table yet.
    """

    table: Path
    page: Path
    cubes: int
    without_tissue: int
    blocks: BlockReport
    notes: tuple[str, ...] = ()
    shard: str | None = None

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        if self.shard:
            yield from lines_of_shard(self.shard, self.table, self.blocks)
            return
        left = f", {self.without_tissue} without tissue left out" if self.without_tissue else ""
        yield str(self.table)
        yield counted(self.cubes, "cube") + left
        yield from self.notes
        yield f"page {self.page}"


@spelled_out(SurveySettings)
def survey(  # noqa: PLR0913  # every option, for editors
    source: str | Path,
    *,
    out: str | Path,
    cube: int = 128,
    overlap: int = 0,
    roi: Roi | None = None,
    min_tissue: float = 0.25,
    labels: bool = True,
    label_map: str = "",
    channel: int | None = None,
    invert: bool = False,
    model: str | PathLike[str] | None = None,
    device: str = "auto",
    seed: int = 1,
    workers: int = 1,
    scheduler: str | None = None,
    shard: str | None = None,
    time_limit: float | None = None,
    mask: str | PathLike[str] | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> SurveyReport:
    """Measure the indicators of each cube of a pool, or of a volume that is cut into cubes.

    source: a folder of cubes (with label/ or without), a manifest, a volume, or DB-Enhance's
        sample_information.npy next to its image/ and label/.
    out: `.csv` or `.parquet`: a manifest with the indicators in its columns; a page (.html)
        is written next to it.
    mode: `new` refuses an existing output; `resume` continues an unfinished survey with the
        same input and settings; `retry-failed` does only the failed cubes of one that has ended;
        `restart` replaces.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        SurveySettings.

    Raises UsageError for invalid requests, BlocksFailedError when cubes failed (the others
    are in the table), StoppedError on Ctrl-C.
    """
    chosen, output = check_settings(SurveySettings, given()), Path(out)
    check_suffix(output)
    place = require_path(source, "the input of a survey")
    recorded = place if place.suffix == ".npy" else None
    plan = replace(_plan(recorded.parent if recorded else place, chosen), asked=str(place))
    unfinished = Unfinished(output)
    with work_at(chosen.scheduler) as where, resumable(unfinished.folder):
        network = _network(chosen, where)
        run = _Survey(plan, chosen, unfinished, mode, on_progress, where, network)
        if shard_ := parse_shard(chosen.shard):
            return _shard(run, shard_)
        with unfinished.claimed():
            return _whole(run, recorded)


@dataclass(frozen=True)
class _Survey:
    """One survey at work: its cubes, its settings, where it leaves them."""

    plan: _Plan
    settings: SurveySettings
    unfinished: Unfinished
    mode: Mode
    on_progress: Tell | None
    where: Place
    network: SurveyNetwork | None

    @property
    def fingerprint(self) -> dict[str, str]:
        """Return everything that determines the table."""
        decides = self.network.decides if self.network else {"model": ""}
        return self.plan.fingerprint(self.settings) | decides

    @property
    def about(self) -> dict[str, Any]:
        """Describe the run in its ledger, for `status` and `finish`."""
        plan, chosen = self.plan, self.settings
        how = {"shard", "scheduler", "time_limit"}
        again = chosen.model_dump(mode="json", exclude_unset=True, exclude=how)
        if chosen.mask and chosen.mask != AUTO:
            again |= {"mask": absolute(chosen.mask)}
        if self.network:
            again |= {"model": str(self.network.model.path.resolve())}
        told = {"verb": "survey", "source": absolute(plan.asked), "settings": again}
        about = {"kind": "survey", "input": plan.name, "blocks": len(plan.blocks), "again": told}
        about |= {"network": str(self.network)} if self.network else {}
        return about | ({"grid": grid} if (grid := plan.grid) else {})

    def measure(self, blocks: Sequence[Block], ledger: Ledger) -> BlockReport:
        """Measure cubes that the ledger does not hold."""
        chosen, where, name = self.settings, self.where, Path(self.plan.name).name
        work = self._work()
        return run_blocks(
            work,
            blocks,
            ledger=ledger,
            workers=where.workers(
                chosen.workers, begin=_begin(chosen, work, where), limit_s=chosen.time_limit
            ),
            on_progress=counted_as(self.on_progress, name, len(blocks), "cubes"),
        )

    def _work(self) -> SurveyCube:
        """Make the function that a worker runs on each cube."""
        work = SurveyCube(self.plan.source, self.unfinished.projections, seed=self.settings.seed)
        if self.network is None:
            return work
        threshold = self.network.model.settings.threshold
        return replace(work, model=self.network.on_device, threshold=threshold)


def _shard(run: _Survey, shard: Shard) -> SurveyReport:
    """Measure the cubes of one shard; there is no table before all are complete."""
    output, blocks = run.unfinished.output, shard.part(run.plan.blocks)
    with shard.claimed(run.unfinished):
        about = run.about | {"shard": str(shard), "shard_blocks": len(blocks)}
        ledger = shard.prepare(run.unfinished, run.mode, run.fingerprint, about)
        report = run.measure(blocks, ledger)
    _check(report, run.plan)
    return SurveyReport(output, page_of(output), 0, 0, report, shard=str(shard))


def _whole(run: _Survey, recorded: Path | None) -> SurveyReport:
    """Measure all cubes, and write the table with its page."""
    plan, chosen, unfinished, output = run.plan, run.settings, run.unfinished, run.unfinished.output
    beside = [page_of(output)]
    if run.mode == "restart":
        refuse_anothers("Survey", output, beside)
    ledger = unfinished.prepare(run.mode, run.fingerprint, beside=beside, about=run.about)
    report = run.measure(plan.blocks, ledger)
    measured = [
        read_row(unfinished.projections / f"{block.index:08d}.json", plan.source.cube(block))
        for block in plan.blocks
        if ledger.is_finished(block.index)
    ]
    if not measured:
        unfinished.discard()
        _check(report, plan)
    _say_looks(plan, measured)
    kept = _in_tissue(measured, chosen.min_tissue if plan.is_grid else 0.0)
    rows = _note_copies(kept)
    if recorded:
        rows = match_rows(rows, read_sample_information(recorded), recorded)
    network = str(run.network) if run.network else ""
    page = survey_page(rows, output, failed=len(report.failed), network=network)
    write_survey(rows, output)
    if report.ok:
        unfinished.discard()
    _check(report, plan)
    notes = tuple(doubts_in(rows).lines())
    return SurveyReport(output, page, len(rows), len(measured) - len(kept), report, notes)


@dataclass(frozen=True)
class _Plan:
    """The cubes of a survey: one block per cube."""

    name: str
    source: Pool | Grid
    blocks: tuple[Block, ...]
    identity: str
    asked: str = ""

    @property
    def is_grid(self) -> bool:
        """Return whether the cubes are cut from one volume."""
        return isinstance(self.source, Grid)

    @property
    def grid(self) -> list[int]:
        """Cubes along z, y and x, if they are those of a volume and none is left out."""
        starts = zip(*(block.write.start for block in self.blocks), strict=True)
        grid = [len(set(along)) for along in starts]
        return grid if self.is_grid and prod(grid) == len(self.blocks) else []

    def fingerprint(self, settings: SurveySettings) -> dict[str, str]:
        """Return everything that determines the table, except for the model."""
        chosen = settings.model_dump(exclude=HOW, mode="json")
        return {
            "settings": hash_of(chosen),
            "input": self.identity,
            "grid": hash_of(len(self.blocks), str(self.blocks[-1].write)) if self.is_grid else "",
        }


def _plan(source: Path, settings: SurveySettings) -> _Plan:
    """Distinguish a volume from a pool, and list the cubes."""
    if source.suffix.lower() != ".csv" and len(found := find_volumes(source)) == 1:
        pair = source.is_dir() and Path(found[0]) != source  # a pool of one cube
        if not pair:
            return _grid(source, settings)
    for option, given_ in (("--roi", settings.roi), ("--mask", settings.mask)):
        if given_:
            raise SettingsError(
                "a region or a mask is that of one volume", found="a pool of cubes", where=option
            )
    cubes = sorted(read_manifest(source, KNOWN), key=lambda cube: cube.name)
    parse_label_map(settings.label_map)  # refused before any cube is read
    channel = "" if settings.channel is None else str(settings.channel)
    cubes = command_line_wins(cubes, _over_columns(settings, channel))
    cubes = [in_channel(_with_legend(cube, settings), settings.channel) for cube in cubes]
    cubes = [as_inverted(cube, settings.invert) for cube in cubes]
    box = _typical(cubes[0])
    blocks = tuple(Block(i, box, box) for i in range(len(cubes)))
    # The contents of files are not included: a damaged one may be repaired, and the survey resumed.
    # has the hashes of the measured voxels, and `select` refuses a file that changed since.
    listed = hash_of([(c.name, c.box, resolved(c.image), _placed(c.label)) for c in cubes])
    return _Plan(str(source), Pool(cubes), blocks, listed)


def _placed(label: Path | None) -> Path | None:
    return None if label is None else resolved(label)


def _over_columns(settings: SurveySettings, channel: str) -> dict[str, str]:
    """Give the options that win over columns of a manifest."""
    invert = "yes" if settings.invert else ""
    return {"label_map": settings.label_map, "channel": channel, "invert": invert}


def _with_legend(cube: Cube, settings: SurveySettings) -> Cube:
    """Store the legend with the label: in the table, for `select`, and for `train`."""
    if cube.label is None or not settings.labels:
        return replace(cube, label=None, label_sha256="")
    legend = cube.other.get("label_map") or settings.label_map
    return replace(cube, other={**cube.other, "label_map": legend}) if legend else cube


def _grid(source: Path, settings: SurveySettings) -> _Plan:
    """Cut a volume into cubes; a remainder at the far faces counts from half a side on."""
    volume = open_volume(source, channel=settings.channel, invert=settings.invert)
    whole = Box.of(volume.shape)
    roi = parse_box(settings.roi, volume.shape) if settings.roi else whole
    step = settings.cube - settings.overlap
    if step < 1:
        raise SettingsError(
            "the overlap of cubes must be smaller than a cube",
            found=f"{settings.overlap} of {settings.cube} voxels",
            where="--overlap",
        )
    boxes = [
        box
        for block in tile(roi, (step, step, step))
        if 2 * min((box := _cube_at(block.write.start, settings.cube, roi)).shape) >= settings.cube
    ]
    identity = volume.identity
    if settings.mask:
        within = TissueMask.of(settings.mask, volume)
        boxes, identity = _inside(boxes, within), hash_of(identity, within.identity)
    if not boxes:
        raise InputError(
            "a volume holds at least one cube, or half of one along each axis",
            found=f"{roi.shape} voxels, cubes of {settings.cube}",
            where=str(source),
            cure="a smaller --cube",
        )
    z, y, x = ((a + b) // 2 for a, b in zip(roi.start, roi.stop, strict=True))
    blocks = tuple(Block(i, box, box) for i, box in enumerate(boxes))
    grid = Grid(resolved(source), stem_of(source), (z, y, x), settings.channel, settings.invert)
    return _Plan(str(source), grid, blocks, identity)


def _inside(boxes: Sequence[Box], within: TissueMask) -> list[Box]:
    """Leave out cubes outside the tissue. Raises InputError if none is left."""
    kept = [box for box in boxes if within.touches(box)]
    if boxes and not kept:
        raise InputError(
            "a mask has tissue in the surveyed region",
            found=f"none in {len(boxes)} cubes",
            where="--mask",
        )
    return kept


def _typical(cube: Cube) -> Box:
    """Return the size of a pool's first cube, which is used for all when reporting progress."""
    try:
        return Box.of(open_image(cube).shape)
    except NeuroglowError:  # it is reported when its turn comes
        return Box.of((1, 1, 1))


def _cube_at(start: Zyx, side: int, roi: Box) -> Box:
    z, y, x = start
    return Box(start, (z + side, y + side, x + side)).intersect(roi)


def _network(settings: SurveySettings, where: Place) -> SurveyNetwork | None:
    name, device, invert = settings.model, settings.device, settings.invert
    return SurveyNetwork.choose(name, device, where, invert=invert) if name else None


def _begin(settings: SurveySettings, work: SurveyCube, where: Place) -> Callable[[], object] | None:
    """Let each of several workers use one thread for its network; on a cluster, its own."""
    if where.remote:
        return partial(begin_on_cluster, work.model)
    if settings.model is None or settings.workers == 1:
        return None
    return partial(use_threads, 1)


def _say_looks(plan: _Plan, measured: Sequence[Measured]) -> None:
    """Report cubes with non-finite voxels, and whether neurites look dark."""
    say_holes([one.cube.name for one in measured if one.has_holes])
    for inverted in (False, True):
        seen = [one.polarity for one in measured if one.inverted is inverted]
        say_of([plan.name], sum(seen, Polarity()), inverted=inverted)


def _in_tissue(measured: Sequence[Measured], least: float) -> list[Cube]:
    """Record each cube's share of tissue, and leave out cubes with less than `least`."""
    background, noise = np.concatenate([one.cells for one in measured], axis=1)
    level = tissue_level(background, noise) if least else -np.inf
    shares = [tissue_share(one.cells[0], level) for one in measured]
    return [
        replace(one.cube, other={**one.cube.other, "tissue": f"{share:.3f}"})
        for one, share in zip(measured, shares, strict=True)
        if share >= least
    ]


def _note_copies(cubes: Sequence[Cube]) -> list[Cube]:
    """Mark cubes that have the same voxels as an earlier one."""
    first: dict[str, str] = {}
    noted = []
    for cube in cubes:
        name = first.setdefault(cube.other["voxels_sha256"], cube.name)
        note = cube.other["note"] if name == cube.name else f"copy of {name}"
        noted.append(replace(cube, other={**cube.other, "note": note}))
    return noted


def _check(report: BlockReport, plan: _Plan) -> None:
    """Raise BlocksFailedError that names each failed cube, when there is one."""
    if report.ok:
        return
    named = [
        f"{plan.source.cube(block).name}: {report.failed[block.index]}"
        for block in plan.blocks
        if block.index in report.failed
    ]
    rest = "the others are in the table" if len(named) < report.total else "there is no table"
    raise BlocksFailedError(
        f"every cube must be readable; {rest}",
        found=f"{len(named)} of {report.total} cubes failed" + first_of(named),
        where=plan.name,
        cure="repair them, then repeat the command with --resume, which only reads the failed ones",
    )

"""Trace: probability -> trees.

    open, check -> middle lines by blocks -> graph -> trees -> SWC, page, record

The tracer itself is in skeleton/; this package opens, checks and writes files.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from neuroglow.blocks.cluster import Place, work_at
from neuroglow.errors import InputError, SettingsError
from neuroglow.face import given, spelled_out
from neuroglow.files.names import absolute
from neuroglow.labels.cube_folder import prediction_of
from neuroglow.printed import Printed, counted
from neuroglow.progress import Progress, Tell, say_nothing
from neuroglow.runs.shards import Shard, lines_of_shard, parse_shard
from neuroglow.runs.tissue_mask import AUTO
from neuroglow.settings import as_options, check_settings
from neuroglow.skeleton.defaults import LOW_SHARE, Lines
from neuroglow.space.arrays import VolumeSource, is_path
from neuroglow.space.geometry import Box
from neuroglow.space.inverted import is_inverted
from neuroglow.trace.files import Mode, claimed, is_file, refuse_existing, trace_paths, write_trace
from neuroglow.trace.settings import Lengths, TraceSettings
from neuroglow.trace.tree_store import Each

if TYPE_CHECKING:
    from neuroglow.blocks.blockwise import BlockReport
    from neuroglow.skeleton.partition import Decision
    from neuroglow.skeleton.tracer import Rules
    from neuroglow.trace.middle_run import MiddleRun
    from neuroglow.trace.source import Source
    from neuroglow.trace.summary import Bridge
    from neuroglow.trees.swc import Tree

__all__ = ["TraceReport", "TraceSettings", "trace"]


FEW = 16
"""Of 255: labels have no value this high."""

SURE_SOMA = 1.2
"""Least radius of the somata that are found in a probability that suppresses them, over that of a
soma (docs/lab-notebook/trace.md)."""


@dataclass(frozen=True, repr=False)
class TraceReport(Printed):
    """The result of a trace; the files are None if none were requested.

    trees: the longest first, in the unit of the settings, with columns `probability` and
    `bridge`. summary: counts and lengths. notes: assumptions. unit: of lengths; voxels where no
    voxel size is known. shard, blocks: the part whose middle lines were found, without trees yet.
    """

    output: Path | None
    page: Path | None
    table: Path | None
    bridges: Path | None
    decisions: Path | None
    picture: Path | None
    record: Path | None
    trees: Sequence[Tree]
    summary: Mapping[str, Any]
    notes: Sequence[str]
    unit: str = "um"
    shard: str | None = None
    blocks: BlockReport | None = None

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        if self.shard and self.output:
            yield from lines_of_shard(self.shard, self.output, self.blocks)
            return
        words = _in_words(self.summary, self.unit)
        yield from [words] if self.output is None else [str(self.output), words]
        yield from self.notes
        if self.output is not None:
            yield f"page    {self.page}"
            yield f"table   {self.table}"
            yield f"picture {self.picture}"
            yield f"bridges {self.bridges}"
            yield f"doubts  {self.decisions}"
            yield f"record  {self.record}"


def _in_words(summary: Mapping[str, Any], unit: str) -> str:
    """Summarise the trees in one line."""
    if not summary["trees"]:
        return "no trees"
    somata = summary["somata"]
    counts = [
        counted(summary["tips"], "tip"),
        counted(summary["branch_points"], "branch point"),
        f"{somata} {'soma' if somata == 1 else 'somata'}",
        counted(summary["bridges"], "bridge"),
    ]
    trees = counted(summary["trees"], "tree")
    length, bridged = (f"{summary[name]:,.0f} {unit}" for name in ("length_um", "bridged_um"))
    return f"{trees}, {length}, {', '.join(counts)} ({bridged})"


@spelled_out(TraceSettings)
def trace(  # noqa: PLR0913  # every option, for editors
    probability: VolumeSource,
    *,
    out: str | Path | None = None,
    raw: VolumeSource | None = None,
    threshold: float | None = None,
    low: float | None = None,
    voxel_size: Sequence[float] | None = None,
    spur_um: float | None = None,
    crossing_angle: float = 75.0,
    gap_um: float | None = None,
    gap_angle: float = 40.0,
    gap_probability: float = 0.1,
    soma_um: float = 5.0,
    min_length_um: float | None = None,
    step_um: float | None = None,
    smooth: float = 1.5,
    lines: Lines = "thinning",
    unit: Literal["um", "voxel"] = "um",
    invert: bool | None = None,
    mask: str | PathLike[str] | None = None,
    block: int = 128,
    workers: int = 1,
    scheduler: str | None = None,
    max_memory: int | str | None = None,
    region: int | None = None,
    shard: str | None = None,
    time_limit: float | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> TraceReport:
    """Trace the neurites of a probability into trees.

    probability: uint8 or real 0..1: an array (zyx), a file, or OME-Zarr. raw: the image from
        which it was predicted; its noise units are additional evidence for bridges.
    out: an `.swc` for all trees (page, bridges, picture and record next to it), or a folder
        with one file per tree; None writes nothing. mode: `new` refuses an existing output;
        `restart` replaces it; `resume` goes on with the blocks of a trace that was stopped,
        `retry-failed` with those that failed.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        TraceSettings.

    If nothing reaches the threshold there are no trees, which is not an error. Raises UsageError
    for invalid input (not a probability, nearly all voxels detected, `raw` of another shape),
    ReadError for NaN, WriteError.

    >>> import numpy as np
    >>> line = np.zeros((9, 9, 40), np.float32)
    >>> line[4, 4, 5:35] = 0.9
    >>> trace(line).summary["length_um"]
    29.0
    """
    from neuroglow.trace.source import open_source

    chosen = check_settings(TraceSettings, given())
    if chosen.lines == "kimimaro":
        from neuroglow.skeleton.teasar import require_kimimaro

        require_kimimaro()
    part = parse_shard(chosen.shard)
    apart = "scheduler" if chosen.scheduler else "shard" if part else ""
    if apart and not is_path(probability):
        raise SettingsError(
            "other processes work from files to a file", found="an array", where=apart
        )
    probability = prediction_of(probability)
    output = None if out is None else Path(out)
    if output is not None:
        refuse_existing(output, mode)
    source = open_source(probability, raw, chosen.voxel_size, chosen.invert)
    if chosen.mask:
        source.mask(chosen.mask, chosen.block)
    with work_at(chosen.scheduler) as place:
        limited = chosen.with_memory(chosen.workers, output)
        run = _middle_run(source, limited, output, mode, place)
        if part:
            return _trace_part(run, source, part, on_progress)
        with claimed(output):
            return _trace(source, chosen, output, run, on_progress or say_nothing)


def _middle_run(
    source: Source, settings: TraceSettings, output: Path | None, mode: Mode, place: Place
) -> MiddleRun | None:
    """Make the run that finds middle lines and leaves files; None: they are found in memory."""
    from neuroglow.trace.middle_run import MiddleRun

    if output is not None and settings.lines != "kimimaro":
        again = _again(source, settings)
        return MiddleRun(output, source.volume.identity, settings, mode, place, again)
    asked = {"scheduler": place.remote, "shard": settings.shard, "workers": settings.workers > 1}
    asked |= {"region": settings.region is not None}
    if apart := [name for name, given_ in asked.items() if given_]:
        raise SettingsError(
            "other processes and regions work by thinning, for an output",
            found="no output" if output is None else "--lines kimimaro",
            where=apart[0],
        )
    return None


def _again(source: Source, settings: TraceSettings) -> dict[str, Any]:
    """Give all that `finish` needs to trace the lines of all shards, from any folder."""
    how = {"shard", "scheduler", "time_limit"}
    chosen = settings.model_dump(mode="json", exclude_unset=True, exclude=how)
    if source.units:
        chosen |= {"raw": absolute(source.units.volume.name)}
    if settings.mask and settings.mask != AUTO:
        chosen |= {"mask": absolute(settings.mask)}
    return {"verb": "trace", "source": absolute(source.volume.name), "settings": chosen}


def _trace_part(
    run: MiddleRun | None, source: Source, part: Shard, tell: Tell | None
) -> TraceReport:
    """Find the middle lines of one shard; there are no trees before all are complete."""
    assert run is not None
    source.find_scale(run.settings.block)
    rules, _ = _rules(run.settings, source)
    found = (source.reader, source.shape, source.unit_um)
    blocks = run.find_part(part, *found, detected_from=rules.low, tell=tell)
    none = (None, None, None, None, None, None)
    return TraceReport(run.output, *none, (), {}, (), shard=str(part), blocks=blocks)


@dataclass(frozen=True)
class _Traced:
    """The inputs of a trace, and the decisions at its branch points."""

    source: Source
    settings: TraceSettings
    rules: Rules
    decisions: Sequence[Decision]


def _trace(
    source: Source,
    settings: TraceSettings,
    output: Path | None,
    run: MiddleRun | None,
    tell: Tell,
) -> TraceReport:
    from neuroglow.trace.lines import trace_source
    from neuroglow.trace.summary import find_bridges, number_bridges, summarise

    voxels = Box.of(source.shape).size
    done = 0

    def see(box: Box) -> None:
        nonlocal done
        done += box.size
        tell(Progress("checking", done, voxels))

    rules, origin = _rules(settings, source)
    source.look_over(settings.block, see)
    _refuse_all_detected(source, rules.low)
    found = trace_source(source, rules, settings, run, tell)
    decisions, trees = found.decisions, number_bridges(found.trees)
    bridges = find_bridges(trees)
    summary = summarise(trees, bridges)
    notes = [*source.notes, f"threshold {rules.peak:g}: {origin}", *found.notes]
    notes += _small_somata(source, rules)
    notes += _why_none(source, rules, trees)
    made = _in_unit(trees, settings, source)
    none = (None, None, None, None, None, None, None)
    report = TraceReport(*none, made, summary, notes, _unit(source))
    if output is None:
        return report
    tell(Progress("page and pictures", 0, voxels))
    report = _write(report, trees, bridges, _Traced(source, settings, rules, decisions), output)
    tell(Progress("page and pictures", voxels, voxels))
    return report


def _unit(source: Source) -> str:
    """Name the unit of lengths."""
    return "um" if source.sized else "voxels"


def _rules(settings: TraceSettings, source: Source) -> tuple[Rules, str]:
    """Choose values that were not given: threshold and lengths."""
    from neuroglow.network.threshold import threshold_for
    from neuroglow.skeleton.bridges import Bounds
    from neuroglow.skeleton.tracer import Rules

    peak, origin = settings.threshold, "as given"
    if peak is None:
        peak, origin = threshold_for([source.volume.name])
    low = LOW_SHARE * peak if settings.low is None else settings.low
    if low > peak:
        raise SettingsError(
            "low must not exceed the threshold", found=f"{low:g}, {peak:g}", where="--low"
        )
    lengths = Lengths.of(settings, source.unit_um)
    gap = Bounds(lengths.gap, settings.gap_angle, settings.gap_probability, low)
    rules = Rules(
        peak=peak,
        low=low,
        spur=lengths.spur,
        crossing=settings.crossing_angle,
        gap=gap,
        soma=settings.soma_um,
        least=lengths.min_length,
        step=lengths.step,
        smooth=settings.smooth,
        lines=settings.lines,
    )
    return rules, origin


def _refuse_all_detected(source: Source, low: float) -> None:
    from neuroglow.trace.source import MOSTLY

    share = source.lit_share(low)
    if share > MOSTLY:
        raise InputError(
            "neurites fill the smaller part of a volume",
            found=f"{share:.0%} of the voxels reach {low:g}",
            where=source.volume.name,
            cure="a higher --threshold or --low; a probability, not its complement or an image",
        )


def _small_somata(source: Source, rules: Rules) -> list[str]:
    """Say which somata need the raw image, where it is not given."""
    if source.units or not rules.soma:
        return []
    least = f"{SURE_SOMA * rules.soma:g} {_unit(source)}"
    return [f"without --raw, suppressed somata are found from a radius of about {least} on"]


def _why_none(source: Source, rules: Rules, trees: Sequence[Tree]) -> list[str]:
    """Explain why there are no trees."""
    if trees:
        return []
    if source.highest < rules.peak:
        labels = ": are these labels?" if 0 < source.highest < FEW / 255 else ""
        highest = f"the highest probability is {source.highest:.3g}{labels}"
        return [f"no voxel reaches the threshold: {highest}"]
    return [f"no tree is at least {rules.least:g} {_unit(source)} long (--min-length-um)"]


def _in_unit(trees: Sequence[Tree], settings: TraceSettings, source: Source) -> Sequence[Tree]:
    """Return trees in the requested unit; radii by the finest side, as they are read."""
    if settings.unit == "um":
        return trees
    size = np.asarray(source.unit_um)
    return Each(trees, lambda _, t: replace(t, points=t.points / size, radii=t.radii / size.min()))


def _write(
    report: TraceReport,
    trees: Sequence[Tree],
    bridges: Sequence[Bridge],
    traced: _Traced,
    output: Path,
) -> TraceReport:
    from neuroglow.trace.page import Found, make_page
    from neuroglow.trace.pictures import draw_trees, tree_colours
    from neuroglow.trace.summary import bridge_table, decision_table, tree_table
    from neuroglow.trace.swc_texts import swc_texts

    source, settings = traced.source, traced.settings
    scale = source.unit_um if settings.unit == "voxel" else (1.0, 1.0, 1.0)
    picture = draw_trees(trees, bridges, source, colours=tree_colours(len(trees)))
    found = Found(trees, bridges, source, traced.rules.peak, settings.block, picture)
    record = _record(report, traced)
    words = _in_words(report.summary, found.unit)
    title = f"Trees of {Path(source.volume.name).name}"
    command = _command(traced, output)
    page = make_page(title, words, found, report.notes, record | {"command": command})
    unit = "um" if source.sized else "vox"
    texts: dict[str, str | bytes] = {
        "page": page.html(),
        "table": tree_table(trees, bridges, scale, unit),
        "bridges": bridge_table(bridges, scale, unit),
        "decisions": decision_table(traced.decisions, scale),
        "picture": picture,
        "record": json.dumps(record, indent=1),
    }
    write_trace(output, swc_texts(report.trees, settings, source, one=is_file(output)), texts)
    paths = trace_paths(output)
    return replace(
        report,
        output=output,
        page=paths["page"],
        table=paths["table"],
        bridges=paths["bridges"],
        decisions=paths["decisions"],
        picture=paths["picture"],
        record=paths["record"],
    )


def _command(traced: _Traced, output: Path) -> str:
    """Write down the command that does the same."""
    source = traced.source
    words = ["neuroglow", "trace", source.volume.name, "-o", str(output)]
    words += ["--raw", source.units.volume.name] if source.units else []
    return shlex.join([*words, *as_options(traced.settings)])


def _record(report: TraceReport, traced: _Traced) -> dict[str, Any]:
    from dataclasses import asdict

    source, settings, rules = traced.source, traced.settings, traced.rules
    return {
        "input": {
            "name": source.volume.name,
            "shape": source.shape,
            "voxel_size_um": source.volume.voxel_size_um,
            "raw": source.units.volume.name if source.units else None,
            "raw_inverted": source.units is not None and is_inverted(source.units.volume),
        },
        "settings": settings.model_dump(mode="json"),
        "used": asdict(rules),
        "lengths_in": report.unit,
        "summary": dict(report.summary),
        "notes": list(report.notes),
        "versions": {name: version(name) for name in ("neuroglow", "numpy", "scipy")},
    }

"""All pairs of one evaluation: read in the same way, counted, drawn and scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError
from neuroglow.evaluate.blocks import Found, Part, RunPass, Task, in_this_thread
from neuroglow.evaluate.census import Census, CensusBlock, See, add_censuses
from neuroglow.evaluate.passes import (
    HALO,
    CountBlock,
    DrawBlock,
    Drawing,
    Lines,
    add_counts,
    join_lines,
    points_counted,
)
from neuroglow.evaluate.scoring import (
    judge_points,
    line_row,
    node_row,
    signal_row,
    tree_row,
    voxel_row,
)
from neuroglow.evaluate.settings import EvaluateSettings
from neuroglow.evaluate.sides import Case
from neuroglow.evaluate.sources import (
    BASELINES,
    LitSource,
    ScoreSource,
    baseline,
    describe_kind,
    doubts,
    read_prediction,
    read_truth,
)
from neuroglow.labels.label_doubts import doubts_of
from neuroglow.labels.labels import LabelReader
from neuroglow.metrics.counts import Levels, ScoreCounts
from neuroglow.metrics.signal import REACH, CellSignal
from neuroglow.metrics.skeletons import Line, cldice
from neuroglow.metrics.trees import Merge, Strand, cut_to_box, merges_of, to_strand
from neuroglow.progress import Progress, Tell
from neuroglow.space.geometry import Blocks, Box, tile
from neuroglow.space.volume import Volume
from neuroglow.trees.drawn_trees import DrawnTrees
from neuroglow.trees.swc import Tree

__all__ = ["PREDICTION", "Method", "Study", "VolumeScore", "study_cases"]

Mask = NDArray[np.bool_]

PREDICTION = "prediction"
TOLERANCE = 2.0
"""The tolerance nearest to this is used for pictures, ranks and comparisons."""

ROUNDING = 12**-0.5
"""Standard deviation of rounding to whole numbers: the smallest spread of a grey value."""

SPARSE = 0.5
"""Share of ignored voxels above which a truth is called sparse."""

PASSES = 4
"""Number of times a volume is read: values of both sides, voxels counted, lines drawn."""


@dataclass(frozen=True)
class Method:
    """One way to score the same volumes.

    own_best: the threshold is the one with the highest Dice. counts: of its voxels, in all volumes.
    """

    name: str
    source: str
    threshold: float
    own_best: bool = False
    counts: ScoreCounts | None = None


@dataclass
class VolumeScore:
    """The results for one volume.

    rows: method -> scores. points: for its picture. merges: of the prediction's trees.
    truth, sources: read by box, where they are volumes.
    """

    case: Case
    rows: dict[str, dict[str, float]]
    points: dict[str, NDArray[np.float64]]
    cells: list[dict[str, CellSignal]] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    truth: LabelReader | None = None
    sources: Mapping[str, ScoreSource] = field(default_factory=dict)


@dataclass
class Study:
    """All scores.

    counts: of all volumes together, by source. kinds: the kind of each side. tolerance: used for
    pictures, ranks and comparisons.
    """

    volumes: list[VolumeScore]
    methods: list[Method]
    counts: dict[str, ScoreCounts]
    kinds: dict[str, str]
    tolerance: float


@dataclass
class _Readers:
    """How a case is read: its truth, if it can be read by box, and its sources of scores."""

    truth: LabelReader | None
    sources: dict[str, ScoreSource]


def study_cases(
    cases: Sequence[Case],
    settings: EvaluateSettings,
    threshold: float,
    tell: Tell,
    run: RunPass = in_this_thread,
) -> Study:
    """Score all cases; each reads its voxels PASSES times, block by block, where `run` does it.

    Raises InputError if there is no truth, or a side is of unknown kind; ReadError for NaN.
    """
    passes = _Passes(
        run,
        settings.block,
        _Ticker(tell, PASSES * sum(Box.of(c.shape).size for c in cases if c.shape)),
    )
    kinds, readers = _read_alike(cases, settings, passes)
    counted = _count(cases, readers, passes)
    totals = _totals([counts for counts, _ in counted])
    _refuse_no_truth(cases, totals)
    methods = _methods(totals, threshold)
    volumes = []
    drawn = _draw(cases, readers, methods, passes)
    for case, reader, (counts, cells) in zip(cases, readers, counted, strict=True):
        volume = _score(case, reader, methods, settings, next(drawn))
        volume.cells = cells
        for method in methods:
            if method.source in counts:
                voxels = voxel_row(counts[method.source], method.threshold)
                if method.source in BASELINES:  # their scores are not probabilities
                    voxels.pop("calibration_error")
                volume.rows[method.name] = voxels | volume.rows[method.name]
        volume.rows[PREDICTION] |= signal_row(cells)
        case.notes += _sparse(case, counts) + _doubts(reader.truth, counts)
        volumes.append(volume)
    return Study(volumes, methods, totals, kinds, _shown(settings))


def _sparse(case: Case, counts: Mapping[str, ScoreCounts]) -> list[str]:
    """Warn that middle lines mean little if most of the truth is ignored."""
    if PREDICTION not in counts or not case.shape:
        return []
    one = counts[PREDICTION]
    ignored = 1 - (one.neurites.sum() + one.background.sum()) / Box.of(case.shape).size
    if ignored <= SPARSE:
        return []
    return [
        f"{math.floor(100 * ignored)}% of the voxels are ignored: middle lines and lengths come "
        "from the known part only (in single planes: from cross-sections), so voxel scores are "
        "more meaningful here"
    ]


def _doubts(truth: LabelReader | None, counts: Mapping[str, ScoreCounts]) -> list[str]:
    """Say how a truth's values were read, and warn about one that is mostly neurites."""
    if PREDICTION not in counts or truth is None:
        return []
    one = counts[PREDICTION]
    said = doubts_of(truth, int(one.neurites.sum()), int(one.background.sum()))
    return [f"truth: {sentence}" for sentence in said]


def _shown(settings: EvaluateSettings) -> float:
    return min(settings.tolerances, key=lambda t: (abs(t - TOLERANCE), t))


class _Ticker:
    """Counts the voxels that have been processed."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._total, self._done = tell, max(1, total), 0

    def at(self, work: str, case: Case) -> See:
        """Return the function to call with each finished box of a piece of work."""

        def see(box: Box) -> None:
            self._done += box.size
            self._tell(Progress(f"{case.name}: {work}", self._done, self._total))

        return see


@dataclass(frozen=True)
class _Passes:
    """How passes over volumes run: where, in which blocks, and what hears of their progress."""

    run: RunPass
    block: int
    ticker: _Ticker

    def over(self, work: str, parts: Sequence[tuple[Case, Part, int]]) -> Iterator[Iterator[Found]]:
        """Run a pass: for each case its function and the halo that this reads."""
        tasks = [
            Task(case.name, part, self._blocks(case, halo), self.ticker.at(work, case))
            for case, part, halo in parts
        ]
        return self.run(work, tasks) if tasks else iter(())

    def _blocks(self, case: Case, halo: int) -> Blocks:
        assert case.shape is not None
        return tile(Box.of(case.shape), (self.block,) * 3, halo=halo)


def _read_alike(
    cases: Sequence[Case], settings: EvaluateSettings, passes: _Passes
) -> tuple[dict[str, str], list[_Readers]]:
    """Decide for all volumes together how their values are read."""
    found, true = (
        _census([(c, v) for c in cases if (v := getattr(c, side))], side, passes)
        for side in (PREDICTION, "truth")
    )
    levels = _raw_levels([(c, c.raw) for c in cases if c.raw], passes)
    readers = []
    for case in cases:
        truth = _read_truth(case, settings, true)
        source = _read_prediction(case, settings, found) if truth else None
        sources = {PREDICTION: source} if source else {}
        if case.raw is not None and source and levels:
            sources |= {name: baseline(name, case.raw, levels) for name in BASELINES}
        readers.append(_Readers(truth, sources))
        case.notes += doubts(found, settings.prediction_map)
    kinds = {
        PREDICTION: describe_kind(found, settings.prediction_map),
        "truth": describe_kind(true, settings.label_map),
    }
    return kinds, readers


def _read_truth(
    case: Case, settings: EvaluateSettings, census: Census | None
) -> LabelReader | None:
    """Read the truth as voxels: its volume, or its trees drawn if the other side is a volume."""
    if case.truth is not None and census:
        return read_truth(case.truth, census, settings.label_map)
    if case.true_tree is not None and case.shape:
        return DrawnTrees(case.true_tree, case.shape, case.unit_um, settings.swc_radius_um)
    return None


def _read_prediction(
    case: Case, settings: EvaluateSettings, census: Census | None
) -> ScoreSource | None:
    if case.prediction is not None and census:
        return read_prediction(case.prediction, census, settings.prediction_map)
    if case.found_tree is not None and case.shape:
        return LitSource(
            DrawnTrees(case.found_tree, case.shape, case.unit_um, settings.swc_radius_um)
        )
    return None


def _census(volumes: Sequence[tuple[Case, Volume]], side: str, passes: _Passes) -> Census | None:
    parts = [(case, CensusBlock(volume), 0) for case, volume in volumes]
    found = passes.over(f"reading the {side}", parts)
    taken = [add_censuses(one, volume) for one, (_, volume) in zip(found, volumes, strict=True)]
    return reduce(Census.__or__, taken) if taken else None


def _raw_levels(volumes: Sequence[tuple[Case, Volume]], passes: _Passes) -> Levels | None:
    """Choose levels of raw intensities: every integer for types of at most 16 bits."""
    if not volumes:
        return None
    dtype = np.result_type(*(v.dtype for _, v in volumes))
    if dtype.kind in "ui" and dtype.itemsize <= 2:
        whole = np.iinfo(dtype)
        return Levels(whole.min, whole.max, whole.max - whole.min + 1)
    census = _census(volumes, "raw image", passes)
    low, high = (census.values[0], census.values[-1]) if census else (0.0, 1.0)
    return Levels(low, max(high, low + 1e-6), 2**16)


def _count(
    cases: Sequence[Case], readers: Sequence[_Readers], passes: _Passes
) -> list[tuple[dict[str, ScoreCounts], list[dict[str, CellSignal]]]]:
    """Count the voxels of cases; measure their signal before and after, if there is a raw image."""
    parts: list[tuple[Case, CountBlock, int]] = []
    for case, reader in zip(cases, readers, strict=True):
        if reader.truth and reader.sources and case.shape:
            part = CountBlock(reader.truth, reader.sources, _floors(case))
            parts.append((case, part, int(REACH)))
    found = passes.over("counting voxels", parts)
    done = {
        id(case): add_counts(one, part.sources, part.floors)
        for one, (case, part, _) in zip(found, parts, strict=True)
    }
    return [done.get(id(case), ({}, [])) for case in cases]


def _floors(case: Case) -> dict[str, float]:
    """Return the smallest spreads of grey values, of the images whose signal is measured."""
    if case.raw is None:
        return {}
    raw = ROUNDING if case.raw.dtype.kind in "ui" else 1e-12
    return {"raw": raw, PREDICTION: ROUNDING / 255}


def _totals(counts: Sequence[Mapping[str, ScoreCounts]]) -> dict[str, ScoreCounts]:
    """Add up the counts of each source."""
    totals: dict[str, ScoreCounts] = {}
    for some in counts:
        for name, one in some.items():
            totals[name] = totals[name] + one if name in totals else one
    return totals


def _methods(totals: Mapping[str, ScoreCounts], threshold: float) -> list[Method]:
    """List the methods: the prediction; if there are baselines, also at its own best threshold."""
    methods = [Method(PREDICTION, PREDICTION, threshold)]
    if len(totals) < 2:
        return methods
    best = {name: counts.best_threshold() for name, counts in totals.items()}
    if totals[PREDICTION].levels.count > 2:
        methods.append(Method("prediction, best", PREDICTION, best[PREDICTION], own_best=True))
    return methods + [
        Method(name, name, best[name], own_best=True, counts=totals[name]) for name in BASELINES
    ]


def _score(
    case: Case,
    readers: _Readers,
    methods: Sequence[Method],
    settings: EvaluateSettings,
    drawing: Drawing,
) -> VolumeScore:
    """Score lines and trees of a case for each method."""
    unit = (1.0, 1.0, 1.0) if settings.unit == "voxel" else case.unit_um
    true_tree, found_tree = (_strand(t, case) for t in (case.true_tree, case.found_tree))
    truth = true_tree.line if true_tree else drawing.truth.line
    volume = VolumeScore(case, {}, {}, truth=readers.truth, sources=readers.sources)
    for method in methods:
        line, counted = _found_line(drawing.methods.get(method.name), found_tree)
        row = {"length_um": truth.length}
        row["cldice"] = _cldice(drawing, method.name)
        row |= line_row(truth, line, counted, tolerances=settings.tolerances, unit=unit)
        own = case.found_tree if method.name == PREDICTION else None
        if settings.trace and true_tree and own is None:
            own = _traced(case, readers, method, settings)
        tree = found_tree if own is case.found_tree else _strand(own, case)
        if case.true_tree and true_tree and own and tree:
            known = _known(tree, case, readers, settings.block)
            box = Box.of(case.shape) if case.shape else None
            row |= tree_row(true_tree, tree, known, box=box, unit=unit)
            row |= node_row(case.true_tree, own, case.unit_um, box=box)
        volume.rows[method.name] = row
        if method.name == PREDICTION:
            if true_tree and tree:
                volume.merges = merges_of(true_tree, tree, unit=unit)
            volume.points = judge_points(
                truth, line, counted, tolerance=_shown(settings), unit=unit
            ) | {"merged": np.array([m.place for m in volume.merges]).reshape(-1, 3)}
    return volume


def _draw(
    cases: Sequence[Case],
    readers: Sequence[_Readers],
    methods: Sequence[Method],
    passes: _Passes,
) -> Iterator[Drawing]:
    """Draw the middle lines of each case, one after another; none where no side is a volume."""
    parts: list[tuple[Case, DrawBlock, int]] = []
    for case, reader in zip(cases, readers, strict=True):
        if reader.truth and reader.sources and case.shape:
            chosen = {m.name: (reader.sources[m.source], m.threshold) for m in methods}
            parts.append((case, DrawBlock(reader.truth, chosen, case.unit_um), HALO))
    found = passes.over("drawing lines", parts)
    drawn = {id(case): part for case, part, _ in parts}
    for case in cases:
        part = drawn.get(id(case))
        yield join_lines(next(found), part.sources) if part else Drawing(Lines(), {}, {})


def _traced(
    case: Case,
    readers: _Readers,
    method: Method,
    settings: EvaluateSettings,
) -> Tree | None:
    """Trace one method; None if it has no volume."""
    from neuroglow.evaluate.traced import AsProbability, trace_source

    if method.source not in readers.sources or not case.shape:
        return None
    source = readers.sources[method.source]
    where = (case.shape, case.unit_um, settings.block)
    if method.source == PREDICTION or method.counts is None:
        return trace_source(source, method.threshold, *where)
    said = AsProbability(source, method.counts)
    return trace_source(said, said.of_threshold(method.threshold), *where)


def _strand(tree: Tree | None, case: Case) -> Strand | None:
    """Cut trees into steps, and crop them to the volume, if there is one."""
    if tree is None:
        return None
    strand = to_strand(tree, case.unit_um)
    return cut_to_box(strand, Box.of(case.shape)) if case.shape else strand


def _found_line(lines: Lines | None, tree: Strand | None) -> tuple[Line, Mask]:
    """Return the found line, and which of its points count."""
    if lines is not None:
        return lines.line, lines.counted
    line = tree.line if tree else Line.joined([])
    return line, np.ones(len(line.points), bool)


def _known(tree: Strand, case: Case, readers: _Readers, block: int) -> Mask:
    """Return which nodes lie where the truth is known: all, if it consists of trees only."""
    if case.truth is None or readers.truth is None or case.shape is None:
        return np.ones(len(tree.points), bool)
    return points_counted(tree.points, readers.truth, case.shape, block)


def _cldice(drawing: Drawing, method: str) -> float:
    if method not in drawing.methods:
        return float("nan")
    found = drawing.methods[method]
    return cldice(
        found.inside, found.skeleton, drawing.truth_inside[method], drawing.truth.skeleton
    )


def _refuse_no_truth(cases: Sequence[Case], totals: Mapping[str, ScoreCounts]) -> None:
    """Refuse a truth without any neurite: no score would be meaningful."""
    voxels = sum(int(counts.neurites.sum()) for counts in totals.values())
    edges = sum(int((c.true_tree.parents >= 0).sum()) for c in cases if c.true_tree)
    if not voxels and not edges:
        raise InputError(
            "the truth must contain neurites in at least one volume",
            found=f"none in {len(cases)} volume{'s' if len(cases) > 1 else ''}",
            where=cases[0].truth.name if cases[0].truth else cases[0].name,
            cure="--label-map, if another value means neurite",
        )

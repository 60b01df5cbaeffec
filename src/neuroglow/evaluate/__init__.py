"""Evaluate: prediction x truth -> one report.

    pair by name -> open, check -> count voxels -> draw lines -> trees -> scores -> report

Scores are pure functions in metrics/; this package pairs files, reads them block by block, and
writes the results.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from neuroglow.blocks.cluster import Place, work_at
from neuroglow.errors import SettingsError
from neuroglow.evaluate.files import Mode, claimed, refuse_existing, write_report
from neuroglow.evaluate.settings import EvaluateSettings
from neuroglow.face import given, spelled_out
from neuroglow.files.remarks import remark_unsized
from neuroglow.labels.cube_folder import is_cube_folder
from neuroglow.labels.labels import LEGEND
from neuroglow.printed import Printed
from neuroglow.progress import Tell, say_nothing
from neuroglow.settings import as_options, check_settings
from neuroglow.space.arrays import VolumeSource, is_path
from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import Array
from neuroglow.trees.swc_unit import SwcUnit

if TYPE_CHECKING:
    from neuroglow.evaluate.blocks import RunPass
    from neuroglow.evaluate.page import Pictured
    from neuroglow.evaluate.sides import Case
    from neuroglow.evaluate.study import Study, VolumeScore

Floats = NDArray[np.float64]

MANY = 64
"""Blocks from which on those that were read are kept in files, so that a stop loses little."""

ROOM = 1_500_000
"""Bytes of slabs on a page from which on no further volume is shown in slabs."""

__all__ = ["EvaluateReport", "EvaluateSettings", "evaluate"]


@dataclass(frozen=True, repr=False)
class EvaluateReport(Printed):
    """The result of an evaluation; the files are None if none were requested.

    results: all numbers, as in scores.json.
    """

    page: Path | None
    scores: Path | None
    table: Path | None
    results: Mapping[str, Any]

    @property
    def means(self) -> dict[str, float]:
        """The mean of each score over volumes."""
        return {name: found["mean"] for name, found in self.results["summary"].items()}

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        words = _in_words(self.results)
        yield from [words] if self.page is None else [str(self.page), words]
        yield from dict.fromkeys(note for v in self.results["volumes"] for note in v["notes"])


SAID = ("dice", "average_precision", "cldice", "tree_recovered", "tree_false")
"""The scores shown in a summary, where they are known."""


def _in_words(results: Mapping[str, Any]) -> str:
    """Return the most important scores in one line."""
    names = (*SAID[:3], f"skeleton_f1_{results['tolerance']:g}", *SAID[3:])
    means = {name: results["summary"].get(name, {"n": 0}) for name in names}
    said = [f"{name} {found['mean']:.3f}" for name, found in means.items() if found["n"]]
    count = len(results["volumes"])
    return f"{count} volume{'s' if count > 1 else ''}, mean " + ", ".join(said)


@spelled_out(EvaluateSettings)
def evaluate(  # noqa: PLR0913  # every option, for editors
    prediction: VolumeSource,
    truth: VolumeSource,
    *,
    out: str | Path | None = None,
    raw: VolumeSource | None = None,
    threshold: float | None = None,
    label_map: str = "",
    prediction_map: str = "",
    voxel_size: Sequence[float] | None = None,
    tolerances: Sequence[float] = (1.0, 2.0, 3.0),
    unit: Literal["voxel", "um"] = "voxel",
    swc_unit: SwcUnit | None = None,
    offset: Sequence[float] | None = None,
    swc_radius_um: float | None = None,
    block: int = 128,
    pictures: int = 6,
    trace: bool = False,
    invert: bool | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    time_limit: float | None = None,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> EvaluateReport:
    """Score predictions against truths: voxels, middle lines, trees, and with `raw` the signal.

    prediction, truth: each a probability (uint8, or real 0..1), a mask, a volume with a legend,
        SWC; or a folder of these, paired by name; or an array (zyx). raw: the images, or their
        folder.
    out: a folder (report.html, scores.json, scores.csv, pictures/), or `.html`; None writes
        nothing. mode: `new` refuses an existing report; `restart` replaces it; `resume` goes on
        with the blocks of an evaluation that was stopped, `retry-failed` with those that failed.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        EvaluateSettings.

    Raises UsageError for files that cannot be compared (missing partners, different shapes or
    voxel sizes, no truth, an unknown value), ReadError for NaN, WriteError.
    """
    from neuroglow.evaluate.pairs import find_pairs
    from neuroglow.evaluate.sides import open_case, refuse_idle
    from neuroglow.evaluate.study import study_cases
    from neuroglow.network.threshold import threshold_for

    chosen = check_settings(EvaluateSettings, given())
    output = None if out is None else Path(out)
    if output is not None:
        refuse_existing(output, mode)
    pairs = find_pairs(prediction, truth, raw)
    if not chosen.label_map and all(_is_phantom(pair.truth.volume) for pair in pairs):
        chosen = chosen.model_copy(update={"label_map": LEGEND})
    cases = [open_case(pair, chosen) for pair in pairs]
    refuse_idle(cases, chosen)
    remark_unsized([case.name for case in cases if not case.sized])
    threshold, origin = chosen.threshold, "as given"
    if threshold is None:
        threshold, origin = threshold_for(pair.prediction.volume for pair in pairs)
    arrays = [side for side in (prediction, truth, raw) if not (side is None or is_path(side))]
    with work_at(chosen.scheduler) as place, claimed(output):
        run = _passes(cases, chosen, output, mode, None if arrays else place)
        study = study_cases(cases, chosen, threshold, on_progress or say_nothing, run)
        words = (_named(prediction), _named(truth), output, None if raw is None else _named(raw))
        record = {
            "neuroglow": version("neuroglow"),
            "command": _command(*words, chosen),
            "threshold": threshold,
            "threshold_from": origin,
            "settings": chosen.model_dump(mode="json"),
        }
        title = f"{_short(prediction)} against {_short(truth)}"
        return _finish(study, record, chosen, output, title)


def _passes(
    cases: Sequence[Case],
    settings: EvaluateSettings,
    output: Path | None,
    mode: Mode,
    place: Place | None,
) -> RunPass:
    """Choose where the volumes are read: in this thread, or by runs, which leave files.

    place: None for arrays, which are read here.
    """
    from neuroglow.evaluate.blocks import KeptPasses, in_this_thread
    from neuroglow.evaluate.sides import decides
    from neuroglow.runs.unfinished import CONTINUED, Unfinished, check_begun
    from neuroglow.space.geometry import Box, tile

    apart = settings.workers > 1 or settings.scheduler or settings.time_limit is not None
    if output is None or place is None:
        if apart:
            raise SettingsError(
                "other processes work from files to a file",
                found="an array" if place is None else "no output",
                where="scheduler" if settings.scheduler else "workers",
            )
        return in_this_thread
    side = (settings.block,) * 3
    many = sum(len(tile(Box.of(case.shape), side)) for case in cases if case.shape) > MANY
    if not (apart or many or mode in CONTINUED):
        return in_this_thread
    passes = Unfinished(output).folder / "passes"
    check_begun(passes, mode)
    if mode not in CONTINUED:
        Unfinished(output).empty()
    workers = place.workers(settings.workers, limit_s=settings.time_limit)
    return KeptPasses(output, decides(cases, settings), workers, mode)


def _named(source: VolumeSource) -> str:
    return str(source) if is_path(source) else "array"


def _short(source: VolumeSource) -> str:
    return Path(source).name if is_path(source) else "array"


def _is_phantom(truth: object) -> bool:
    """Return whether a truth is the label in a phantom cube's folder, whose legend is known."""
    return isinstance(truth, str | Path) and is_cube_folder(Path(truth).parent)


def _finish(
    study: Study,
    record: Mapping[str, Any],
    settings: EvaluateSettings,
    output: Path | None,
    title: str,
) -> EvaluateReport:
    """Turn a study into numbers, and write the files."""
    from neuroglow.evaluate.page import make_page
    from neuroglow.evaluate.results import results_of, table_rows
    from neuroglow.files.tables import csv_text, plain

    results = {**record, **results_of(study)}
    if output is None:
        return EvaluateReport(None, None, None, results)
    pictures = _pictures(study, settings, record["threshold"])
    texts = {
        "page": make_page(f"Scores of {title}", study, results, record, pictures).html(),
        "scores": json.dumps(plain(results), indent=1),
        "table": csv_text(table_rows(study)),
    }
    paths = write_report(output, texts, {shown.name: shown.png for shown in pictures})
    return EvaluateReport(paths["page"], paths["scores"], paths["table"], results)


def _pictures(study: Study, settings: EvaluateSettings, threshold: float) -> list[Pictured]:
    """Draw the worst volumes; slabs of as many as the page has room for."""
    from neuroglow.evaluate.page import Pictured
    from neuroglow.evaluate.pictures import draw_volume, stack_of
    from neuroglow.evaluate.results import ranked
    from neuroglow.pictures.view import View

    drawn: list[Pictured] = []
    room = ROOM
    for volume in ranked(study)[: settings.pictures]:
        case, points = volume.case, volume.points
        shape = case.shape
        if shape is None:
            shape, points = _framed(points)
        view = View.of(shape, case.unit_um if case.sized else None)
        png = draw_volume(view, points, *_projections(volume, settings.block))
        stack = stack_of(volume, threshold, settings.block) if room > 0 else None
        room -= stack.weight if stack else 0
        drawn.append(Pictured(case.name, png, stack))
    return drawn


def _projections(volume: VolumeScore, block: int) -> list[Mapping[str, Array] | None]:
    """Project the raw image and the prediction, where there are any."""
    from neuroglow.evaluate.study import PREDICTION
    from neuroglow.space.projections import project_boxes

    readers = [volume.case.raw, volume.sources.get(PREDICTION)]
    shape = volume.case.shape
    return [project_boxes(r.read, shape, block) if r and shape else None for r in readers]


def _framed(points: Mapping[str, Floats]) -> tuple[Zyx, dict[str, Floats]]:
    """Without a volume, return a shape that contains all points, and the points in it."""
    every = np.concatenate(list(points.values()))
    low, high = (every.min(axis=0), every.max(axis=0)) if len(every) else (np.zeros(3),) * 2
    z, y, x = (int(n) + 1 for n in high - low)
    return (z, y, x), {name: some - low for name, some in points.items()}


def _command(
    prediction: str | Path,
    truth: str | Path,
    output: Path | None,
    raw: str | Path | None,
    settings: EvaluateSettings,
) -> str:
    """Return the command that repeats this run."""
    words = ["neuroglow", "evaluate", str(prediction), str(truth), "-o", str(output or "REPORT")]
    words += [] if raw is None else ["--raw", str(raw)]
    return shlex.join([*words, *as_options(settings)])

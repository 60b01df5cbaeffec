"""The report that a person reads: one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroglow.evaluate.definitions import DEFINITIONS, TITLES
from neuroglow.evaluate.results import merge_rows, ranked
from neuroglow.evaluate.study import PREDICTION, Study
from neuroglow.pictures.stack import Stack
from neuroglow.report import COLOURS, Page, new_figure

__all__ = ["Pictured", "make_page"]

SHOWN_MERGES = 40
"""Number of merges listed on the page."""

UNITS = {"voxel": "voxels", "um": "micrometres"}
PER_VOLUME = ("dice", "average_precision", "cldice", "skeleton_f1", "skeleton_recall")
PER_TREE = ("tree_recovered", "tree_false", "tree_splits", "tree_merges", "tree_erl")

COLOURED = (
    "Lines: blue found, yellow missed, vermilion false (within {tolerance:g} {unit}); a ring: a "
    "merge. Where the probability lies over the raw image, its colour is deep where the raw image "
    "is dark and pale where it is bright: deep colour is what the raw image hardly shows."
)
SLID = (
    "Maxima of slabs of planes along z. Move the threshold to see what would be found, missed and "
    "false, voxel by voxel: stricter than the scores of lines, which allow for a tolerance."
)


@dataclass(frozen=True)
class Pictured:
    """The pictures of one volume: projections (PNG), and slabs where there are two volumes."""

    name: str
    png: bytes
    stack: Stack | None = None


def make_page(
    title: str,
    study: Study,
    results: Mapping[str, Any],
    record: Mapping[str, Any],
    pictures: Sequence[Pictured],
) -> Page:
    """Make the page: verdict, pictures, scores, methods, curves, signal, volumes, settings."""
    page = Page(title, DEFINITIONS).verdict(_verdict(study, results, record))
    page.paragraph(_summary(study, results, record))
    _add_pictures(page, study, record, pictures)
    page.heading("Scores").table(_headlines(results), _about_table(study, record))
    if results["methods"]:
        _add_methods(page, results["methods"], len(study.volumes))
    if study.counts:
        page.chart(_curves(study), _about_curves(study), title="Voxels, all volumes together")
    if results["signal_by_class"]:
        page.heading("Signal, before and after")
        page.table(results["signal_by_class"], "medians over cells of 32 voxels per axis")
    if len(study.volumes) > 1:
        page.heading("Volumes, the worst first").table(_volumes(study))
    merges = [{"volume": v.case.name, **row} for v in ranked(study) for row in merge_rows(v)]
    if merges:
        page.heading("Merges, and where they are").table(
            merges[:SHOWN_MERGES], _about_merges(merges)
        )
    notes = [f"{v.case.name}: {note}" for v in ranked(study) for note in v.case.notes]
    if notes:
        page.heading("Assumptions")
        for note in dict.fromkeys(notes):
            page.paragraph(note)
    return page.settings(str(record["command"]), record["settings"])


def _add_pictures(
    page: Page, study: Study, record: Mapping[str, Any], pictures: Sequence[Pictured]
) -> None:
    unit = _distances_in(study, record)
    about = COLOURED.format(tolerance=study.tolerance, unit=unit)
    for shown in pictures:
        page.picture(shown.png, about, title=shown.name)
        if shown.stack:
            page.stack(shown.stack, SLID, title=f"{shown.name}, plane by plane")


def _verdict(study: Study, results: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    """Say in a few sentences what the scores come to."""
    found = {n: row for n, row in results["summary"].items() if row["n"]}
    unit = _distances_in(study, record)
    said = []
    key = f"skeleton_f1_{study.tolerance:g}"
    if key in found:
        recall, precision = (
            found.get(_key(f"skeleton_{name}", study.tolerance), {}).get("mean", np.nan)
            for name in ("recall", "precision")
        )
        said.append(
            f"{_share(recall)} of the true length is found (within {study.tolerance:g} {unit}), "
            f"and {_share(precision)} of the found length is true: length F1 {_number(found[key])}."
        )
    elif "dice" in found:
        said.append(f"Of voxels: Dice {_number(found['dice'])}.")
    if "tree_recovered" in found:
        said.append(
            f"Trees: {_share(found['tree_recovered']['mean'])} of the length is recovered; "
            f"the false length is {_share(found['tree_false']['mean'])} of the true length."
        )
    worst = ranked(study)[0]
    score = worst.rows[PREDICTION].get(key, np.nan)
    if len(study.volumes) > 1 and np.isfinite(score):
        said.append(f"The worst of {len(study.volumes)} volumes is {worst.case.name}: {score:.3f}.")
    said += _beaten(study, results["methods"])
    return " ".join(said) or "None of the scores says anything of these volumes."


def _beaten(study: Study, methods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Compare with the best method without a network."""
    name = next((n for n in ("skeleton_f1", "dice") if all(n in row for row in methods)), None)
    others = [row for row in methods if not row["method"].startswith(PREDICTION)]
    if name is None or not others:
        return []
    best = max(others, key=lambda row: float(row[name]))
    return [
        f"The best method without a network ({best['method']}) reaches "
        f"{TITLES[name]} {best[name]:.3f} at a threshold chosen by this very truth."
    ]


def _share(value: float) -> str:
    return f"{value:.0%}" if np.isfinite(value) else "an unknown share"


def _number(found: Mapping[str, float]) -> str:
    """Write a mean, with its interval where it is of more than one volume."""
    interval = f" (95 % interval {_interval(found)}, n = {found['n']})" if found["n"] > 1 else ""
    return f"{found['mean']:.3f}{interval}"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['low']:.3f}–{found['high']:.3f}"


def _sized(study: Study) -> bool:
    """Tell whether all lengths are in micrometres."""
    return all(v.case.sized for v in study.volumes)


def _distances_in(study: Study, record: Mapping[str, Any]) -> str:
    """Name the unit of the tolerance: micrometres only where a voxel size is known."""
    return UNITS[record["settings"]["unit"]] if _sized(study) else UNITS["voxel"]


def _summary(study: Study, results: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    kinds, count = results["kinds"], len(study.volumes)
    detected = (
        f"A voxel is detected at {record['threshold']:g} or above ({record['threshold_from']}). "
    )
    lengths = [v.rows[PREDICTION]["length_um"] for v in study.volumes]
    unit = "µm" if _sized(study) else "voxels"
    return (
        f"{count} volume{'s' if count > 1 else ''}, {np.nansum(lengths):,.0f} {unit} of true "
        f"neurites; prediction: {kinds[PREDICTION]}, "
        f"truth: {kinds['truth']}. {detected if study.counts else ''}"
        f"Distances are in {_distances_in(study, record)}."
    )


def _about_table(study: Study, record: Mapping[str, Any]) -> str:
    within = f"lengths within {study.tolerance:g} {_distances_in(study, record)}"
    more = "means over volumes; " if len(study.volumes) > 1 else ""
    return f"{more}{within}; a dotted name says what it means, and leads to its definition"


def _key(name: str, tolerance: float) -> str:
    """Return the name of a line score at the tolerance that is shown."""
    return f"{name}_{tolerance:g}" if name.startswith("skeleton_") else name


def _headlines(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give a row a score: of several volumes its mean and spread, of one its value and meaning."""
    shown = [
        (title, found)
        for name, title in TITLES.items()
        if (found := results["summary"].get(_key(name, results["tolerance"]))) and found["n"]
    ]
    if all(found["n"] == 1 for _, found in shown):
        return [{"score": t, "value": f["mean"], "meaning": DEFINITIONS[t]} for t, f in shown]
    return [
        {
            "score": title,
            "mean": found["mean"],
            "95 % interval": _interval(found) if found["n"] > 1 else "",
            "SD": found["sd"] if found["n"] > 1 else "",
            "volumes": found["n"],
        }
        for title, found in shown
    ]


def _add_methods(page: Page, methods: Sequence[Mapping[str, Any]], volumes: int) -> None:
    names = dict.fromkeys(
        name
        for row in methods
        for name in row
        if name != "chosen" and not name.endswith(("_low", "_high"))
    )
    page.heading("Compared with methods without a network")
    titles = {name: TITLES.get(name, name).removeprefix("trees: ") for name in names}
    page.table(
        [{titles[n]: row.get(n) for n in names} for row in methods],
        "means over volumes" if volumes > 1 else "",
    )
    page.paragraph(
        "Each method without a network is scored at the threshold with the highest Dice over all "
        "these volumes. This threshold was chosen with this very truth, which favours these "
        "methods. "
        "The prediction is listed twice if it has a threshold of its own."
    )


def _curves(study: Study) -> Any:
    """Draw precision over recall for each method, and the reliability of the prediction."""
    figure = new_figure(width=9, height=4)
    left, right = figure.subplots(1, 2)
    for colour, (name, counts) in zip(COLOURS, study.counts.items(), strict=False):
        curve = np.array(counts.curve()).reshape(-1, 3)
        left.plot(curve[:, 2], curve[:, 1], color=colour, label=name, marker="." * (len(curve) < 3))
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    left.legend(loc="lower left")
    rows = study.counts[PREDICTION].reliability()
    right.plot([0, 1], [0, 1], color="#7F7F7F", linewidth=1)
    right.plot(
        [r["probability"] for r in rows], [r["share"] for r in rows], color=COLOURS[0], marker="o"
    )
    right.set(xlabel="probability", ylabel="share of neurite voxels", xlim=(0, 1), ylim=(0, 1.02))
    return figure


def _about_curves(study: Study) -> str:
    counts = study.counts[PREDICTION]
    best = f" (Dice is highest at {counts.best_threshold():g})" if counts.levels.count > 2 else ""
    return (
        f"Left: precision over recall at all thresholds{best}. Right: share of neurite voxels at "
        f"each probability (on the diagonal: perfectly calibrated); expected calibration error "
        f"{counts.calibration_error:.3f}. Ignored voxels are excluded."
    )


def _about_merges(merges: Sequence[Mapping[str, Any]]) -> str:
    more = f"the first {SHOWN_MERGES} of {len(merges)}; all are in scores.json; "
    return (
        (more if len(merges) > SHOWN_MERGES else "")
        + "one found tree changes here from one true tree to another; x, y, z as in SWC files; "
        "joined "
        "length: length of the other tree that it follows"
    )


def _volumes(study: Study) -> list[dict[str, Any]]:
    some = ranked(study)
    length = f"true length ({'µm' if _sized(study) else 'voxels'})"
    rows = [
        {n: v.rows[PREDICTION].get(_key(n, study.tolerance), np.nan) for n in PER_VOLUME + PER_TREE}
        for v in some
    ]
    names = [n for n in PER_VOLUME + PER_TREE if any(np.isfinite(row[n]) for row in rows)]
    return [
        {
            "volume": v.case.name,
            **{TITLES[n]: row[n] for n in names},
            length: v.rows[PREDICTION]["length_um"],
        }
        for v, row in zip(some, rows, strict=True)
    ]

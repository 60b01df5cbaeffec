"""The report that a person reads: one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroglow.evaluate.results import merge_rows, ranked
from neuroglow.evaluate.study import PREDICTION, Study
from neuroglow.report import COLOURS, Page, figure_png, new_figure

__all__ = ["make_page"]

HEADLINES = {
    "dice": "Dice",
    "iou": "IoU (mean of both classes)",
    "accuracy": "accuracy",
    "recall": "recall",
    "precision": "precision",
    "average_precision": "average precision",
    "calibration_error": "expected calibration error",
    "cldice": "clDice",
    "skeleton_f1": "length F1",
    "skeleton_recall": "length recall",
    "skeleton_precision": "length precision",
    "tree_recovered": "trees: length recovered",
    "tree_false": "trees: false length over true",
    "tree_esa": "trees: ESA",
    "tree_dsa": "trees: DSA",
    "tree_pds": "trees: PDS",
    "tree_gaps_100um": "trees: gaps per 100 um",
    "tree_splits": "trees: splits",
    "tree_merges": "trees: merges",
    "tree_tip_recall": "trees: tip recall",
    "tree_branch_recall": "trees: branch-point recall",
    "tree_erl_um": "trees: expected run length (um)",
    "tree_erl": "trees: expected run length, share of the maximum",
    "snr_raw": "SNR, raw",
    "snr_prediction": "SNR, prediction",
    "cnr_raw": "CNR, raw",
    "cnr_prediction": "CNR, prediction",
    "uniformity_raw": "background uniformity, raw",
    "uniformity_prediction": "background uniformity, prediction",
}
"""Scores of the first table, where known, and their titles; those of lines at one tolerance."""

SHOWN_MERGES = 40
"""Number of merges listed on the page."""

UNITS = {"voxel": "voxels", "um": "micrometres"}
PER_VOLUME = ("dice", "average_precision", "cldice", "skeleton_f1", "skeleton_recall")
PER_TREE = ("tree_recovered", "tree_false", "tree_splits", "tree_merges", "tree_erl")


def make_page(
    title: str,
    study: Study,
    results: Mapping[str, Any],
    record: Mapping[str, Any],
    pictures: Sequence[tuple[str, bytes]],
) -> Page:
    """Make the page: scores, methods, curves, signal, volumes, pictures, settings, command."""
    page = Page(title).paragraph(_summary(study, results, record))
    page.table(_headlines(results), _about_table(study))
    if results["methods"]:
        _add_methods(page, results["methods"])
    if study.counts:
        page.heading("Voxels, all volumes together")
        page.picture(figure_png(_curves(study)), _about_curves(study))
    if results["signal_by_class"]:
        page.heading("Signal, before and after")
        page.table(results["signal_by_class"], "medians over cells of 32 voxels per axis")
    page.heading("Volumes, the worst first").table(_volumes(study))
    for name, png in pictures:
        meaning = (
            f"blue found, yellow missed, vermilion false (within {study.tolerance:g}); "
            "white rings: merges"
        )
        page.picture(png, f"{name}: {meaning}")
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
    page.heading("Repeat this run").command(str(record["command"]))
    settings = record["settings"].items()
    return page.heading("Settings").table(
        [{"setting": name, "value": "-" if v in (None, "") else str(v)} for name, v in settings]
    )


def _summary(study: Study, results: Mapping[str, Any], record: Mapping[str, Any]) -> str:
    kinds, count = results["kinds"], len(study.volumes)
    detected = (
        f"A voxel is detected at {record['threshold']:g} or above ({record['threshold_from']}). "
    )
    return (
        f"{count} volume{'s' if count > 1 else ''}; prediction: {kinds[PREDICTION]}, "
        f"truth: {kinds['truth']}. {detected if study.counts else ''}"
        f"Distances are in {UNITS[record['settings']['unit']]}. "
        "The scores are defined in docs/reference/scores.md."
    )


def _about_table(study: Study) -> str:
    return (
        "mean and standard deviation over volumes; low and high: 95 % bootstrap interval of the "
        f"mean; n: volumes; lengths within {study.tolerance:g}"
    )


def _key(name: str, tolerance: float) -> str:
    """Return the name of a line score at the tolerance that is shown."""
    return f"{name}_{tolerance:g}" if name.startswith("skeleton_") else name


def _headlines(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, title in HEADLINES.items():
        found = results["summary"].get(_key(name, results["tolerance"]))
        if found and found["n"]:
            rows.append(
                {"score": title} | {k: found[k] for k in ("mean", "sd", "low", "high", "n")}
            )
    return rows


def _add_methods(page: Page, methods: Sequence[Mapping[str, Any]]) -> None:
    names = dict.fromkeys(
        name for row in methods for name in row if not name.endswith(("_low", "_high"))
    )
    page.heading("Compared with methods without a network")
    titles = {name: HEADLINES.get(name, name).removeprefix("trees: ") for name in names}
    page.table([{titles[n]: row.get(n) for n in names} for row in methods], "means over volumes")
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
    length = f"true length ({'um' if all(v.case.sized for v in some) else 'voxels'})"
    rows = [
        {n: v.rows[PREDICTION].get(_key(n, study.tolerance), np.nan) for n in PER_VOLUME + PER_TREE}
        for v in some
    ]
    names = [n for n in PER_VOLUME + PER_TREE if any(np.isfinite(row[n]) for row in rows)]
    return [
        {
            "volume": v.case.name,
            **{HEADLINES[n]: row[n] for n in names},
            length: v.rows[PREDICTION]["length_um"],
        }
        for v, row in zip(some, rows, strict=True)
    ]

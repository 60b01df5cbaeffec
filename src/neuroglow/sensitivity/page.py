"""The page of a report of sensitivity: one sentence, curves, false rates, map, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neuroglow.recovery.trial import Trial
from neuroglow.report import Page
from neuroglow.sensitivity.pictures import (
    draw_example,
    draw_false,
    draw_map,
    draw_recall,
    threshold_words,
)
from neuroglow.sensitivity.settings import SensitivitySettings
from neuroglow.space.geometry import Zyx
from neuroglow.space.volume import VoxelSize

__all__ = ["make_page"]

MEANING = (
    "Neurites of known SNR (peak over the standard deviation of the noise around them) were "
    "added at many places of this volume, and the model was run on the result. A point counts as "
    "found within 2 voxels of a detected voxel. Only places where nothing was detected before "
    "count."
)

FALSE = (
    "Falsely detected is the larger of two shares of voxels. Shuffled: pieces of the volume change "
    "places, so that grain, puncta and noise stay as they are but no neurite continues. Away from "
    "lines: in the unchanged volume, detections that are short or thick. Mirrored (for "
    "comparison): bright turned into dark, so that only noise remains. Long thin structures that "
    "are not neurites (vessels, folds, rows of touching nuclei) cannot be distinguished from "
    "neurites without labels, and are in none of these; compare with the share of all detections."
)


NAMES = {
    "false_rate": "falsely detected",
    "false_low": "95 %: from",
    "false_high": "to",
    "beside_lines": "away from lines",
    "false_discovery": "share false",
    "limit": "SNR found",
}
"""What a result is called in the files -> what it is called on the page."""

DEFINITIONS = {
    "SNR found": "the SNR from which on the wanted share of the added length is found",
    "detected": "share of the voxels of the unchanged volume that the method detects",
    "falsely detected": "share of the voxels; the larger of shuffled and away from lines",
    "shuffled": "share of the voxels detected where pieces of the volume have changed places",
    "away from lines": "share of the voxels, in detections that are short or thick",
    "mirrored": "share of the voxels detected where bright is turned into dark",
    "share false": "falsely detected voxels over all detected voxels",
}


def make_page(
    title: str,
    trial: Trial,
    results: Mapping[str, Any],
    record: Mapping[str, Any],
    of: tuple[Zyx, VoxelSize | None],
) -> Page:
    """Make the page. of: shape and voxel size of the volume."""
    shape, size = of
    settings = SensitivitySettings.model_validate(record["settings"])
    page = Page(title, DEFINITIONS).verdict(results["sentence"]).paragraph(MEANING)
    page.table(_methods(results["methods"], settings.false_rate), _about_methods(settings))
    page.picture(
        draw_example(trial.pictured, size),
        f"Block {trial.pictured.box}; above the image, below the model's probability over it; "
        "maxima along z.",
        title="One block",
    )
    page.chart(
        draw_recall(results, settings.found, settings.false_rate),
        _about_recall(trial, results, settings),
        title="Recall by SNR",
    )
    page.details(
        "Recall of length, and its 95 % interval", _recall_table(results, settings.false_rate)
    )
    page.heading("False detections of the model, by threshold").paragraph(FALSE)
    page.chart(
        draw_false(results, settings.false_rate),
        "Blue: the two thresholds of the model.",
        title="False detections, by threshold",
    )
    page.details("Shares of voxels, by threshold", _named(_some(results["thresholds"])))
    page.chart(
        draw_map(trial, results["blocks"], shape),
        _about_map(results),
        title="Where the limit is worse",
    )
    if results["depth"]:
        page.table(_named(results["depth"]), "by depth, in planes")
    page.details("Each block (z, y, x)", _named(results["blocks"]))
    page.heading("Assumptions")
    for note in record["notes"]:
        page.paragraph(note)
    return page.settings(str(record["command"]), record["settings"])


def _named(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Name numbers as a person would."""
    return [{NAMES.get(key, key): value for key, value in row.items()} for row in rows]


def _methods(rows: Sequence[Mapping[str, Any]], false: float) -> list[dict[str, Any]]:
    return [
        {
            "method": f"{row['method']}, {threshold_words(row['threshold_from'], false)}",
            "threshold": row["threshold"],
            "SNR found": row["reached"],
            "95 %": f"{row['limit_low']:.1f} to {row['limit_high']:.1f}",
            "detected": f"{row['detected']:.2%}",
            "falsely detected": f"{row['false_rate']:.2%}",
            "95 % ": f"{row['false_low']:.2%} to {row['false_high']:.2%}",
            "share false": row["false_discovery"],
        }
        for row in rows
    ]


def _about_methods(settings: SensitivitySettings) -> str:
    return (
        f"SNR found: SNR from which {settings.found:.0%} of the length is found, with its 95 % "
        f"interval (0: below every SNR that was added; inf: above every one). Thresholds for "
        f"{settings.false_rate:.2%} falsely detected are chosen on this volume."
    )


def _about_recall(trial: Trial, results: Mapping[str, Any], settings: SensitivitySettings) -> str:
    places = len({(r["snr"], r["neurites"]) for r in results["recall"]})
    blocks = len(trial.sample.blocks)
    what = "the whole volume" if results["whole"] else f"{blocks} blocks, a seeded sample"
    count = sum(r["neurites"] for r in results["recall"][: len(settings.snr)]) if places else 0
    return (
        f"{count} neurites in {what}. Band: 95 % interval over "
        f"{'neurites' if results['whole'] else 'blocks'} (over neurites if there are few blocks). "
        f"Dashed: {settings.found:.0%}."
    )


def _recall_table(results: Mapping[str, Any], false: float) -> list[dict[str, Any]]:
    keys = list(dict.fromkeys((r["method"], r["threshold_from"]) for r in results["recall"]))
    rows = []
    for method, origin in keys:
        row: dict[str, Any] = {"method": f"{method}, {threshold_words(origin, false)}"}
        for r in results["recall"]:
            if (r["method"], r["threshold_from"]) == (method, origin):
                row[f"SNR {r['snr']:g}"] = f"{r['recall']:.2f} ({r['low']:.2f}-{r['high']:.2f})"
        rows.append(row)
    return rows


def _some(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return list(rows[:: max(1, len(rows) // 12)])


def _about_map(results: Mapping[str, Any]) -> str:
    return (
        "Left: from above; right: from the side. Colour: the SNR from which neurites are "
        "found in each block, at the model's own threshold. A block has too few neurites for a "
        "curve of its own: the volume's curve is moved until it predicts the length found there. "
        "Grey: too few neurites to count."
    )

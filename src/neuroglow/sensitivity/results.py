"""A trial as numbers: recall at each threshold, false rates, limits by depth and by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neuroglow.recovery.recall import (
    Curve,
    Limit,
    curve_of,
    discovery_rows,
    false_rate,
    limit_of,
    limit_of_part,
    parts_by,
    rate_of,
    threshold_for_rate,
)
from neuroglow.recovery.trial import AS_IS, BESIDE, MIRRORED, SHUFFLED, Trial
from neuroglow.sensitivity.settings import SensitivitySettings

__all__ = ["OWN", "limit_words", "results_of", "sentence"]

OWN, WANTED = "its own", "for the wanted false rate"
"""Origin of a threshold."""

STEPS = 60
"""Maximum number of thresholds in the table of false discoveries."""

LAYERS = 4
"""Maximum number of layers along z, each with a limit."""


def results_of(trial: Trial, settings: SensitivitySettings) -> dict[str, Any]:
    """Return all numbers of a trial as plain values."""
    methods, recall = [], []
    for number, method in enumerate(trial.methods):
        wanted = threshold_for_rate(trial, number, settings.false_rate)
        own = [] if method.threshold is None else [(OWN, method.threshold)]
        for origin, threshold in [*own, (WANTED, wanted)]:
            curve = curve_of(trial, number, threshold)
            methods.append(_method_row(trial, number, (origin, threshold), curve, settings.found))
            recall += _recall_rows(method.name, origin, curve)
    first = trial.methods[0].threshold
    threshold = first if first is not None else threshold_for_rate(trial, 0, settings.false_rate)
    return {
        "sentence": sentence(methods, settings),
        "methods": methods,
        "recall": recall,
        "thresholds": discovery_rows(trial, 0, _thresholds(trial)),
        "depth": _depth(trial, threshold, settings.found),
        "blocks": _blocks(trial, threshold, settings.found),
        "whole": trial.sample.whole,
    }


def _method_row(
    trial: Trial, number: int, at: tuple[str, float], curve: Curve, share: float
) -> dict[str, Any]:
    origin, threshold = at
    found, low, high = false_rate(trial, number, threshold)
    detected, shuffled, mirrored, beside = (
        rate_of(trial, number, threshold, of)[0] for of in (AS_IS, SHUFFLED, MIRRORED, BESIDE)
    )
    limit = limit_of(curve, share)
    return {
        "method": trial.methods[number].name,
        "threshold_from": origin,
        "threshold": threshold,
        "limit": limit.snr,
        "limit_low": limit.low,
        "limit_high": limit.high,
        "false_rate": found,
        "false_low": low,
        "false_high": high,
        "shuffled": shuffled,
        "mirrored": mirrored,
        "beside_lines": beside,
        "detected": detected,
        "false_discovery": min(1.0, found / detected) if detected > 0 else float("nan"),
        "reached": limit_words(limit),
    }


def _recall_rows(name: str, origin: str, curve: Curve) -> list[dict[str, Any]]:
    return [
        {
            "method": name,
            "threshold_from": origin,
            "snr": float(snr),
            "recall": float(recall),
            "low": float(low),
            "high": float(high),
            "points": int(points),
            "neurites": int(pieces),
        }
        for snr, recall, low, high, points, pieces in zip(
            curve.snr, curve.recall, curve.low, curve.high, curve.points, curve.pieces, strict=True
        )
    ]


def _thresholds(trial: Trial) -> Any:
    levels = trial.methods[0].levels
    return np.unique(np.linspace(levels.low, levels.high, STEPS)[1:])


def _depth(trial: Trial, threshold: float, share: float) -> list[dict[str, float]]:
    """Return the limit of each layer of blocks along z, if there are several."""
    starts = [block.start[0] for block in trial.sample.blocks]
    edges = np.quantile(starts, np.linspace(0, 1, LAYERS + 1)[1:-1])
    layers = parts_by(trial, lambda i: int(np.searchsorted(edges, starts[i], side="right")))
    if len(layers) < 2:
        return []
    rows = []
    for layer, only in layers.items():
        own = [
            b
            for i, b in enumerate(trial.sample.blocks)
            if int(np.searchsorted(edges, starts[i], side="right")) == layer
        ]
        first, last = min(b.start[0] for b in own), max(b.stop[0] for b in own)
        limit = limit_of_part(trial, 0, threshold, only, share)
        rows.append({"z_from": first, "z_to": last, "blocks": len(own), "limit": limit})
    return rows


def _blocks(trial: Trial, threshold: float, share: float) -> list[dict[str, Any]]:
    """Return the limit of each block, and the share detected in it, unchanged and shuffled."""
    parts, rows = parts_by(trial, lambda i: i), []
    levels, (as_is, nothing, _, _) = trial.methods[0].levels, trial.counts[0]
    first = levels.first_detected(threshold)
    for number, box in enumerate(trial.sample.blocks):
        only = parts.get(number)
        limit = limit_of_part(trial, 0, threshold, only, share) if only is not None else np.nan
        counts = as_is[number], nothing[number]
        detected, false = (float(c[first:].sum() / max(1, c.sum())) for c in counts)
        rows.append({"box": str(box), "limit": limit, "detected": detected, "false_rate": false})
    return rows


def limit_words(limit: Limit) -> str:
    """State the SNR from which neurites are found."""
    if np.isnan(limit.snr):
        return "not known: something was already detected wherever neurites were added"
    if np.isinf(limit.snr):
        return "none of the added neurites"
    return "all added neurites" if limit.snr == 0 else f"{limit.snr:.1f} and higher"


def sentence(methods: list[dict[str, Any]], settings: SensitivitySettings) -> str:
    """State in one sentence how faint a neurite is found at the requested false rate."""
    model = methods[0]["method"]
    row = next(r for r in methods if r["method"] == model and r["threshold_from"] == WANTED)
    ending = f"({settings.found:.0%}), at {settings.false_rate:.3g} false"
    if settings.false_rate >= 0.0001:
        ending = f"({settings.found:.0%}), at {100 * settings.false_rate:.3g} % false"
    return _said(row, settings, ending)


def _said(row: Mapping[str, Any], settings: SensitivitySettings, ending: str) -> str:
    limit = row["limit"]
    if np.isnan(limit):
        return (
            "In this volume nothing can be measured: all of it is detected without added neurites."
        )
    if np.isinf(limit):
        brightest = max(settings.snr)
        return f"In this volume not even neurites of SNR {brightest:g} are found {ending}."
    if limit == 0:
        return (
            f"In this volume neurites of SNR {min(settings.snr):g} and higher are found {ending}."
        )
    return f"In this volume neurites of SNR {limit:.1f} and higher are found {ending}."

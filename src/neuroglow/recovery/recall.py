"""Results of a trial: recall by SNR, the SNR limit of detection, false detections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroglow.metrics.counts import Levels
from neuroglow.metrics.intervals import share_interval
from neuroglow.recovery.trial import AS_IS, BESIDE, MIRRORED, SHUFFLED, Trial

__all__ = [
    "Curve",
    "Limit",
    "curve_of",
    "discovery_rows",
    "false_rate",
    "limit_of",
    "limit_of_part",
    "parts_by",
    "rate_of",
    "share_above",
    "threshold_for_rate",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FEW = 5
"""Number of blocks in a sample above which blocks, not neurites, are the independent units."""


@dataclass(frozen=True)
class Curve:
    """Recall of length by SNR, with its 95 % interval; NaN where nothing was counted.

    points, pieces: amount of added neurites that was counted, where nothing was detected before.
    """

    snr: Floats
    recall: Floats
    low: Floats
    high: Floats
    points: NDArray[np.int64]
    pieces: NDArray[np.int64]

    def at(self, snr: Floats, which: str = "recall") -> Floats:
        """Return the recall (or `low`, `high`) at any SNR, interpolated over log SNR."""
        known = np.isfinite(self.recall)
        values = getattr(self, which)[known]
        return np.asarray(np.interp(np.log(snr), np.log(self.snr[known]), values))


@dataclass(frozen=True)
class Limit:
    """The lowest SNR at which neurites are found, and its interval.

    0: below every SNR that was added; infinity: above every one; NaN: nothing was counted.
    """

    snr: float
    low: float
    high: float


def curve_of(trial: Trial, method: int, threshold: float, only: Mask | None = None) -> Curve:
    """Return the recall by SNR of points that were not detected before; only: of these points."""
    along, levels = trial.along, trial.methods[method].levels
    fresh = ~levels.detected(along.before[method], threshold)
    fresh &= True if only is None else only
    found = fresh & levels.detected(along.after[method], threshold)
    cluster = _clusters(trial)
    rows = []
    snrs = np.unique(np.round(along.snr, 6))
    for snr in snrs:
        own = np.isclose(along.snr, snr) & fresh
        hits = np.bincount(cluster[own], found[own])
        counts = np.bincount(cluster[own])
        pieces = len(np.unique(along.piece[own]))
        rows.append((*share_interval(hits, counts), int(own.sum()), pieces))
    table = np.array(rows, np.float64).reshape(-1, 5)
    whole = table[:, 3:].astype(np.int64)
    return Curve(snrs, table[:, 0], table[:, 1], table[:, 2], whole[:, 0], whole[:, 1])


def _clusters(trial: Trial) -> NDArray[np.int64]:
    """Number the independent units: the blocks of a sample, otherwise the neurites."""
    blocks = trial.sample.blocks
    sampled = not trial.sample.whole and len(blocks) >= FEW
    return trial.along.block if sampled else trial.along.piece


def limit_of(curve: Curve, share: float = 0.9) -> Limit:
    """Find the SNR from which the given share of the length is found.

    The curve is first made monotone (isotonic regression); the ends of the interval are those at
    which the interval of the recall reaches the share.
    """
    return Limit(
        _crossing(curve, curve.recall, share),
        _crossing(curve, curve.high, share),
        _crossing(curve, curve.low, share),
    )


def _crossing(curve: Curve, values: Floats, share: float) -> float:
    from scipy.optimize import isotonic_regression

    known = np.isfinite(values)
    if not known.any():
        return float("nan")
    weights = np.maximum(curve.points[known], 1)
    rising = np.asarray(isotonic_regression(values[known], weights=weights).x)
    logs = np.log(curve.snr[known])
    above = np.flatnonzero(rising >= share - 1e-9)
    if not len(above):
        return float("inf")
    first = int(above[0])
    if first == 0:
        return 0.0
    low, high = rising[first - 1], rising[first]
    part = (share - low) / max(high - low, 1e-9)
    return float(np.exp(logs[first - 1] + part * (logs[first] - logs[first - 1])))


def limit_of_part(trial: Trial, method: int, threshold: float, only: Mask, share: float) -> float:
    """Find the limit in a part of the volume by moving the whole volume's curve along SNR.

    A part has too few neurites for a curve of its own. The curve is moved until it predicts the
    length that was found there. NaN if less than one piece per SNR was counted.
    """
    whole = curve_of(trial, method, threshold)
    part = curve_of(trial, method, threshold, only)
    known = (part.points > 0) & np.isfinite(whole.recall)
    if known.sum() < 3:
        return float("nan")
    found = float((part.recall * part.points)[known].sum())
    shift = _shift(whole, part.snr[known], part.points[known], found)
    return limit_of(whole, share).snr * shift


def _shift(whole: Curve, snr: Floats, points: NDArray[np.int64], found: float) -> float:
    """Find the factor by which a part's neurites must be brighter, by bisection of its log."""
    low, high = np.log(0.2), np.log(5.0)
    for _ in range(40):
        middle = (low + high) / 2
        expected = float((whole.at(snr / np.exp(middle)) * points).sum())
        low, high = (middle, high) if expected > found else (low, middle)
    return float(np.exp((low + high) / 2))


def share_above(levels: Levels, counts: NDArray[np.int64], threshold: float) -> Floats:
    """Return the share of each row of counts that reaches a threshold."""
    first = min(max(0, levels.first_detected(threshold)), levels.count)
    return np.asarray(counts[..., first:].sum(-1) / np.maximum(counts.sum(-1), 1))


def rate_of(trial: Trial, method: int, threshold: float, of: int) -> tuple[float, float, float]:
    """Return the share of voxels that is detected, and its interval; of: AS_IS, SHUFFLED, ..."""
    levels, counts = trial.methods[method].levels, trial.counts[method][of]
    total = counts.sum(-1)
    return share_interval(share_above(levels, counts, threshold) * total, total)


def false_rate(trial: Trial, method: int, threshold: float) -> tuple[float, float, float]:
    """Return the share of voxels that is falsely detected, and its interval.

    The larger of two: the share in the shuffled volume (texture), and the share in the unchanged
    volume away from line-like detections (spots, nuclei, walls).
    """
    return max(rate_of(trial, method, threshold, of) for of in (SHUFFLED, BESIDE))


def threshold_for_rate(trial: Trial, method: int, rate: float) -> float:
    """Find the lowest threshold at which at most `rate` of the voxels are falsely detected."""
    levels, both = trial.methods[method].levels, []
    for of in (SHUFFLED, BESIDE):
        counts = trial.counts[method][of].sum(0)
        both.append(np.cumsum(counts[::-1])[::-1] / max(1, int(counts.sum())))
    allowed = np.flatnonzero(np.max(both, axis=0) <= rate)
    return float(levels.values[allowed[0]]) if len(allowed) else float(levels.high + levels.step)


def discovery_rows(trial: Trial, method: int, thresholds: Floats) -> list[dict[str, float]]:
    """Return one row per threshold: shares detected and falsely detected, and their ratio.

    false_discovery: falsely detected over detected, at most 1; NaN if nothing is detected.
    """
    rows = []
    for threshold in thresholds:
        found, low, high = false_rate(trial, method, float(threshold))
        detected, texture, mirror, other = (
            rate_of(trial, method, float(threshold), of)[0]
            for of in (AS_IS, SHUFFLED, MIRRORED, BESIDE)
        )
        rows.append(
            {
                "threshold": float(threshold),
                "detected": detected,
                "false_rate": found,
                "false_low": low,
                "false_high": high,
                "shuffled": texture,
                "mirrored": mirror,
                "beside_lines": other,
                "false_discovery": min(1.0, found / detected) if detected > 0 else float("nan"),
            }
        )
    return rows


def parts_by(trial: Trial, key: Callable[[int], int]) -> dict[int, Mask]:
    """Group the points by a key of their block number."""
    keys = np.array([key(i) for i in range(len(trial.sample.blocks))])
    own = keys[trial.along.block] if len(trial.along.block) else np.empty(0, int)
    return {int(k): own == k for k in np.unique(keys)}

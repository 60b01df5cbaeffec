"""Mean, spread and interval of a score over volumes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["summary"]

DRAWS = 4000


def summary(values: Iterable[float], *, seed: int = 1) -> dict[str, float]:
    """Give n, mean, sd (of a sample) and low, high: the 95 % bootstrap interval of the mean.

    Volumes are drawn with replacement, and the interval is that of the percentiles (Efron and
    Tibshirani 1993, chapter 13). NaNs are left out; NaN where too few volumes say something.
    The order of the values changes nothing.
    """
    known = np.sort([v for v in values if np.isfinite(v)])
    nothing = float("nan")
    if known.size < 2:
        mean = float(known[0]) if known.size else nothing
        return {"n": known.size, "mean": mean, "sd": nothing, "low": nothing, "high": nothing}
    drawn = np.random.default_rng(seed).integers(known.size, size=(DRAWS, known.size))
    low, high = np.quantile(known[drawn].mean(axis=1), [0.025, 0.975])
    return {
        "n": known.size,
        "mean": float(known.mean()),
        "sd": float(known.std(ddof=1)),
        "low": float(low),
        "high": float(high),
    }

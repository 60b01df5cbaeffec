"""Mean, spread and confidence interval of a score over volumes; a share and its interval."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["share_interval", "summary"]


def summary(values: Iterable[float]) -> dict[str, float]:
    """Return n, mean, sd (sample) and low, high: the 95 % interval of the mean by Student's t.

    It covers the true mean as often as it says for any number of volumes from two, if the values
    are about normal; percentiles of a bootstrap cover it in half of the cases for n = 2. NaNs are
    left out; NaN where too few volumes remain. The result does not depend on the order.
    """
    from scipy.special import stdtrit  # scipy.stats, whose t.ppf this is, takes long to import

    known = np.sort([v for v in values if np.isfinite(v)])
    nothing = float("nan")
    if known.size < 2:
        mean = float(known[0]) if known.size else nothing
        return {"n": known.size, "mean": mean, "sd": nothing, "low": nothing, "high": nothing}
    mean, sd = float(known.mean()), float(known.std(ddof=1))
    half = float(stdtrit(known.size - 1, 0.975)) * sd / float(np.sqrt(known.size))
    return {"n": known.size, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}


def share_interval(
    hits: NDArray[Any], counts: NDArray[Any], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return a share over clusters and its interval, valid for few clusters and shares of 0 or 1.

    hits, counts: (clusters,) hits and trials in each cluster; clusters without trials are left out.
    The interval is that of Clopper and Pearson for the number of independent trials that would vary
    as much as the clusters do, corrected by Student's t for few clusters (Korn and Graubard 1998).
    NaN without any trial; (share, 0, 1) for a single cluster.
    """
    from scipy.stats import beta, t

    some = np.asarray(counts) > 0
    found, of = np.asarray(hits, float)[some], np.asarray(counts, float)[some]
    clusters, total = len(of), float(of.sum())
    if not clusters:
        return float("nan"), float("nan"), float("nan")
    share = float(found.sum() / total)
    if clusters < 2:
        return share, 0.0, 1.0
    strays = found - share * of
    variance = clusters / (clusters - 1) * float(strays @ strays) / total**2
    told = 0 < share < 1 and variance > 1e-12
    alike = share * (1 - share) / variance if told else float(clusters)
    tail = (1 - confidence) / 2
    narrowing = t.ppf(tail, max(total - 1, 1)) / t.ppf(tail, clusters - 1)
    trials = max(min(alike, total) * float(narrowing) ** 2, 1e-9)
    x = share * trials
    low = 0.0 if share <= 0 else float(beta.ppf(tail, x, trials - x + 1))
    high = 1.0 if share >= 1 else float(beta.ppf(1 - tail, x + 1, trials - x))
    return share, low, high

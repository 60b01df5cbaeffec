"""Calibration: scale and shift by which a network's logit becomes a probability that is true."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["fit_logistic", "logit_of", "probability_of"]

Floats = NDArray[np.float64]

LEAST = 5e-4
"""Probabilities nearer to 0 or 1 count as this far from it: counts do not tell them apart."""


def logit_of(probability: ArrayLike) -> Floats:
    """Return the logit of a probability, which is first kept LEAST away from 0 and 1."""
    p = np.clip(np.asarray(probability, np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(p / (1 - p)))


def probability_of(logit: ArrayLike) -> Floats:
    """Return the probability of a logit."""
    return np.asarray(1 / (1 + np.exp(-np.clip(np.asarray(logit, np.float64), -40, 40))))


def fit_logistic(logit: Floats, truth: Floats, weight: Floats | float = 1.0) -> tuple[float, float]:
    """Fit scale and shift of a logit by maximum likelihood (Platt 1999), the scale above 0.

    truth: 1 where there is a neurite, else 0; weight: how often each was seen.
    >>> rng = np.random.default_rng(0)
    >>> logit = rng.normal(0, 3, 20000)
    >>> truth = (rng.random(20000) < probability_of(0.5 * logit - 1)).astype(float)
    >>> [round(part, 1) for part in fit_logistic(logit, truth)]
    [0.5, -1.0]
    """
    from scipy import optimize

    total = np.sum(weight * np.ones_like(logit))

    def surprise(parts: Floats) -> tuple[float, Floats]:
        scale = np.exp(parts[0])
        value = scale * logit + parts[1]
        wrong = weight * (probability_of(value) - truth)
        loss = np.sum(weight * (np.logaddexp(0, value) - truth * value))
        slope = np.array([np.sum(wrong * scale * logit), np.sum(wrong)])
        return float(loss / total), slope / total

    best = optimize.minimize(surprise, np.zeros(2), jac=True, method="L-BFGS-B")
    return float(np.exp(best.x[0])), float(best.x[1])

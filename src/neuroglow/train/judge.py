"""The judge of adapting: is more found at an equal rate of false detection, here and elsewhere?

    phantoms of other tissues -> calibration, share falsely detected in each
    blocks held out -> neurites added: recall; shuffled: share falsely detected
    -> the threshold from which neither is above the original model's -> the gain there

A model that finds more in its own volume because it detects more everywhere gains nothing by this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neuroglow.imaging.injection import Injection
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.metrics.calibration import fit_logistic, logit_of, probability_of
from neuroglow.metrics.intervals import summary
from neuroglow.network.model_settings import Calibration, ModelSettings
from neuroglow.progress import Progress, Tell
from neuroglow.recovery.methods import ModelMethod
from neuroglow.recovery.places import Sample
from neuroglow.recovery.recall import (
    Curve,
    curve_of,
    false_rate,
    rate_of,
    share_above,
    threshold_for_rate,
)
from neuroglow.recovery.trial import AS_IS, Asked, Trial, run_trial
from neuroglow.train.phantoms import TISSUES
from neuroglow.train.validation import LEVELS, CubeScore, Validation

if TYPE_CHECKING:
    from neuroglow.network.engine import Engine

__all__ = ["DEAREST", "SNR", "Candidate", "Judge"]

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

SNR = (1.5, 2.0, 3.0, 4.0, 6.0)
"""SNR of the neurites added to the blocks held out."""

FAINT = 4.0
"""The gain is the mean over SNRs up to this."""

DEAREST = 0.02
"""Average precision on phantoms that adapting may cost."""

LEAST_RATE = 1e-4
"""Lowest false rate at which models are compared: below it nothing can be measured."""

LEAST_ELSEWHERE = 1e-3
"""The same for one kind of other tissue, of which there is less."""

FITTED = (
    "scale of the logit by maximum likelihood on phantoms, relative to the original model's; shift "
    "so that the share falsely detected, in the volume and in phantoms of other tissues, is not "
    "above the original model's"
)


class Candidate(Protocol):
    """A network that is judged."""

    def runner(self, calibration: Calibration | None = None) -> Engine:
        """Prepare it for prediction; without a calibration its probability is the network's own."""


class Judge:
    """Tries models on the blocks held out: the same places and neurites each time.

    model: the original one, which is judged first.
    """

    def __init__(
        self, units: NoiseUnits, sample: Sample, seed: int, model: ModelSettings, tell: Tell
    ) -> None:
        self.tell, self.units, self.sample, self.model = tell, units, sample, model
        size = units.volume.voxel_size_um or (1.0, 1.0, 1.0)
        self.asked = Asked(SNR, 2, Injection(), (), size, seed)
        self.rows: list[dict[str, Any]] = []
        self.rate = 0.0
        self.elsewhere: Mapping[str, float] = {}
        self.fitted = (1.0, 0.0)
        self.first: tuple[Mask, Mask] | None = None

    def look(
        self, candidate: Candidate, validation: Validation, known: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Calibration]:
        """Judge a model; return its row, which is remembered, and its calibration.

        validation: of its network without any calibration. known: what the row says first.
        """
        provisional = self._calibrated(validation)
        runner = candidate.runner(provisional)
        method = ModelMethod("model", runner, self.units, self.model.threshold)
        trial = run_trial(self.units, [method], self.sample, self.asked, self._told)
        others = _tissues(validation)
        threshold = self._threshold(trial, others, provisional)
        row = {
            **known,
            **self._found(trial, threshold),
            **{
                f"false_{tissue}": rate
                for tissue, rate in _detected(others, provisional, threshold).items()
            },
            **self._cost(validation.row()["average_precision"]),
        }
        self.rows.append(row)
        return row, _moved(provisional, threshold, self.model.threshold)

    def _calibrated(self, validation: Validation) -> Calibration:
        """Calibrate a network on phantoms, as the original model was calibrated, but for them."""
        own = self.model.calibration or Calibration()
        together = validation.together
        logit = np.tile(logit_of(LEVELS.values), 2)
        truth = np.repeat([1.0, 0.0], len(LEVELS.values))
        weight = np.concatenate([together.neurites, together.background]).astype(float)
        scale, shift = fit_logistic(logit, truth, weight)
        if not self.rows:
            self.fitted = scale, shift
            return own
        # where the original's logit z means a z + b on these phantoms, its probability is of
        # scale z + shift: the same for what this network's logit means there
        ratio = own.scale / self.fitted[0]
        moved = own.shift + ratio * (shift - self.fitted[1])
        return Calibration(scale=ratio * scale, shift=moved, fitted=FITTED)

    def _threshold(
        self, trial: Trial, others: Mapping[str, Counts], calibration: Calibration
    ) -> float:
        """Find the lowest threshold at which no false rate is above the original model's.

        At least the model's own: phantoms like those that were trained on are hardly detected any
        more, and would allow a threshold at which more is falsely detected in real tissue.
        """
        own = self.model.threshold
        if not self.rows:
            self.rate = max(LEAST_RATE, false_rate(trial, 0, own)[0])
            rates = _detected(others, calibration, own)
            self.elsewhere = {k: max(LEAST_ELSEWHERE, rate) for k, rate in rates.items()}
            return own
        values = _probabilities(calibration)
        here = threshold_for_rate(trial, 0, self.rate)
        return max(own, here, *(_lowest(values, others[k], r) for k, r in self.elsewhere.items()))

    def _found(self, trial: Trial, threshold: float) -> dict[str, float]:
        """Return recall and false rate in the volume, and the gain over the original model."""
        curve, now = curve_of(trial, 0, threshold), _fresh_and_found(trial, threshold)
        self.first = self.first or now
        gained = summary(_gains(trial, self.first, now))
        gained = gained if self.rows else dict.fromkeys(gained, 0.0)
        return {
            **{f"snr_{s:g}": _at(curve, s) for s in SNR},
            "threshold": threshold,
            "false_rate": false_rate(trial, 0, threshold)[0],
            "detected": rate_of(trial, 0, threshold, AS_IS)[0],
            **{f"gain{end}": gained[k] for end, k in GAINS.items()},
        }

    def _cost(self, precision: float) -> dict[str, float]:
        first = self.rows[0]["phantoms"] if self.rows else precision
        return {"phantoms": precision, "cost": first - precision}

    def is_better(self, row: Mapping[str, Any]) -> bool:
        """Return whether a model finds more, beyond chance, and costs little on phantoms."""
        return bool(row["gain_low"] > 0 and row["cost"] <= DEAREST)

    def _told(self, done: float, total: int) -> None:
        self.tell(Progress("detecting added neurites", done, total, "blocks"))


GAINS = {"": "mean", "_low": "low", "_high": "high"}


def _tissues(validation: Validation) -> dict[str, Counts]:
    """Count the voxels of phantoms without neurites by their probability, for each tissue."""
    empty: Sequence[CubeScore] = [c for c in validation.cubes if not c.neurites.sum()]
    return {
        tissue: np.sum([c.background for c in own], axis=0)
        for tissue in TISSUES
        if (own := [c for c in empty if c.name.startswith(f"phantom {tissue} ")])
    }


def _probabilities(calibration: Calibration) -> NDArray[np.float64]:
    """Return the calibrated probability of each level at which a network's own was counted."""
    return probability_of(calibration.scale * logit_of(LEVELS.values) + calibration.shift)


def _lowest(values: NDArray[np.float64], counts: Counts, rate: float) -> float:
    """Return the lowest probability that at most `rate` of the counted voxels reach."""
    above = np.cumsum(counts[::-1])[::-1] / counts.sum()
    allowed = np.flatnonzero(above <= rate)
    return float(values[allowed[0]]) if len(allowed) else 1.0


def _detected(
    others: Mapping[str, Counts], calibration: Calibration, threshold: float
) -> dict[str, float]:
    """Return the share falsely detected in each tissue."""
    first = int(np.searchsorted(_probabilities(calibration), threshold - 1e-9))
    own = LEVELS.values[first] if first < LEVELS.count else 2.0
    return {tissue: float(share_above(LEVELS, counts, own)) for tissue, counts in others.items()}


def _moved(calibration: Calibration, at: float, to: float) -> Calibration:
    """Shift a calibration, so that what had one probability has another."""
    moved = calibration.shift + float(logit_of(to) - logit_of(at))
    return calibration if at == to else calibration.model_copy(update={"shift": moved})


def _at(curve: Curve, snr: float) -> float:
    """Return the recall at one SNR; NaN if nothing was counted."""
    here = np.isclose(curve.snr, snr)
    return float(curve.recall[here][0]) if here.any() else float("nan")


def _fresh_and_found(trial: Trial, threshold: float) -> tuple[Mask, Mask]:
    """Return, for each point, whether it was undetected before, and whether it is found now."""
    levels, along = trial.methods[0].levels, trial.along
    return ~levels.detected(along.before[0], threshold), levels.detected(along.after[0], threshold)


def _gains(trial: Trial, first: tuple[Mask, Mask], now: tuple[Mask, Mask]) -> Iterator[float]:
    """Return, for each faint neurite, its gain in recall where neither model detected before."""
    both = first[0] & now[0] & (trial.along.snr <= FAINT)
    more = now[1].astype(float) - first[1]
    for piece in np.unique(trial.along.piece[both]):
        yield float(more[both & (trial.along.piece == piece)].mean())

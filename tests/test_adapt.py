"""Adapting is judged at an equal rate of false detection, in the volume and in other tissues."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.labels.labels import BACKGROUND, IGNORE, NEURITE
from neuroglow.metrics.calibration import fit_logistic, logit_of, probability_of
from neuroglow.network.model_settings import Calibration, ModelSettings, NoiseUnitsInput
from neuroglow.recovery.places import draw_sample
from neuroglow.train import phantoms
from neuroglow.train.adapt_page import adapt_sentence
from neuroglow.train.judge import DEAREST, Judge
from neuroglow.train.phantoms import NEURITES, NONE, TISSUES, draw_phantom
from neuroglow.train.validation import Validation, count

NO_CALIBRATION = Calibration()
OWN = Calibration(scale=0.8, shift=-0.3)


@dataclass(frozen=True)
class Filtered:
    """A candidate whose logit is known: a filter of the noise units, and a calibration."""

    logit: object
    calibration: Calibration = NO_CALIBRATION
    normalisation = NoiseUnitsInput()

    def runner(self, calibration=None):
        return Filtered(self.logit, calibration or NO_CALIBRATION)

    def probability(self, x):
        value = self.calibration.scale * self.logit(x) + self.calibration.shift
        return probability_of(value).astype(np.float32)


def thin(x):
    """See bright voxels, but no body: brightness above what is left by opening."""
    return 3 * (x - ndimage.grey_opening(x, (5, 5, 5)) - 3.0)


def bright(x):
    """See whatever is bright over three voxels: faint neurites, and any nucleus."""
    return 5 * (ndimage.gaussian_filter(x, 1.0) - 0.7)


@pytest.fixture(scope="module")
def cubes():
    """Phantoms of neurites, and of each tissue without neurites: name -> image, label."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phantoms, "SHAPE", (32, 32, 32))
        rngs = [np.random.default_rng(n) for n in range(2)]
        plain = [(f"phantom val {n}", draw_phantom(rng)) for n, rng in enumerate(rngs)]
        others = [
            (f"phantom {tissue} val {n}", draw_phantom(rng, tissue, NONE))
            for tissue in TISSUES
            for n, rng in enumerate(rngs)
        ]
    return dict([*plain, *others])


@pytest.fixture
def judge():
    """A judge of models in a volume of noise."""
    noise = np.random.default_rng(3).normal(400, 20, (32, 64, 64)).astype(np.uint16)
    units = NoiseUnits(open_volume(noise))
    sample = draw_sample(units.volume, block=32, count=3, seed=1)
    model = ModelSettings(
        name="thin",
        network="glow",
        normalisation=NoiseUnitsInput(),
        halo=0,
        threshold=0.5,
        calibration=OWN,
    )
    return Judge(units, sample, 5, model, lambda _: None)


def looked_at(judge, cubes, logit, step):
    candidate = Filtered(logit)
    engine = candidate.runner()
    scores = [count(name, engine.probability(x), y) for name, (x, y) in cubes.items()]
    row, calibration = judge.look(
        candidate, Validation(tuple(scores)), {"step": step, "share": 1.0}
    )
    return row, calibration


def test_what_finds_more_only_by_detecting_more_elsewhere_is_refused(judge, cubes):
    before, own = looked_at(judge, cubes, thin, 0)
    assert own == OWN
    harmful, calibration = looked_at(judge, cubes, bright, 50)
    assert not judge.is_better(harmful)
    said = adapt_sentence(judge.rows, 0)
    assert "original model stays" in said
    assert f"nuclei {before['false_nuclei']:.4f} to {harmful['false_nuclei']:.4f}" in said
    for tissue in TISSUES:
        most = max(before[f"false_{tissue}"], 1e-3)
        assert harmful[f"false_{tissue}"] <= most
        detected = [
            Filtered(bright).runner(calibration).probability(x) >= 0.5
            for name, (x, _) in cubes.items()
            if tissue in name
        ]
        assert np.mean(detected) == pytest.approx(harmful[f"false_{tissue}"], abs=2e-3)
    assert harmful["threshold"] >= 0.5
    judge.model = judge.model.model_copy(update={"threshold": 0.0})  # no lowest threshold
    assert not judge.is_better(looked_at(judge, cubes, bright, 50)[0])
    judge.elsewhere = {}  # judged by the volume alone, it is kept
    assert judge.is_better(looked_at(judge, cubes, bright, 50)[0])


def test_a_model_that_only_says_more_gains_nothing_and_is_calibrated_back(judge, cubes):
    looked_at(judge, cubes, lambda x: thin(x) / 3, 0)
    row, calibration = looked_at(judge, cubes, lambda x: 2 * thin(x) / 3 + 3, 50)
    assert abs(row["gain"]) < 0.03
    assert not judge.is_better(row)
    assert calibration.scale == pytest.approx(OWN.scale / 2, rel=0.05)
    at_first = OWN.shift / OWN.scale  # of the logit by which one half was reached
    now = (calibration.shift / calibration.scale + 3) / 2
    assert now == pytest.approx(at_first, abs=0.1)


def test_what_costs_too_much_on_phantoms_is_not_better(judge):
    row = {"gain_low": 0.1, "cost": DEAREST}
    assert judge.is_better(row)
    assert not judge.is_better(row | {"cost": DEAREST + 0.001})
    assert not judge.is_better(row | {"gain_low": 0.0})


def test_phantoms_of_other_tissues_hold_bodies_and_the_neurites_that_are_asked_for():
    rng = np.random.default_rng(1)
    for tissue in TISSUES:
        x, truth = draw_phantom(rng, tissue, NONE)
        assert (truth == BACKGROUND).all()
        assert (x > 2).mean() > 1e-4, tissue
    x, truth = draw_phantom(rng, "nuclei", NEURITES)
    assert set(np.unique(truth)) == {BACKGROUND, NEURITE, IGNORE}
    again = draw_phantom(np.random.default_rng(4), "grain")
    assert all(
        np.array_equal(a, b)
        for a, b in zip(again, draw_phantom(np.random.default_rng(4), "grain"), strict=True)
    )


def test_a_logit_is_calibrated_by_how_often_it_was_seen():
    logit = np.linspace(-6, 6, 200)
    truth = probability_of(0.5 * logit - 1)
    both, weight = np.tile(logit, 2), np.concatenate([truth, 1 - truth])
    scale, shift = fit_logistic(both, np.repeat([1.0, 0.0], 200), weight)
    assert (scale, shift) == (pytest.approx(0.5, abs=1e-3), pytest.approx(-1, abs=1e-3))
    assert probability_of(logit_of(0.3)) == pytest.approx(0.3)

"""Sensitivity: what was added is found as often as it says, and what is nothing is called false."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from skimage.filters import sato

import neuroglow
from neuroglow.errors import InputError, OutputError, SettingsError
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.injection import Injection
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.imaging.ridges import ridges
from neuroglow.metrics.counts import Levels
from neuroglow.metrics.intervals import share_interval
from neuroglow.recovery.nothing import beside, line_like, shuffled
from neuroglow.recovery.places import draw_sample
from neuroglow.recovery.recall import Curve, curve_of, false_rate, limit_of, threshold_for_rate
from neuroglow.recovery.trial import Asked, run_trial
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume
from neuroglow.train.own_volume import OTHERS, PHANTOMS
from running import run

EVEN = np.ones(3)
LEVELS = Levels(0, 8, 801)


@dataclass(frozen=True)
class Smooth:
    """A method whose sensitivity is known: a mean over 3 voxels an axis, of deviation 1 / 27^0.5."""

    units: NoiseUnits
    name: str = "smooth"
    levels: Levels = LEVELS
    threshold: float | None = 1.2

    def score(self, voxels, box):
        signal = np.sinh(self.units.convert(voxels, box))
        return np.maximum(ndimage.uniform_filter(signal, 3), 0)


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(1)
    return np.rint(400 + 20 * rng.standard_normal((48, 64, 64))).astype(np.uint16)


@pytest.fixture(scope="module")
def trial(noise):
    volume = open_volume(noise)
    units = NoiseUnits(volume)
    asked = Asked((0.5, 1.0, 2.0, 4.0, 8.0), 3, Injection(), (), (1.0, 1.0, 1.0), 5)
    sample = draw_sample(volume, block=32, count=6, seed=1)
    return run_trial(units, [Smooth(units)], sample, asked, lambda done, of: None)


def test_recall_rises_with_snr_and_is_right_where_it_is_known(trial):
    curve = curve_of(trial, 0, 1.2)
    assert curve.snr.tolist() == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert curve.recall[0] < 0.3
    assert curve.recall[-1] > 0.9
    assert ((curve.low <= curve.recall) & (curve.recall <= curve.high)).all()
    limit = limit_of(curve)
    assert 1.0 < limit.snr < 8.0
    assert limit.low <= limit.snr <= limit.high


def test_the_false_rate_of_noise_is_that_of_the_noise(trial, noise):
    units = NoiseUnits(open_volume(noise))
    threshold = threshold_for_rate(trial, 0, 0.01)
    fresh = np.rint(400 + 20 * np.random.default_rng(9).standard_normal(noise.shape))
    scores = Smooth(units).score(fresh, Box.of(noise.shape))
    _, low, high = false_rate(trial, 0, threshold)
    assert low <= 0.01
    assert 0.7 * low <= (scores >= threshold).mean() <= 1.3 * high


def test_a_place_that_was_detected_before_does_not_count(trial):
    everything = curve_of(trial, 0, 1e-9)
    assert everything.points.sum() < 0.05 * len(trial.along.snr)


def test_the_limit_is_told_where_no_curve_reaches_it():
    few = np.full(3, 50)
    snr, none, all_ = np.array([1.0, 2.0, 4.0]), np.zeros(3), np.ones(3)
    assert limit_of(Curve(snr, none, none, none, few, few)).snr == np.inf
    assert limit_of(Curve(snr, all_, all_, all_, few, few)).snr == 0
    half = np.array([0.5, 0.9, 1.0])
    assert limit_of(Curve(snr, half, half, half, few, few)).snr == pytest.approx(2.0)


def test_intervals_of_few_clusters_hold_the_truth():
    rng = np.random.default_rng(3)
    missed = 0
    for _ in range(400):
        own = rng.beta(4, 2, size=6)  # places that differ, of mean 2/3
        _, low, high = share_interval(rng.binomial(40, own), np.full(6, 40))
        missed += not low <= 2 / 3 <= high
    assert missed / 400 < 0.08
    assert share_interval(np.array([10]), np.array([10])) == (1.0, 0.0, 1.0)
    assert share_interval(np.zeros(8), np.full(8, 50))[2] > 0.2


def test_a_line_is_like_a_line_and_a_ball_is_not():
    volume = np.zeros((40, 40, 40), bool)
    volume[5:8, 5:8, 2:38] = True
    balls = ndimage.distance_transform_edt(np.ones_like(volume))
    grid = np.ogrid[:40, :40, :40]
    balls = sum(np.square(g - c) for g, c in zip(grid, (28, 28, 20), strict=True)) <= 36
    lines = line_like(volume | balls, EVEN)
    assert lines[6, 6, 20]
    assert not lines[balls].any()
    assert beside(lines, EVEN)[balls].all()
    assert line_like(volume[:, :, :12], EVEN).sum() == 0
    stretch = np.array([4.0, 1.0, 1.0])  # 12 planes of 4 um run on over 48
    assert line_like(volume.transpose(2, 0, 1)[:12], stretch).any()


def test_shuffled_keeps_voxels_and_leaves_neurites_out():
    rng = np.random.default_rng(2)
    signal = rng.standard_normal((40, 40, 40)).astype(np.float32)
    neurites = np.zeros(signal.shape, bool)
    neurites[20:23, 20:23] = True
    signal[neurites] = 50
    made = shuffled(rng, signal, neurites, EVEN)
    assert made.max() < 10
    assert np.isin(made, signal).all()
    assert not np.array_equal(made, signal)


def test_places_are_spread_over_depth_and_read_by_box():
    class Watched(ArrayVolume):
        def read(self, box):
            assert max(box.shape) <= 32
            return super().read(box)

    rng = np.random.default_rng(4)
    volume = Watched(rng.integers(90, 110, (256, 128, 128)).astype(np.uint16))
    sample = draw_sample(volume, block=64, count=4, seed=3)
    again = draw_sample(volume, block=64, count=4, seed=3)
    assert sample == again
    assert not sample.whole
    assert len({box.start[0] for box in sample.blocks}) >= 3
    with pytest.raises(InputError, match="some contrast"):
        draw_sample(ArrayVolume(np.zeros((40, 40, 40), np.uint8)), block=32, count=2, seed=1)


def test_ridges_are_those_of_scikit_image():
    x = np.random.default_rng(5).standard_normal((24, 28, 32)).astype(np.float32)
    x[10:12, 12:14] += 5
    assert np.allclose(ridges(x), sato(x, sigmas=(1, 2), black_ridges=False), atol=1e-4)


def test_a_report_is_one_page_with_its_numbers(tmp_path, capsys, noise):
    tifffile.imwrite(tmp_path / "v.tif", noise[:24, :32, :32])
    command = ("sensitivity", tmp_path / "v.tif", "-o", tmp_path / "r", "--snr", "2,12")
    options = ("--rounds", 1, "--block", 32, "--blocks", 1, "--voxel-size", "2,1,1")
    status, said = run(capsys, *command, *options)
    assert (status, "In this volume" in said) == (0, True)
    names = {"report.html", "scores.json", "recall.csv", "thresholds.csv"}
    assert {p.name for p in (tmp_path / "r").iterdir()} == names
    scores = json.loads((tmp_path / "r/scores.json").read_text())
    assert {m["method"] for m in scores["methods"]} > {"raw", "noise units", "Sato"}
    page = (tmp_path / "r/report.html").read_text()
    assert scores["sentence"] in page
    assert (page.count("<img"), page.count("<svg")) == (1, 3)
    status, said = run(capsys, *command, *options)
    assert (status, "not overwritten" in said) == (2, True)
    (tmp_path / "r/mine.txt").write_text("keep")
    with pytest.raises(OutputError, match="only a report"):
        neuroglow.sensitivity(noise, out=tmp_path / "r", mode="restart")


def test_what_cannot_be_asked_is_refused(noise):
    for wrong in ({"snr": (2.0,)}, {"false_rate": 0.0}, {"calibre_um": (2.0, 1.0)}):
        with pytest.raises(SettingsError):
            neuroglow.sensitivity(noise, **wrong)


def test_adapting_keeps_only_a_better_model(tmp_path, noise, monkeypatch):
    for counts in (PHANTOMS, OTHERS):
        monkeypatch.setitem(counts, "train", 1)
        monkeypatch.setitem(counts, "val", 1)
    told = []
    report = neuroglow.adapt(
        noise[:24, :48, :48],
        out=tmp_path / "run",
        steps=2,
        checkpoint_every=2,
        batch=1,
        patch=24,
        block=24,
        blocks=2,
        held_out=1,
        learning_rate=1e-9,
        on_progress=told.append,
    )
    assert report.best is None
    assert not (tmp_path / "run/checkpoints/best").exists()
    assert "stays" in report.sentence
    assert report.sentence in report.report.read_text()
    assert [(row["step"], row["share"]) for row in report.rows] == [(0, 1), (2, 0.5), (2, 1)]
    assert {p.work for p in told} >= {"adding neurites", "training", "detecting added neurites"}
    with pytest.raises(OutputError):
        neuroglow.adapt(noise, out=tmp_path / "run")

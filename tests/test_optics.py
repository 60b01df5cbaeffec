"""Laws of light: fields that know their place, and what a microscope does, each as it claims."""

import numpy as np
import pytest
from scipy import ndimage

from neuroglow.imaging import optics
from neuroglow.imaging.fields import correlated_noise_at, enlarge, smooth_noise, white_noise
from neuroglow.space.geometry import Box

WHOLE = Box((-7, 3, 0), (41, 60, 64))
PART = Box((2, 11, 30), (21, 40, 61))
FIELDS = {
    "white": lambda box: white_noise(box, 5),
    "correlated": lambda box: correlated_noise_at(box, (0.7, 1.2, 1.2), 5),
    "smooth": lambda box: smooth_noise(box, (9.0, 5.5, 20.0), 5),
    "stripes": lambda box: optics.sheet_stripes(box, 4.0, 0.1, 5),
    "tiles": lambda box: optics.tile_steps(box, 16, 0.1, 5),
    "illumination": lambda box: optics.illumination(box, 40.0, 0.2, 5),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_part_of_a_field_is_that_part(name):
    whole = np.broadcast_to(FIELDS[name](WHOLE), WHOLE.shape)
    part = np.broadcast_to(FIELDS[name](PART), PART.shape)
    assert np.allclose(whole[PART.relative_to(WHOLE).slices], part, atol=1e-5)


def test_white_noise_is_gaussian_and_white():
    noise = white_noise(Box.of((48, 64, 64)), 3)
    assert noise.mean() == pytest.approx(0, abs=0.01)
    assert noise.std() == pytest.approx(1, abs=0.01)
    assert ((noise**4).mean() / noise.var() ** 2) == pytest.approx(3, abs=0.06)
    for axis in range(3):
        neighbour = np.corrcoef(noise.ravel(), np.roll(noise, 1, axis).ravel())[0, 1]
        assert abs(neighbour) < 0.01
    other = white_noise(Box.of((48, 64, 64)), 4)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("sigma", [(0.7, 1.0, 1.0), (0, 1.5, 0.4)])
def test_correlated_noise_keeps_its_level(sigma):
    assert correlated_noise_at(Box.of((48, 64, 64)), sigma, 1).std() == pytest.approx(1, rel=0.03)


def test_a_smooth_field_is_that_of_cubic_zoom():
    """Shipped models were trained with it, and each seed has its phantom."""
    shape, coarse = (24, 40, 33), (4, 5, 4)
    field = np.random.default_rng(4).standard_normal(coarse, np.float32)
    zoomed = ndimage.zoom(field, [n / c for n, c in zip(shape, coarse, strict=True)], order=3)
    made = optics.smooth_field(shape, 15, np.random.default_rng(4))
    assert np.abs(made - zoomed / zoomed.std()).max() < 1e-6


def test_a_smooth_field_has_its_level_and_is_smooth():
    field = smooth_noise(Box.of((96, 96, 96)), (5.0, 5.0, 5.0), 2)
    assert field.std() == pytest.approx(1, rel=0.05)
    assert np.abs(np.diff(field, axis=0)).max() < 1.2


def test_enlarge_keeps_a_ramp():
    ramp = np.arange(8, dtype=np.float32).reshape(8, 1, 1) * np.ones((1, 3, 5), np.float32)
    large = enlarge(ramp, 4)
    assert large.shape == (32, 12, 20)
    assert np.allclose(np.diff(large[2:-2, 0, 0]), 0.25)


def test_bleaching_is_exponential_down_to_its_floor():
    depth = np.arange(200.0)
    left = optics.bleaching(depth, 40.0)
    slope = np.polyfit(depth, np.log(left), 1)[0]
    assert slope == pytest.approx(-1 / 40, rel=1e-4)
    assert optics.bleaching(np.array([1e6]), 40.0, floor=0.3)[0] == pytest.approx(0.3)


def test_tiles_step_at_their_borders_and_nowhere_else():
    gain = optics.tile_steps(Box((0, 40, 40), (1, 140, 140)), 50, 0.2, 7)[0]
    steps = np.flatnonzero(np.abs(np.diff(gain, axis=0)).max(1)) + 1 + 40
    assert steps.tolist() == [50, 100]
    assert len(np.unique(gain)) == 9


def test_stripes_run_along_x():
    gain = optics.sheet_stripes(Box.of((8, 64, 64)), 4.0, 0.1, 3)
    along, across = (np.abs(np.diff(gain, axis=axis)).mean() for axis in (2, 1))
    assert along < across / 8


@pytest.mark.parametrize("read", [0.0, 4.0])
@pytest.mark.parametrize("photons", [5.0, 40.0, 400.0])
def test_the_variance_of_photon_noise_is_its_mean(photons, read):
    normal = np.random.default_rng(0).standard_normal((64, 64, 64)).astype(np.float32)
    counts = optics.poisson_gaussian(np.full(normal.shape, photons, np.float32), normal, read)
    assert counts.mean() == pytest.approx(photons, rel=0.03)
    assert counts.var() == pytest.approx(photons + read**2, rel=0.12 if photons < 10 else 0.03)
    if read == 0:  # few photons are skewed: 1 / sqrt(mean)
        skew = ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3
        assert skew == pytest.approx(photons**-0.5, abs=0.12)


def test_scatter_keeps_the_light_and_halves_the_peak():
    light = np.zeros((64, 64, 64), np.float32)
    light[30, 33, 31] = 100
    seen = optics.scatter(light, 0.5, 6.0)
    assert seen.sum() == pytest.approx(100, rel=0.01)
    assert seen[30, 33, 31] == pytest.approx(50, rel=0.02)
    assert seen[30, 33, 41] > 0
    assert optics.scatter(light, 0, 6.0) is light


def test_depth_blurs_where_its_weight_is():
    light = np.random.default_rng(0).random((32, 32, 32)).astype(np.float32)
    weight = np.linspace(0, 1, 32).reshape(-1, 1, 1)
    seen = optics.blur_with_depth(light, weight, 1.5)
    assert np.array_equal(seen[0], light[0])
    fully = ndimage.gaussian_filter(light, (2.25, 1.5, 1.5), mode="nearest", truncate=3)
    assert np.allclose(seen[-1], fully[-1], atol=1e-6)


def test_compression_loses_less_than_its_step_and_keeps_planes_apart():
    rng = np.random.default_rng(1)
    grey = rng.normal(500, 20, (3, 21, 30)).astype(np.float32)
    seen = optics.compress(grey, 10.0)
    assert seen.shape == grey.shape
    assert 0 < np.abs(seen - grey).std() < 10
    assert np.allclose(optics.compress(grey, 1e-3), grey, atol=1e-2)
    other = grey.copy()
    other[1] += 50
    assert np.array_equal(optics.compress(other, 10.0)[0], seen[0])


@pytest.mark.parametrize(("bits", "dtype", "top"), [(8, "uint8", 255), (12, "uint16", 4095)])
def test_digits_saturate(bits, dtype, top):
    grey = optics.digitise(np.array([[[-3.0, 1.4, 1e6]]], np.float32), bits)
    assert grey.dtype == dtype
    assert grey.ravel().tolist() == [0, 1, top]

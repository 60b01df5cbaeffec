"""What files go through changes a volume as it says, and tells what cannot be seen any more."""

import numpy as np
import pytest

from neuroglow.imaging import field
from neuroglow.imaging.noise_units import to_noise_units

SHAPE = (24, 32, 40)


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def with_line():
    signal = noise()
    signal[12, 16] += 30
    return signal


@pytest.mark.parametrize("name", field.TREATMENTS)
def test_a_treatment_keeps_shape_type_and_the_line(name):
    signal = with_line()
    treated = field.TREATMENTS[name][1](np.random.default_rng(1), signal)
    assert treated.shape == signal.shape
    assert treated.dtype == np.float32
    assert np.isfinite(treated).all()
    assert not np.array_equal(treated, signal)
    quiet = np.median(np.abs(treated))
    assert treated[11:14, 15:18].max(axis=(0, 1)).min() > 3 * quiet


def test_clipping_makes_most_of_the_background_zero():
    clipped = [field.clip_background(np.random.default_rng(s), noise()) for s in range(20)]
    assert all((part >= 0).all() for part in clipped)
    shares = [(part == 0).mean() for part in clipped]
    assert min(shares) > 0.25
    assert max(shares) > 0.9


@pytest.mark.parametrize("compress", [field.jpeg, field.video])
def test_compression_loses_something_and_not_much(compress):
    grey = np.clip(100 + 20 * with_line(), 0, 255).astype(np.uint8)
    read = compress(np.random.default_rng(2), grey)
    assert read.shape == grey.shape
    assert read.dtype == np.uint8
    difference = np.abs(read.astype(int) - grey)
    assert 0 < difference.mean() < 20


def test_lost_planes_and_borders_are_told():
    grey = np.clip(100 + 20 * noise(), 1, 255).astype(np.uint8)
    for lose in (field.lose_planes, field.mask_border):
        for seed in range(5):
            left, lost = lose(np.random.default_rng(seed), grey)
            assert lost.any()
            assert np.array_equal(left[~lost], grey[~lost])
    assert grey.min() > 0  # and what was given is as it was


def test_roughened_volumes_are_files_of_integers_that_come_again_from_the_same_seed():
    kinds, levels = set(), []
    for seed in range(25):
        grey, lost = field.roughen(np.random.default_rng(seed), with_line())
        again, _ = field.roughen(np.random.default_rng(seed), with_line())
        assert np.array_equal(grey, again)
        assert np.isfinite(to_noise_units(grey)).all()
        assert not lost[12, 16].all() or lost.any()
        kinds.add(grey.dtype.name)
        levels.append(len(np.unique(grey)))
    assert kinds == {"uint8", "uint16"}
    assert min(levels) < 64


def test_what_is_zero_all_around_is_unseen_and_a_trace_is_not():
    grey = np.zeros(SHAPE, np.uint8)
    grey[12, 16, 20] = 1
    lost = field.unseen(grey)
    assert lost[12, 16, 30]
    assert not lost[12, 16, 18:23].any()

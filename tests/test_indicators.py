"""Indicators: DB-Enhance's numbers exactly; hand-made cubes; degenerate cubes are defined."""

import json

import numpy as np
import pytest
from scipy import ndimage

from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.selection.indicators import analysed_range, in_noise_units, reference
from neuroglow.selection.provisional import (
    contrast_of,
    find_neurites,
    low_snr_share,
    shape_of,
    texture,
)
from neuroglow.selection.tissue import tissue_level, tissue_share
from neuroglow.space.pyramid import halve


def rng():
    return np.random.default_rng(1)


def test_the_reference_indicators_are_exact(shared):
    recorded = np.load(shared / "reference/selection.npz")
    cubes = zip(recorded["images"], recorded["labels"], recorded["indicators"], strict=True)
    for image, label, expected in cubes:
        ours = reference(image, label > 0, rng())[:3]
        np.testing.assert_allclose(ours, expected, rtol=1e-14, atol=0)


def test_the_reference_ranges_are_exact(shared):
    for case in json.loads((shared / "reference/cases.json").read_text())["roi"]:
        found = analysed_range(case["lo"], case["hi"], case["size"], case["limit"])
        assert list(found) == case["out"], case


def test_the_sample_of_a_large_background_is_seeded():
    image = np.random.default_rng(2).integers(90, 110, (60, 60, 60)).astype(np.uint16)
    label = np.zeros(image.shape, bool)
    label[30, 30] = True
    assert reference(image, label, rng()) == reference(image, label, rng())
    other = reference(image, label, np.random.default_rng(5))
    assert other.noise_variance == pytest.approx(
        reference(image, label, rng()).noise_variance, 0.02
    )


def test_hand_computed_indicators():
    image = np.full((40, 40, 40), 100, np.uint16)
    image[::2] = 104  # noise of standard deviation 2 around 102
    label = np.zeros(image.shape, bool)
    label[20, 20, :10] = True
    image[20, 20, :10] = [103] * 4 + [200] * 6
    image[0, 0, 0] = 1000  # a confused voxel, more than 60 above the mean
    found = reference(image, label, rng())
    assert found.signal_density == 10 / 50_000
    assert found.noise_variance == pytest.approx(2, abs=1e-3)
    assert found.background_mean == pytest.approx(102, abs=1e-2)
    assert found.low_snr_ratio == 0.4


@pytest.mark.parametrize("filled", [False, True])
def test_degenerate_labels_have_defined_indicators(filled):
    image = rng().normal(100, 5, (20, 20, 20)).astype(np.float32)
    label = np.full(image.shape, filled)
    grey, units = reference(image, label, rng()), in_noise_units(to_noise_units(image), label)
    assert np.isfinite([*grey, *units]).all()
    assert grey.signal_density == (8000 / 50_000 if filled else 0)
    assert units.signal_density == float(filled)
    if filled:
        assert grey.noise_variance == 0
    else:
        assert grey.low_snr_ratio == units.low_snr_ratio == 0
        assert units.noise_variance == pytest.approx(1, abs=0.1)


def test_noise_units_know_no_camera():
    image = rng().normal(0, 1, (32, 32, 32))
    label = np.zeros(image.shape, bool)
    label[10:12, 10:12] = True
    image += 5 * label
    one, other = (
        in_noise_units(to_noise_units(a * image + b), label) for a, b in ((10, 300), (250, 9000))
    )
    assert one == pytest.approx(other, rel=1e-4, abs=1e-4)


def line(x, sigma=1.5, snr=6.0, side=64):
    """Draw a line along z that ends at the faces, at y = 32."""
    y = np.arange(side)
    profile = np.exp(-((y[:, None] - 32) ** 2 + (y[None] - x) ** 2) / 2 / sigma**2)
    return np.broadcast_to(snr * profile, (side,) * 3)


def found_in(halved):
    return find_neurites(halved, contrast_of(halved))


def test_lines_are_found_and_noise_is_not():
    noise = rng().standard_normal((64, 64, 64), np.float32)
    empty = found_in(halve(to_noise_units(noise), (2, 2, 2)))
    both = halve(to_noise_units((noise + line(16) + line(48)).astype(np.float32)), (2, 2, 2))
    found = found_in(both)
    on_line = found.neurites[:, 16, [7, 8, 23, 24]].any(axis=1)
    assert on_line.mean() > 0.95
    assert not empty.neurites.any()


@pytest.mark.parametrize("correlated", [0.5, 1.0, 2.0])
def test_correlated_noise_has_no_neurites(correlated):
    for seed in range(3):
        noise = np.random.default_rng(seed).standard_normal((64, 64, 64))
        x = to_noise_units(ndimage.gaussian_filter(noise, correlated).astype(np.float32))
        assert not found_in(halve(x, (2, 2, 2))).neurites.any()


def test_dim_lines_have_the_higher_low_snr_share():
    noise = rng().standard_normal((64, 64, 64), np.float32)
    shares = []
    for snr in (3.0, 6.0, 20.0):
        x = halve(to_noise_units((noise + line(30, snr=snr)).astype(np.float32)), (2, 2, 2))
        mask = np.zeros(x.shape, bool)
        mask[:, 15:18, 14:17] = True
        shares.append(low_snr_share(x, contrast_of(x), mask))
    assert shares[0] > 0.3
    assert shares[0] > shares[1] >= shares[2]


def test_spots_are_counted():
    noise = rng().standard_normal((64, 64, 64), np.float32)
    grid = np.ogrid[:64, :64, :64]
    for z, y, x in [(z, y, x) for z in (16, 46) for y in (16, 46) for x in (16, 46)]:
        square = sum((g - c) ** 2 for g, c in zip(grid, (z, y, x), strict=True))
        noise += 10 * np.exp(-square / 2 / 1.5**2)
    assert found_in(halve(to_noise_units(noise), (2, 2, 2))).spots == pytest.approx(8, abs=1)


def test_shapes_by_hand():
    mask = np.zeros((40, 40, 40), bool)
    mask[20, 20, 5:35] = True
    assert shape_of(mask) == (30, 1, 0)
    mask[20, 5:35, 20] = True
    crossed = shape_of(mask)
    assert crossed.crossings * crossed.length_vox == pytest.approx(1000)
    assert crossed.tortuosity == 1
    half = np.zeros((60, 60, 60), bool)
    at = np.linspace(0, np.pi, 400)
    half[
        30, np.rint(10 + 25 * np.sin(at)).astype(int), np.rint(30 + 25 * np.cos(at)).astype(int)
    ] = True
    assert shape_of(half).tortuosity == pytest.approx(np.pi / 2, rel=0.1)
    assert shape_of(np.zeros((20, 20, 20), bool)) == (0, 1, 0)


def test_texture_is_the_correlation_of_neighbours():
    white = rng().standard_normal((32, 64, 64), np.float32)
    assert texture(white) == pytest.approx(0, abs=0.02)
    paired = np.repeat(np.repeat(white[:, :32, :32], 2, 1), 2, 2)
    assert texture(paired) == pytest.approx(0.5, abs=0.03)
    assert texture(np.zeros((8, 8, 8), np.float32)) == 1


def test_tissue_is_told_from_what_is_outside():
    dark, bright = rng().normal(100, 2, 300), rng().normal(400, 60, 200)
    noise = np.r_[np.full(300, 5.0), np.full(200, 20.0)]
    level = tissue_level(np.r_[dark, bright], noise)
    assert dark.max() < level < bright.min()
    assert tissue_share(np.array([90, 500, 600, 99]), level) == 0.5


@pytest.mark.parametrize("kind", ["uniform", "normal", "constant"])
def test_what_varies_smoothly_is_all_tissue(kind):
    values = {
        "uniform": rng().uniform(100, 900, 500),
        "normal": rng().normal(500, 90, 500),
        "constant": np.full(500, 7.0),
    }[kind]
    assert tissue_level(values, np.full(500, 5.0)) == -np.inf


def test_ignored_voxels_are_neither_neurite_nor_background():
    image = rng().normal(100, 5, (40, 40, 40)).astype(np.float32)
    label = np.zeros(image.shape, np.uint8)
    label[10:12, 10:12] = NEURITE
    image += 60 * (label == NEURITE)
    units = to_noise_units(image)
    known = reference(image, label, rng()), in_noise_units(units, label)
    image[20:], label[20:] = 140, IGNORE  # half of the cube, of which nobody said anything
    units[20:] = np.arcsinh(8)
    grey, noise = reference(image, label, rng()), in_noise_units(units, label)
    assert grey.signal_density == 160 / 50_000
    assert noise.signal_density == pytest.approx(160 / 32_000)
    assert grey[1:] == pytest.approx(known[0][1:], rel=0.02, abs=0.2)
    assert noise[1:] == pytest.approx(known[1][1:], rel=0.02, abs=0.02)


def test_a_label_of_ignored_voxels_alone_has_defined_indicators():
    image = rng().normal(100, 5, (20, 20, 20)).astype(np.float32)
    label = np.full(image.shape, IGNORE, np.uint8)
    grey, units = reference(image, label, rng()), in_noise_units(to_noise_units(image), label)
    assert (*grey, *units) == (0,) * 8

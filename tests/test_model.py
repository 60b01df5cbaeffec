"""The bundled model is small, explains itself, and finds what filters do not."""

import dataclasses

import numpy as np
import pytest

import neuroglow
from neuroglow import metrics
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.imaging.optics import Camera
from neuroglow.imaging.ridges import ridges
from neuroglow.phantom import NEURITE, PhantomSettings, centreline, make_phantom

FAINT = PhantomSettings(
    shape=(64, 96, 96),
    neurites=(8, 8),
    snr=(2.0, 3.0),
    radius_vox=(0.3, 0.8),
    tortuosity=(0.03, 0.08),
    blur_vox=(0.9, 1.1),
    correlation_vox=(0.4, 0.5),
    unevenness=(0.5, 0.6),
    distractors=(2.0, 0.0, 0.0, 0.0),
)


@pytest.fixture(scope="module")
def bundled():
    return neuroglow.load_model("light-microscopy")


def test_it_is_small_and_explains_itself(bundled):
    assert sum(f.stat().st_size for f in bundled.path.iterdir()) <= 4_000_000
    card = (bundled.path / "card.md").read_text()
    settings = bundled.settings
    for fact in (
        f"threshold {settings.threshold}",
        f"halo {settings.halo}",
        "seed",
        settings.licence,
    ):
        assert fact in card
    assert settings.scores
    assert {s.halo for s in settings.seam_error} >= {settings.halo}
    assert max(s.mean for s in settings.seam_error if s.halo == settings.halo) <= 0.001
    assert max(s.worst for s in settings.seam_error if s.halo == settings.halo) <= 0.05


def test_it_finds_twice_the_length_that_noise_units_or_sato_find_at_equal_precision():
    found = {"noise units": [], "Sato": [], "neuroglow": []}
    for seed in range(100, 103):
        made = make_phantom(np.random.default_rng(seed), FAINT, camera=Camera())
        units = to_noise_units(made.image)
        maps = {
            "noise units": units,
            "Sato": ridges(units),
            "neuroglow": neuroglow.predict(made.image),
        }
        middle = centreline(made.scene.neurites, FAINT.shape) & (made.label > 0)
        for name, score in maps.items():
            length, _ = metrics.length_at_precision(
                score, made.label == NEURITE, middle, precision=0.9
            )
            found[name].append(length)
    mean = {name: np.mean(values) for name, values in found.items()}
    assert mean["neuroglow"] > 0.8, mean
    assert mean["neuroglow"] >= 2 * max(mean["noise units"], mean["Sato"]), mean


def test_it_lights_nothing_where_nothing_is(bundled):
    """Noise of three textures, and a constant: under a thousandth of the voxels."""
    rng = np.random.default_rng(0)
    for correlation in (0.0, 0.5, 1.0):
        empty = PhantomSettings(
            shape=(64, 64, 64),
            neurites=(0, 0),
            correlation_vox=(correlation, correlation),
            unevenness=(0.0, 1.0),
            distractors=(0.0, 0.0, 0.0, 0.0),
        )
        image = make_phantom(rng, empty).image
        detected = neuroglow.predict(image, gate=False) > bundled.settings.threshold
        assert detected.mean() < 1e-3, correlation
    constant = neuroglow.predict(np.full((32, 32, 32), 7, np.uint16), gate=False)
    assert constant.max() < bundled.settings.threshold / 2


def test_it_lights_hardly_anything_of_grain_and_puncta(bundled):
    """Hundreds of bright small spots and no neurite: the model before detected twice as much and more."""
    grain = PhantomSettings(
        shape=(64, 96, 96),
        neurites=(0, 0),
        blur_vox=(0.9, 1.1),
        correlation_vox=(0.0, 0.3),
        unevenness=(0.0, 1.0),
        distractors=(600.0, 0.0, 0.0, 0.0),
    )
    detected = [
        (neuroglow.predict(made.image, gate=False) > bundled.settings.threshold).mean()
        for made in (make_phantom(np.random.default_rng(seed), grain) for seed in (1, 2, 3))
    ]
    assert np.mean(detected) < 0.02, detected


def test_it_finds_a_saturated_soma_and_not_its_halo(bundled):
    z, y, x = np.ogrid[:64, :96, :96]
    far = np.sqrt(((z - 32) / 8) ** 2 + ((y - 48) / 11) ** 2 + ((x - 48) / 11) ** 2)
    light = 900.0 / (1 + np.exp(np.clip(8 * (far - 1), -30, 30))) + 40 * np.exp(-far / 1.5)
    noise = np.random.default_rng(3).standard_normal(light.shape)
    image = 300 + 20 * (light + noise * np.sqrt(1 + 0.3 * light))
    detected = (
        neuroglow.predict(np.clip(image, 0, 4095).astype(np.uint16)) > bundled.settings.threshold
    )
    assert detected[far < 0.7].mean() > 0.9
    assert detected[(far > 1.6) & (far < 4)].mean() < 0.02


def test_a_background_that_somebody_set_to_zero_hides_no_neurite(bundled):
    """Subtracted, cut three deviations above it, 8 bits: 99 % zeros."""
    settings = dataclasses.replace(
        FAINT, snr=(4.0, 8.0), blur_vox=(0.7, 0.9), distractors=(0.0, 0.0, 0.0, 0.0)
    )
    made = make_phantom(np.random.default_rng(1), settings, camera=Camera())
    grey = made.image.astype(float)
    noise = 1.4826 * np.median(np.abs(grey - np.median(grey)))
    cut = np.clip((grey - np.median(grey) - 3 * noise) / noise * 12, 0, 255).astype(np.uint8)
    assert (cut == 0).mean() > 0.98
    detected = neuroglow.predict(cut) > bundled.settings.threshold
    middle = centreline(made.scene.neurites, FAINT.shape) & (made.label > 0)
    assert (metrics.spread(detected.astype(np.float32), 2) > 0)[middle].mean() > 0.95


def test_gain_and_offset_of_the_camera_change_nothing():
    made = make_phantom(np.random.default_rng(1), FAINT, camera=Camera(offset=400, noise_level=40))
    brighter = made.image * np.uint16(5) + np.uint16(900)
    exact = {"precision": "float32", "gate": False}
    difference = neuroglow.predict(made.image, **exact) - neuroglow.predict(brighter, **exact)
    assert np.abs(difference).max() < 1e-3

"""What is added to a real volume is as bright as it says, where it says, and nothing else moves."""

import numpy as np
import pytest

from neuroglow.errors import SettingsError
from neuroglow.imaging.injection import Injection, draw_lines, inject, local_noise, place_pieces
from neuroglow.trees.swc import Tree

SHAPE = (40, 48, 56)
ASKED = Injection(count=4, snr=(4.0, 4.0), radius_vox=(0.4, 0.4), even=True)


def grey(rng, sigma=20.0):
    return np.rint(500 + sigma * rng.standard_normal(SHAPE)).astype(np.uint16)


def test_a_neurite_of_snr_four_peaks_four_deviations_above_what_was_there():
    rng = np.random.default_rng(1)
    volume = grey(rng)
    made = inject(volume, draw_lines(rng, SHAPE, ASKED))
    raised = made.image.astype(float) - volume
    assert made.middle.sum() > 4 * 12
    peaks = raised[made.middle & (made.extent < 1.2)] / 20
    assert 3.2 < np.median(peaks) < 4.2
    assert np.abs(raised[made.signal < 1e-6]).max() == 0
    assert made.image.dtype == volume.dtype


def test_the_noise_of_the_place_decides():
    rng = np.random.default_rng(2)
    volume = grey(rng).astype(np.float32)
    volume[:, :, 28:] = 500 + 5 * (volume[:, :, 28:] - 500)
    noise = local_noise(volume)
    assert 2 < noise[20, 20, 50] / noise[20, 20, 5] < 6


def test_lines_lie_inside_and_come_again_from_the_same_seed():
    first, again = (draw_lines(np.random.default_rng(3), SHAPE, ASKED) for _ in range(2))
    assert len(first) == ASKED.count
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.points, other.points)
        assert (one.points >= 0).all()
        assert (one.points <= np.subtract(SHAPE, 1)).all()


def test_pieces_of_trees_keep_their_course():
    steps = np.arange(200.0)
    straight = Tree(
        points=np.stack([steps, 0 * steps, 0 * steps], 1),
        radii=np.ones(200),
        kinds=np.full(200, 2),
        parents=np.arange(-1, 199),
    )
    placed = place_pieces(np.random.default_rng(4), [straight], SHAPE, ASKED)
    assert len(placed) == ASKED.count
    for neurite in placed:
        along = neurite.points[-1] - neurite.points[0]
        assert np.count_nonzero(np.abs(along) > 1e-6) == 1
    stub = Tree(straight.points[:5], straight.radii[:5], straight.kinds[:5], straight.parents[:5])
    assert place_pieces(np.random.default_rng(4), [stub], SHAPE, ASKED) == []


def test_nothing_added_is_nothing_changed_and_full_is_full():
    rng = np.random.default_rng(5)
    volume = grey(rng)
    assert np.array_equal(inject(volume, []).image, volume)
    full = np.full(SHAPE, 255, np.uint8)
    assert (inject(full, draw_lines(rng, SHAPE, ASKED)).image == 255).all()


def test_a_negative_snr_is_refused():
    with pytest.raises(SettingsError, match="positive SNR"):
        Injection(snr=(-1.0, 2.0))

"""A trace within a mask: as of a volume that is 0 outside, of which nothing is read there."""

import numpy as np
import pytest
import tifffile

import neuroglow
from lines import draw, straight
from neuroglow.errors import SettingsError
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume
from running import run

SHAPE = (32, 64, 128)


class Noted(ArrayVolume):
    """A volume that remembers what was read."""

    def read(self, box):
        self.boxes.append(box)
        return super().read(box)


@pytest.fixture(scope="module")
def seen():
    return draw(*(straight((y / 2, y, -5), (y / 2, y, 140)) for y in (12, 30, 50)), shape=SHAPE)


@pytest.fixture
def tissue(tmp_path):
    """Half of the volume along x, at a quarter of its resolution."""
    mask = np.zeros((8, 16, 32), np.uint8)
    mask[:, :, :16] = 1
    tifffile.imwrite(tmp_path / "tissue.tif", mask)
    return tmp_path / "tissue.tif"


def test_nothing_is_read_outside_and_nothing_traced(seen, tissue):
    volume = Noted(seen)
    object.__setattr__(volume, "boxes", [])
    report = neuroglow.trace(volume, threshold=0.5, mask=tissue, block=32)
    inside = Box((0, 0, 0), (32, 64, 64))
    assert volume.boxes
    assert all(inside.intersect(box).size for box in volume.boxes)
    assert "50% of the blocks lie outside the tissue, and were not read" in report.notes
    half = seen.copy()
    half[:, :, 64:] = 0
    whole = neuroglow.trace(half, threshold=0.5, block=32)
    assert report.summary == whole.summary
    assert report.summary["trees"] == 3
    for one, other in zip(report.trees, whole.trees, strict=True):
        np.testing.assert_array_equal(one.points, other.points)


def test_evidence_of_the_image_ends_at_the_mask(seen, tissue):
    gap = seen.copy()
    gap[:, :, 70:76] = 0
    raw = (1000 * seen + np.random.default_rng(1).normal(100, 10, SHAPE)).astype(np.uint16)
    found = [
        neuroglow.trace(gap, raw=raw, threshold=0.5, block=32, mask=mask).summary["bridges"]
        for mask in (None, tissue)
    ]
    assert found[0] > 0 == found[1]


def test_the_command_has_it(seen, tissue, tmp_path, capsys):
    tifffile.imwrite(tmp_path / "p.tif", seen)
    words = ("trace", tmp_path / "p.tif", "-o", tmp_path / "t.swc", "--mask", tissue)
    status, said = run(capsys, *words, "--threshold", 0.5, "--block", 32)
    assert status == 0
    assert "50% of the blocks lie outside the tissue" in said


def test_tissue_is_not_looked_for_in_a_probability(seen):
    with pytest.raises(SettingsError, match="raw image"):
        neuroglow.trace(seen, threshold=0.5, mask="auto")

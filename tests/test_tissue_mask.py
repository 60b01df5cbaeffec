"""Tissue: what lies outside is neither read nor predicted, and nothing that is detected is lost."""

import json

import numpy as np
import pytest
from scipy import ndimage

import neuroglow
from neuroglow.errors import InputError, SettingsError
from neuroglow.formats.ome_zarr import OmeZarrVolume
from neuroglow.formats.opening import create_volume, open_volume
from neuroglow.runs.tissue_mask import TissueMask, outside, tissue_in
from neuroglow.space.geometry import Box, tile
from neuroglow.space.pyramid import halve
from neuroglow.space.sparse_look import SparseLook
from neuroglow.space.volume import ArrayVolume, VolumeSpec
from running import run

SHAPE = (48, 64, 192)


def brain(seed=2, *, fade=14.0):
    """Tissue that fades into empty surroundings, with bright neurites up to its dim edges."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices(SHAPE, sparse=True)
    depth = 40 - np.sqrt((y - 32.0) ** 2 + (0.9 * (x - 50.0)) ** 2) + 0 * z
    bright = 120 / (1 + np.exp(-depth / fade * 4))
    lines = np.zeros(SHAPE, bool)
    for _ in range(14):
        at = np.array([rng.uniform(4, 44), rng.uniform(0, 64), rng.uniform(0, 90)])
        way = rng.normal(0, 1, 3)
        for _ in range(60):
            at = at + way / np.linalg.norm(way)
            spot = tuple(np.round(at).astype(int))
            if all(0 <= v < n for v, n in zip(spot, SHAPE, strict=True)) and depth[spot] > -4:
                lines[spot] = True
    glow = ndimage.gaussian_filter(lines.astype(float), 0.8) * 6
    image = 100 + bright + glow * (30 + bright) + rng.normal(0, 6, SHAPE)
    return np.clip(image, 0, 65535).astype(np.uint16), lines


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    image, lines = brain()
    path = tmp_path_factory.mktemp("brain") / "a.ome.zarr"
    neuroglow.convert(image, out=path, voxel_size=(1, 1, 1), shard=(64, 64, 64))
    return path, image, lines


@pytest.mark.parametrize("fade", [4.0, 14.0, 40.0])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_dim_edges_lie_in_the_tissue(fade, factor):
    image, lines = brain(fade=fade)
    coarse = image
    for _ in range(int(np.log2(factor))):
        coarse = halve(coarse, (2, 2, 2))
    mask = tissue_in(coarse)
    fine = np.repeat(np.repeat(np.repeat(mask, factor, 0), factor, 1), factor, 2)
    assert not (lines & ~fine).any()
    assert mask.all() or fine[:, :, -30:].mean() < 0.5


def test_without_empty_surroundings_all_is_tissue():
    rng = np.random.default_rng(0)
    assert tissue_in(rng.normal(100, 9, (16, 16, 16))).all()  # one kind
    assert tissue_in(np.zeros((8, 8, 8), np.uint8)).all()
    padded = np.zeros((16, 16, 32))
    padded[:, :, :8] = rng.normal(100, 9, (16, 16, 8))
    assert tissue_in(padded)[:, :, :10].all()
    assert not tissue_in(padded)[:, :, 11:].any()


def test_a_mask_of_any_resolution_is_read_by_box():
    mask = np.random.default_rng(1).integers(0, 2, (5, 8, 13)).astype(np.uint8)
    shape = (20, 23, 40)
    tissue = TissueMask(ArrayVolume(mask), shape)
    at = [
        ((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, mask.shape, strict=True)
    ]
    expected = mask[np.ix_(*at)] > 0
    assert np.array_equal(tissue.read(Box.of(shape)), expected)
    blocks = tile(Box.of(shape), (7, 9, 11))
    for block in blocks:
        assert np.array_equal(tissue.read(block.write), expected[block.write.slices])
        assert tissue.touches(block.write) or not expected[block.write.slices].any()
    assert TissueMask(ArrayVolume(mask * 0), shape).touches(Box.of(shape)) is False
    assert outside(TissueMask(ArrayVolume(mask * 0), shape), blocks) == 1


def test_a_mask_that_cannot_fit_is_refused(sample, tmp_path):
    path, _, _ = sample
    spec = VolumeSpec((24, 32, 30), np.dtype(np.uint8), (2, 2, 2), (64, 64, 64))
    create_volume(tmp_path / "m.ome.zarr", spec).finish()
    with pytest.raises(InputError, match="another extent along x"):
        TissueMask.of(str(tmp_path / "m.ome.zarr"), open_volume(path))


def test_without_a_pyramid_a_few_planes_show_the_tissue(monkeypatch):
    image, lines = brain()
    planes = []

    class Watched(ArrayVolume):
        def read(self, box):
            planes.append((box.start[0], box.stop[0]))
            return super().read(box)

    mask = TissueMask.of("auto", Watched(image))
    inside = mask.read(Box.of(SHAPE))
    assert not (lines & ~inside).any()
    assert inside[:, :, -30:].mean() < 0.5
    assert sum(b - a for a, b in planes) == SHAPE[0] // 4  # every fourth, once
    monkeypatch.setattr("neuroglow.runs.tissue_mask.LOOKED_AT", 1000)
    with pytest.raises(SettingsError, match=r"(?s)looks at the pyramid.*neuroglow pyramid"):
        TissueMask.of("auto", ArrayVolume(image))


@pytest.mark.parametrize("step", [(4, 8, 8), (1, 7, 5), (48, 64, 192)])
def test_a_sparse_look_is_the_mean_of_each_plane(step, monkeypatch):
    image, _ = brain()
    look = SparseLook(ArrayVolume(image), step)
    whole = look.read(Box.of(look.shape))
    for at in [(0, 0, 0), tuple(n - 1 for n in look.shape), tuple(n // 2 for n in look.shape)]:
        z, y, x = (a * s for a, s in zip(at, step, strict=True))
        plane = image[min(z + step[0] // 2, SHAPE[0] - 1), y : y + step[1], x : x + step[2]]
        assert whole[at] == pytest.approx(plane.mean())
    box = Box(tuple(n // 3 for n in look.shape), look.shape)
    monkeypatch.setattr("neuroglow.space.sparse_look.AT_ONCE", 1)  # row by row
    assert np.array_equal(look.read(box), whole[box.slices])


@pytest.mark.slow
def test_nothing_that_is_detected_is_lost_and_nothing_outside_is_read(
    sample, tmp_path, monkeypatch, capsys
):
    path, _, _ = sample
    small = {"max_memory": "305MB", "halo": 8, "precision": "float32"}
    neuroglow.predict(path, out=tmp_path / "all.ome.zarr", **small)
    boxes, read = [], OmeZarrVolume.read
    monkeypatch.setattr(
        OmeZarrVolume,
        "read",
        lambda self, box: (boxes.append((self.array, box)), read(self, box))[1],
    )
    (report,) = neuroglow.predict(path, out=tmp_path / "in.ome.zarr", mask="auto", **small)
    seen = [box for array, box in boxes if array == "0"]
    assert max(box.stop[2] for box in seen) < SHAPE[2]
    assert 0 < report.outside < 1
    assert "outside the tissue" in str(report)
    assert json.loads(report.record.read_text())["used"]["outside"] == report.outside
    whole, masked = (
        open_volume(tmp_path / f"{n}.ome.zarr").read(Box.of(SHAPE)) for n in ("all", "in")
    )
    assert (whole >= 128).sum() > 100
    assert np.array_equal(masked >= 128, whole >= 128)
    own = tmp_path / "own.tif"
    import tifffile

    drawn = np.zeros((12, 16, 48), np.uint8)
    drawn[:, :8] = 1
    tifffile.imwrite(own, drawn)
    words = (
        "predict",
        path,
        "-o",
        tmp_path / "own.ome.zarr",
        "--mask",
        own,
        "--halo",
        "8",
        "--max-memory",
        "305MB",
        "--precision",
        "float32",
    )
    assert run(capsys, *words)[0] == 0
    ours = open_volume(tmp_path / "own.ome.zarr").read(Box.of(SHAPE))
    assert not ours[:, 32:].any()
    assert np.array_equal(ours[:, :32] >= 128, whole[:, :32] >= 128)


def test_cubes_outside_are_not_surveyed(sample, tmp_path):
    path, _, _ = sample
    out = {"cube": 32, "min_tissue": 0, "roi": "0:32,0:32,0:192"}
    assert 0 < neuroglow.survey(path, out=tmp_path / "b.csv", mask="auto", **out).cubes < 6

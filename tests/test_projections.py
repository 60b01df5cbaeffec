"""Projections gathered block by block are those of the whole volume, its middle slab too."""

from __future__ import annotations

import numpy as np
import pytest

from neuroglow.space import projections
from neuroglow.space.geometry import Box, tile
from neuroglow.space.projections import flatten, merge_projections, save_projections, slab_size


def gathered(voxels, blocks, folder):
    whole = Box.of(voxels.shape)
    for block in tile(whole, blocks):
        part = voxels[block.write.slices]
        save_projections(
            folder / f"{block.index}.npz", {"raw": part}, block.write, whole.shape, middle=True
        )
    files = sorted(folder.glob("*.npz"))
    return [merge_projections(files, whole.shape, name) for name in ("raw", "raw_middle")]


@pytest.mark.parametrize("blocks", [(64, 64, 64), (19, 37, 23), (200, 200, 200)])
def test_blocks_give_the_projections_of_the_whole(tmp_path, blocks):
    voxels = np.random.default_rng(1).random((67, 90, 71), np.float32)
    whole, middle = gathered(voxels, blocks, tmp_path)
    for axis, name in enumerate("zyx"):
        np.testing.assert_array_equal(whole[name], voxels.max(axis))
        start = (voxels.shape[axis] - projections.MIDDLE) // 2
        slab = np.take(voxels, range(start, start + projections.MIDDLE), axis)
        np.testing.assert_array_equal(middle[name], slab.max(axis))


def test_an_image_that_is_zero_needs_no_voxels(tmp_path):
    voxels = np.random.default_rng(1).random((67, 90, 71), np.float32)
    for block in tile(Box.of(voxels.shape), (64, 64, 64)):
        images = {"raw": voxels[block.write.slices], "zero": ()}
        file = tmp_path / f"{block.index}.npz"
        save_projections(file, images, block.write, voxels.shape, middle=True)
    for name in ("zero", "zero_middle"):
        found = merge_projections(sorted(tmp_path.glob("*.npz")), voxels.shape, name)
        assert all(part.shape and not part.any() for part in found.values())


@pytest.mark.parametrize("largest", [projections.LARGEST, 60])
def test_of_an_image_that_is_zero_around_boxes_the_boxes_suffice(tmp_path, monkeypatch, largest):
    monkeypatch.setattr(projections, "LARGEST", largest)  # 60: bins of 4 voxels
    shape, block = (200, 150, 220), Box((64, 0, 128), (192, 128, 220))
    inside = [Box((35, 5, 3), (98, 70, 61)), Box((20, 70, 30), (90, 128, 90))]
    parts = [(box, np.random.default_rng(1).random(box.shape, np.float32)) for box in inside]
    whole = np.zeros(block.shape, np.float32)
    for box, part in parts:
        whole[box.slices] = part
    raw = np.ones(block.shape, np.float32)
    for name, image in (("a", whole), ("b", parts)):
        images = {"raw": raw, "found": image}
        save_projections(tmp_path / name, images, block, shape, middle=True)
    with np.load(tmp_path / "a") as one, np.load(tmp_path / "b") as other:
        assert set(one) == set(other)
        assert any("middle" in key for key in one)
        for key in one:
            np.testing.assert_array_equal(one[key], other[key])


def test_a_large_volume_is_binned_by_maximum_in_its_middle_too(tmp_path, monkeypatch):
    monkeypatch.setattr(projections, "LARGEST", 30)  # three voxels a pixel
    voxels = np.random.default_rng(2).random((66, 90, 72), np.float32)
    _, middle = gathered(voxels, (20, 33, 25), tmp_path)
    start = (90 - projections.MIDDLE) // 2
    slab = voxels[:, start : start + projections.MIDDLE].max(1)
    np.testing.assert_array_equal(middle["y"], slab.reshape(22, 3, 24, 3).max((1, 3)))


def test_what_no_block_reported_is_missing_in_the_middle_too(tmp_path):
    voxels = np.ones((64, 64, 64), np.float32)
    gathered(voxels, (32, 64, 64), tmp_path)
    (tmp_path / "0.npz").unlink()
    middle = merge_projections(sorted(tmp_path.glob("*.npz")), voxels.shape, "raw_middle")
    assert np.isnan(middle["y"][:32]).all()
    assert (middle["y"][32:] == 1).all()
    assert (middle["z"] == 1).all()  # the lower half of the slab has been seen


def test_a_thick_volume_is_the_mean_of_its_brightest_slabs_in_any_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(projections, "THICK", 40)  # 16 slabs of 5, 6 and 5 planes
    voxels = np.random.default_rng(3).random((67, 90, 71), np.float32)
    whole, _ = gathered(voxels, (19, 37, 23), tmp_path)
    for axis, name in enumerate("zyx"):
        size = slab_size(voxels.shape, axis)
        starts = range(0, voxels.shape[axis], size)
        slabs = np.stack(
            [
                np.take(voxels, range(a, min(a + size, voxels.shape[axis])), axis).max(axis)
                for a in starts
            ]
        )
        quarter = len(starts) // 4
        np.testing.assert_allclose(whole[name], np.sort(slabs, 0)[-quarter:].mean(0), rtol=1e-6)
        assert len(starts) <= projections.SLABS
        assert (whole[name] < voxels.max(axis)).mean() > 0.9  # which would be nearly white


def test_a_thick_volume_full_of_neurites_does_not_turn_white():
    slabs = (np.random.default_rng(4).random((16, 60, 60)) < 0.2).astype(np.float32)
    assert (slabs.max(0) == 1).mean() > 0.9  # the maximum is white
    assert (flatten(slabs) == 1).mean() < 0.5
    assert len(np.unique(flatten(slabs))) == 5
    assert np.isnan(flatten(np.full((16, 2, 2), np.nan, np.float32))).all()


def test_slabs_are_flattened_to_the_mean_of_the_brightest_that_are_known():
    slabs = np.random.default_rng(3).random((16, 300, 200), np.float32)
    slabs[np.random.default_rng(4).random(slabs.shape) < 0.5] = np.nan
    slabs[:, :40], slabs[:14, 50:60] = 0, np.nan
    ordered = np.sort(np.where(np.isnan(slabs), -np.inf, slabs), axis=0)[-4:]
    expected = np.ma.masked_invalid(ordered).mean(axis=0).filled(np.nan)
    np.testing.assert_allclose(flatten(slabs), expected, rtol=1e-6)

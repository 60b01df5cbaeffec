"""Masked tissue: told from what is real by how it lies, the same in any block, never detected."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroglow
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits, measure_cell, to_noise_units
from neuroglow.network.seen import see
from neuroglow.space.geometry import Box, tile

SHAPE = (64, 72, 80)
Z, Y, X = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]


def noise(seed=5):
    return np.random.default_rng(seed).standard_normal(SHAPE)


def placed(where):
    return np.broadcast_to(where, SHAPE)


def thin_slabs():
    rng, mask = np.random.default_rng(3), np.zeros(SHAPE, bool)
    for axis in (0, 1, 2, 2):
        at, width = rng.integers(SHAPE[axis] - 8), rng.integers(1, 8)
        mask[tuple(slice(at, at + width) if a == axis else slice(None) for a in range(3))] = True
    return mask


def planes():
    mask = np.zeros(SHAPE, bool)
    mask[[10, 11, 33]] = mask[:, 41] = True
    return mask


MASKS = {
    "deskewed": placed((X < Z - 8) | (X >= Z + 50)),
    "circle": placed((Y - 36) ** 2 + (X - 40) ** 2 > 32**2),
    "missing tile": placed((Y >= 24) & (Y < 61) & (X >= 30) & (X < 71)),
    "border": ~placed((Z > 4) & (Z < 55) & (Y > 6) & (Y < 69) & (X > 10) & (X < 60)),
    "planes": planes(),
    "slabs": thin_slabs(),
    "rotated": placed(0.4 * (Z - 32) + 0.7 * (Y - 36) - 0.6 * (X - 40) > 6),
    "holes": placed((Z % 29 < 5) & (Y % 31 < 6) & (X % 37 < 7)),
}

FILLS = {  # background, noise, type, value
    "zeros": (400, 15, np.uint16, 0),
    "largest": (400, 15, np.uint16, 65535),
    "ones": (3000, 50, np.uint16, 1),
    "median": (1000, 30, np.uint16, 1000),
    "dark 8 bit": (20, 5, np.uint8, 0),
    "NaN": (0.5, 0.05, np.float32, np.nan),
    "zero of z-scores": (0, 1, np.float32, 0),
    "low of z-scores": (0, 1, np.float32, -3),
}


def filled(mask, fill, signal=None):
    background, sd, dtype, value = FILLS[fill]
    image = (noise() if signal is None else signal) * sd + background
    if np.issubdtype(dtype, np.integer):
        image = image.clip(0, np.iinfo(dtype).max)
    image = image.astype(dtype)
    image[mask] = value
    return image


@functools.cache
def threshold():
    return neuroglow.load_model("light-microscopy").settings.threshold


PAIRS = [(m, f) for i, m in enumerate(MASKS) for j, f in enumerate(FILLS) if (i + j + i // 4) % 2]


@pytest.mark.parametrize(("mask", "fill"), [*PAIRS, ("slabs", "dark 8 bit")])
def test_masked_voxels_read_as_background_and_the_tissue_as_without(mask, fill):
    image = filled(MASKS[mask], fill)
    x, shown, masked = NoiseUnits(open_volume(image)).read_filled(Box.of(SHAPE))
    assert np.abs(x[MASKS[mask]]).max() < 2.2  # of asinh: a step no deeper than noise
    tissue = np.sinh(x[~MASKS[mask]])
    assert abs(np.median(tissue)) < 0.2
    assert 0.8 < tissue.std() < 1.2
    if fill in ("zeros", "largest", "ones", "NaN"):
        assert np.array_equal(masked, MASKS[mask])
        assert not x[masked].any()
        assert 0.8 < np.sinh(shown[masked]).std() < 1.2


TEN = [
    ("deskewed", "zeros"),
    ("circle", "zeros"),
    ("missing tile", "zeros"),
    ("border", "largest"),
    ("deskewed", "NaN"),
    ("circle", "median"),
    ("planes", "largest"),
    ("slabs", "zeros"),
    ("rotated", "zero of z-scores"),
    ("border", "ones"),
    ("deskewed", "dark 8 bit"),
    ("rotated", "low of z-scores"),
]


@pytest.mark.parametrize(("mask", "fill"), TEN)
def test_nothing_is_detected_in_pure_noise_under_masks(mask, fill):
    found = neuroglow.predict(filled(MASKS[mask], fill))
    assert (found >= threshold()).mean() < 0.001
    if fill in ("zeros", "largest", "ones", "NaN"):
        assert not found[MASKS[mask]].any()


@pytest.mark.parametrize(("mask", "fill"), [("deskewed", "zeros"), ("circle", "NaN")])
def test_a_neurite_that_runs_along_a_mask_is_found(mask, fill):
    at = (np.clip(Z - 5, 3, None), 20) if mask == "deskewed" else (40, 14)
    line = placed((X - at[0]) ** 2 + (Y - at[1] - 0 * Z) ** 2 <= 2)
    signal = noise() + 8 * line
    plain = neuroglow.predict(filled(np.zeros(SHAPE, bool), fill, signal)) >= threshold()
    beside = neuroglow.predict(filled(MASKS[mask], fill, signal)) >= threshold()
    seen = line & ~MASKS[mask]
    assert plain[seen].mean() > 0.8
    assert beside[seen].mean() > 0.9 * plain[seen].mean()


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_every_box_of_a_masked_volume_has_exactly_the_values_of_the_whole(data):
    image = _several_masks()
    whole, shown, masked = _whole()
    start = tuple(data.draw(st.integers(0, n - 1)) for n in SHAPE)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, SHAPE, strict=True))
    box = Box(start, stop)
    x, filled_x, mask = NoiseUnits(open_volume(image), 16).read_filled(box)
    assert np.array_equal(x, whole[box.slices])
    assert np.array_equal(filled_x, shown[box.slices])
    assert np.array_equal(masked[box.slices], np.zeros(box.shape, bool) if mask is None else mask)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_block_that_is_converted_by_parts_has_the_values_of_the_whole(data):
    whole, shown, masked = _whole()
    blocks = tile(Box.of(SHAPE), (40, 40, 40), halo=12, within=Box.of(SHAPE))
    block = blocks[data.draw(st.integers(0, len(blocks) - 1))]
    wanted = [block.write.grow(n).intersect(block.read) for n in (data.draw(st.integers(0, 12)), 5)]
    seen = see(NoiseUnits(open_volume(_several_masks()), 16), block, data.draw(st.integers(0, 12)))
    around = seen.around(wanted)
    assert np.array_equal(seen.x, whole[block.write.slices])
    mask = np.zeros(block.write.shape, bool) if seen.mask is None else seen.mask
    assert np.array_equal(mask, masked[block.write.slices])
    for box in wanted:
        assert np.array_equal(around[box.relative_to(block.read).slices], shown[box.slices])


@functools.cache
def _several_masks():
    image = filled(MASKS["deskewed"], "zeros")
    image[MASKS["slabs"] & placed(Y > 40)] = 65535
    return image


@functools.cache
def _whole():
    return NoiseUnits(open_volume(_several_masks()), 16).read_filled(Box.of(SHAPE))


def test_a_cell_of_masked_voxels_takes_its_background_from_its_neighbours():
    image = filled(placed(X < 40), "zeros")
    image[:, :, 39:44] = image[:, :, 45:50]
    background, spread = NoiseUnits(open_volume(image)).levels(Box.of(SHAPE))
    assert np.abs(background - 400).max() < 3
    assert np.abs(spread - 15).max() < 2


def test_a_background_clipped_to_zero_is_no_mask():
    from scipy import ndimage

    blobs = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal(SHAPE), 3)
    for level in (0.5, 1.0, 2.0):
        image = (40 * (blobs / blobs.std() - level)).clip(0, 255).astype(np.uint8)
        x, _, mask = NoiseUnits(open_volume(image)).read_filled(Box.of(SHAPE))
        assert mask is None or not image[mask].any()  # zeros deep in the black, if any
        assert x[image > 20].min() > x[image == 0].max()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_noise_of_few_grey_levels_is_no_mask(dtype):
    for sd in (0.3, 0.7, 1.5, 4):
        image = (noise() * sd + 12).round().clip(0, 255).astype(dtype)
        assert NoiseUnits(open_volume(image)).read_filled(Box.of(SHAPE))[2] is None


def test_masks_of_one_value_are_left_out_of_a_cell():
    cell = np.random.default_rng(1).normal(500, 20, (32, 32, 32)).astype(np.uint16)
    true = measure_cell(cell)
    for value in (0, 1, 65535, 500):
        masked = cell.copy()
        masked[:, :20] = value
        np.testing.assert_allclose(measure_cell(masked), true, rtol=0.06)
    assert to_noise_units(np.zeros((40, 40, 40), np.uint16)).max() == 0


def test_without_masks_noise_units_are_to_the_byte_what_they_were(monkeypatch):
    from neuroglow.imaging import cells
    from neuroglow.imaging.masks import Fills

    soma = 90_000 / (1 + np.exp(np.sqrt((Z - 30) ** 2 + (Y - 33) ** 2 + (X - 28) ** 2) - 12))
    sparse = np.where(noise() > 2.5, noise(1) * 20 + 90, 0)
    images = [
        (400 + 15 * noise() + soma).clip(0, 65535).astype(np.uint16),
        (9 + 1.2 * noise()).round().clip(0, 255).astype(np.uint8),
        (3 * noise()).clip(0, None).astype(np.float32),
        sparse.clip(0, 255).astype(np.uint8),
        np.full(SHAPE, 7, np.uint16),
    ]
    now = [to_noise_units(image) for image in images]
    monkeypatch.setattr(cells, "find_fills", lambda *_: Fills())
    for image, x in zip(images, now, strict=True):
        assert np.array_equal(to_noise_units(image), x)


def test_voxels_that_are_not_finite_are_said_once(caplog):
    image = filled(MASKS["holes"], "NaN")
    units = NoiseUnits(open_volume(image))
    for _ in range(2):
        units.read(Box.of(SHAPE))
    assert [r.getMessage() for r in caplog.records] == [
        "voxels of NaN or infinite are read as masked in array"
    ]

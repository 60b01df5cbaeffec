"""Laws of noise units: the same values in any block, sane on every kind of volume."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from neuroglow.errors import ReadError
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.box_means import box_means
from neuroglow.imaging.cells import sorted_values
from neuroglow.imaging.gate import gate
from neuroglow.imaging.noise_units import CellGrid, NoiseUnits, measure_cell, to_noise_units
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume


def camera_image(shape=(50, 67, 81), *, seed=0, dtype="uint16", offset=400, noise=30):
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 6 * noise, shape[2])
    return np.clip(rng.normal(offset, noise, shape) + slope, 0, 60000).astype(dtype)


def test_noise_reads_as_standard_normal_whatever_the_camera():
    for offset, noise, dtype in (
        (400, 30, "uint16"),
        (9000, 700, "uint16"),
        (1e-3, 1e-4, "float64"),
    ):
        x = np.sinh(to_noise_units(camera_image(offset=offset, noise=noise, dtype=dtype)))
        assert abs(np.median(x)) < 0.1
        assert 0.85 < x.std() < 1.15


def test_gain_and_offset_change_nothing():
    image = camera_image(dtype="float64")
    np.testing.assert_allclose(to_noise_units(image), to_noise_units(image * 7 + 5000), atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_box_has_exactly_the_values_of_the_whole(data):
    image = camera_image(shape=(41, 70, 99))
    whole = to_noise_units(image, cell=16)
    start = tuple(data.draw(st.integers(0, n - 1)) for n in image.shape)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, image.shape, strict=True))
    box = Box(start, stop)
    alone = NoiseUnits(open_volume(image), cell=16).read(box)
    assert np.array_equal(alone, whole[box.slices])


def test_cells_cover_every_voxel_once():
    for shape in ((19, 37, 23), (1, 1, 1), (64, 95, 97), (15, 16, 49)):
        grid, seen = CellGrid(shape, 16), np.zeros(shape, int)
        for index in np.ndindex(grid.counts):
            seen[grid.box(index).slices] += 1
        assert (seen == 1).all()


def test_a_crowded_cell_does_not_hide_its_neurites():
    image = camera_image(shape=(96, 96, 96)).astype(float)
    crowded = np.zeros(image.shape, bool)
    crowded[32:64, 32:64, 32:64] = np.random.default_rng(1).random((32, 32, 32)) < 0.4
    image[crowded] += 20 * 30
    x = np.sinh(to_noise_units(image))
    assert np.median(x[crowded]) > 10


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_a_constant_volume_is_all_background(value):
    assert not to_noise_units(np.full((20, 40, 33), value, np.uint16)).any()


def test_a_mask_of_zeros_reads_as_background_and_changes_nothing_beside_it():
    image = camera_image(shape=(64, 64, 64))
    masked = image.copy()
    masked[:, :30] = 0
    x, untouched = to_noise_units(masked), to_noise_units(image)
    assert not x[:, :30].any()
    assert np.abs(x[:, 40:] - untouched[:, 40:]).mean() < 0.1


def test_eight_bits_with_a_clipped_black_are_sane():
    rng = np.random.default_rng(3)
    image = np.zeros((64, 64, 64), np.uint8)
    image[30:34, 20:40, 20:40] = rng.integers(20, 256, (4, 20, 20))
    x = to_noise_units(image)
    assert np.isfinite(x).all()
    assert not x[image == 0].any()
    assert x[image > 0].min() > 2


def test_a_saturated_soma_is_bright_however_sharp_its_plateau():
    image = camera_image(shape=(64, 64, 64)).astype(float)
    z, y, x = np.ogrid[:64, :64, :64]
    distance = np.sqrt((z - 30) ** 2 + (y - 33) ** 2 + (x - 28) ** 2)
    image += 90_000 / (1 + np.exp(distance - 12))
    image = image.clip(0, 65535).astype(np.uint16)
    x, _, mask = NoiseUnits(open_volume(image)).read_filled(Box.of(image.shape))
    assert mask is None
    assert np.isfinite(x).all()
    assert x[image == 65535].min() > x[image < 60_000].max()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_not_finite_is_masked(bad):
    image = camera_image(dtype="float32")
    untouched = to_noise_units(image)
    image[3, 60, 70] = bad
    image[10:20, 20:40, :50] = bad
    x, shown, mask = NoiseUnits(open_volume(image)).read_filled(Box.of(image.shape))
    assert np.array_equal(mask, ~np.isfinite(image))
    assert not x[mask].any() and np.isfinite(shown).all()
    assert np.abs(x - untouched)[~mask].mean() < 0.05


class Damaged(ArrayVolume):
    """A volume of which one corner cannot be read."""

    def read(self, box):
        if box.stop[2] > 70:
            raise ReadError("damaged")
        return super().read(box)


def test_a_cell_that_cannot_be_read_fails_only_boxes_that_need_its_voxels():
    units = NoiseUnits(Damaged(camera_image()))
    x = units.read(Box((0, 0, 0), (50, 67, 70)))
    assert abs(np.median(x)) < 0.2
    with pytest.raises(ReadError, match="damaged"):
        units.read(Box((0, 0, 0), (50, 67, 71)))


def test_a_thin_volume_works():
    assert to_noise_units(camera_image(shape=(1, 40, 50))).shape == (1, 40, 50)


def test_cell_statistics_by_hand():
    assert measure_cell(np.arange(101)) == (50, pytest.approx(1.4826 * 25))
    assert measure_cell(np.full(9, 4)) == (4, 0)
    with_mask = np.concatenate([np.zeros(50), np.arange(1000, 1101)])
    assert measure_cell(with_mask) == (1050, pytest.approx(1.4826 * 25))


def test_the_gate_closes_on_white_noise_and_opens_for_a_faint_line():
    rng = np.random.default_rng(5)
    noise = rng.standard_normal((64, 64, 64)).astype(np.float32)
    line = np.zeros_like(noise)
    line[:, 30:32, 30:32] = 2
    assert not gate(np.arcsinh(noise))
    assert gate(np.arcsinh(noise + line))
    assert not gate(np.zeros((64, 64, 64), np.float32))


def test_the_gate_asks_more_of_a_single_box_than_of_several_along_a_line():
    """A box of noise that stands out alone keeps a tile closed; a fainter line opens it."""
    rng = np.random.default_rng(5)
    tiles = rng.standard_normal((40, 48, 48, 48)).astype(np.float32)
    assert not any(gate(np.arcsinh(noise)) for noise in tiles)
    alone, line = np.zeros((2, 48, 48, 48), np.float32)
    alone[22:26, 22:26, 22:26] = 0.72
    line[:, 23:26, 23:26] = 0.9
    opened = [
        np.mean([gate(np.arcsinh(noise + more)) for noise in tiles]) for more in (alone, line)
    ]
    assert opened[0] < 0.5
    assert opened[1] > 0.9


def test_the_gate_stays_open_where_noise_is_correlated():
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(6).standard_normal((64, 64, 64)), 1)
    assert gate(np.arcsinh(noise / noise.std()).astype(np.float32))


@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        ("uint32", 2**31),
        ("int32", -(2**30)),
        ("uint32", 2**32 - 2000),
        ("float64", 1e12),
        ("int64", -(2**45)),
        ("uint64", 2**52),
        ("uint64", 2**63),
        ("int64", -(2**62)),
    ],
)
def test_an_offset_beyond_float32_changes_nothing(dtype, offset):
    if abs(offset) > 2**53 and np.finfo(np.longdouble).nmant < 63:
        pytest.skip("this machine's longest float has no 64 bits")
    image = camera_image(shape=(40, 40, 70))
    if np.dtype(dtype).kind == "f":
        moved = image + offset
    else:
        moved = np.array([int(v) + offset for v in image.ravel()], dtype).reshape(image.shape)
    whole = to_noise_units(moved)
    np.testing.assert_allclose(whole, to_noise_units(image), atol=0.02)  # of a grey level
    box = Box((3, 5, 33), (40, 20, 64))
    assert np.array_equal(NoiseUnits(open_volume(moved)).read(box), whole[box.slices])


@pytest.mark.parametrize("dtype", ["u1", "u2", "i1", "i2", "i4", "u4", "f4", "f8", "?"])
def test_the_voxels_of_a_cell_are_sorted_whatever_their_type(dtype):
    raw = np.random.default_rng(0).normal(0, 3e4, (9, 7, 5))
    voxels = raw.astype(np.int64).astype(dtype)
    found = sorted_values(voxels)
    assert found.dtype == voxels.dtype
    assert np.array_equal(found, np.sort(voxels, axis=None))


@pytest.mark.parametrize("step", [(0, 0, 1), (0, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("bright", [100, 150, 1000])
def test_the_gate_opens_for_a_bright_line_one_voxel_wide(step, bright):
    """Means over boxes of 4 voxels do not show it, however bright it is."""
    image = np.random.default_rng(0).normal(300, 10, (64, 64, 128))
    assert not gate(to_noise_units(image.round().astype(np.uint16)))
    at = (np.array([[8, 8, 8]]) + np.outer(np.arange(40), step)).T
    image[tuple(at)] += bright
    assert gate(to_noise_units(image.round().astype(np.uint16)))


def test_single_bright_voxels_do_not_open_the_gate():
    image = np.random.default_rng(0).normal(300, 10, (64, 64, 64)).round().astype(np.uint16)
    image[4::20, 4::20, 4::20] += 200
    assert not gate(to_noise_units(image))


def test_plain_cells_are_combined_together_as_one_by_one():
    """Cells at faces, cells in crowds, and cells without any spread; masks go one by one."""
    rng = np.random.default_rng(7)
    voxels = rng.normal(300, 20, (70, 99, 130)).round().astype(np.uint16)
    voxels[:40, :40, :40] += rng.integers(0, 900, (40, 40, 40), np.uint16)
    voxels[32:64, 32:64, 64:96] = 300 + rng.integers(0, 2, (32, 32, 32), np.uint16)
    units = NoiseUnits(ArrayVolume(voxels), tells=False)
    for box in (Box.of(voxels.shape), Box((33, 3, 65), (60, 70, 90))):
        cells = units.grid.touched_by(box)
        units._measure(cells.grow(1))
        together = units._plain(cells)
        assert together is not None
        for found, expected in zip(together, units._one_by_one(cells), strict=True):
            np.testing.assert_array_equal(found, expected)
    masked = NoiseUnits(ArrayVolume(np.full((64, 64, 64), 7, np.uint16)), tells=False)
    masked._measure(Box.of((2, 2, 2)))
    assert masked._plain(Box.of((2, 2, 2))) is None


@pytest.mark.parametrize(("shape", "side"), [((9, 12, 7), 3), ((20, 1, 5), 2), ((3, 5, 9), 11)])
def test_means_over_boxes_are_those_of_scipy(shape, side):
    x = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    expected = uniform_filter(x, side)
    assert np.allclose(box_means(x, side), expected, atol=1e-6)
    assert not np.allclose(box_means(x, side + 1), expected, atol=1e-2)


def test_noise_units_go_to_another_process_with_their_cells():
    voxels = np.random.default_rng(3).normal(300, 20, (40, 40, 40)).astype(np.uint16)
    units, box = NoiseUnits(open_volume(voxels)), Box.of(voxels.shape)
    expected = units.read(box)
    other = pickle.loads(pickle.dumps(units))
    assert np.array_equal(other.read(box), expected)

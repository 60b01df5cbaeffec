"""Arrays of any kind become volumes, by box where they are read so, or are refused in words."""

import h5py
import numpy as np
import pytest
import torch
import zarr

from neuroglow.errors import InputError, ReadError, SettingsError
from neuroglow.formats.opening import open_volume
from neuroglow.space.arrays import LazyArray
from neuroglow.space.geometry import Box, box_text

IMAGE = np.random.default_rng(5).integers(0, 4000, (6, 8, 10)).astype(np.uint16)
TWO = np.stack([IMAGE + 1, IMAGE])
INNER = Box((1, 2, 3), (5, 7, 9))


class Named:
    """An array whose axes have names, as xarray's do; it is read by box."""

    def __init__(self, voxels, *dims, fails=False):
        self.voxels, self.dims, self.fails = voxels, dims, fails
        self.shape, self.dtype, self.ndim = voxels.shape, voxels.dtype, voxels.ndim
        self.most = 0

    def __getitem__(self, at):
        found = self.voxels[at]
        self.most = max(self.most, np.size(found))
        if self.fails and np.size(found) > 1:
            raise RuntimeError("the cluster is gone")
        return found

    def transpose(self, *dims):
        return Named(self.voxels.transpose([self.dims.index(name) for name in dims]), *dims)


class OnlyArray:
    """What can only turn into an array as a whole."""

    def __array__(self, dtype=None, copy=None):
        return IMAGE


class OnGpu(Named):
    """What NumPy cannot read."""

    def __getitem__(self, at):
        return self

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    ("source", "choice", "lazy"),
    [
        (torch.from_numpy(IMAGE.astype(np.int32)), {}, False),
        (torch.from_numpy(IMAGE.astype(np.float32)).requires_grad_(), {}, False),
        (IMAGE.tolist(), {}, False),
        (OnlyArray(), {}, False),
        (IMAGE[None], {}, False),
        (IMAGE[..., None], {}, False),
        (TWO, {"channel": 1}, False),
        (np.moveaxis(TWO, 0, -1), {"channel": 1}, False),
        (TWO, {"time": 1}, False),
        (TWO[None], {"channel": 1}, False),
        (TWO[:, None], {"time": 1}, False),
        (zarr.array(IMAGE), {}, True),
        (zarr.array(TWO), {"channel": 1}, True),
        (Named(IMAGE.transpose(2, 0, 1), "x", "z", "y"), {}, True),
        (Named(np.moveaxis(TWO, 0, 1), "z", "channel", "y", "x"), {"channel": 1}, True),
        (Named(IMAGE, "dim_0", "dim_1", "dim_2"), {}, True),
    ],
)
def test_an_array_of_any_kind_is_a_volume(source, choice, lazy):
    volume = open_volume(source, voxel_size_um=(2, 1, 1), **choice)
    assert isinstance(volume, LazyArray) == lazy
    assert volume.shape == IMAGE.shape
    assert volume.voxel_size_um == (2, 1, 1)
    found = volume.read(INNER)
    assert found.flags.c_contiguous
    assert found.dtype == volume.dtype
    np.testing.assert_array_equal(found, IMAGE[INNER.slices])


def test_an_array_on_disk_is_read_by_box(tmp_path):
    source = Named(IMAGE)
    open_volume(source).read(INNER)
    assert source.most == INNER.size
    with h5py.File(tmp_path / "a.h5", "w") as file:
        volume = open_volume(file.create_dataset("raw", data=IMAGE))
        np.testing.assert_array_equal(volume.read(INNER), IMAGE[INNER.slices])


def test_the_identity_of_an_array_that_is_read_by_box_follows_its_voxels():
    other = IMAGE.copy()
    other[5, 7, 9] += 1
    one, same, changed = (open_volume(zarr.array(a)).identity for a in (IMAGE, IMAGE, other))
    assert one == same != changed


@pytest.mark.parametrize(
    ("source", "choice", "said"),
    [
        (None, {}, "an array of whole or real numbers"),
        (object(), {}, "an array of whole or real numbers"),
        (["a.tif", "b.tif"], {}, "an array of whole or real numbers"),
        ([[1], [1, 2]], {}, "an array of whole or real numbers"),
        (OnGpu(IMAGE), {}, "can't convert cuda:0"),
        (np.ma.masked_less(IMAGE, 9), {}, "filled"),
        (IMAGE[0], {}, "three axes"),
        (IMAGE[:0], {}, "none of them empty"),
        (zarr.array(IMAGE[0]), {}, "three axes"),
        (np.zeros((8, 16, 16, 8)), {"channel": 0}, "the shorter of the two"),
        (TWO, {}, "one channel of several"),
        (IMAGE, {"channel": 3}, "the channel must exist"),
        (IMAGE.astype(complex), {}, "whole or real"),
    ],
)
def test_what_is_no_volume_is_refused_in_words(source, choice, said):
    with pytest.raises(InputError, match=said):
        open_volume(source, **choice)


def test_an_array_that_cannot_be_read_says_where():
    with pytest.raises(ReadError, match="the cluster is gone"):
        open_volume(Named(IMAGE, fails=True)).read(INNER)


def test_a_volume_that_is_open_stays_what_it_is():
    volume = open_volume(IMAGE)
    assert open_volume(volume) is volume
    with pytest.raises(SettingsError, match="when a volume is opened"):
        open_volume(volume, channel=1)


def test_slices_are_a_region():
    assert box_text(np.s_[0:4, :, 2:]) == "0:4,:,2:"
    assert box_text(INNER) == str(INNER)
    assert box_text("1:2,3:4,5:6") == "1:2,3:4,5:6"
    for wrong in (np.s_[::2, :, :], np.s_[-3:, :, :]):
        with pytest.raises(SettingsError, match="every voxel"):
            box_text(wrong)

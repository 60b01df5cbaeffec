"""Laws of boxes, blocks and tiles."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroglow.errors import SettingsError
from neuroglow.space.geometry import Block, Box, parse_box, plan_block_shape, tile

VOLUME = Box.of((19, 37, 23))


@st.composite
def boxes(draw, within: Box = VOLUME):
    ends = [
        sorted(draw(st.lists(st.integers(a, b), min_size=2, max_size=2, unique=True)))
        for a, b in zip(within.start, within.stop, strict=True)
    ]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


block_shapes = st.tuples(*[st.integers(3, 40)] * 3)
halos = st.integers(0, 9)
aligns = st.integers(1, 8)


@given(roi=boxes(), shape=block_shapes, halo=halos, align=aligns)
def test_every_voxel_is_written_exactly_once(roi, shape, halo, align):
    written = np.zeros(VOLUME.shape, int)
    for block in tile(roi, shape, halo=halo, align=align, within=VOLUME):
        written[block.write.slices] += 1
    inside = np.zeros(VOLUME.shape, int)
    inside[roi.slices] = 1
    assert np.array_equal(written, inside)


@given(roi=boxes(), shape=block_shapes, halo=halos, align=aligns)
def test_read_boxes_hold_the_halo_and_end_on_the_grid_or_at_a_face(roi, shape, halo, align):
    for block in tile(roi, shape, halo=halo, align=align, within=VOLUME):
        assert VOLUME.contains(block.read)
        assert block.read.contains(block.write.grow(halo).intersect(VOLUME))
        for axis in range(3):
            assert block.read.start[axis] % align == 0
            assert block.read.stop[axis] % align == 0 or block.read.stop[axis] == VOLUME.stop[axis]


@given(roi=boxes(), shape=block_shapes, halo=halos, align=aligns)
def test_read_boxes_are_no_larger_than_halo_and_grid_ask_for(roi, shape, halo, align):
    for block in tile(roi, shape, halo=halo, align=align, within=VOLUME):
        for read, write in zip(block.read.shape, block.write.shape, strict=True):
            assert read <= write + 2 * (halo + align - 1)


@given(roi=boxes(), shape=block_shapes, halo=halos, align=aligns)
def test_the_inner_box_cuts_from_what_was_read_what_is_written(roi, shape, halo, align):
    voxels = np.arange(VOLUME.size).reshape(VOLUME.shape)
    for block in tile(roi, shape, halo=halo, align=align, within=VOLUME):
        read = voxels[block.read.slices]
        assert np.array_equal(read[block.inner.slices], voxels[block.write.slices])


@given(roi=boxes(), shape=block_shapes)
def test_the_index_is_the_position_and_blocks_start_on_the_grid_of_the_roi(roi, shape):
    blocks = tile(roi, shape)
    assert [b.index for b in blocks] == list(range(len(blocks)))
    for block in blocks:
        offset = block.write.relative_to(roi).start
        assert all(o % s == 0 for o, s in zip(offset, shape, strict=True))


def test_without_a_volume_nothing_outside_the_roi_is_read():
    roi = Box((3, 4, 5), (11, 12, 13))
    assert all(roi.contains(b.read) for b in tile(roi, (4, 4, 4), halo=3, align=4))


def read_by(blocks, written):
    most = max(b.read.size for b in blocks) + written * max(b.write.size for b in blocks)
    return sum(b.read.size for b in blocks), most


@settings(deadline=None)
@given(roi=boxes(), halo=halos, voxels=st.integers(1, 4000), written=st.sampled_from([0, 0.5, 1]))
def test_the_planned_blocks_read_least_of_all_that_fit(roi, halo, voxels, written):
    form = {"halo": halo, "voxels": voxels, "written": written, "within": VOLUME}
    planned = plan_block_shape(roi, unit=4, longest=16, **form)
    costs = {
        shape: read_by(tile(roi, shape, halo=halo, within=VOLUME), written)
        for shape in itertools.product((4, 8, 12, 16), repeat=3)
    }
    fitting = [total for total, most in costs.values() if most <= voxels]
    assert (planned is None) == (not fitting)
    if planned:
        total, most = costs[planned]
        assert most <= voxels
        assert total == min(fitting)


def test_an_empty_roi_has_no_blocks():
    assert not list(tile(Box((2, 3, 4), (2, 9, 9)), (4, 4, 4)))


@pytest.mark.parametrize(
    "wrong", [{"block_shape": (0, 4, 4)}, {"halo": -1}, {"align": 0}, {"within": Box.of((4, 4, 4))}]
)
def test_numbers_that_cannot_be_are_refused(wrong):
    with pytest.raises(SettingsError):
        tile(VOLUME, **({"block_shape": (8, 8, 8)} | wrong))


@given(a=boxes(), b=boxes())
def test_the_intersection_is_what_both_boxes_hold(a, b):
    in_a, in_b = np.zeros((2, *VOLUME.shape), bool)
    in_a[a.slices] = True
    in_b[b.slices] = True
    common = a.intersect(b)
    assert common.size == np.count_nonzero(in_a & in_b)
    assert a.contains(b) == (not np.any(in_b & ~in_a))


@given(box=boxes(), by=st.tuples(*[st.integers(-50, 50)] * 3))
def test_a_shift_is_undone_by_its_opposite(box, by):
    assert box.shift(by).shift([-d for d in by]) == box
    assert box.shift(by).shape == box.shape


@given(box=boxes(), halo=halos, align=aligns)
def test_growing_covers_the_halo_and_ends_on_the_grid(box, halo, align):
    grown = box.grow(halo, align=align)
    assert grown.contains(box.grow(halo))
    assert all(n % align == 0 for n in (*grown.start, *grown.stop))


@given(box=boxes())
def test_a_box_is_read_back_from_its_own_text(box):
    assert parse_box(str(box), VOLUME.stop) == box


def test_an_empty_end_means_the_end_of_the_volume():
    assert parse_box(":, 5: ,:7", (19, 37, 23)) == Box((0, 5, 0), (19, 37, 7))


@pytest.mark.parametrize(
    "text",
    ["", "1:2", "1:2,3:4", "1:2,3:4,5:6,7:8", "a:b,0:1,0:1", "1.5:2,0:1,0:1", "1:2:3,0:1,0:1",
     "5:5,0:1,0:1", "6:5,0:1,0:1", "-1:5,0:1,0:1", "0:20,0:1,0:1"],
)  # fmt: skip
def test_a_region_that_is_none_is_refused_with_the_volume_in_the_cure(text):
    with pytest.raises(SettingsError) as caught:
        parse_box(text, (19, 37, 23))
    assert "0:19,0:37,0:23" in str(caught.value)


def test_a_block_travels_between_processes():
    block = tile(VOLUME, (8, 8, 8), halo=2, within=VOLUME)[5]
    assert isinstance(block, Block)
    assert pickle.loads(pickle.dumps(block)) == block


def as_listed(roi, shape, halo, align, bounds):
    """Cut a box into blocks one after the other, as an independent check."""
    corners = itertools.product(
        *(range(a, b, s) for a, b, s in zip(roi.start, roi.stop, shape, strict=True))
    )
    for i, corner in enumerate(corners):
        stop = tuple(a + s for a, s in zip(corner, shape, strict=True))
        write = Box(corner, stop).intersect(roi)
        yield Block(i, write.grow(halo, align=align).intersect(bounds), write)


@given(roi=boxes(), shape=block_shapes, halo=halos, align=aligns)
def test_a_block_by_its_index_is_the_one_of_the_list(roi, shape, halo, align):
    blocks = tile(roi, shape, halo=halo, align=align, within=VOLUME)
    listed = list(as_listed(roi, shape, halo, align, VOLUME))
    assert list(blocks) == listed
    assert [blocks[i] for i in range(len(blocks))] == listed
    assert list(blocks[1::3]) == listed[1::3]
    assert blocks[-1] == listed[-1] == blocks.at(len(listed) - 1)
    assert blocks.voxels == roi.size


@given(roi=boxes(), side=st.integers(1, 40), halo=halos, axis=st.integers(0, 2))
def test_what_blocks_read_is_counted_without_a_list(roi, side, halo, axis):
    from neuroglow.space.geometry import _reads

    shape = tuple(side if a == axis else 100 for a in range(3))
    lengths = [
        min(b.write.stop[axis] + halo, VOLUME.stop[axis])
        - max(b.write.start[axis] - halo, VOLUME.start[axis])
        for b in tile(roi, shape)
    ]
    assert _reads(roi, VOLUME, axis, side, halo) == (sum(lengths), max(lengths))


def test_a_volume_of_ten_to_the_fifteen_voxels_is_planned_without_a_list():
    whole = Box.of((100_000, 100_000, 100_000))
    for within in (whole, Box.of((1, 1000, 10**12))):
        assert plan_block_shape(within, halo=16, unit=64, voxels=10**8, within=within)
    blocks = tile(whole, (128, 320, 320), halo=16)
    assert len(blocks) == 782 * 313 * 313
    assert blocks[len(blocks) - 1].write.stop == whole.stop
    assert pickle.loads(pickle.dumps(blocks)) == blocks


@given(outer=boxes(), inner=boxes())
def test_what_lies_around_a_box_is_cut_into_boxes_that_do_not_overlap(outer, inner):
    inside = inner.intersect(outer)
    inside = inside if inside.size else Box(outer.start, outer.start)
    found = np.zeros(VOLUME.shape, int)
    for part in [inside, *outer.without(inside)]:
        found[part.slices] += 1
    assert found.sum() == outer.size
    assert found[outer.slices].all()

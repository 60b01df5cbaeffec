"""Chunks decoded directly are those that zarr reads; what is damaged is refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroglow.errors import ReadError
from neuroglow.formats import zarr_chunks
from neuroglow.formats.zarr_arrays import is_blank, open_array, write_shards
from neuroglow.formats.zarr_chunks import create_local, keep_chunks, open_local, write_group
from neuroglow.space.geometry import Box

SHAPE = (2, 37, 41, 30)
BLOSC = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
KINDS = {
    "sharded": {"shards": (1, 16, 32, 16), "compressors": BLOSC},
    "plain": {"compressors": BLOSC, "fill_value": 7},
    "open": {"compressors": None, "shards": (1, 16, 32, 16)},
    "big": {"compressors": None, "serializer": zarr.codecs.BytesCodec(endian="big")},
    "zarr 2": {"zarr_format": 2},
    "gzip": {"compressors": zarr.codecs.GzipCodec()},
}
DIRECT = {"sharded", "plain", "open"}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chunks")
    voxels = np.random.default_rng(1).integers(0, 999, SHAPE, np.uint16)
    for name, form in KINDS.items():
        array = zarr.create_array(
            folder / name, shape=SHAPE, chunks=(1, 8, 16, 16), dtype=np.uint16, **form
        )
        array[:, :16] = voxels[:, :16]  # the others are not stored
        array[1, 20:, 35:, 17:] = voxels[1, 20:, 35:, 17:]
    return {name: (folder / name, zarr.open_array(folder / name, mode="r")) for name in KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_what_zarr_can_read_alone_is_left_to_it(stores, name):
    assert (open_local(stores[name][0]) is not None) == (name in DIRECT)


@pytest.mark.parametrize("compression", [None, ("zstd", 1)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "bool"])
def test_a_new_array_and_its_group_are_described_as_zarr_does(tmp_path, dtype, compression):
    codec = compression and zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="shuffle")
    form = {"shape": (40, 20, 30), "shards": (16, 32, 16), "chunks": (8, 16, 16)}
    group = zarr.create_group(tmp_path / "theirs", zarr_format=3, attributes={"a": {"b": [1.5]}})
    group.create_array("0", dtype=dtype, compressors=codec, dimension_names=("z", "y", "x"), **form)
    write_group(tmp_path / "ours", {"a": {"b": [1.5]}})
    places = (tmp_path / "ours/0", *form.values(), np.dtype(dtype))
    create_local(*places, compression=compression, names="zyx")
    for file in ("zarr.json", "0/zarr.json"):
        ours, theirs = (json.loads((tmp_path / of / file).read_text()) for of in ("ours", "theirs"))
        assert ours == {key: theirs.get(key, ours[key]) for key in ours} and {*theirs} - {
            *ours
        } <= {"consolidated_metadata"}
    assert zarr.open_group(tmp_path / "ours", mode="r").attrs.asdict() == {"a": {"b": [1.5]}}


@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", KINDS)
def test_every_window_has_the_values_that_zarr_reads(stores, name, data):
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in SHAPE[1:]]
    window = (data.draw(st.integers(0, 1)), *(slice(*pair) for pair in ends))
    folder, array = stores[name]
    assert np.array_equal(open_array(folder)[window], array[window])


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, "cut") for name in sorted(DIRECT)]
    + [("sharded", "index"), ("open", "index"), ("sharded", "chunk"), ("plain", "chunk")],
)
def test_a_damaged_file_is_refused(tmp_path, name, damage):
    form = KINDS[name]
    array = zarr.create_array(
        tmp_path / "a", shape=SHAPE, chunks=(1, 8, 16, 16), dtype=np.uint16, **form
    )
    array[...] = np.random.default_rng(1).integers(0, 999, SHAPE, np.uint16)
    file = tmp_path / "a/c/0/0/0/0"
    content = bytearray(file.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "index":
        content[-9] ^= 255
    else:
        content[0:12] = b"\xff" * 12
    file.write_bytes(content)
    with pytest.raises((ReadError, RuntimeError)):
        open_array(tmp_path / "a")[0, 0:16, 0:32, 0:16]


@pytest.mark.parametrize("compressor", [None, BLOSC])
def test_shards_written_directly_are_those_that_zarr_reads(tmp_path, compressor):
    """Shards at the volume's far faces, some chunks and one shard of zeros, and a rewrite."""
    form = {"shards": (16, 32, 16), "chunks": (8, 16, 16), "compressors": compressor}
    array = zarr.create_array(tmp_path / "a", shape=SHAPE[1:], dtype=np.uint16, **form)
    voxels = np.random.default_rng(2).integers(0, 999, SHAPE[1:], np.uint16)
    voxels[:8], voxels[16:32, :32, :16] = 0, 0
    for _ in range(2):
        write_shards(tmp_path / "a", Box.of(array.shape), voxels)
        assert np.array_equal(array[...], voxels)
        box = Box((32, 32, 16), array.shape)
        ours = open_array(tmp_path / "a")
        assert np.array_equal(ours[box.slices], voxels[box.slices])
        assert not (tmp_path / "a/c/1/0/0").exists()
        assert not list(tmp_path.rglob("*.partial"))
        assert is_blank(ours, (slice(0, 8), slice(0, 41), slice(0, 30)))
        assert is_blank(ours, (slice(16, 32), slice(0, 32), slice(0, 16)))
        assert not is_blank(ours, (slice(0, 9), slice(0, 41), slice(0, 30)))
        voxels[:8], voxels[8:16] = voxels[8:16], 0
        voxels[:8] = 0
        voxels[9, 5, 5] = 1


def test_chunks_that_are_kept_are_those_of_the_file_as_it_is(stores, tmp_path):
    folder, array = stores["sharded"]
    windows = [
        (1, slice(0, a), slice(3, b), slice(0, c)) for a, b, c in ((9, 20, 17), (37, 41, 30))
    ]
    keep_chunks(1 << 20)
    try:
        for window in windows * 2:
            assert np.array_equal(open_array(folder)[window], array[window])
        assert 0 < zarr_chunks._recent._size <= 1 << 20
        changed = zarr.create_array(
            tmp_path / "a", shape=(16, 16, 16), chunks=(8, 8, 8), dtype=np.uint16
        )
        for value in (1, 2):
            changed[...] = value
            assert (open_array(tmp_path / "a")[(slice(0, 12),) * 3] == value).all()
    finally:
        keep_chunks(0)
    assert not zarr_chunks._recent._chunks


def test_memory_of_a_window_is_used_again_as_soon_as_no_part_of_it_is_held(tmp_path):
    """Counting references would not do: Python 3.14 does not count all of them."""
    form = {"chunks": (32, 32, 32), "dtype": np.uint16, "compressors": None}
    zarr.create_array(tmp_path / "a", shape=(96, 96, 96), **form)[...] = 7
    array, window = open_local(tmp_path / "a"), (slice(0, 90),) * 3
    keep_chunks(1 << 20)
    try:
        first = array[window]
        whole, part = first.__array_interface__["data"][0], first[3:5, ::2].view(np.int16)
        del first
        second = array[window]
        assert not np.shares_memory(second, part)
        assert (part == 7).all()
        del part
        smaller = array[(slice(0, 85),) * 3]
        assert smaller.__array_interface__["data"][0] == whole
        third = array[window]
        assert not np.shares_memory(third, second)
        assert not np.shares_memory(third, smaller)
    finally:
        keep_chunks(0)


def test_chunks_are_encoded_in_one_order_before_zarr_is_imported():
    """Threads of Blosc would put the parts of a chunk in any order: no two runs were the same."""
    child = (
        "import sys, numcodecs.blosc; import neuroglow.formats.zarr_chunks; "
        "print('zarr' in sys.modules, numcodecs.blosc.use_threads)"
    )
    done = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

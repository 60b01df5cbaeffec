"""Every backend is the same Volume; metadata are read; bad files are named."""

import json
import multiprocessing
import pickle
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from neuroglow.errors import (
    InputError,
    NeuroglowError,
    OutputError,
    ReadError,
    SettingsError,
    WriteError,
)
from neuroglow.formats import tiff_planes as tiff
from neuroglow.formats.opening import create_volume, find_volumes, open_volume
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.space.geometry import Box, tile
from neuroglow.space.pyramid import halve, plan_levels
from neuroglow.space.volume import ArrayVolume, Volume, VolumeSpec

SHAPE = (19, 37, 23)
SIZE = (2.0, 0.5, 0.25)


def voxels(dtype="uint16", shape=SHAPE):
    return np.random.default_rng(3).integers(1, 250, shape).astype(dtype)


def imagej(unit="micron", factor=1.0):
    z, y, x = (v * factor for v in SIZE)
    metadata = {"axes": "ZYX", "spacing": z, "unit": unit}
    return {"imagej": True, "metadata": metadata, "resolution": (1 / x, 1 / y)}


def ome():
    size = {f"PhysicalSize{a}": v for a, v in zip("ZYX", SIZE, strict=True)}
    unit = {f"PhysicalSize{a}Unit": "µm" for a in "ZYX"}
    return {"ome": True, "metadata": {"axes": "ZYX", **size, **unit}}


TIFFS = {
    "plain": {},
    "deflate": {"compression": "zlib"},
    "predictor": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd": {"compression": "zstd"},
    "tiled": {"tile": (16, 16)},
    "tiled deflate": {"tile": (16, 16), "compression": "zlib"},
    "strips": {"rowsperstrip": 5, "compression": "zlib"},
    "plain strips": {"rowsperstrip": 5},
    "bigtiff": {"bigtiff": True, "compression": "zlib"},
    "big-endian": {"byteorder": ">"},
    "big-endian deflate": {"byteorder": ">", "compression": "zlib"},
    "imagej": imagej(),
    "ome": ome(),
}


def write_tiff(folder, how, dtype="uint16"):
    path = folder / "v.tif"
    tifffile.imwrite(path, voxels(dtype), photometric="minisblack", **how)
    return path


def write_slices(folder):
    (folder / "slices").mkdir()
    for z, plane in enumerate(voxels()):
        tifffile.imwrite(folder / f"slices/s{z}.tif", plane, compression="zlib")
    return folder / "slices"


def write_zarr(folder, *, version, unit="micrometer"):
    path = folder / "v.ome.zarr"
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    how = {} if zarr_format == 3 else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}
    array = group.create_array("s0", shape=SHAPE, chunks=(8, 8, 8), dtype="uint16", **how)
    array[:] = voxels()
    scale = [v * (1000 if unit == "nanometer" else 1) / 2 for v in SIZE]
    image = {
        "axes": [{"name": a, "type": "space", "unit": unit} for a in "zyx"],
        "datasets": [
            {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
        "coordinateTransformations": [{"type": "scale", "scale": [2, 2, 2]}],
    }
    if version == "0.4":
        group.attrs["multiscales"] = [{"version": "0.4", **image}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    return path


def write_array(folder):
    zarr.create_array(store=folder / "a.zarr", data=voxels(), chunks=(8, 8, 8))
    return folder / "a.zarr"


def write_hdf5(folder):
    with h5py.File(folder / "v.h5", "w") as file:
        data = file.create_dataset("g/volume", data=voxels(), chunks=(8, 8, 8), compression="gzip")
        data.attrs["element_size_um"] = SIZE
    return folder / "v.h5"


def as_bytes(value):
    return np.array([c.encode() for c in str(value)], "S1")


def write_imaris(folder):
    with h5py.File(folder / "v.ims", "w") as file:
        padded = np.zeros((24, 40, 24), np.uint16)
        padded[:19, :37, :23] = voxels()
        file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data"] = padded
        info = file.create_group("DataSetInfo/Image").attrs
        for axis, count, size, i in zip("ZYX", SHAPE, SIZE, (2, 1, 0), strict=True):
            info[axis] = as_bytes(count)
            info[f"ExtMin{i}"] = as_bytes("-1.0")
            info[f"ExtMax{i}"] = as_bytes(count * size - 1.0)
    return folder / "v.ims"


BACKENDS = {
    "array": lambda folder: voxels(),
    "big-endian array": lambda folder: voxels(">u2"),
    **{name: lambda folder, how=how: write_tiff(folder, how) for name, how in TIFFS.items()},
    "slices": write_slices,
    "zarr 0.4": lambda folder: write_zarr(folder, version="0.4"),
    "zarr 0.5": lambda folder: write_zarr(folder, version="0.5"),
    "zarr nanometers": lambda folder: write_zarr(folder, version="0.5", unit="nanometer"),
    "zarr array": write_array,
    "hdf5": write_hdf5,
    "imaris": write_imaris,
}
KNOWS_SIZE = {"imagej", "ome", "zarr 0.4", "zarr 0.5", "zarr nanometers", "hdf5", "imaris"}


@pytest.fixture(params=BACKENDS)
def backend(request, tmp_path):
    source = BACKENDS[request.param](tmp_path)
    return request.param, source, open_volume(source)


# --- the conformance suite --------------------------------------------------------------------


def test_conformance(backend):
    name, source, volume = backend
    assert isinstance(volume, Volume)
    assert volume.shape == SHAPE
    assert volume.dtype == np.dtype("uint16")
    assert volume.dtype.isnative
    assert volume.voxel_size_um == (pytest.approx(SIZE) if name in KNOWS_SIZE else None)
    assert volume.identity == open_volume(source).identity
    assert open_volume(source, voxel_size_um=(3, 2, 1)).voxel_size_um == (3, 2, 1)
    rng = np.random.default_rng(0)
    for _ in range(12):
        start = [int(rng.integers(0, n)) for n in SHAPE]
        stop = [int(rng.integers(a + 1, n + 1)) for a, n in zip(start, SHAPE, strict=True)]
        read = volume.read(Box(tuple(start), tuple(stop)))
        assert np.array_equal(read, voxels()[tuple(map(slice, start, stop))])
        assert read.flags.c_contiguous
        assert read.flags.writeable
        assert read.dtype.isnative
    corner = Box((18, 36, 22), SHAPE)
    assert volume.read(corner).item() == voxels()[-1, -1, -1]
    again = pickle.loads(pickle.dumps(volume))
    assert np.array_equal(again.read(Box.of(SHAPE)), voxels())
    with pytest.raises(ValueError, match="leaves the volume"):
        volume.read(Box((0, 0, 0), (20, 37, 23)))


def read_whole(volume):
    return volume.read(Box.of(volume.shape))


def test_volumes_travel_to_other_processes(tmp_path):
    sources = [write_tiff(tmp_path, {"compression": "zlib"}), write_zarr(tmp_path, version="0.5")]
    opened = [open_volume(source) for source in sources]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for found in pool.map(read_whole, opened):
            assert np.array_equal(found, voxels())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "bool"])
def test_types_of_voxels(tmp_path, dtype):
    path = write_tiff(tmp_path, {"compression": "zlib"}, dtype)
    volume = open_volume(path)
    assert np.array_equal(volume.read(Box.of(SHAPE)), voxels(dtype))
    assert volume.dtype == ("uint8" if dtype == "bool" else dtype)


def test_identity_changes_with_the_file(tmp_path):
    path = write_tiff(tmp_path, {})
    before = open_volume(path).identity
    tifffile.imwrite(path, voxels() + 1, compression="zlib")
    assert open_volume(path).identity != before
    assert ArrayVolume(voxels()).identity != ArrayVolume(voxels() + 1).identity


def test_a_small_box_of_a_large_file_decodes_little(tmp_path, monkeypatch):
    tifffile.imwrite(
        tmp_path / "l.tif", np.zeros((60, 512, 512), np.uint16), compression="zlib", rowsperstrip=64
    )
    volume, decoded = open_volume(tmp_path / "l.tif"), []
    put = tiff.segments.put
    monkeypatch.setattr(
        tiff.segments, "put", lambda key, *value: (decoded.append(key), put(key, *value))
    )
    volume.read(Box((30, 100, 100), (32, 110, 110)))
    assert len(decoded) == 2
    tracemalloc.start()
    for z in range(0, 60, 4):
        volume.read(Box((z, 0, 0), (z + 4, 512, 512)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < tiff.CACHE_BYTES + 12e6


# --- axes ----------------------------------------------------------------------------------------


def test_channel_and_time_are_chosen_or_asked_for(tmp_path):
    stack = np.random.default_rng(0).integers(0, 99, (2, 5, 3, 20, 24), np.uint16)
    tifffile.imwrite(tmp_path / "t.tif", stack, imagej=True, metadata={"axes": "TZCYX"})
    with pytest.raises(InputError, match=r"(?s)one time of several.*--time 0 to --time 1"):
        open_volume(tmp_path / "t.tif", channel=0)
    with pytest.raises(InputError, match=r"(?s)one channel of several.*--channel 0 to --channel 2"):
        open_volume(tmp_path / "t.tif", time=0)
    with pytest.raises(InputError, match=r"(?s)must exist in the file.*--channel 3, of 3"):
        open_volume(tmp_path / "t.tif", time=0, channel=3)
    volume = open_volume(tmp_path / "t.tif", channel=2, time=1)
    assert np.array_equal(volume.read(Box((1, 2, 3), (4, 9, 8))), stack[1, 1:4, 2, 2:9, 3:8])


def test_axes_of_length_one_are_dropped(tmp_path):
    stack = voxels()[None, :, None]
    tifffile.imwrite(tmp_path / "t.tif", stack, imagej=True, metadata={"axes": "TZCYX"})
    assert open_volume(tmp_path / "t.tif").shape == SHAPE
    with pytest.raises(InputError, match="channel"):
        open_volume(tmp_path / "t.tif", channel=1)


def test_one_plane_of_a_volume_is_a_volume_and_an_image_is_none(tmp_path):
    tifffile.imwrite(tmp_path / "thin.tif", voxels()[:1])
    assert open_volume(tmp_path / "thin.tif").shape == (1, 37, 23)
    tifffile.imwrite(tmp_path / "flat.tif", voxels()[0])
    for source in (tmp_path / "flat.tif", voxels()[0]):
        with pytest.raises(InputError, match="three axes"):
            open_volume(source)


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 0, 1), (1, -1, 1), (1, float("nan"), 1), (1, 1)])
def test_wrong_voxel_sizes(size):
    with pytest.raises(SettingsError, match="three positive numbers"):
        open_volume(voxels(), voxel_size_um=size)


def test_slices_in_natural_order_and_odd_ones_named(tmp_path):
    folder = write_slices(tmp_path)
    assert [f.name for f in open_volume(folder).files][:12] == [f"s{i}.tif" for i in range(12)]
    tifffile.imwrite(folder / "s7.tif", voxels()[0].astype("uint8"))
    with pytest.raises(
        InputError, match=r"s7.tif has 37 x 23 uint8, but s0.tif has 37 x 23 uint16"
    ):
        open_volume(folder)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, imagej(), ome()], ids=str)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_tiff_is_never_silently_shorter(tmp_path, how, share):
    path = write_tiff(tmp_path, how)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    try:
        found = open_volume(path).read(Box.of(SHAPE))
    except NeuroglowError as error:
        assert "v.tif" in str(error)
    else:  # what was cut off held no voxel
        assert np.array_equal(found, voxels())


def test_a_damaged_strip_is_named(tmp_path):
    path = write_tiff(tmp_path, {"compression": "zlib"})
    with tifffile.TiffFile(path) as file:
        offset = file.pages[7].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    volume = open_volume(path)
    assert np.array_equal(volume.read(Box((0, 0, 0), (7, 37, 23))), voxels()[:7])
    with pytest.raises(ReadError, match=r"v\.tif"):
        volume.read(Box.of(SHAPE))


def test_a_damaged_chunk_is_named(tmp_path):
    path = write_zarr(tmp_path, version="0.5")
    chunk = path / "s0/c/1/1/1"
    chunk.write_bytes(chunk.read_bytes()[:20])
    volume = open_volume(path)
    assert np.array_equal(volume.read(Box((0, 0, 0), (8, 8, 8))), voxels()[:8, :8, :8])
    with pytest.raises(ReadError, match=r"v.ome.zarr \[0:19"):
        volume.read(Box.of(SHAPE))


def test_files_that_are_no_volume(tmp_path):
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "nothing.tif").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    zarr.open_group(tmp_path / "plain.zarr", mode="w").create_array(
        "a", shape=(4, 4, 4), dtype="u1"
    )
    (tmp_path / "wrong.h5").write_text("no HDF5")
    for name, words in {
        "text.tif": "known format",
        "nothing.tif": "known format",
        "folder": "must hold",
        "plain.zarr": "arrays in it: a",
        "wrong.h5": "complete",
        "missing.tif": "must exist",
    }.items():
        with pytest.raises(NeuroglowError, match=words):
            open_volume(tmp_path / name)


def test_one_dataset_of_several_is_chosen(tmp_path):
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"], file["b"] = voxels(), voxels() + 1
    with pytest.raises(InputError, match="/a, /b"):
        open_volume(tmp_path / "v.h5")
    volume = open_volume(f"{tmp_path / 'v.h5'}::/b")
    assert np.array_equal(volume.read(Box.of(SHAPE)), voxels() + 1)


def test_what_a_folder_stands_for(tmp_path):
    slices = write_slices(tmp_path)
    assert find_volumes(slices) == [slices]
    pool = tmp_path / "pool/image"
    pool.mkdir(parents=True)
    for i in (10, 2):
        tifffile.imwrite(pool / f"{i}.tif", voxels())
    assert (
        find_volumes(tmp_path / "pool") == find_volumes(pool) == [pool / "2.tif", pool / "10.tif"]
    )
    assert find_volumes(pool / "2.tif") == [pool / "2.tif"]


# --- writing ---------------------------------------------------------------------------------------


def spec(shape=(70, 140, 150), size=(2.0, 1.0, 1.0), dtype="uint8"):
    return VolumeSpec(shape, np.dtype(dtype), size, (64, 64, 128))


def test_a_new_volume_appears_when_it_is_finished(tmp_path):
    path, image = tmp_path / "n.ome.zarr", voxels("uint8", (70, 140, 150))
    new = create_volume(path, spec())
    for block in tile(Box.of(new.shape), new.block_shape):
        new.write(block.write, image[block.write.slices])
    assert not path.exists()
    assert create_volume(path, spec(), resume=True).read(Box((3, 3, 3), (9, 9, 9))).any()
    new.finish()
    volume = open_volume(path)
    assert volume.voxel_size_um == (2, 1, 1)
    assert np.array_equal(volume.read(Box.of(volume.shape)), image)
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    assert attributes["version"] == "0.5"
    [one] = attributes["multiscales"]
    assert [a["unit"] for a in one["axes"]] == ["micrometer"] * 3
    steps = [d["coordinateTransformations"] for d in one["datasets"]]
    assert steps[1][0]["scale"] == [2, 2, 2]  # z waits until y and x are as coarse
    assert steps[1][1]["translation"] == [0, 0.5, 0.5]
    half = zarr.open_array(path / "1", mode="r")[:]
    assert np.array_equal(half, halve(image, (1, 2, 2)))
    assert half[5, 5, 5] == np.rint(image[5, 10:12, 10:12].astype(float).mean())
    assert not list(tmp_path.glob("*.partial"))
    with pytest.raises(OutputError, match="not overwritten"):
        create_volume(path, spec())


def test_a_box_that_cuts_a_shard_is_refused(tmp_path):
    new = create_volume(tmp_path / "n.ome.zarr", spec())
    for start, stop in (((0, 0, 1), (64, 64, 128)), ((0, 0, 0), (64, 60, 128))):
        with pytest.raises(ValueError, match="cuts a shard"):
            new.write(Box(start, stop), np.zeros(np.subtract(stop, start), np.uint8))


def test_what_was_never_written_is_zero_and_an_unwritable_place_is_said(tmp_path):
    new = create_volume(tmp_path / "n.ome.zarr", spec())
    new.finish()
    assert not open_volume(tmp_path / "n.ome.zarr").read(Box((0, 0, 0), (9, 9, 9))).any()
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="writable"):
        create_volume(tmp_path / "file/n.ome.zarr", spec())


def test_levels_halve_the_finest_axes_first():
    factors = [level.factors for level in plan_levels(spec((200, 1000, 1000), (5.0, 1.0, 1.0)))]
    assert factors == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_an_exported_tiff_is_the_volume(tmp_path, dtype):
    volume = ArrayVolume(voxels(dtype), SIZE)
    export_tiff(volume, tmp_path / "e.tif")
    back = open_volume(tmp_path / "e.tif")
    assert back.voxel_size_um == SIZE
    assert np.array_equal(back.read(Box.of(SHAPE)), voxels(dtype))
    assert np.array_equal(tifffile.imread(tmp_path / "e.tif"), voxels(dtype))
    assert [f.name for f in Path(tmp_path).iterdir()] == ["e.tif"]

"""Convert and pyramid: the same voxels in OME-Zarr, verified, resumable; levels written apart."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr

import neuroglow
from neuroglow.blocks.executors import local_workers
from neuroglow.errors import BlocksFailedError, InputError, OutputError, ReadError, SettingsError
from neuroglow.formats.levels import write_levels
from neuroglow.formats.ome_zarr import NewOmeZarr
from neuroglow.formats.slices import SliceFolder
from neuroglow.space.geometry import Box
from neuroglow.space.pieces import check_pieces
from neuroglow.space.pyramid import halve, plan_levels
from neuroglow.space.volume import VolumeSpec
from running import run

SHAPE = (20, 36, 140)
SMALL = {"chunk": (8, 16, 16), "shard": (8, 16, 64), "voxel_size": (2, 1, 1)}


@pytest.fixture(scope="module")
def voxels():
    drawn = np.random.default_rng(5).integers(0, 999, SHAPE, np.uint16)
    drawn[8:16] = 0  # a slab without anything in it
    return drawn


@pytest.fixture
def slices(tmp_path, voxels):
    folder = tmp_path / "slices"
    folder.mkdir()
    for z, plane in enumerate(voxels):
        tifffile.imwrite(folder / f"p{z:03}.tif", plane, compression="zlib")
    return folder


def whole(path):
    volume = neuroglow.open_volume(path)
    return volume.read(Box.of(volume.shape))


def level(path, name):
    return np.asarray(zarr.open_array(path / name, mode="r")[:])


@pytest.mark.parametrize("kind", ["slices", "tif", "h5", "zarr"])
def test_every_voxel_arrives_and_is_described(tmp_path, voxels, slices, kind):
    source = {"slices": slices}.get(kind, tmp_path / f"in.{kind}")
    if kind == "tif":
        tifffile.imwrite(source, voxels)
    elif kind == "h5":
        with h5py.File(source, "w") as file:
            file.create_dataset("raw", data=voxels, chunks=(4, 36, 20))
    elif kind == "zarr":
        zarr.create_array(store=source, data=voxels, chunks=(9, 9, 9))
    out = tmp_path / "out.ome.zarr"
    report = neuroglow.convert(source, out=out, compression="lz4", **SMALL)
    assert report.blocks.ok
    assert report.blocks.skipped == 1
    assert np.array_equal(whole(out), voxels)
    assert neuroglow.open_volume(out).voxel_size_um == (2, 1, 1)
    stored = zarr.open_array(out / "0", mode="r")
    assert (stored.chunks, stored.shards) == ((8, 16, 16), (8, 16, 64))
    assert np.array_equal(level(out, "1"), halve(voxels, (1, 2, 2)))
    record = json.loads(report.record.read_text())
    assert record["voxels"] == report.voxels
    assert not list(out.rglob("*.partial"))


def test_a_region_a_type_and_a_command(tmp_path, voxels, capsys):
    tifffile.imwrite(tmp_path / "a.tif", voxels.astype(np.float32))
    words = ("convert", tmp_path / "a.tif", "--roi", "4:20,0:36,10:50", "--compression", "none")
    status, said = run(capsys, *words, "--shard-shape", "64,64,64")
    assert status == 0
    assert "compared with the input" in said
    assert np.array_equal(whole(tmp_path / "a.ome.zarr"), voxels[4:, :, 10:50].astype(np.float32))
    assert neuroglow.open_volume(tmp_path / "a.ome.zarr").origin_vox == (4, 0, 10)
    assert run(capsys, *words)[0] == 2  # it exists
    assert run(capsys, "status", tmp_path / "a.ome.zarr")[0] == 0


def test_what_was_begun_is_continued_and_is_the_same(tmp_path, voxels, slices, monkeypatch):
    unbroken = neuroglow.convert(slices, out=tmp_path / "a.ome.zarr", **SMALL)
    read, out = SliceFolder.read, tmp_path / "b.ome.zarr"

    def fail(self, box):
        if box.start[0] >= 16:
            raise ReadError("a slice must be complete")
        return read(self, box)

    monkeypatch.setattr(SliceFolder, "read", fail)
    with pytest.raises(BlocksFailedError, match="a slice must be complete"):
        neuroglow.convert(slices, out=out, **SMALL)
    assert not out.exists()
    monkeypatch.undo()
    report = neuroglow.convert(slices, out=out, mode="resume", **SMALL)
    assert report.blocks.resumed == 2
    assert report.voxels == unbroken.voxels
    assert np.array_equal(whole(out), voxels)
    assert neuroglow.convert(slices, out=out, mode="resume", **SMALL).blocks.resumed == 3


def test_a_voxel_that_is_written_wrong_is_found(tmp_path, slices, monkeypatch):
    write = NewOmeZarr.write

    def wrong(self, box, voxels):
        flipped = voxels.copy()
        flipped.flat[0] ^= 1
        write(self, box, flipped)

    monkeypatch.setattr(NewOmeZarr, "write", wrong)
    with pytest.raises(BlocksFailedError, match="voxels read back must be those"):
        neuroglow.convert(slices, out=tmp_path / "a.ome.zarr", **SMALL)


def test_what_cannot_be_converted_is_refused_with_the_cure(tmp_path, voxels):
    with pytest.raises(SettingsError, match=r"(?s)whole chunks.*--shard-shape 16,32,64"):
        neuroglow.convert(voxels, out=tmp_path / "a.zarr", chunk=(16, 32, 64), shard=(20, 40, 64))
    with pytest.raises(OutputError, match="converted to OME-Zarr"):
        neuroglow.convert(voxels, out=tmp_path / "a.tif")
    with pytest.raises(SettingsError, match="memory for one shard"):
        neuroglow.convert(voxels, out=tmp_path / "a.zarr", max_memory="260MB")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("raw", data=voxels, chunks=SHAPE, compression="gzip")
    with pytest.raises(SettingsError, match=r"(?s)one piece of the file.*0 MB.*neuroglow convert"):
        check_pieces(neuroglow.open_volume(tmp_path / "a.h5"), voxels.nbytes)
    check_pieces(neuroglow.open_volume(tmp_path / "a.h5"), 2 * voxels.nbytes)


# --- pyramid -------------------------------------------------------------------------------------


def group_of(path, voxels, fmt):
    zarr.open_group(path, mode="w", zarr_format=fmt).create_array(
        "s0", data=voxels, chunks=(*(1,) * (voxels.ndim - 3), 8, 8, 8)
    )
    return path


@pytest.mark.parametrize("fmt", [2, 3])
def test_levels_are_added_in_place(tmp_path, voxels, fmt):
    path = group_of(tmp_path / "a.zarr", voxels, fmt)
    report = neuroglow.pyramid(path, voxel_size=(2, 1, 1))
    assert report.levels == [SHAPE, (20, 18, 70)]
    assert np.array_equal(level(path, "s1"), halve(voxels, (1, 2, 2)))
    assert np.array_equal(whole(path), voxels)
    assert neuroglow.open_volume(path).voxel_size_um == (2, 1, 1)
    assert neuroglow.open_volume(path / "s1").voxel_size_um == (2, 2, 2)
    assert not [*path.glob(".level*")]
    with pytest.raises(OutputError, match="that has none"):
        neuroglow.pyramid(path)


def test_channels_have_a_pyramid_each_and_labels_are_not_averaged(tmp_path, voxels, capsys):
    several = np.stack([voxels, voxels[::-1]])
    path = group_of(tmp_path / "a.zarr", several, 2)
    assert run(capsys, "pyramid", path, "--coarser", "nearest")[0] == 0
    assert np.array_equal(level(path, "s1"), several[:, ::2, ::2, ::2])


def test_what_has_no_place_for_levels_is_refused(tmp_path, voxels):
    zarr.create_array(store=tmp_path / "a.zarr", data=voxels, chunks=(8, 8, 8))
    with pytest.raises(OutputError, match=r"(?s)an array without a group.*neuroglow convert"):
        neuroglow.pyramid(tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"(?s)nothing there"):
        neuroglow.pyramid(tmp_path / "none.zarr")


def test_levels_of_the_same_voxels_are_continued_and_of_others_written_anew(tmp_path, voxels):
    path = group_of(tmp_path / "a.zarr", voxels, 3)
    spec = VolumeSpec(SHAPE, voxels.dtype, None, (8, 8, 8), (8, 8, 8))
    levels = plan_levels(spec)
    levels[0] = type(levels[0])("s0", SHAPE, (1, 1, 1))
    told = []

    def write(state):
        told.clear()
        write_levels(path, levels, spec, state=state, tell=told.append)
        return [p.done for p in told if p.work == "level 1 of the pyramid"]

    assert write("one")[0] == 0
    expected = level(path, "1")
    assert write("one")[0] == told[-1].total  # complete before
    shard = next(f for f in sorted((path / "1/c").rglob("*")) if f.is_file())
    shard.write_bytes(b"torn")
    assert write("one")[0] == told[-1].total - 1
    assert np.array_equal(level(path, "1"), expected)
    assert write("two")[0] == 0


@pytest.mark.slow
def test_levels_in_processes_equal_those_in_this_one(tmp_path, voxels):
    paths = [group_of(tmp_path / f"{name}.zarr", voxels, 3) for name in "ab"]
    spec = VolumeSpec(SHAPE, voxels.dtype, None, (8, 8, 8), (8, 8, 8))
    levels = plan_levels(spec)
    levels[0] = type(levels[0])("s0", SHAPE, (1, 1, 1))
    for path, workers in zip(paths, (None, local_workers(2)), strict=True):
        write_levels(path, levels, spec, workers=workers)
    for written in sorted(p for p in (paths[0] / "1").rglob("*") if p.is_file()):
        other = Path(paths[1]) / written.relative_to(paths[0])
        assert other.read_bytes() == written.read_bytes()

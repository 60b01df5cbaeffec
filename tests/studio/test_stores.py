"""Every volume as an OME-Zarr with a pyramid: the same voxels, whatever the file."""

import numpy as np
import pytest
import tifffile

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("httpx", reason="needs httpx, to ask the studio")

import zarr
from asking import error_of, studio_of

from neuroglow.formats.opening import create_volume
from neuroglow.runs.unfinished import Unfinished
from neuroglow.space.geometry import Box
from neuroglow.space.pyramid import halve
from neuroglow.space.volume import VolumeSpec
from running import run

SHAPE = (70, 90, 150)
SIZE = (2.0, 1.0, 1.0)


def noise(shape=SHAPE, dtype=np.uint16):
    return np.random.default_rng(3).integers(1, 250, shape).astype(dtype)


def write_tiff(path, voxels, **more):
    tifffile.imwrite(path, voxels, **more)


def write_zarr(path, voxels):
    spec = VolumeSpec(voxels.shape, voxels.dtype, SIZE, (128, 128, 128))
    new = create_volume(path, spec)
    for y in range(0, voxels.shape[1], 128):
        for x in range(0, voxels.shape[2], 128):
            box = Box((0, y, x), (128, y + 128, x + 128)).intersect(Box.of(voxels.shape))
            new.write(box, voxels[box.slices])
    new.finish()


def as_zarr(ask, path):
    """Read all that the studio serves of a volume into an OME-Zarr in memory, as a viewer does."""
    kept = {}

    def fetch(key):
        answer = ask.get(f"/zarr/{path}/{key}")
        assert answer.status_code == 200, answer.text
        kept[key] = answer.content
        return answer

    levels = fetch("zarr.json").json()["attributes"]["ome"]["multiscales"][0]["datasets"]
    for level in levels:
        about = fetch(f"{level['path']}/zarr.json").json()
        grid = about["chunk_grid"]["configuration"]["chunk_shape"]
        counts = [-(-n // c) for n, c in zip(about["shape"], grid, strict=True)]
        for index in np.ndindex(*counts):
            fetch(f"{level['path']}/c/{'/'.join(map(str, index))}")
    from zarr.core.buffer import default_buffer_prototype

    buffer = default_buffer_prototype().buffer
    store = {key: buffer.from_bytes(value) for key, value in kept.items()}
    return zarr.open_group(zarr.storage.MemoryStore(store), mode="r")


@pytest.mark.parametrize("kind", ["strips", "packed", "zarr", "bare", "h5", "slices", "float"])
def test_what_is_served_is_what_the_file_holds(tmp_path, kind):
    voxels = noise(dtype=np.float64 if kind == "float" else np.uint16)
    name = {"zarr": "a.ome.zarr", "bare": "a.zarr", "h5": "a.h5", "slices": "a"}.get(kind, "a.tif")
    file = tmp_path / name
    if kind == "zarr":
        write_zarr(file, voxels)
    elif kind == "bare":
        zarr.save_array(file, voxels)
    elif kind == "h5":
        h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")
        with h5py.File(file, "w") as made:
            made["image"] = voxels
    elif kind == "slices":
        file.mkdir()
        for z, plane in enumerate(voxels):
            write_tiff(file / f"z{z}.tif", plane)
    else:
        write_tiff(file, voxels, compression="zlib" if kind == "packed" else None)
    served = as_zarr(studio_of(tmp_path), name)
    assert np.array_equal(served["0"][:], voxels)
    assert len(list(served.arrays())) > 1


def test_made_levels_are_the_means_that_a_pyramid_has(tmp_path):
    voxels = noise()
    write_tiff(tmp_path / "a.tif", voxels, imagej=True, metadata={"axes": "ZYX"})
    served = as_zarr(studio_of(tmp_path), "a.tif")
    assert np.array_equal(served["1"][:], halve(voxels, (2, 2, 2)))


def test_levels_of_a_file_are_its_own(tmp_path):
    voxels = noise((64, 128, 300))
    write_zarr(tmp_path / "a.ome.zarr", voxels)
    stored = zarr.open_array(tmp_path / "a.ome.zarr/1", mode="r+")
    stored[0, 0, 0] = 7777  # no mean has this value
    served = as_zarr(studio_of(tmp_path), "a.ome.zarr")
    assert np.array_equal(served["1"][:], stored[:])
    about = studio_of(tmp_path).get("/api/volume", path="a.ome.zarr").json()
    assert about["voxel_size"] == [*SIZE]
    assert about["levels"][1]["scale"] == [2.0, 2.0, 2.0]
    assert not about["levels"][1]["made"]


@pytest.mark.parametrize(
    ("stored", "served"),
    [((40, 64, 96), (40, 64, 96)), ((1, 90, 150), (64,) * 3), ((8, 8, 8), (64,) * 3)],
)
def test_chunks_that_fit_are_served_as_they_are_cut(tmp_path, stored, served):
    """A chunk that is cut anew is decoded once for each of its parts."""
    voxels = noise()
    zarr.create_array(tmp_path / "a.zarr", data=voxels, chunks=stored)
    found = as_zarr(studio_of(tmp_path), "a.zarr")["0"]
    assert found.chunks == served
    assert np.array_equal(found[:], voxels)


def test_levels_of_a_label_hold_its_values_alone(tmp_path):
    voxels = (np.indices(SHAPE).sum(0) % 3 * 2).astype(np.uint8)
    write_tiff(tmp_path / "a_label.tif", voxels)
    served = as_zarr(studio_of(tmp_path), "a_label.tif")
    assert set(np.unique(served["1"][:])) == {0, 2, 4}


def test_planes_too_large_to_keep_are_served_in_flat_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroglow.studio.zarr_view.PLANES_BYTES", 10 * SHAPE[1] * SHAPE[2] * 2)
    voxels = noise()
    write_tiff(tmp_path / "a.tif", voxels, compression="zlib")
    served = as_zarr(studio_of(tmp_path), "a.tif")
    assert served["0"].chunks[0] == 8
    assert np.array_equal(served["0"][:], voxels)


def test_deep_volumes_are_thinned_and_stay_in_their_range(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroglow.studio.levels.DEEP", 1000)
    voxels = np.broadcast_to(np.arange(300)[:, None, None], (300, 30, 40)).astype(np.uint16)
    write_tiff(tmp_path / "a.tif", voxels)
    served = as_zarr(studio_of(tmp_path), "a.tif")
    coarsest = served["2"][:]
    assert np.abs(coarsest[:, 0, 0] - (np.arange(75) * 4 + 1.5)).max() <= 1


def test_an_output_that_grows_is_shown_block_by_block(tmp_path):
    size = (64, 64, 128)
    write_tiff(tmp_path / "a.tif", noise(size), imagej=True, metadata={"axes": "ZYX"})
    unfinished = Unfinished(tmp_path / "a_prob.ome.zarr")
    about = {"kind": "prediction", "input": "a.tif", "blocks": 2}
    ledger = unfinished.prepare("new", {"model": "m"}, about=about)
    volume = unfinished.volume(VolumeSpec(size, np.dtype(np.uint8), None, (64, 64, 64)))
    ask = studio_of(tmp_path)
    listed = {item["path"]: item for item in ask.get("/api/folder").json()["items"]}
    assert listed["a_prob.ome.zarr"]["growing"]
    assert listed["a_prob.ome.zarr"]["belongs_to"] == ["a.tif"]
    before = ask.get("/api/volume", path="a_prob.ome.zarr").json()
    assert not np.any(as_zarr(ask, "a_prob.ome.zarr")["0"][:])
    volume.write(Box((0, 0, 64), (64, 64, 128)), np.full((64, 64, 64), 200, np.uint8))
    ledger.mark(1, "done")
    after = ask.get("/api/volume", path="a_prob.ome.zarr").json()
    assert before["revision"] != after["revision"]
    assert (before["growing"], before["kind"]) == (True, "probability")
    grown = as_zarr(ask, "a_prob.ome.zarr")
    assert np.array_equal(np.unique(grown["0"][:, :, 64:]), [200])
    assert not grown["0"][:, :, :64].any()
    unfinished.publish(volume, complete=True)
    done = ask.get("/api/volume", path="a_prob.ome.zarr").json()
    assert not done["growing"]
    assert np.array_equal(as_zarr(ask, "a_prob.ome.zarr")["0"][:], grown["0"][:])


def test_a_file_that_was_replaced_is_not_taken_for_the_one_that_is_looked_at(tmp_path):
    """Its voxels, under the revision of the one before, would make a picture of two files."""
    write_tiff(tmp_path / "a.tif", noise((8, 9, 10)))
    ask = studio_of(tmp_path)
    old = ask.get("/api/volume", path="a.tif").json()["revision"]
    assert ask.get("/zarr/a.tif/0/c/0/0/0", rev=old).status_code == 200
    write_tiff(tmp_path / "a.tif", noise((9, 9, 10)))
    for key in ("zarr.json", "0/zarr.json", "0/c/0/0/0"):
        answer = ask.get(f"/zarr/a.tif/{key}", rev=old)
        assert answer.status_code == 409
        assert "immutable" not in answer.headers.get("cache-control", "")
    new = ask.get("/api/volume", path="a.tif").json()["revision"]
    assert ask.get("/zarr/a.tif/0/c/0/0/0", rev=new).status_code == 200


def test_a_part_that_grows_lies_where_it_will_lie(tmp_path, capsys):
    """One shard of two of a prediction of a box, over the whole image."""
    write_tiff(tmp_path / "a.tif", noise((64, 64, 192)), imagej=True, metadata={"axes": "ZYX"})
    part = ("--roi", "0:64,0:64,64:192", "--views", 1)
    out = tmp_path / "a_prob.ome.zarr"
    assert run(capsys, "predict", tmp_path / "a.tif", "--out", out, *part, "--shard", "1/2")[0] == 0
    shown = studio_of(tmp_path).get("/api/volume", path="a_prob.ome.zarr", over="a.tif").json()
    assert (shown["growing"], shown["shift"]) == (True, [0, 0, 64])


def test_a_voxel_size_is_given_once_for_a_file_without_one(tmp_path):
    write_tiff(tmp_path / "a.tif", noise((20, 30, 40)))
    content = (tmp_path / "a.tif").read_bytes()
    ask = studio_of(tmp_path)
    assert ask.get("/api/volume", path="a.tif").json()["voxel_size"] is None
    given = ask.post("/api/volume/voxel-size", {"path": "a.tif", "voxel_size": [3, 1, 1]})
    assert given.json()["voxel_size"] == [3, 1, 1]
    again = studio_of(tmp_path).get("/api/volume", path="a.tif").json()
    assert (again["voxel_size"], again["voxel_size_given"]) == ([3, 1, 1], True)
    assert (tmp_path / "a.tif").read_bytes() == content
    wrong = ask.post("/api/volume/voxel-size", {"path": "a.tif", "voxel_size": [0, 1, 1]})
    assert wrong.status_code == 422
    write_zarr(tmp_path / "b.ome.zarr", noise((20, 30, 40)))
    stated = ask.post("/api/volume/voxel-size", {"path": "b.ome.zarr", "voxel_size": [3, 1, 1]})
    assert stated.status_code == 409
    assert "states none" in error_of(stated)["rule"]


def test_a_file_that_is_replaced_is_seen_anew(tmp_path):
    write_tiff(tmp_path / "a.tif", noise((20, 30, 40)))
    ask = studio_of(tmp_path)
    as_zarr(ask, "a.tif")
    other = noise((25, 35, 45)) + 1000
    write_tiff(tmp_path / "a.tif", other)
    assert np.array_equal(as_zarr(ask, "a.tif")["0"][:], other)


def test_a_damaged_file_is_told(tmp_path):
    write_tiff(tmp_path / "a.tif", noise())
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    ask = studio_of(tmp_path)
    item = ask.get("/api/folder").json()["items"][0]
    assert "complete" in item["error"]
    answer = ask.get("/api/volume", path="a.tif")
    assert answer.status_code == 422
    assert str(tmp_path) not in answer.text
    assert error_of(answer)["where"] == "a.tif"


def test_what_is_not_there_is_404(tmp_path):
    write_tiff(tmp_path / "a.tif", noise((20, 30, 40)))
    ask = studio_of(tmp_path)
    for key in (
        "a.tif/9/zarr.json",
        "a.tif/0/c/1/0/0",
        "b.tif/zarr.json",
        "a.tif/0/c/0/0",
        "a.tif",
    ):
        assert ask.get(f"/zarr/{key}").status_code == 404, key

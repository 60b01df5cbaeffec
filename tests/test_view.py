"""View without a viewer: lazy arrays, scenes, states and skeletons."""

import json
import sys

import numpy as np
import pytest

import neuroglow
from neuroglow.errors import InputError, SettingsError
from neuroglow.formats.opening import create_volume, open_volume
from neuroglow.space.arrays import open_array
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume, Choice, VolumeSpec
from neuroglow.trees.swc import Tree, write_swc
from neuroglow.view.in_browser import codecs_of, is_served_as_files
from neuroglow.view.layers import layers_of, lazy_levels, volume_layer
from neuroglow.view.lazy import LazyArray
from neuroglow.view.scene import levels_of, open_scene
from neuroglow.view.settings import ViewSettings
from neuroglow.view.skeletons import properties_of, skeleton_of
from neuroglow.view.state import TABLE, TREES, exchanged, read_state, state_of
from running import run

SIZE = (2.0, 0.5, 0.5)
SHAPE = (12, 24, 20)


def zarr(path, voxels, origin=(0, 0, 0), size=SIZE, coarser="mean"):
    spec = VolumeSpec(
        voxels.shape, voxels.dtype, size, (64,) * 3, origin_vox=origin, coarser=coarser
    )
    new = create_volume(path, spec)
    new.write(Box.of(voxels.shape), voxels)
    return new.finish()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A raw image, its probability, that of a part of it, and trees; in micrometres."""
    folder = tmp_path_factory.mktemp("view")
    rng = np.random.default_rng(1)
    zarr(folder / "raw.ome.zarr", rng.normal(300, 20, SHAPE).astype(np.uint16))
    probability = np.zeros(SHAPE, np.uint8)
    probability[5, 10, 2:18] = 220
    zarr(folder / "prob.ome.zarr", probability)
    zarr(folder / "part.ome.zarr", probability[4:10, 8:16], origin=(4, 8, 0))
    points = np.array([[5, 10, x] for x in range(2, 18)], float) * SIZE
    parents = np.arange(-1, 15)
    parents[8] = -1  # a second tree begins
    bridge = np.where(np.arange(16) == 4, 1.0, 0.0)
    columns = {"probability": np.linspace(0.2, 1, 16), "bridge": bridge}
    write_swc(Tree(points, np.ones(16) / 2, np.full(16, 2), parents, columns), folder / "t.swc")
    return folder


@pytest.fixture(scope="module")
def scene(files):
    return open_scene(
        files / "raw.ome.zarr", files / "prob.ome.zarr", files / "t.swc", ViewSettings()
    )


@pytest.mark.parametrize(
    "key",
    [
        np.s_[...],
        np.s_[3],
        np.s_[-1, ..., 2],
        np.s_[2:9:3, :, 5:1:-2],
        np.s_[0, 1, 2],
        np.s_[:, [4, 1, 1], 3:],
        np.s_[5:5],
        np.s_[..., -3:],
        np.s_[np.int64(4), :, np.arange(3)],
    ],
)
def test_a_lazy_array_is_indexed_as_the_array_itself(key):
    voxels = np.random.default_rng(2).integers(0, 99, (7, 8, 9)).astype(np.uint16)
    lazy = LazyArray(open_array(voxels, Choice()))
    np.testing.assert_array_equal(lazy[key], voxels[key])
    np.testing.assert_array_equal(np.asarray(lazy), voxels)
    assert (lazy.shape, lazy.ndim, len(lazy), lazy.size) == (voxels.shape, 3, 7, voxels.size)


def test_a_lazy_array_refuses_what_lies_outside_and_reads_no_more_than_is_asked():
    read = []

    class Watched(ArrayVolume):
        def read(self, box):
            read.append(box)
            return super().read(box)

    lazy = LazyArray(Watched(np.zeros((7, 8, 9))))
    assert lazy[2:4, 5, 1:9:3].dtype == np.float32  # no viewer draws float64
    assert read == [Box((2, 5, 1), (4, 6, 8))]
    for key in (7, np.s_[:, -9], np.s_[:, :, :, 0], np.s_[0.5]):
        with pytest.raises(IndexError):
            lazy[key]


def test_a_scene_has_the_places_sizes_and_thresholds_of_its_files(scene, files):
    assert scene.voxel_size_um == SIZE
    assert [s.kind for s in scene.volumes] == ["raw", "probability"]
    assert [s.name for s in scene.volumes] == ["raw", "prob"]
    low, high = scene.raw.levels
    assert 240 < low < 300 < high < 420
    assert scene.volumes[1].levels == (0, 255)
    assert scene.threshold == 0.5
    assert [(t.number, t.name) for t in scene.trees] == [(1, "t 1"), (2, "t 2")]
    part = open_scene(
        files / "raw.ome.zarr", files / "part.ome.zarr", None, ViewSettings(threshold=0.2)
    )
    assert part.volumes[1].at == (4, 8, 0)
    assert part.threshold == 0.2


def test_what_does_not_belong_together_is_refused(files, tmp_path):
    raw = files / "raw.ome.zarr"
    outside = zarr(tmp_path / "o.ome.zarr", np.zeros((6, 8, 20), np.uint8), origin=(9, 0, 0))
    other = zarr(tmp_path / "s.ome.zarr", np.zeros(SHAPE, np.uint8), size=(1.0, 1.0, 1.0))
    write_swc(
        Tree(np.full((2, 3), 900.0), np.ones(2), np.ones(2, int), np.array([-1, 0])),
        tmp_path / "far.swc",
    )
    for wrong, said in (
        (outside, "or of a box of it"),
        (other, "same voxel size"),
        (raw, "a probability is"),
    ):
        with pytest.raises(InputError, match=said):
            open_scene(raw, wrong, None, ViewSettings())
    with pytest.raises(InputError, match=r"volume"):
        open_scene(raw, None, tmp_path / "far.swc", ViewSettings())


def test_no_two_layers_have_one_name(files, tmp_path):
    for name in ("raw.ome.zarr", "t.swc"):
        assert (files / name).exists()
    (tmp_path / "raw.swc").write_bytes((files / "t.swc").read_bytes())
    prob = zarr(tmp_path / "raw.ome.zarr", np.zeros(SHAPE, np.uint8))
    scene = open_scene(files / "raw.ome.zarr", prob, tmp_path / "raw.swc", ViewSettings())
    assert [s.name for s in scene.volumes] == ["raw", "raw probability"]
    assert scene.trees_name == "raw trees"


def test_a_constant_volume_has_levels():
    low, high = levels_of(ArrayVolume(np.full((3, 4, 5), 7, np.uint8)))
    assert low == 7 < high


def test_a_skeleton_lies_in_the_voxels_of_its_tree(scene):
    tree = scene.trees[0].tree
    made = skeleton_of(tree, SIZE, (1, 0, 3))
    np.testing.assert_allclose(made.vertices[0], [2 + 3 + 0.5, 10.5, 5 + 1 + 0.5])  # xyz, centres
    assert made.edges.tolist() == [[i, i - 1] for i in range(1, 8)]
    assert made.attributes["bridge"].tolist() == [0, 0, 0, 0, 1, 0, 0, 0]
    assert made.attributes["probability"][0] == np.float32(0.2)
    bare = Tree(tree.points, tree.radii, tree.kinds, tree.parents)
    assert skeleton_of(bare, SIZE, (0, 0, 0)).attributes["probability"].min() == 1


def test_the_table_of_trees_names_and_measures_them(scene):
    inline = properties_of(scene.trees, "um")["inline"]
    assert inline["ids"] == ["1", "2"]
    values = {p["id"]: p["values"] for p in inline["properties"]}
    assert values == {
        "label": ["t 1", "t 2"],
        "length (um)": [3.5, 3.5],
        "nodes": [8, 8],
        "bridges": [1, 0],
    }


def test_a_state_has_a_layer_for_each_file(scene, files):
    state = state_of(scene)
    assert state["dimensions"] == {"x": [5e-7, "m"], "y": [5e-7, "m"], "z": [2e-6, "m"]}
    assert state["position"] == [10, 12, 6]
    raw, probability, trees = state["layers"]
    assert [layer["type"] for layer in state["layers"]] == ["image", "image", "segmentation"]
    assert raw["shaderControls"]["contrast"]["range"] == [round(v) for v in scene.raw.levels]
    assert probability["shaderControls"]["threshold"] == 0.5
    assert "/ 255.0" in probability["shader"]
    assert (trees["segments"], trees["source"]) == (["1", "2"], [TREES, TABLE])
    unsized = open_scene(np.zeros((4, 5, 6), np.uint8), None, None, ViewSettings())
    assert state_of(unsized)["dimensions"]["z"] == [1, ""]
    assert len(state_of(unsized)["layers"]) == 1


def test_a_saved_state_opens_with_the_same_files_and_no_others(scene, files, tmp_path):
    names = {"neuroglow:0": "zarr3://http://a/", TREES: "python://b"}
    state = state_of(scene)
    moved = exchanged(state, names)
    assert moved["layers"][2]["source"] == ["python://b", TABLE]
    assert exchanged(moved, {v: k for k, v in names.items()}) == state
    path = tmp_path / "s.json"
    path.write_text(json.dumps(state))
    assert read_state(path, scene) == state
    alone = open_scene(files / "raw.ome.zarr", files / "prob.ome.zarr", None, ViewSettings())
    with pytest.raises(InputError, match="shows trees"):
        read_state(path, alone)
    for broken in ("[]", "{", '{"layers": [1]}'):
        path.write_text(broken)
        with pytest.raises(InputError, match="a state is the JSON"):
            read_state(path, scene)


def test_neuroglancer_reads_an_ome_zarr_itself_where_it_sees_what_we_see(scene, files, tmp_path):
    assert all(is_served_as_files(shown, scene) for shown in scene.volumes)
    raw = files / "raw.ome.zarr"
    other = open_scene(raw, None, None, ViewSettings(voxel_size=(1.0, 1.0, 1.0)))
    assert not is_served_as_files(other.raw, other)  # the file states another size
    meta = json.loads((raw / "0/zarr.json").read_text())
    assert codecs_of(meta) == {"sharding_indexed", "blosc", "bytes"}
    assert codecs_of({"compressor": {"id": "zfpy"}, "filters": None}) == {"zfpy"}  # in no browser
    array = open_scene(np.zeros((4, 5, 6), np.uint8), None, None, ViewSettings())
    assert not is_served_as_files(array.raw, array)
    double = zarr(tmp_path / "d.ome.zarr", np.zeros((4, 5, 6)))
    made = open_scene(double, None, None, ViewSettings())
    assert not is_served_as_files(made.raw, made)
    assert open_volume(double).dtype == np.float64


def test_without_the_viewer_the_extra_is_named(files, monkeypatch, capsys):
    monkeypatch.setattr(sys.modules["neuroglow.view"], "find_spec", lambda name: None)
    raw = str(files / "raw.ome.zarr")
    for words, extra in (((), "neuroglancer"), (("--napari",), "napari")):
        status, said = run(capsys, "view", raw, *words)
        assert (status, f"neuroglow[{extra}]" in said) == (2, True)
    with pytest.raises(SettingsError, match="of neuroglancer"):
        neuroglow.view(raw, napari=True, port=3)


def test_layers_of_napari_have_the_sizes_places_and_properties_of_the_scene(scene, files):
    raw, probability, trees, bridges = layers_of(scene)
    assert [layer[2] for layer in (raw, probability, trees, bridges)] == [
        "image",
        "image",
        "tracks",
        "points",
    ]
    assert raw[1]["scale"] == SIZE
    assert raw[1]["units"] == ("um", "um", "um")
    assert probability[1]["contrast_limits"] == (0, 255)
    rows, features = trees[0], trees[1]["features"]
    assert rows[:, 0].tolist() == [0] * 8 + [1] * 8
    np.testing.assert_allclose(rows[0, 2:], np.array([5, 10, 2]) * SIZE)
    assert features["tree"].tolist() == [1] * 8 + [2] * 8
    assert bridges[1]["features"] == {"bridge": [1], "probability": [features["probability"][4]]}
    np.testing.assert_allclose(bridges[0], [rows[4, 2:]])
    part = open_scene(files / "raw.ome.zarr", files / "part.ome.zarr", None, ViewSettings())
    assert layers_of(part)[1][1]["translate"] == [8, 4, 0]


def test_a_label_is_in_memory_and_an_ome_zarr_has_its_levels(tmp_path):
    voxels = np.random.default_rng(1).integers(0, 3, (64, 200, 200)).astype(np.uint8)
    path = zarr(tmp_path / "l.ome.zarr", voxels, coarser="nearest")
    data, properties, kind = volume_layer(open_volume(path), "l", "label", (0, 1))
    assert (kind, properties["name"]) == ("labels", "l")
    data[0, 0, 0] = 9  # can be painted on
    levels = lazy_levels(open_volume(path))
    assert len(levels) > 1
    np.testing.assert_array_equal(levels[1][10:12, 5], voxels[10:12, 10, ::2])

"""The napari plugin without napari: its manifest, what its reader gives, and the visible box.

tests/viewers opens it in a real napari, and clicks its panels.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest
import yaml

import neuroglow
from neuroglow.errors import InputError
from neuroglow.formats.kinds import kind_of
from neuroglow.formats.opening import create_volume, open_volume
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.napari_plugin.enhance import visible_box
from neuroglow.napari_plugin.reader import get_reader, read_layers
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume, VolumeSpec
from neuroglow.trees.swc import Tree, write_swc

SIZE = (2.0, 1.0, 1.0)


def tiff(path, dtype):
    export_tiff(ArrayVolume(np.arange(60).reshape(3, 4, 5).astype(dtype), SIZE), path)
    return path


def zarr(path, coarser):
    spec = VolumeSpec((3, 4, 5), np.dtype(np.uint8), SIZE, (64,) * 3, coarser=coarser)
    return create_volume(path, spec).finish()


def test_every_command_of_the_manifest_exists():
    file = Path(neuroglow.__file__).parent / "napari_plugin/napari.yaml"
    manifest = yaml.safe_load(file.read_text())
    commands = {c["id"]: c["python_name"] for c in manifest["contributions"]["commands"]}
    for name in commands.values():
        module, _, function = name.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    used = [
        c["command"]
        for part in ("readers", "widgets", "sample_data")
        for c in manifest["contributions"][part]
    ]
    assert sorted(used) == sorted(commands)


@pytest.mark.parametrize(
    ("name", "dtype", "kind"),
    [
        ("brain.tif", np.uint16, "raw"),
        ("brain.tif", np.uint8, "raw"),
        ("brain_prob.tif", np.uint8, "probability"),
        ("brain_prob.tif", np.float32, "probability"),
        ("brain_prob.tif", np.uint16, "raw"),  # no probability has this type
        ("brain_label.tif", np.uint8, "label"),
        ("brain-mask.tif", np.uint16, "label"),
        ("brain_mask.tif", np.float32, "raw"),
    ],
)
def test_a_volume_is_taken_for_what_its_name_and_type_say(tmp_path, name, dtype, kind):
    path = tiff(tmp_path / name, dtype)
    assert kind_of(path, open_volume(path)) == kind


def test_an_ome_zarr_says_itself_that_it_is_a_label(tmp_path):
    for coarser, kind in (("nearest", "label"), ("mean", "raw")):
        path = zarr(tmp_path / f"{coarser}.ome.zarr", coarser)
        assert kind_of(path, open_volume(path)) == kind


def test_the_reader_names_layers_by_their_file_and_gives_them_their_size(tmp_path):
    points = np.array([[0, 0, 0], [0, 0, 5], [0, 5, 5]], float)
    tree = Tree(points, np.ones(3), np.full(3, 2), np.array([-1, 0, 1]))
    write_swc(tree, tmp_path / "one.swc")
    files = [tiff(tmp_path / "a.tif", np.uint16), tiff(tmp_path / "a_label.tif", np.uint8)]
    layers = read_layers([str(f) for f in (*files, tmp_path / "one.swc")])
    assert [(p["name"], kind) for _, p, kind in layers] == [
        ("a", "image"),
        ("a_label", "labels"),
        ("one", "tracks"),
    ]
    assert [p["scale"] for _, p, kind in layers if kind != "tracks"] == [SIZE, SIZE]
    np.testing.assert_array_equal(layers[2][0][:, 2:], points)
    assert len(read_layers(str(tmp_path))) == 1  # a folder of trees
    assert get_reader(str(files[0])) is read_layers
    assert get_reader(str(tmp_path / "missing.tif")) is None


def test_trees_in_nanometres_are_shown_in_micrometres_and_those_in_voxels_as_they_are(tmp_path):
    rows = "1 2 1000 2000 3000 1 -1\n2 2 2000 2000 3000 1 1\n"
    for unit, factor, axis in (("nm", 1e-3, "um"), ("voxel", 1, "pixel")):
        (tmp_path / f"{unit}.swc").write_text(f"# unit: {unit}\n{rows}")
        data, properties, _ = read_layers(str(tmp_path / f"{unit}.swc"))[0]
        np.testing.assert_allclose(data[0, 2:], np.array([3000, 2000, 1000]) * factor)
        assert properties["units"][1:] == (axis,) * 3


def test_the_visible_box_is_that_of_the_canvas_and_of_planes_around_the_current_one():
    corners = np.array([[0, 3.2, -7], [0, 11.1, 30]])
    box = visible_box(corners, (20, 0, 0), {1, 2}, (40, 16, 24), planes=10)
    assert box == Box((15, 3, 0), (25, 13, 24))
    assert visible_box(corners, (2, 0, 0), {1, 2}, (40, 16, 24), 10).start[0] == 0
    whole = visible_box(np.array([[-1, -1, -1], [99, 99, 99]]), (0, 0, 0), {0, 1, 2}, (4, 5, 6), 1)
    assert whole == Box.of((4, 5, 6))
    with pytest.raises(InputError, match="must be visible"):
        visible_box(corners + 50, (20, 0, 0), {1, 2}, (40, 16, 24), 10)

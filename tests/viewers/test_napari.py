"""The plugin in a real napari: its manifest, its reader, and its panels, clicked."""

import time
from pathlib import Path

import numpy as np
import pytest

import neuroglow
from neuroglow.cubes.export import export_cubes
from neuroglow.cubes.manifest import Cube, read_manifest
from neuroglow.formats.opening import open_volume
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree, read_swc, write_swc
from viewing import make_files, needs

pytestmark = needs("napari", "PySide6", display=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def window():
    import napari

    viewer = napari.Viewer()
    viewer.window.resize(1200, 800)
    yield viewer
    viewer.close()


@pytest.fixture
def viewer(window):
    window.layers.clear()
    window.dims.ndisplay = 2
    return window


def events(seconds=0.0):
    """Let the window do what it has to do."""
    from qtpy.QtWidgets import QApplication

    until = time.monotonic() + seconds
    while True:
        QApplication.processEvents()
        if time.monotonic() >= until:
            return
        time.sleep(0.02)


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "nothing happened"
        events(0.05)


def click(button):
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    QTest.mouseClick(button.native, Qt.MouseButton.LeftButton)
    events()


def panel(viewer, name):
    """Open a panel as a person does, from the plugin's menu; give what is behind it."""
    _, made = viewer.window.add_plugin_dock_widget("neuroglow", name)
    events()
    return made.native.neuroglow_owner


def test_the_manifest_is_valid_and_its_commands_exist():
    from npe2 import PluginManifest

    file = Path(neuroglow.__file__).parent / "napari_plugin/napari.yaml"
    manifest = PluginManifest.from_file(file)
    manifest.validate_imports()
    assert manifest.name == "neuroglow"
    assert len(manifest.contributions.widgets) == 3


def test_files_open_as_what_they_are(viewer, made, tmp_path):
    neuroglow.label(made / "cube.swc", made / "cube.tif", out=tmp_path / "drawn.ome.zarr")
    files = [
        made / "cube.tif",
        made / "cube_prob.ome.zarr",
        tmp_path / "drawn.ome.zarr",
        made / "cube.swc",
    ]
    viewer.open([str(f) for f in files], plugin="neuroglow")
    kinds = {layer.name: type(layer).__name__ for layer in viewer.layers}
    bridged = {"cube bridges"} & kinds.keys()
    assert {k: v for k, v in kinds.items() if k not in bridged} == {
        "cube": "Image",
        "cube_prob": "Image",
        "drawn": "Labels",
        "cube [1]": "Tracks",
    }
    assert viewer.layers["cube"].scale.tolist() == [2, 1, 1]
    assert tuple(viewer.layers["cube_prob"].contrast_limits) == (0, 255)
    drawn = np.asarray(viewer.layers["drawn"].data)
    points = read_swc(made / "cube.swc").points / [2, 1, 1]
    assert (drawn[tuple(np.rint(points[::7]).astype(int).T)] > 0).all()


def test_view_shows_neurites_bright_where_they_are(made):
    opened = neuroglow.view(
        made / "cube.tif", made / "cube_truth.tif", made / "cube.swc", threshold=0.5, napari=True
    )
    try:
        viewer = opened.viewer
        viewer.layers["cube"].visible = False
        viewer.layers["cube_truth"].colormap = "gray"
        for layer in list(viewer.layers)[2:]:
            layer.visible = False
        events(1)
        shown = viewer.screenshot(flash=False)[..., :3].astype(float).mean(axis=2)
        truth = open_volume(made / "cube_truth.tif")
        share = (truth.read(Box.of(truth.shape)).max(axis=0) > 0).mean()
        bright = shown > 100
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        assert bright.any()
        assert bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > share / 4
        viewer.layers["cube_truth"].visible = False
        events(0.5)
        assert (
            viewer.screenshot(flash=False)[..., :3].mean(axis=2) > 100
        ).mean() < bright.mean() / 4
    finally:
        opened.close()


def test_enhance_predicts_the_layer_and_only_what_is_visible(viewer, made):
    viewer.open(str(made / "cube.tif"), plugin="neuroglow")
    own = panel(viewer, "Enhance")
    own.where.value = "whole layer"
    click(own.run)
    assert own.stop.enabled
    assert not own.run.enabled
    wait_for(lambda: own.run.enabled)
    whole = viewer.layers["cube probability"]
    np.testing.assert_allclose(whole.data, neuroglow.predict(made / "cube.tif"), atol=1e-5)
    assert whole.scale.tolist() == [2, 1, 1]
    own.where.value, own.planes.value = "visible box", 10
    viewer.dims.set_point(0, 40)  # micrometres: plane 20
    viewer.camera.center, viewer.camera.zoom = (0, 16, 20), 40
    events(0.5)
    click(own.run)
    wait_for(lambda: own.run.enabled)
    part = viewer.layers[-1]
    assert part is not whole
    assert part.data.shape[0] == 10
    assert part.data[0].size < whole.data[0].size
    start = (np.asarray(part.translate) / part.scale).round().astype(int)
    box = tuple(slice(a, a + n) for a, n in zip(start, part.data.shape, strict=True))
    seam = max(one.worst for one in neuroglow.load_model("light-microscopy").settings.seam_error)
    np.testing.assert_allclose(part.data, whole.data[box], atol=seam)


def test_enhance_is_cancelled_and_says_what_is_wrong(viewer, made):
    own = panel(viewer, "Enhance")
    click(own.run)
    assert "an image layer of three axes" in own.says.widget.value
    viewer.open(str(made / "cube.tif"), plugin="neuroglow")
    own.where.value = "whole layer"
    click(own.run)
    click(own.stop)
    wait_for(lambda: own.run.enabled)
    assert "cancelled" in own.says.widget.value
    assert [layer.name for layer in viewer.layers] == ["cube"]
    own.folder.value = made  # no model
    click(own.run)
    wait_for(lambda: own.run.enabled)
    assert "the model must be" in own.says.widget.value


def test_cubes_are_stepped_through_painted_on_and_saved(viewer, made, tmp_path):
    cubes = [
        Cube(name, made / "cube.tif", box=box, other={"reason": f"the {name} one"})
        for name, box in (("first", "0:20,0:32,0:32"), ("second", "20:40,0:32,32:64"))
    ]
    export_cubes(cubes, tmp_path / "set")
    own = panel(viewer, "Annotate selected cubes")
    own.table.value = tmp_path / "set/manifest.csv"
    events()
    assert "cube 1 of 2" in own.says.widget.value
    assert "the first one" in own.says.widget.value
    assert [layer.name for layer in viewer.layers] == ["first image", "first label"]
    viewer.layers["first label"].paint((5, 6, 7), 1)
    viewer.layers["first label"].data_setitem((np.array([9]), np.array([8]), np.array([7])), 1)
    click(own.next)  # a changed label is saved on the way
    assert [layer.name for layer in viewer.layers] == ["second image", "second label"]
    first, second = read_manifest(tmp_path / "set/manifest.csv")
    label = open_volume(first.label)
    voxels = label.read(Box.of(label.shape))
    assert voxels[9, 8, 7] == 1
    assert voxels[5, 6, 7] == 1
    assert label.voxel_size_um == (2, 1, 1)
    before = second.label.stat().st_mtime_ns
    click(own.previous)
    assert second.label.stat().st_mtime_ns == before  # nothing was painted
    assert viewer.layers["first label"].data[9, 8, 7] == 1
    viewer.layers["first label"].data_setitem((np.array([1]), np.array([1]), np.array([1])), 2)
    click(own.save)
    assert "saved" in own.says.widget.value
    assert open_volume(first.label).read(Box((1, 1, 1), (2, 2, 2))).item() == 2
    own.table.value = made / "no.csv"
    events()
    assert "found" in own.says.widget.value


def trees_with_bridges(path):
    points = np.array([[10, 10, x] for x in range(0, 60, 2)], float)
    bridge = np.zeros(30)
    bridge[8:11], bridge[20:22] = 1, 2
    probability = np.where(bridge > 0, 0.2, 0.9) + 0.1 * (bridge == 1)
    columns = {"probability": probability, "bridge": bridge}
    write_swc(Tree(points, np.ones(30), np.full(30, 2), np.arange(-1, 29), columns), path)


def test_bridges_are_stepped_through_and_a_rejected_one_is_cut(viewer, tmp_path):
    trees_with_bridges(tmp_path / "t.swc")
    own = panel(viewer, "Check bridges")
    own.file.value = tmp_path / "t.swc"
    events()
    assert own.says.widget.value.startswith("1 of 2: bridge-2, probability 0.20")
    assert [type(v).__name__ for v in viewer.layers] == ["Tracks", "Points"]
    assert viewer.dims.point[-1] == 42
    click(own.reject)
    assert own.says.widget.value.startswith("2 of 2: bridge-1")
    assert len(np.unique(viewer.layers["t"].features["tree"])) == 2
    click(own.accept)
    click(own.undo)
    click(own.undo)
    assert len(np.unique(viewer.layers["t"].features["tree"])) == 1
    click(own.reject)
    click(own.save)
    saved = read_swc(tmp_path / "t_checked.swc")
    assert (saved.parents < 0).sum() == 2
    assert "rejected" in (tmp_path / "t_checked.csv").read_text()
    click(own.save)
    assert "not overwritten" in own.says.widget.value


def test_the_sample_opens(viewer):
    viewer.open_sample("neuroglow", "cube")
    assert [type(v).__name__ for v in viewer.layers] == ["Image", "Labels"]

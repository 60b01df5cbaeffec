"""Label: trees become the label of their volume, block by block, and come back as lines."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import zarr
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

import neuroglow
from neuroglow.cubes.manifest import Cube, LabelFormat, open_labels
from neuroglow.errors import InputError, SettingsError
from neuroglow.formats.opening import create_volume, open_volume
from neuroglow.selection.survey_table import read_survey
from neuroglow.space.geometry import Box
from neuroglow.space.volume import VolumeSpec
from neuroglow.train.settings import TrainSettings
from neuroglow.trees.drawn_trees import DrawnTrees
from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import Tree, one_by_one, read_swc, write_swc
from running import run

SIZE = (2.0, 0.5, 0.7)
SHAPE = (37, 150, 131)


def save(path, voxels, size=SIZE):
    z, y, x = size
    known = {"PhysicalSizeZ": z, "PhysicalSizeY": y, "PhysicalSizeX": x}
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "ZYX"}
    tifffile.imwrite(path, voxels, ome=True, metadata={"axes": "ZYX", **known, **units})
    return path


def line(points, radius=0.9):
    points = np.asarray(points, float)
    n = len(points)
    return Tree(points, np.full(n, float(radius)), np.full(n, 2), np.arange(-1, n - 1))


def helix(radius=0.9):
    t = np.linspace(0, 1, 400)
    turn = np.stack([6 + 60 * t, 36 + 22 * np.sin(9 * t), 45 + 25 * np.cos(9 * t)], axis=1)
    return line(turn, radius)


@pytest.fixture
def scene(tmp_path):
    """An anisotropic volume of noise, and two trees in it."""
    image = np.random.default_rng(4).normal(300, 20, SHAPE).astype(np.uint16)
    (tmp_path / "trees").mkdir()
    write_swc(helix(), tmp_path / "trees/a.swc")
    write_swc(line([(10, 20, 20), (60, 60, 30)], 1.4), tmp_path / "trees/b.swc")
    return save(tmp_path / "image.tif", image), tmp_path / "trees"


def test_a_folder_of_trees_becomes_the_label_of_its_volume(scene, tmp_path, capsys):
    image, trees = scene
    status, said = run(capsys, "label", trees, "--like", image, "-o", tmp_path / "l.ome.zarr", "--block", 64)  # fmt: skip
    assert status == 0
    assert "9 blocks complete" in said
    assert "legend  0=background,1=neurite,2=ignore" in said
    assert "2 trees: read as micrometres, 100% of the nodes in the volume" in said
    volume = open_volume(tmp_path / "l.ome.zarr")
    assert (volume.shape, volume.dtype, volume.voxel_size_um) == (SHAPE, np.uint8, SIZE)
    drawn = volume.read(Box.of(SHAPE))
    whole = np.zeros(SHAPE, np.uint8)
    for name in "ba":
        one = rasterise(read_swc(trees / f"{name}.swc"), SHAPE, SIZE, margin_vox=1.5)
        whole = np.where((one == 1) | (whole == 1), 1, np.maximum(one, whole))
    assert np.array_equal(drawn, whole)
    record = json.loads((tmp_path / "l_run.json").read_text())
    assert record["legend"] == "0=background,1=neurite,2=ignore"
    attributes = zarr.open_group(tmp_path / "l.ome.zarr", mode="r").attrs.asdict()
    assert attributes["ome"]["image-label"]  # viewers open it as labels
    assert attributes["ome"]["multiscales"][0]["name"] == "l"
    assert attributes["neuroglow"]["legend"] == record["legend"]
    coarse = zarr.open_group(tmp_path / "l.ome.zarr", mode="r")["1"][:]
    assert set(np.unique(coarse)) <= {0, 1, 2}
    assert (tmp_path / "l_mip.png").stat().st_size > 1000
    assert not (tmp_path / "l.ome.zarr.partial").exists()


def test_tiff_equals_zarr_and_the_size_of_blocks_changes_nothing(scene, tmp_path):
    image, trees = scene
    neuroglow.label(trees, image, out=tmp_path / "a.tif", block=64)
    neuroglow.label(trees, image, out=tmp_path / "b.ome.zarr")
    one, other = (open_volume(tmp_path / name) for name in ("a.tif", "b.ome.zarr"))
    assert one.voxel_size_um == other.voxel_size_um == SIZE
    assert np.array_equal(one.read(Box.of(SHAPE)), other.read(Box.of(SHAPE)))


@pytest.mark.parametrize("size", [(1.0, 1.0, 1.0), (0.5, 0.5, 0.5), SIZE])
def test_a_label_thinned_gives_the_trees_back_within_a_voxel(tmp_path, size):
    tree = helix(radius=0.6 * max(size))
    shape = tuple(int(np.ceil(n / s)) for n, s in zip((74, 76, 92), size, strict=True))
    image = save(tmp_path / "i.tif", np.zeros(shape, np.uint8), size)
    write_swc(tree, tmp_path / "t.swc")
    neuroglow.label(tmp_path / "t.swc", image, out=tmp_path / "l.tif")
    detected = open_volume(tmp_path / "l.tif").read(Box.of(shape)) == 1
    middle = np.argwhere(skeletonize(detected))
    ends = tree.points[[0, -1]] / size
    steps = np.linspace(0, 1, 20)[:, None, None]
    fine = (tree.points[:-1] + steps * np.diff(tree.points, axis=0)).reshape(-1, 3) / size
    off, _ = cKDTree(fine).query(middle)
    assert off.max() <= np.sqrt(3)
    assert np.quantile(off, 0.95) <= 1
    back, _ = cKDTree(middle).query(fine)
    inner = np.linalg.norm(fine[:, None] - ends, axis=-1).min(axis=1) > 2 * max(size) / min(size)
    assert back[inner].max() <= 2  # no gap
    assert np.quantile(back[inner], 0.95) <= 1.2


def test_trees_are_numbered(scene, tmp_path, capsys):
    image, trees = scene
    status, said = run(capsys, "label", trees, "--like", image, "-o", tmp_path / "i.tif", "--ids", "--block", 64)  # fmt: skip
    assert status == 0
    assert "0: background, 1 to 2: one tree each" in said
    ids = open_volume(tmp_path / "i.tif").read(Box.of(SHAPE))
    assert ids.dtype == np.uint16
    a, b = (rasterise(read_swc(trees / f"{n}.swc"), SHAPE, SIZE, margin_vox=0) == 1 for n in "ab")
    assert np.array_equal(ids, np.where(a, 1, np.where(b, 2, 0)))


def test_a_table_of_several_roots_is_parted():
    rows = Tree(
        np.arange(15.0).reshape(5, 3), np.ones(5), np.full(5, 2), np.array([-1, -1, 0, 1, 2])
    )
    first, second = one_by_one(rows)
    assert first.points[:, 0].tolist() == [0, 6, 12]
    assert first.parents.tolist() == [-1, 0, 1]
    assert second.points[:, 0].tolist() == [3, 9]
    assert second.parents.tolist() == [-1, 0]
    assert one_by_one(Tree(np.empty((0, 3)), np.empty(0), np.empty(0, int), np.empty(0, int))) == []


def test_dummy_and_missing_radii_are_replaced_and_said(scene, tmp_path, capsys):
    image, trees = scene
    write_swc(helix(radius=1.0), trees / "a.swc")
    write_swc(line([(10, 20, 20), (60, 60, 30)], 0.0), trees / "b.swc")
    status, said = run(capsys, "label", trees, "--like", image, "-o", tmp_path / "l.tif")
    assert status == 0
    assert "a.swc: all radii are 1, a dummy: half of the finest voxel is used" in said
    assert "b.swc: 2 of 2 radii missing: half of the finest voxel is used" in said
    thin = (open_volume(tmp_path / "l.tif").read(Box.of(SHAPE)) == 1).sum()
    status, said = run(capsys, "label", trees, "--like", image, "-o", tmp_path / "w.tif", "--radius-um", 1, "--margin-vox", 0)  # fmt: skip
    assert status == 0
    assert "half of the finest" not in said
    assert "legend  0=background,1=neurite\n" in said
    wide = open_volume(tmp_path / "w.tif").read(Box.of(SHAPE))
    assert (wide == 1).sum() > 2 * thin
    assert wide.max() == 1


def test_the_origin_of_a_part_is_kept(tmp_path):
    spec = VolumeSpec(
        (64, 64, 64), np.dtype("u1"), (1.0, 1.0, 1.0), (64, 64, 64), origin_vox=(3, 64, 7)
    )
    create_volume(tmp_path / "part.ome.zarr", spec).finish()
    write_swc(line([(5, 5, 5), (50, 50, 50)]), tmp_path / "t.swc")
    neuroglow.label(tmp_path / "t.swc", tmp_path / "part.ome.zarr", out=tmp_path / "l.ome.zarr")
    assert open_volume(tmp_path / "l.ome.zarr").origin_vox == (3, 64, 7)


def test_units_are_guessed_said_and_not_used(scene, tmp_path, capsys):
    image, _ = scene
    tree = helix()
    command = ("label", tmp_path / "t.swc", "--like", image, "-o", tmp_path / "l.tif")
    for unit, scale in (("voxel", 1 / np.array(SIZE)), ("nm", np.full(3, 1000.0))):
        points = tree.points * scale
        write_swc(
            Tree(points, tree.radii * scale.min(), tree.kinds, tree.parents), tmp_path / "t.swc"
        )
        status, said = run(capsys, *command)
        assert status == 2
        assert f"--swc-unit {unit}" in said
        assert "its unit looks wrong" in said
        assert not list(tmp_path.glob("l*"))
        assert run(capsys, *command, "--swc-unit", unit, "--restart")[0] == 0
        for file in tmp_path.glob("l*"):
            file.unlink()


def test_trees_elsewhere_are_named(scene, tmp_path, capsys):
    image, trees = scene
    write_swc(line([(900, 900, 900), (950, 950, 900)]), tmp_path / "far.swc")
    status, said = run(capsys, "label", tmp_path / "far.swc", "--like", image, "-o", tmp_path / "l.tif")  # fmt: skip
    assert status == 2
    assert "the nodes of a tree lie in its volume\n" in said
    assert "far.swc" in said
    assert "--voxel-size" in said
    assert not list(tmp_path.glob("l*"))
    (tmp_path / "far.swc").rename(trees / "far.swc")
    status, said = run(capsys, "label", trees, "--like", image, "-o", tmp_path / "l.tif")
    assert status == 0
    assert "outside the volume: far.swc" in said


def test_where_no_voxel_size_is_stated_trees_are_in_voxels(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "i.tif", np.zeros((20, 30, 40), np.uint8))
    write_swc(line([(10, 5, 5), (10, 20, 35)]), tmp_path / "t.swc")
    status, said = run(capsys, "label", tmp_path / "t.swc", "--like", tmp_path / "i.tif", "-o", tmp_path / "l.tif")  # fmt: skip
    assert status == 0
    assert "t.swc: read as voxels" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.swc", "--like", "image.tif", "-o", "l.tif"], "trees are an SWC file"),
        (["image.tif", "--like", "image.tif", "-o", "l.tif"], "found: another file"),
        (["empty", "--like", "image.tif", "-o", "l.tif"], "no .swc in it"),
        (["none.swc", "--like", "image.tif", "-o", "l.tif"], "trees with nodes"),
        (["trees", "--like", "nowhere.tif", "-o", "l.tif"], "the input must exist"),
        (["trees", "--like", "image.tif", "-o", "l.png"], "the label is .ome.zarr or .tif"),
        (["trees", "--like", "image.tif", "-o", "image.tif"], "must not be the input"),
        (["trees", "--like", "image.tif", "-o", "l.tif", "--margin-vox", "-1"], "margin_vox"),
        (["trees", "--like", "image.tif", "-o", "l.tif", "--radius-um", "0"], "radius_um"),
        (["trees", "--like", "image.tif", "-o", "l.tif", "--block", "100"], "block"),
        (["trees", "--like", "image.tif", "-o", "l.tif", "--swc-unit", "mm"], "swc_unit"),
        (["trees", "--like", "image.tif", "-o", "l.tif", "--resume", "--restart"], "exclude"),
        (
            ["trees", "--like", "image.tif", "-o", "l.tif", "--ids", "--margin-vox", "3"],
            "no margin",
        ),
    ],
)
@pytest.mark.usefixtures("scene")
def test_what_cannot_be_is_refused(tmp_path, capsys, monkeypatch, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.swc").write_text("# no tree\n")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status, said = run(capsys, "label", *arguments)
    assert status == 2
    assert message in said
    assert sorted(tmp_path.rglob("*")) == before


def test_an_existing_label_is_replaced_only_when_asked(scene, tmp_path, capsys):
    image, trees = scene
    command = ("label", trees, "--like", image, "-o", tmp_path / "l.ome.zarr")
    assert run(capsys, *command)[0] == 0
    status, said = run(capsys, *command)
    assert (status, "not overwritten" in said) == (2, True)
    status, said = run(capsys, *command, "--resume")
    assert (status, "of them earlier" in said) == (0, True)
    assert run(capsys, *command, "--margin-vox", 3, "--resume")[0] == 2
    assert run(capsys, *command, "--margin-vox", 3, "--restart")[0] == 0


def test_only_a_label_is_replaced(scene, tmp_path, capsys):
    image, trees = scene
    mine = save(tmp_path / "mine.tif", np.zeros(SHAPE, np.uint8))
    command = ("label", trees, "--like", image, "-o")
    before = mine.read_bytes()
    status, said = run(capsys, *command, mine, "--restart")
    assert (status, "only a label is replaced" in said) == (2, True)
    assert mine.read_bytes() == before
    record = tmp_path / "other_run.json"  # as `predict` leaves it
    record.write_text('{"model": "mine"}')
    for more in ([], ["--restart"], ["--resume"]):
        status, said = run(capsys, *command, tmp_path / "other.tif", *more)
        assert status == 2
        assert "other_run.json" in said
    assert record.read_text() == '{"model": "mine"}'
    assert not (tmp_path / "other.tif").exists()


SLOW = """
import sys, time
import neuroglow.trees.drawn_trees as module
from neuroglow import label
draw = module.DrawnTrees.read
def slowly(self, box):
    time.sleep(0.3)
    return draw(self, box)
module.DrawnTrees.read = slowly
label(sys.argv[1], sys.argv[2], out=sys.argv[3], block=64)
"""


def test_a_killed_run_is_resumed(scene, tmp_path, capsys):
    image, trees = scene
    out = tmp_path / "l.ome.zarr"
    worker = subprocess.Popen([sys.executable, "-c", SLOW, trees, image, out])
    ledger = tmp_path / "l.ome.zarr.partial/ledger.jsonl"
    for _ in range(600):
        if ledger.exists() and ledger.read_text().count("\n") >= 4:
            break
        time.sleep(0.05)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert not out.exists()
    command = ("label", trees, "--like", image, "-o", out, "--block", 64)
    assert run(capsys, *command)[0] == 2
    status, said = run(capsys, *command, "--resume")
    assert status == 0
    assert "of them earlier" in said
    neuroglow.label(trees, image, out=tmp_path / "whole.ome.zarr", block=64)
    one, other = (open_volume(p).read(Box.of(SHAPE)) for p in (out, tmp_path / "whole.ome.zarr"))
    assert np.array_equal(one, other)


def test_a_damaged_volume_is_labelled_all_the_same(tmp_path):
    spec = VolumeSpec((64, 64, 128), np.dtype("u1"), (1.0, 1.0, 1.0), (64, 64, 64))
    new = create_volume(tmp_path / "v.ome.zarr", spec)
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 128), np.uint8)
    for x in (0, 64):
        new.write(Box((0, 0, x), (64, 64, x + 64)), noise[..., x : x + 64])
    new.finish()
    shard = max((f for f in (tmp_path / "v.ome.zarr/0").rglob("*") if f.is_file()), key=str)
    chunks = [f for f in (tmp_path / "v.ome.zarr/0/c").rglob("*") if f.is_file()]
    assert len(chunks) == 2, shard
    for chunk in chunks[:1]:
        chunk.write_bytes(b"x" * chunk.stat().st_size)
    write_swc(line([(30, 30, 5), (30, 30, 120)]), tmp_path / "t.swc")
    report = neuroglow.label(tmp_path / "t.swc", tmp_path / "v.ome.zarr", out=tmp_path / "l.tif")
    assert report.blocks.ok
    label = open_volume(tmp_path / "l.tif").read(Box.of(spec.shape))
    assert (label[30, 30, 5:121] == 1).all()


# the same trees in every verb


def test_training_survey_and_evaluate_read_the_voxels_of_label(scene, tmp_path, capsys):
    image, trees = scene
    neuroglow.label(trees / "a.swc", image, out=tmp_path / "l.tif")
    label = open_volume(tmp_path / "l.tif").read(Box.of(SHAPE))
    cube = Cube("a", image, trees / "a.swc")
    reader = open_labels(cube, open_volume(image))
    box = Box((3, 20, 5), (35, 100, 90))
    assert isinstance(reader, DrawnTrees)
    assert np.array_equal(reader.read(box), label[box.slices])
    from neuroglow.train.pool import build_pool

    settings = TrainSettings()
    (pooled,) = build_pool(
        [cube], tmp_path / "cache", settings, settings.input, made_of="", tell=lambda a, b: None
    )
    assert np.array_equal(pooled.label(), label)
    (tmp_path / "manifest.csv").write_text("name,image,label\na,image.tif,trees/a.swc\n")
    status, said = run(capsys, "survey", tmp_path / "manifest.csv", "-o", tmp_path / "s.csv")
    assert status == 0, said
    (row,) = read_survey(tmp_path / "s.csv")
    assert int(row.other["label_vox"]) == (label == 1).sum()
    legend = "0=background,1=neurite,2=ignore"
    report = neuroglow.evaluate(
        tmp_path / "l.tif", trees / "a.swc", out=tmp_path / "r.html", prediction_map=legend
    )
    assert report.results["summary"]["dice"]["mean"] == 1


def test_a_tree_in_voxels_trains_when_it_is_said(scene, tmp_path):
    image, trees = scene
    tree = read_swc(trees / "a.swc")
    write_swc(Tree(tree.points / SIZE, tree.radii, tree.kinds, tree.parents), tmp_path / "v.swc")
    volume, cube = open_volume(image), Cube("v", image, tmp_path / "v.swc")
    with pytest.raises(InputError, match="--swc-unit voxel"):
        open_labels(cube, volume)
    box = Box.of(SHAPE)
    by_option = open_labels(cube, volume, LabelFormat(swc_unit="voxel")).read(box)
    named = Cube("v", image, tmp_path / "v.swc", other={"swc_unit": "voxel"})
    assert np.array_equal(open_labels(named, volume).read(box), by_option)
    wrong = Cube("v", image, tmp_path / "v.swc", other={"swc_unit": "inch"})
    with pytest.raises(InputError, match="the unit of a tree"):
        open_labels(wrong, volume)
    with pytest.raises(SettingsError, match="swc_unit"):
        TrainSettings.of({"swc_unit": "inch"})

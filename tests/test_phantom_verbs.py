"""Laws of the phantom verbs: cube, pool and brain, from Python and from the command line."""

import csv
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
from scipy import spatial

from neuroglow.cubes.manifest import check_files, read_manifest
from neuroglow.errors import InputError, OutputError, SettingsError, StoppedError
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.neurites import Neurite
from neuroglow.metrics.trees import to_strand, tree_scores
from neuroglow.phantom import (
    IGNORE,
    NEURITE,
    REGIONS,
    RegionSettings,
    make_cube,
    phantom_brain,
    phantom_cube,
    phantom_pool,
)
from neuroglow.phantom.anatomy import populate
from neuroglow.phantom.brain import BrainSettings
from neuroglow.phantom.marks import PUNCTUM, lines, render_marks
from neuroglow.phantom.microscope import Microscope
from neuroglow.phantom.neurons import place_neuron, read_neurons, resample_path
from neuroglow.phantom.truth import clip, forest
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree, read_swc, write_swc
from running import run

SMALL = {"shape": (32, 40, 48)}
CLEAN = {  # one dim thing at a time
    **SMALL,
    **dict.fromkeys(("puncta", "somata", "vessels", "tracts", "edge", "bundles"), 0),
    **dict.fromkeys(("haze", "depth_blur", "illumination", "stripes", "bleaching"), (0, 0)),
    **dict.fromkeys(("texture", "grain", "correlation", "compression"), (0, 0)),
    "bits": (16,),
}


def voxels(path):
    volume = open_volume(path)
    return volume.read(Box.of(volume.shape))


@pytest.fixture
def neurons(tmp_path):
    """A folder with one neuron: nodes 19 micrometres apart, all radii 1, axon and dendrite."""
    rng = np.random.default_rng(4)
    axon = np.cumsum(np.vstack([np.zeros(3), rng.normal([12, 8, 9], 5, (14, 3))]), axis=0)
    dendrite = np.cumsum(rng.normal([-9, 10, -8], 5, (8, 3)), axis=0)
    tree = Tree(
        np.vstack([axon, dendrite]),
        np.ones(23),
        np.array([1] + [2] * 14 + [3] * 8),
        np.array([-1, *range(14), 0, *range(15, 22)]),
    )
    folder = tmp_path / "trees"
    folder.mkdir()
    write_swc(tree, folder / "a.swc")
    return folder


# Marks


@pytest.mark.parametrize("direction", [(0, 0, 1), (1, 0, 0), (0.3, -1, 0.5)])
@pytest.mark.parametrize("stretch", [(1, 1, 1), (3, 1, 1)])
def test_a_line_of_marks_peaks_at_its_snr(direction, stretch):
    """On the average of where it lies between voxels."""
    unit = np.array(direction) / np.linalg.norm(direction)
    peaks = []
    for shift in np.random.default_rng(0).uniform(-0.5, 0.5, (12, 3)):
        points = np.outer(np.arange(-60, 61), unit) / stretch + 24 + shift
        marks = lines(Neurite(points, 1.0, np.full(len(points), 3.0)), 0)
        glow = render_marks(marks, Box.of((48,) * 3), np.array([1.0, 1.2, 1.2]), np.array(stretch))
        assert glow.other.max() == 0
        assert glow.extent.max() == pytest.approx(glow.target.max() / 3, rel=1e-3)
        peaks.append(glow.target[16:32, 16:32, 16:32].max())
    assert np.mean(peaks) == pytest.approx(3.0, rel=0.05)


def test_a_punctum_peaks_at_its_snr_and_has_no_label():
    peaks = []
    for shift in np.random.default_rng(0).uniform(-0.5, 0.5, (12, 3)):
        marks = np.array([[*(16 + shift), 0, 0, 0, 5.0, 1.0, PUNCTUM]], np.float32)
        glow = render_marks(marks, Box.of((32,) * 3), np.ones(3), np.ones(3))
        assert glow.extent.max() == glow.ignored.max() == 0
        peaks.append(glow.other.max())
    assert np.mean(peaks) == pytest.approx(5.0, rel=0.1)


def test_marks_in_a_part_are_the_part_of_the_whole():
    rng = np.random.default_rng(0)
    points = np.cumsum(rng.normal(0, 1, (200, 3)), axis=0) + 30
    marks = lines(Neurite(points, 0.8, rng.uniform(2, 6, 200)), 0)
    whole, part = Box.of((64,) * 3), Box((16, 20, 8), (44, 50, 60))
    seen, piece = (render_marks(marks, b, np.ones(3), np.ones(3)) for b in (whole, part))
    for name in ("target", "extent", "haze"):
        there = getattr(seen, name)[part.slices]
        assert np.allclose(there, getattr(piece, name), atol=2e-2 if name == "haze" else 1e-4)


# Cubes


@pytest.mark.parametrize("region", REGIONS)
def test_each_region_makes_a_seeded_cube(region):
    made, same = (make_cube({**SMALL, "region": region}, seed=3) for _ in range(2))
    other = make_cube({**SMALL, "region": region}, seed=4)
    assert np.array_equal(made.image, same.image)
    assert np.array_equal(made.label, same.label)
    assert not np.array_equal(made.image, other.image)
    assert made.image.shape == SMALL["shape"]
    assert made.label.max() <= IGNORE


@pytest.mark.parametrize("shot", [0.05, 0.9])
def test_the_background_has_the_noise_that_was_asked_for(shot):
    quiet = {**CLEAN, "density": (0, 0), "noise": (80, 80), "offset": (500, 500)}
    made = make_cube({**quiet, "pedestal": (10, 10), "shot": (shot, shot)}, seed=2)
    assert made.image.std() == pytest.approx(80, rel=0.03)
    assert made.image.mean() == pytest.approx(500 + 10 * 80, rel=0.02)
    assert made.table == []
    assert np.isnan(made.snr)


@pytest.mark.parametrize("grain", [0, 1.5])
def test_the_snr_of_the_table_is_that_of_the_image(grain):
    """Measured on the image: the centreline's height above background over its noise."""
    settings = {**CLEAN, "shape": (64, 64, 64), "density": (2, 2), "snr": (8, 8), "shot": (0, 0)}
    settings |= {"grain": (grain, grain), "branches": 0, "beads": 0}
    made = make_cube({**settings, "noise": (50, 50)}, seed=5)
    at = np.rint(made.tree.points).astype(int)
    grey = made.image[tuple(at.T)].astype(float)
    ground = made.image[made.label == 0].astype(float)
    measured = np.median(grey - ground.mean()) / ground.std()
    assert measured == pytest.approx(made.snr, rel=0.15)
    assert made.target[tuple(at.T)].mean() == pytest.approx(measured, rel=0.2)


def test_the_label_follows_the_tree():
    made = make_cube({**CLEAN, "snr": (8, 20), "density": (2, 2)}, seed=2)
    at = np.rint(made.tree.points).astype(int)
    assert (made.label[tuple(at.T)] == NEURITE).mean() > 0.9
    detected = np.argwhere(made.label == NEURITE)
    inner = ((detected > 2) & (detected < np.array(SMALL["shape"]) - 3)).all(1)
    assert spatial.KDTree(made.tree.points).query(detected[inner])[0].max() < 6


def test_density_is_the_length_that_was_asked_for():
    made = make_cube({**CLEAN, "shape": (64, 64, 64), "density": (6, 6)}, seed=1)
    length = sum(row["length_vox"] for row in made.table)
    assert length / 64**3 * 1000 == pytest.approx(6, rel=0.25)


def test_a_neurite_that_leaves_the_cube_and_comes_back_is_one_neuron():
    out, back = np.linspace(10, 40, 31), np.linspace(40, 10, 31)
    xs = np.concatenate([out, back])
    way = np.stack([np.full(62, 8.0), np.repeat([5.0, 20.0], 31), xs], axis=1)
    loop, other = (Neurite(way + shift, 1.0, np.ones(62)) for shift in (0, (9, 0, 0)))
    settings = RegionSettings.of({"shape": (32, 32, 32), "edge": 0})
    tree = clip(forest([[loop], [other]]), settings, Microscope.draw(settings, 1))
    assert (tree.parents < 0).sum() == 4
    assert tree.columns["neuron"][tree.parents < 0].tolist() == [1, 1, 2, 2]
    truth = to_strand(tree, (1, 1, 1))
    scores = tree_scores(truth, to_strand(forest([[loop], [other]]), (1, 1, 1)))
    assert (scores["merges"], scores["erl"]) == (0, 1)


def test_a_cube_leaves_its_files(tmp_path, capsys):
    out = tmp_path / "cube"
    status, said = run(
        capsys, "phantom", "cube", "-o", out, "--shape", "32,40,48", "--voxel-size", "2,0.5,0.5"
    )
    assert status == 0
    assert "synthetic" in said
    image = open_volume(out / "image.tif")
    assert image.shape == (32, 40, 48)
    assert image.voxel_size_um == pytest.approx((2, 0.5, 0.5))
    tree = read_swc(out / "tree.swc")
    assert (tree.points.max(0) <= np.array([62, 19.5, 23.5]) + 1e-3).all()
    label = tifffile.imread(out / "label.tif")
    at = np.rint(tree.points / (2, 0.5, 0.5)).astype(int)
    assert (label[tuple(at.T)] > 0).mean() > 0.9
    rows = list(csv.DictReader((out / "neurites.csv").read_text().splitlines()))
    assert rows
    assert all(float(row["snr"]) >= 0 for row in rows)
    assert json.loads((out / "cube.json").read_text())["synthetic"] is True
    assert (out / "cube.png").stat().st_size > 1000
    assert run(capsys, "phantom", "cube", "-o", out)[0] == 2
    assert run(capsys, "phantom", "cube", "-o", out, "--size", 32, "--restart")[0] == 0
    assert open_volume(out / "image.tif").shape == (32, 32, 32)


def test_the_table_of_a_brain_is_near_that_of_the_same_cube(tmp_path):
    """The cube's counts the light of other things too, which is little here."""
    same = {"shape": (48, 48, 48), "region": "deep", "density": (3, 3), "seed": 4}
    cube = phantom_cube(tmp_path / "c", **same)
    phantom_brain(tmp_path / "b", **same)
    rows = list(csv.DictReader((tmp_path / "b/neurites.csv").read_text().splitlines()))
    assert len(rows) == len(cube.table)
    for row, exact in zip(rows, cube.table, strict=True):
        assert float(row["snr"]) == pytest.approx(exact["snr"], rel=0.25)


# Trees that are read


def test_resampling_is_smooth_dense_and_through_the_nodes():
    nodes = np.array([[0, 0, 0], [0, 19, 3], [5, 36, 10], [20, 44, 12.0]])
    curve = resample_path(nodes, 0.8)
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    assert steps.max() < 1
    assert spatial.KDTree(curve).query(nodes)[0].max() < 0.5
    turns = np.linalg.norm(np.diff(curve, 2, axis=0), axis=1)
    assert turns.max() < 0.12  # the nodes are no corners
    strayed = resample_path(nodes, 0.8, np.random.default_rng(0))
    assert 0 < np.linalg.norm(strayed - curve, axis=1).max() < 5


def test_neurons_get_radii_of_their_kind_and_keep_their_branches(neurons):
    settings = RegionSettings.of(
        {"shape": (900, 900, 900), "swc": neurons, "radius": (0.5, 0.5), "dendrite": (2, 2)}
    )
    placed = place_neuron(np.random.default_rng(1), settings, read_neurons(str(neurons)))
    assert {n.kind: n.radius_vox for n in placed} == {2: 0.5, 3: 2.0}
    for neurite in placed:
        if neurite.parent:
            index, at = neurite.parent
            assert np.allclose(placed[index].points[at], neurite.points[0], atol=1e-6)


def test_a_cube_of_read_trees(neurons, tmp_path):
    made = phantom_cube(tmp_path / "c", seed=2, swc=neurons, density=(1, 1), **SMALL)
    assert made.table
    assert (made.label == NEURITE).any()


def test_real_morphologies_render(shared):
    folder = shared / "data/morphologies"
    made = make_cube({"shape": (48, 48, 48), "swc": folder, "density": (1, 2)}, seed=2)
    assert made.table


# Refusals


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cube", "--size", "4"], "setting 'shape'"),
        (["cube", "--size", "900"], "at most 256 x 256 x 256"),
        (["brain", "--size", "99999999"], "not be larger than any brain"),
        (["cube", "--shape", "32,32"], "setting 'shape'"),
        (["cube", "--size", "32", "--shape", "32,32,32"], "exclude each other"),
        (["cube", "--snr", "5,2"], "LOW <= HIGH"),
        (["cube", "--snr", "0,2"], "0 < LOW"),
        (["cube", "--snr", "inf,inf"], "LOW <= HIGH"),
        (["cube", "--density", "-1,2"], "0 <= LOW"),
        (["cube", "--voxel-size", "0,1,1"], "setting 'voxel_size'"),
        (["cube", "--voxel-size", "0.1,0.1,0.1"], "at most 6 voxels"),
        (["cube", "--region", "moon"], "one of sparse, plexus"),
        (["cube", "--bits", "10"], "8, 12 or 16 bits"),
        (["cube", "--swc", "nowhere"], "no such folder"),
        (["pool", "--cubes", "0"], "at least one cube"),
        (["pool", "--cubes", "-3"], "at least one cube"),
        (["pool", "--regions", "sparse,moon"], "one of sparse, plexus"),
        (["pool", "--resume", "--restart"], "exclude each other"),
        (["brain", "--block", "3"], "at least 16 voxels"),
        (["brain", "--swc", "nowhere"], "no such folder"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, said = run(capsys, "phantom", words[0], "-o", "out", *words[1:])
    assert status == 2
    assert message in said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_of_a_config_and_negative_counts_are_refused(tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text("densty: [1, 2]\n")
    status, said = run(capsys, "phantom", "cube", "-o", tmp_path / "out", "--config", config)
    assert status == 2
    assert "unknown setting 'densty'" in said
    config.write_text("puncta: -5\n")
    status, said = run(capsys, "phantom", "cube", "-o", tmp_path / "out", "--config", config)
    assert status == 2
    assert "setting 'puncta'" in said
    config.write_text("seed: three\n")
    status, said = run(capsys, "phantom", "cube", "-o", tmp_path / "out", "--config", config)
    assert status == 2
    assert "seed is a whole number" in said
    with pytest.raises(SettingsError, match="zero or more"):
        make_cube(SMALL, seed=-1)


def test_a_folder_without_trees_is_refused(tmp_path):
    with pytest.raises(InputError, match="SWC"):
        phantom_pool(tmp_path / "out", cubes=1, swc=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_restart_replaces_nothing_but_a_phantom_of_its_kind(tmp_path):
    precious = tmp_path / "data/precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    for make in (phantom_cube, phantom_pool, phantom_brain):
        with pytest.raises(OutputError, match="of the same kind"):
            make(tmp_path / "data", mode="restart", shape=(32, 32, 32))
    assert precious.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# Pools


def test_a_pool_has_the_layout_the_manifest_and_the_picture(tmp_path, capsys):
    out = tmp_path / "pool"
    status, said = run(
        capsys, *("phantom", "pool", "-o", out, "--cubes", 7, "--size", 32, "--bits", "8,12")
    )
    assert status == 0
    assert "7 of 7 cubes" in said
    cubes = read_manifest(out / "manifest.csv")
    check_files(cubes)
    assert len(cubes) == 7
    assert {cube.split for cube in cubes} <= {"train", "val", "test"}
    assert all(cube.other["region"] in REGIONS for cube in cubes)
    assert {cube.other["bits"] for cube in cubes} == {"8", "12"}
    assert len({cube.other["region"] for cube in cubes}) > 1
    assert [c.name for c in read_manifest(out)] == [c.name for c in cubes]
    for cube in cubes:
        label = voxels(cube.label)
        assert float(cube.other["density"]) == pytest.approx((label == NEURITE).mean(), abs=1e-5)
        assert (out / f"swc/{cube.name}.swc").exists()
    assert (out / "pool.png").exists()
    status, said = run(capsys, "phantom", "pool", "-o", out, "--cubes", 7, "--size", 32)
    assert status == 2
    assert "not overwritten" in said


def test_a_pool_grows_and_each_cube_depends_on_its_index_alone(tmp_path):
    pool = {"shape": (32, 32, 32), "seed": 3}
    phantom_pool(tmp_path / "a", cubes=2, **pool)
    first = tmp_path / "a/image/cube_00000.tif"
    born = first.stat().st_mtime_ns
    report = phantom_pool(tmp_path / "a", cubes=5, mode="resume", **pool)
    assert report.cubes.resumed == 2
    assert first.stat().st_mtime_ns == born
    phantom_pool(tmp_path / "b", cubes=5, workers=2, **pool)
    for kind in ("image", "label", "swc", "neurites", "record"):
        for file in sorted((tmp_path / "a" / kind).iterdir()):
            assert file.read_bytes() == (tmp_path / "b" / kind / file.name).read_bytes()
    assert (tmp_path / "a/manifest.csv").read_text() == (tmp_path / "b/manifest.csv").read_text()
    with pytest.raises(OutputError, match="continued by the run that began it"):
        phantom_pool(tmp_path / "a", cubes=6, mode="resume", shape=(40, 32, 32), seed=3)
    with pytest.raises(SettingsError, match="as many cubes as it has"):
        phantom_pool(tmp_path / "a", cubes=1, mode="resume", **pool)


def test_a_pool_that_is_stopped_goes_on_to_the_same(tmp_path):
    pool = {"cubes": 4, "shape": (32, 32, 32)}

    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="stopped") as stopped:
        phantom_pool(tmp_path / "a", on_progress=stop, **pool)
    assert "--resume goes on" in str(stopped.value)
    assert not (tmp_path / "a").exists()
    with pytest.raises(OutputError, match="not overwritten"):
        phantom_pool(tmp_path / "a", **pool)
    assert phantom_pool(tmp_path / "a", mode="resume", **pool).cubes.resumed == 2
    phantom_pool(tmp_path / "b", **pool)
    assert (tmp_path / "a/manifest.csv").read_text() == (tmp_path / "b/manifest.csv").read_text()


# Brains

BRAIN = {"shape": (72, 90, 210), "region": "plexus", "seed": 2, "compression": (1, 1)}


@pytest.fixture(scope="module")
def brain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("brain") / "whole"
    phantom_brain(folder, block=128, **BRAIN)
    return folder


def both(folder):
    return voxels(folder / "image.ome.zarr"), voxels(folder / "label.ome.zarr")


@pytest.mark.parametrize("block", [64, 200])
def test_a_brain_is_the_same_however_it_is_cut(brain, tmp_path, block):
    phantom_brain(tmp_path / "b", block=block, **BRAIN)
    for one, other in zip(both(brain), both(tmp_path / "b"), strict=True):
        assert np.array_equal(one, other)
    for name in ("tree.swc", "neurites.csv"):
        assert (brain / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_brain_of_processes_is_that_of_one(brain, tmp_path):
    phantom_brain(tmp_path / "b", block=128, workers=2, **BRAIN)
    for one, other in zip(both(brain), both(tmp_path / "b"), strict=True):
        assert np.array_equal(one, other)


def test_a_brain_holds_what_its_tree_says(brain):
    image, label = both(brain)
    assert image.shape == BRAIN["shape"]
    tree = read_swc(brain / "tree.swc")
    at = np.rint(tree.points).astype(int)
    assert (label[tuple(at.T)] > 0).mean() > 0.97
    detected = image[label == NEURITE].mean() - image[label == 0].mean()
    assert detected > image[label == 0].std()
    assert not (brain / "marks").exists()
    rows = list(csv.DictReader((brain / "neurites.csv").read_text().splitlines()))
    assert (
        0
        < np.median([float(r["snr"]) for r in rows])
        < np.median([float(r["snr_drawn"]) for r in rows])
    )
    assert json.loads((brain / "brain.json").read_text())["report"]["ok"] is True


def test_coarser_levels_of_a_label_hold_its_codes_alone(brain):
    group = zarr.open_group(brain / "label.ome.zarr", mode="r")
    levels = [group[name][...] for name in sorted(group.array_keys())]
    assert len(levels) > 1
    np.testing.assert_array_equal(levels[1], levels[0][::2, ::2, ::2])
    image = zarr.open_group(brain / "image.ome.zarr", mode="r")
    assert not np.array_equal(image["1"][...], image["0"][::2, ::2, ::2])


def test_a_brain_has_no_seams_between_cells():
    """The step of what shines over a cell's border is like the steps beside it."""
    settings = RegionSettings.of({"shape": (40, 40, 192), "region": "plexus"})
    scope = Microscope.draw(settings, 3)
    marks = np.concatenate([item.marks for item in populate(settings, scope)])
    cells = [Box((0, 0, x), (40, 40, x + 64)) for x in (0, 64, 128)]
    parts = [render_marks(marks, c, np.array(scope.sigma_vox), np.ones(3)) for c in cells]
    for name in ("target", "other", "haze"):
        whole = np.concatenate([getattr(part, name) for part in parts], axis=2)
        steps = np.abs(np.diff(whole, axis=2)).mean((0, 1))
        for border in (63, 127):
            assert steps[border] < 1.6 * max(steps[border - 1], steps[border + 1]) + 1e-3


def test_tissue_in_an_ellipsoid_is_surrounded_by_the_noise_of_the_camera(tmp_path):
    shape = (128, 128, 192)
    camera = {"bits": (16,), "offset": (900, 900), "noise": (100, 100), "correlation": (0, 0)}
    keys = {"shape": shape, "tissue": "ellipsoid", "seed": 4, "density": (2.0, 2.0), **camera}
    phantom_brain(tmp_path / "a", block=64, **keys)
    phantom_brain(tmp_path / "b", block=192, **keys)
    image, label = both(tmp_path / "a")
    assert np.array_equal(image, both(tmp_path / "b")[0])
    half = (np.array(shape) - 1) / 2
    away = np.linalg.norm((np.indices(shape).T - half) / half, axis=-1).T
    outside = image[away > 1.5].astype(float)
    assert outside.mean() == pytest.approx(900, abs=4)
    assert image[away < 0.5].mean() > 900 + 2 * outside.std()
    assert label[away < 0.8].any()
    assert not label[away > 1.5].any()
    nodes = read_swc(tmp_path / "a/tree.swc").points
    assert len(nodes) > 1000
    assert (np.linalg.norm((nodes - half) / half, axis=1) < 0.95).all()


def test_far_from_the_surface_nothing_is_computed_and_nothing_changes(monkeypatch):
    settings = BrainSettings.of({"shape": (1024, 1024, 1024), "tissue": "ellipsoid"})
    scope = settings.scope(3)
    boxes = [Box((z, y, 480), (z + 8, y + 8, 488)) for z, y in ((0, 0), (8, 512), (512, 500))]
    alike = [scope._all_alike(box) for box in boxes]
    assert alike == [0, None, 1]
    mark = np.array([[516, 504, 484, 0, 0, 0, 30, 1, PUNCTUM]], np.float32)
    quick = [scope.look(mark[: int(share or 0)], b) for share, b in zip(alike, boxes, strict=True)]
    monkeypatch.setattr(Microscope, "_all_alike", lambda *_: None)
    for box, seen in zip(boxes, quick, strict=True):
        same = scope.look(mark, box)
        assert np.array_equal(seen.image, same.image)
        assert np.array_equal(seen.label, same.label)


def test_a_killed_brain_is_resumed_to_the_same(brain, tmp_path):
    out = tmp_path / "b"
    keys = {k: v for k, v in BRAIN.items() if k != "seed"}
    code = (
        "from neuroglow.phantom import phantom_brain\n"
        f"phantom_brain({str(out)!r}, block=64, seed=2, **{keys!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ)
    ledger = tmp_path / "b.partial/ledger.jsonl"
    while process.poll() is None and not (
        ledger.exists() and ledger.read_text().count('"done"') > 1
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    with pytest.raises(OutputError, match="not overwritten"):
        phantom_brain(out, block=64, **BRAIN)
    with pytest.raises(OutputError, match="continued by the run that began it"):
        phantom_brain(out, block=64, mode="resume", **{**BRAIN, "seed": 9})
    report = phantom_brain(out, block=64, mode="resume", **BRAIN)
    assert report.blocks.resumed > 1
    for one, other in zip(both(brain), both(out), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(OutputError, match="not overwritten"):
        phantom_brain(out, block=64, **BRAIN)
    again = phantom_brain(out, block=64, mode="resume", **BRAIN)
    assert again.blocks.resumed == again.blocks.total


def test_the_brain_command(tmp_path, capsys):
    out = tmp_path / "b"
    words = ("phantom", "brain", "-o", out, "--shape", "40,70,64", "--block", 64)
    status, said = run(capsys, *words)
    assert status == 0
    assert "2 of 2 blocks" in said
    assert open_volume(out / "image.ome.zarr").voxel_size_um == (1, 1, 1)
    assert (out / "brain.png").exists()
    assert run(capsys, *words)[0] == 2
    before = both(out)
    assert run(capsys, *words, "--restart", "--seed", 2)[0] == 0
    phantom_brain(tmp_path / "c", shape=(40, 70, 64), block=64, seed=2)
    assert not np.array_equal(before[0], both(out)[0])
    assert np.array_equal(both(tmp_path / "c")[0], both(out)[0])

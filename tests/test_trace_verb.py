"""`neuroglow trace`: files, what other programs read, what is refused, what a kill leaves."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

import neuroglow
from lines import SIZE, ball, circle, draw, length, straight
from neuroglow.cli import trace as options
from neuroglow.errors import InputError, OutputError, SettingsError, StoppedError
from neuroglow.formats.ome_zarr import create_ome_zarr
from neuroglow.skeleton.defaults import DEFAULT_VOX, LOW_SHARE
from neuroglow.skeleton.trees import SOMA
from neuroglow.space.volume import VolumeSpec
from neuroglow.trees.swc import read_swc
from running import run

UNIT = (2.0, 1.0, 1.0)
PARTS = [
    circle(22),
    straight((8, 8, 5), (8, 8, 28)),
    straight((8, 8, 35), (8, 8, 60)),
    ball((52, 20, 20), 6.0),
    straight((52, 20, 20), (52, 60, 60)),
]


def test_the_help_gives_the_defaults():
    named = {
        options.Spur: f"[{DEFAULT_VOX['spur']:g} voxels]",
        options.Gap: f"[{DEFAULT_VOX['gap']:g} voxels]",
        options.Shortest: f"[{DEFAULT_VOX['min_length']:g} voxels]",
        options.Step: f"[{DEFAULT_VOX['step']:g} voxels]",
        options.Low: f"[{LOW_SHARE:g} x threshold]",
    }
    for option, default in named.items():
        assert option.__metadata__[0].help.endswith(default)


@pytest.fixture(scope="module")
def drawn():
    """A circle, a line with a gap, and a soma with its axon."""
    seen = np.maximum(draw(*PARTS), draw(straight((8, 8, 25), (8, 8, 38), 0.3), value=0.2))
    return np.rint(seen * 255).astype(np.uint8)


@pytest.fixture
def probability(drawn, tmp_path):
    """A TIFF of what is drawn."""
    path = tmp_path / "a_prob.tif"
    write(path, drawn)
    return path


def write(path, voxels, unit=(1.0, 1.0, 1.0)):
    tifffile.imwrite(
        path,
        voxels,
        imagej=True,
        resolution=(1 / unit[2], 1 / unit[1]),
        metadata={"spacing": unit[0], "unit": "um", "axes": "ZYX"},
    )


def test_one_file_and_what_lies_beside_it(probability, tmp_path, capsys):
    status, said = run(capsys, "trace", probability, "-o", tmp_path / "t.swc", "--threshold", 0.5)
    assert status == 0
    assert "3 trees" in said
    assert "1 soma, 1 bridge (" in said
    assert "threshold 0.5: as given" in said
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "a_prob.tif",
        "t.swc",
        "t_bridges.csv",
        "t_decisions.csv",
        "t_trees.csv",
        "t_trees.html",
        "t_trees.png",
        "t_trees.json",
    }
    tree = read_swc(tmp_path / "t.swc")
    assert (tree.parents < 0).sum() == 3
    assert set(tree.columns) == {"probability", "bridge"}
    record = json.loads((tmp_path / "t_trees.json").read_text())
    assert record["summary"]["trees"] == 3
    assert record["used"]["peak"] == 0.5
    assert record["used"]["low"] == pytest.approx(0.3)
    picture = np.asarray(Image.open(tmp_path / "t_trees.png"))
    assert picture.shape[2] == 3
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_a_folder_has_a_file_a_tree(probability, tmp_path, capsys):
    assert run(capsys, "trace", probability, "-o", tmp_path / "t", "--threshold", 0.5)[0] == 0
    left = sorted(path.name for path in (tmp_path / "t").iterdir())
    assert left == [
        "bridges.csv",
        "decisions.csv",
        "trace.json",
        *(f"tree_00{i}.swc" for i in (1, 2, 3)),
        "trees.csv",
        "trees.html",
        "trees.png",
    ]
    whole = neuroglow.trace(probability, threshold=0.5).trees
    for i, tree in enumerate(whole, start=1):
        one = read_swc(tmp_path / f"t/tree_00{i}.swc")
        np.testing.assert_allclose(one.points, tree.points, atol=1e-3)
        assert (one.parents < 0).sum() == 1
    assert not list(tmp_path.glob("*.partial"))


def test_each_bridge_is_named_with_its_place(probability, tmp_path, capsys):
    run(capsys, "trace", probability, "-o", tmp_path / "t.swc", "--threshold", 0.5)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "t_bridges.csv").read_text()))
    at = [float(row[name]) for name in "zyx"]
    assert np.abs(np.subtract(at, (8, 8, 31.5))).max() < 3
    assert {row["start_x"][:2], row["stop_x"][:2]} <= {
        "26",
        "27",
        "28",
        "29",
        "34",
        "35",
        "36",
        "37",
    }
    assert 4 < float(row["length_um"]) < 11
    tree = read_swc(tmp_path / "t.swc")
    bridged = tree.points[tree.columns["bridge"] == int(row["bridge"])]
    assert len(bridged) >= 2
    assert (np.abs(bridged[:, 2] - 31.5) < 6).all()


def test_the_threshold_is_the_one_that_the_record_states(probability, tmp_path):
    record = {"model": {"name": "light-microscopy", "threshold": 0.37}}  # of a model of old
    (tmp_path / "a_run.json").write_text(json.dumps(record))
    notes = neuroglow.trace(probability).notes
    assert any(n.startswith("threshold 0.37: the threshold of the model light-m") for n in notes)
    notes = neuroglow.trace(tifffile.imread(probability)).notes
    assert any("0.5: the middle: none was given" in note for note in notes)


def test_what_predict_left_stays(probability, tmp_path):
    """Of one stem, as `predict -o a_prob.tif` and `trace -o a.swc` are: its record and picture."""
    for name in ("a_run.json", "a_mip.png"):
        (tmp_path / name).write_text("of predict")
    neuroglow.trace(probability, out=tmp_path / "a.swc")
    neuroglow.trace(probability, out=tmp_path / "a.swc", mode="restart")
    for name in ("a_run.json", "a_mip.png"):
        assert (tmp_path / name).read_text() == "of predict"


def test_kinds_of_probability_are_read_alike(probability, tmp_path):
    byte = tifffile.imread(probability)
    zarr = create_ome_zarr(
        tmp_path / "p.ome.zarr",
        VolumeSpec(SIZE, np.dtype(np.uint8), (1.0, 1.0, 1.0), (64, 64, 64)),
    )
    from neuroglow.space.geometry import Box

    zarr.write(Box.of(SIZE), byte)
    zarr.finish()
    sources = [probability, byte, tmp_path / "p.ome.zarr", byte.astype(np.float32) / 255]
    reports = [neuroglow.trace(source, threshold=0.5) for source in sources]
    assert len({json.dumps(dict(report.summary)) for report in reports}) == 1
    mask = neuroglow.trace((byte > 100).astype(np.uint8), gap_um=0)
    assert mask.summary == neuroglow.trace(byte > 100, gap_um=0).summary
    assert mask.summary["trees"] == 4


def test_the_voxel_size_is_the_metadatas_or_the_users(tmp_path):
    write(tmp_path / "p.tif", np.rint(255 * draw(circle(22))).astype(np.uint8), UNIT)
    assert neuroglow.trace(tmp_path / "p.tif").trees[0].points[:, 0].mean() == pytest.approx(
        64, abs=1
    )
    other = neuroglow.trace(tmp_path / "p.tif", voxel_size=(1, 1, 1))
    assert other.trees[0].points[:, 0].mean() == pytest.approx(32, abs=1)
    voxels = neuroglow.trace(tmp_path / "p.tif", unit="voxel")
    assert voxels.trees[0].points[:, 0].mean() == pytest.approx(32, abs=1)
    assert not any("voxel size" in note for note in voxels.notes)
    assert "the voxel size is not known" in neuroglow.trace(draw(circle(22))).notes[0]


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    """A traced folder, which no test changes."""
    at = tmp_path_factory.mktemp("traced")
    write(at / "a_prob.tif", drawn)
    neuroglow.trace(at / "a_prob.tif", out=at / "t", threshold=0.5)
    return at / "t"


def farthest(points, others):
    """Give how far any point of either set lies from the nearest of the other."""
    from scipy.spatial import cKDTree

    return max(cKDTree(a).query(b)[0].max() for a, b in ((points, others), (others, points)))


@pytest.mark.filterwarnings("ignore")
def test_navis_reads_the_same(folder):
    navis = pytest.importorskip("navis")
    for path in sorted(folder.glob("*.swc")):
        own, nodes = read_swc(path), navis.read_swc(path).nodes
        place = {name: i for i, name in enumerate(nodes.node_id)}
        parents = [place.get(name, -1) for name in nodes.parent_id]
        points = nodes[["z", "y", "x"]].to_numpy(float)
        np.testing.assert_allclose(points, own.points, atol=1e-3)
        np.testing.assert_array_equal(parents, own.parents)
        np.testing.assert_allclose(nodes.radius, own.radii, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", ["morphio", "neurom"])
def test_morphio_and_neurom_read_the_same(folder, package):
    module = pytest.importorskip(package)
    load = module.Morphology if package == "morphio" else module.load_morphology
    for path in sorted(folder.glob("*.swc")):
        own, read = read_swc(path), load(str(path))
        points = np.concatenate([s.points[:, 2::-1] for s in read.sections])
        assert farthest(points, own.points[own.kinds != SOMA]) < (
            3 if own.kinds[0] == SOMA else 1e-3
        )
        tips = sum(not section.children for section in read.sections)
        assert tips == np.setdiff1d(np.arange(len(own.parents)), own.parents).size
        assert (len(read.soma.points) > 0) == (own.kinds[0] == SOMA)


def test_the_table_of_trees_says_where_each_is(probability, tmp_path):
    report = neuroglow.trace(probability, threshold=0.5, out=tmp_path / "t")
    rows = list(csv.DictReader(report.table.read_text().splitlines()))
    assert [row["tree"] for row in rows] == ["1", "2", "3"]
    assert sum(int(row["bridges"]) for row in rows) == report.summary["bridges"] == 1
    assert sum(int(row["soma"]) for row in rows) == 1
    for row, tree in zip(rows, report.trees, strict=True):
        assert [float(row[a]) for a in "zyx"] == pytest.approx(tree.points[0], abs=1e-3)
        for end, place in (("low", tree.points.min(axis=0)), ("high", tree.points.max(axis=0))):
            assert [float(row[f"{end}_{a}"]) for a in "zyx"] == pytest.approx(place, abs=1e-3)
        assert float(row["length_um"]) == pytest.approx(length(tree), abs=0.01)
        values = tree.columns["probability"]
        assert values.min() <= float(row["probability"]) <= values.max() + 1e-3


def test_nothing_lit_is_an_answer(tmp_path, capsys):
    write(tmp_path / "p.tif", np.full((20, 30, 30), 40, np.uint8))
    status, said = run(capsys, "trace", tmp_path / "p.tif", "-o", tmp_path / "t.swc")
    assert status == 0
    assert "no trees" in said
    assert "no voxel reaches the threshold: the highest probability is 0.157" in said
    assert len(read_swc(tmp_path / "t.swc").points) == 0
    assert run(capsys, "trace", tmp_path / "p.tif", "-o", tmp_path / "t")[0] == 0
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == [
        "bridges.csv",
        "decisions.csv",
        "trace.json",
        "trees.csv",
        "trees.html",
        "trees.png",
    ]


def test_what_looks_like_labels_is_said_to(tmp_path, capsys):
    write(tmp_path / "l.tif", 2 * (draw(circle(22)) > 0).astype(np.uint8))
    status, said = run(capsys, "trace", tmp_path / "l.tif", "-o", tmp_path / "t.swc")
    assert (status, "0.00784: are these labels?" in said) == (0, True)
    write(tmp_path / "m.tif", (draw(circle(22)) > 0).astype(np.uint8))
    status, said = run(capsys, "trace", tmp_path / "m.tif", "-o", tmp_path / "m.swc")
    assert (status, "its values are 0 and 1: read as a mask" in said) == (0, True)
    assert "1 tree, " in said


@pytest.mark.parametrize("value", [255, 200, 128])
def test_all_detected_is_refused(tmp_path, capsys, value):
    write(tmp_path / "p.tif", np.full((20, 30, 30), value, np.uint8))
    status, said = run(
        capsys, "trace", tmp_path / "p.tif", "-o", tmp_path / "t.swc", "--threshold", 0.5
    )
    assert status == 2
    assert "neurites fill the smaller part of a volume" in said
    assert "100% of the voxels reach 0.3" in said
    assert not (tmp_path / "t.swc").exists()


def test_what_is_no_probability_is_refused(tmp_path, capsys):
    for name, voxels in {
        "raw": np.arange(8000, dtype=np.uint16).reshape(20, 20, 20),
        "above": np.full((20, 20, 20), 1.5, np.float32),
        "below": np.full((20, 20, 20), -0.5, np.float32),
    }.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", voxels)
        status, said = run(capsys, "trace", tmp_path / f"{name}.tif", "-o", tmp_path / "t.swc")
        assert status == 2
        assert "a probability is uint8 (0..255) or real numbers 0..1" in said
        assert "--raw for a raw image" in said
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".tif"] == []


def test_a_raw_image_of_another_shape_or_size_is_refused(probability, tmp_path, capsys):
    write(tmp_path / "other.tif", np.zeros((64, 64, 60), np.uint16))
    status, said = run(
        capsys, "trace", probability, "-o", tmp_path / "t.swc", "--raw", tmp_path / "other.tif"
    )
    assert status == 2
    assert "probability and raw image have one shape" in said
    assert "(64, 64, 60), but (64, 64, 64) in" in said
    write(tmp_path / "coarse.tif", np.zeros(SIZE, np.uint16), UNIT)
    with pytest.raises(InputError, match="same voxel size"):
        neuroglow.trace(probability, raw=tmp_path / "coarse.tif")


def test_what_exists_is_not_overwritten(probability, tmp_path, capsys):
    out = tmp_path / "t.swc"
    out.write_text("mine")
    status, said = run(capsys, "trace", probability, "-o", out)
    assert status == 2
    assert "an existing trace is not overwritten" in said
    status, said = run(capsys, "trace", probability, "-o", out, "--restart")
    assert (status, "only a trace is replaced" in said) == (2, True)
    assert out.read_text() == "mine"  # somebody's own trees
    out.unlink()
    for more in ([], ["--restart"]):
        assert run(capsys, "trace", probability, "-o", out, *more)[0] == 0
    assert out.read_text().startswith("# neuroglow")
    (tmp_path / "b_bridges.csv").write_text("mine")
    with pytest.raises(OutputError, match="not overwritten"):
        neuroglow.trace(probability, out=tmp_path / "b.swc")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.txt").touch()
    neuroglow.trace(probability, out=tmp_path / "trees_0.5")
    assert (tmp_path / "trees_0.5/trace.json").exists()
    with pytest.raises(OutputError, match="not overwritten"):
        neuroglow.trace(probability, out=folder)
    with pytest.raises(OutputError, match="only a trace is replaced"):
        neuroglow.trace(probability, out=folder, mode="restart")
    with pytest.raises(OutputError, match=r"written to an \.swc file, or"):
        neuroglow.trace(probability, out=tmp_path / "t.csv")
    neuroglow.trace(probability, out=tmp_path / "t")
    neuroglow.trace(probability, out=tmp_path / "t", mode="restart", min_length_um=1000)
    assert not list((tmp_path / "t").glob("*.swc"))


def test_a_trace_never_removes_what_it_did_not_make(probability, tmp_path, capsys):
    out = tmp_path / "t"
    neuroglow.trace(probability, out=out)
    inside = out / "prob.tif"
    probability.rename(inside)
    status, said = run(capsys, "trace", inside, "-o", out, "--restart")
    assert status == 2
    assert "only a trace is replaced" in said
    assert "something else in it: prob.tif" in said
    assert inside.exists()
    before = (out / "tree_001.swc").read_text()
    table = tmp_path / "a_trees.json"
    table.write_text("[1]")
    with pytest.raises(OutputError, match="not of a trace"):
        neuroglow.trace(inside, out=tmp_path / "a.swc", mode="restart")
    assert table.read_text() == "[1]"
    assert (out / "tree_001.swc").read_text() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--threshold", "2"], "setting 'threshold'"),
        (["--threshold", "0.5", "--low", "0.6"], "low must not exceed the threshold"),
        (["--low", "0.9"], "low must not exceed the threshold"),
        (["--gap-um", "-1"], "setting 'gap_um'"),
        (["--unit", "mm"], "setting 'unit'"),
        (["--block", "50"], "setting 'block'"),
        (["--gap-um", "inf"], "setting 'gap_um'"),
        (["--min-length-um", "inf"], "setting 'min_length_um'"),
        (["--voxel-size", "1e300,1e300,1e300"], "three positive numbers"),
        (["--voxel-size", "1,0,1"], "three positive numbers"),
    ],
)
def test_a_wrong_setting_is_named(probability, tmp_path, capsys, given, said):
    status, words = run(capsys, "trace", probability, "-o", tmp_path / "t.swc", *given)
    assert status == 2
    assert said in words


def test_an_unknown_setting_and_a_missing_file_are_named(tmp_path, capsys):
    with pytest.raises(SettingsError, match="unknown setting 'treshold'"):
        neuroglow.trace(np.zeros((9, 9, 9), np.uint8), treshold=0.5)
    status, said = run(capsys, "trace", tmp_path / "no.tif", "-o", tmp_path / "t.swc")
    assert status == 2
    assert "the input must exist" in said


def test_two_do_not_work_on_one_output(probability, tmp_path):
    from neuroglow.runs.unfinished import Unfinished, claim

    out = tmp_path / "t"
    with (
        claim(Unfinished(out).folder, out),
        pytest.raises(OutputError, match="one process at a time"),
    ):
        neuroglow.trace(probability, out=out)


SLOW = """
import sys, time
from importlib import import_module
files = import_module("neuroglow.runs.leaving")
write = files._write
def slow(path, content):
    write(path, content)
    print("wrote", path, flush=True)
    time.sleep(60)
files._write = slow
from neuroglow import trace
trace(sys.argv[1], out=sys.argv[2], threshold=0.5)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("name", ["t.swc", "t"])
def test_a_kill_leaves_nothing_that_looks_whole(probability, tmp_path, name):
    out = tmp_path / name
    command = [sys.executable, "-c", SLOW, str(probability), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert "wrote" in running.stdout.readline()
        time.sleep(0.1)
        running.send_signal(signal.SIGKILL)
    assert not out.exists()
    neuroglow.trace(probability, out=out, threshold=0.5)
    assert out.exists()
    assert not list(tmp_path.glob("*.partial"))


def test_progress_is_told(probability):
    told = []
    neuroglow.trace(
        probability,
        threshold=0.5,
        block=32,
        on_progress=lambda p: told.append((p.work, p.done, p.total)),
    )
    works = ["checking", "middle lines", "crossings", "bridges", "trees"]
    assert list(dict.fromkeys(work for work, _, _ in told)) == works
    for work in works:
        done = [d for w, d, total in told if w == work]
        assert done == sorted(done)
        assert done[-1] == 64**3


def test_a_stopped_trace_goes_on_to_the_same_trees(probability, tmp_path):
    asked = {"threshold": 0.5, "block": 32}
    neuroglow.trace(probability, out=tmp_path / "whole.swc", **asked)
    out = tmp_path / "t.swc"

    def stop(progress):
        if progress.work == "middle lines" and progress.done > progress.total / 2:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="stopped before its end"):
        neuroglow.trace(probability, out=out, on_progress=stop, **asked)
    begun = {p.name for p in (tmp_path / "t.swc.partial/middles").iterdir()}
    assert begun
    with pytest.raises(OutputError, match="only be continued by the run"):
        neuroglow.trace(probability, out=out, mode="resume", threshold=0.6, block=32)
    neuroglow.trace(probability, out=out, mode="resume", **asked)
    assert out.read_bytes() == (tmp_path / "whole.swc").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_processes_find_the_same_trees(probability, tmp_path):
    for workers in (1, 2):
        neuroglow.trace(
            probability, out=tmp_path / f"{workers}.swc", threshold=0.5, block=32, workers=workers
        )
    assert (tmp_path / "1.swc").read_bytes() == (tmp_path / "2.swc").read_bytes()
    with pytest.raises(SettingsError, match="for an output"):
        neuroglow.trace(probability, threshold=0.5, workers=2)

"""`neuroglow evaluate` in the hands of a hostile but honest user."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from neuroglow import evaluate, trace
from neuroglow.evaluate.pictures import MARKS
from running import run

LEGEND = "0=background,1=neurite,2=ignore"


def test_a_report_never_removes_what_it_did_not_make(tmp_path, capsys):
    cube = tmp_path / "cube"
    assert run(capsys, "phantom", "cube", "-o", cube, "--size", 48, "--density", "3,3")[0] == 0
    about = (cube / "cube.json").read_text()
    command = ("evaluate", cube / "tree.swc", cube, "--label-map", LEGEND)
    status, said = run(capsys, *command, "-o", cube / "cube.html", "--restart")
    assert (status, "only a report is replaced" in said) == (2, True)
    assert (cube / "cube.json").read_text() == about
    out = tmp_path / "r"
    assert run(capsys, *command, "-o", out)[0] == 0
    for mine in (out / "mine.tif", out / "pictures/mine.tif"):
        mine.write_text("a year")
        status, said = run(capsys, *command, "-o", out, "--restart")
        assert (status, "something else in it: mine.tif" in said) == (2, True)
        mine.unlink()
    left = tmp_path / "r.partial/pictures"  # of an evaluation that was killed
    left.mkdir(parents=True)
    (left / "old.png").touch()
    assert run(capsys, *command, "-o", out, "--restart")[0] == 0
    assert not (out / "pictures/old.png").exists()
    assert not left.exists()


GOOD = "1 2 5 5 5 2 -1\n2 2 40 30 20 2 1\n"


def volume(path, voxels):
    tifffile.imwrite(path, voxels, imagej=True, metadata={"spacing": 1.0, "unit": "um", "axes": "ZYX"})  # fmt: skip
    return path


@pytest.fixture
def place(tmp_path):
    """A probability of a line, its mask, and a tree."""
    seen = np.zeros((32, 48, 48), np.float32)
    seen[10:12, 10:12, 5:43] = 0.9
    volume(tmp_path / "p.tif", seen)
    volume(tmp_path / "m.tif", (seen > 0.5).astype(np.uint8))
    (tmp_path / "t.swc").write_text(GOOD)
    return tmp_path


def test_trees_alone_say_in_what_unit_they_were_read(place, capsys):
    command = ("evaluate", place / "t.swc", place / "t.swc", "-o", place / "r")
    status, said = run(capsys, *command)
    assert status == 0
    assert "trees read as micrometres, 35 um across; a voxel is assumed to be 1 um" in said
    (place / "t.swc").write_text("1 2 0 0 0 2 -1\n2 2 9e6 0 0 2 1\n")  # nanometres
    status, said = run(capsys, *command, "--restart")
    assert (status, "at most 10 cm apart" in said, "--swc-unit nm" in said) == (2, True, True)
    status, said = run(capsys, *command, "--restart", "--swc-unit", "nm")
    assert status == 0
    assert "trees read as nanometres, 9000 um across" in said


@pytest.mark.parametrize(
    ("sides", "given", "said"),
    [
        ("p.tif m.tif", ["--tolerances", "-1"], "setting 'tolerances'"),
        ("p.tif m.tif", ["--tolerances", "1,nan"], "setting 'tolerances'"),
        ("p.tif m.tif", ["--tolerances", "inf"], "setting 'tolerances'"),
        ("p.tif m.tif", ["--swc-radius-um", "inf"], "setting 'swc_radius_um'"),
        ("p.tif m.tif", ["--voxel-size", "1e300,1,1"], "a voxel size is three positive"),
        ("p.tif t.swc", ["--label-map", "1=axon"], "--label-map is given where the truth"),
        ("t.swc m.tif", ["--prediction-map", LEGEND], "--prediction-map is given where"),
        ("p.tif t.swc", ["--raw", "t.swc"], "raw images are volumes"),
        ("p.tif m.tif", ["--trace"], "--trace is given where the truth has trees"),
        ("m.tif t.swc", ["--prediction-map", "1=axon"], "--prediction-map 1=background"),
        (
            "m.tif t.swc",
            ["--prediction-map", "1=neurite"],
            "--prediction-map 0=background,1=neurite",
        ),
        ("p.tif t.swc", ["--prediction-map", LEGEND], "no --prediction-map, if these"),
    ],
)
def test_options_that_say_nothing_are_refused(place, capsys, sides, given, said):
    out = place / "r.html"
    given = [place / word if word == "t.swc" else word for word in given]
    prediction, truth = (place / side for side in sides.split())
    status, found = run(capsys, "evaluate", prediction, truth, "-o", out, *given)
    assert status == 2, found
    assert said in found
    assert not out.exists()


def test_trees_are_found_whatever_the_case_of_their_ending(place, capsys):
    (place / "found").mkdir()
    (place / "true").mkdir()
    (place / "p.tif").rename(place / "found/a.tif")
    (place / "t.swc").rename(place / "true/a.SWC")
    given = ("evaluate", place / "found", place / "true", "-o", place / "r.html")
    assert run(capsys, *given)[0] == 0


def test_a_truth_that_is_no_mask_is_not_taken_for_one(place, capsys):
    dim = volume(place / "dim.tif", np.full((32, 48, 48), 0.3, np.float32))
    status, said = run(capsys, "evaluate", place / "p.tif", dim, "-o", place / "r.html")
    assert (status, "must contain neurites" in said) == (2, True)  # a probability below 0.5
    full = volume(place / "full.tif", np.ones((32, 48, 48), np.uint8))
    status, said = run(capsys, "evaluate", place / "p.tif", full, "-o", place / "r.html")
    assert status == 0
    assert "100% of the known voxels are neurites" in said


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_trees_shifted_by_whole_voxels_lie_as_far_apart_as_that(tmp_path, shift):
    (tmp_path / "t.swc").write_text("1 2 0 5 5 1 -1\n2 2 100 5 5 1 1\n")
    (tmp_path / "f.swc").write_text(f"1 2 0 5 {5 + shift} 1 -1\n2 2 100 5 {5 + shift} 1 1\n")
    means = evaluate(tmp_path / "f.swc", tmp_path / "t.swc").means
    assert means["tree_esa"] == pytest.approx(shift)
    assert means["tree_dsa"] == pytest.approx(shift if shift > 1 else 0)
    assert means["tree_pds"] == (shift > 1)
    assert means["tree_recovered"] == (shift < 3)
    assert means["tree_false"] == (shift > 2)


def test_trees_of_negative_places_are_drawn_whole(tmp_path):
    (tmp_path / "t.swc").write_text("1 2 -90 -90 -90 1 -1\n2 2 -40 -90 -90 1 1\n")
    evaluate(tmp_path / "t.swc", tmp_path / "t.swc", out=tmp_path / "r")
    (picture,) = (tmp_path / "r/pictures").iterdir()
    drawn = (np.asarray(Image.open(picture).convert("RGB")) == MARKS["true"]).all(axis=-1)
    assert drawn.sum() > 144 + 100  # besides the legend


def test_folders_of_trace_are_the_trees_of_one_volume(place, tmp_path):
    seen = tifffile.imread(place / "p.tif")
    seen[24:26, 30:32, 10:30] = 0.9  # a shorter one
    for name, probability in (("true", seen), ("found", np.where(seen[:, ::-1] > 0, 0.9, seen))):
        trace(probability.astype(np.float32), out=tmp_path / name, threshold=0.5)
    assert len(list((tmp_path / "true").glob("*.swc"))) == 2
    report = evaluate(tmp_path / "found", tmp_path / "true")
    assert len(report.results["volumes"]) == 1
    assert report.means["tree_recovered"] == 1
    empty = np.zeros((32, 48, 48), np.float32)
    trace(empty, out=tmp_path / "none")
    assert evaluate(tmp_path / "none", tmp_path / "true").means["tree_recovered"] == 0


def test_a_merge_is_listed_with_its_place_and_ringed(tmp_path):
    (tmp_path / "true.swc").write_text(
        "1 2 10 10 5 1 -1\n2 2 90 10 5 1 1\n3 2 10 30 5 1 -1\n4 2 50 30 5 1 3\n"
    )
    (tmp_path / "found.swc").write_text(
        "1 2 90 10 5 1 -1\n2 2 10 10 5 1 1\n3 2 10 30 5 1 2\n4 2 50 30 5 1 3\n"
    )
    report = evaluate(tmp_path / "found.swc", tmp_path / "true.swc", out=tmp_path / "r")
    (volume,) = report.results["volumes"]
    (merge,) = volume["merges"]
    assert (merge["y"], merge["z"], merge["joined length"]) == (20, 5, 40)
    assert 10 <= merge["x"] <= 50
    assert "Merges, and where they are" in report.page.read_text()
    (picture,) = (tmp_path / "r/pictures").iterdir()
    along_z = np.asarray(Image.open(picture).convert("RGB"))[20:-28, 8:330]
    white = (along_z == 255).all(axis=-1)
    assert white.sum() > 20
    same = evaluate(tmp_path / "true.swc", tmp_path / "true.swc", out=tmp_path / "s")
    assert same.results["volumes"][0]["merges"] == []
    assert "Merges" not in same.page.read_text()

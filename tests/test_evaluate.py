"""`neuroglow evaluate`: pairs, kinds, blocks, reports, and what it refuses."""

import csv
import json
import math
import tracemalloc

import numpy as np
import pytest
import tifffile
import zarr

from neuroglow import EvaluateSettings, PhantomSettings, evaluate, make_phantom
from neuroglow.errors import InputError
from neuroglow.evaluate.pictures import MARKS
from neuroglow.phantom import centreline, to_tree
from neuroglow.trees.swc import Tree, write_swc
from running import run

LEGEND = "0=background,1=neurite,2=ignore"
SHAPE = (48, 48, 48)


def phantom(seed=1, shape=SHAPE):
    settings = PhantomSettings(shape=shape, neurites=(4, 4), snr=(6.0, 9.0), radius_vox=(0.8, 1.2))
    return make_phantom(np.random.default_rng(seed), settings)


def save(path, voxels, size=1.0):
    """Write a TIFF that states its voxel size in micrometres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"axes": "ZYX", **{f"PhysicalSize{a}": size for a in "XYZ"}}
    tifffile.imwrite(path, voxels, ome=True, metadata=metadata, photometric="minisblack")
    return path


def blurred(label, seed=0):
    """A probability that is mostly right."""
    rng = np.random.default_rng(seed)
    value = np.where(label == 1, 180, 30) + rng.normal(0, 40, label.shape)
    return np.clip(np.rint(value), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two phantoms: predictions, truths (labels and trees), and images."""
    root = tmp_path_factory.mktemp("pairs")
    for number in (2, 10):
        made = phantom(number)
        name = f"cube{number}"
        save(root / f"pred/{name}_prob.tif", blurred(made.label, number))
        save(root / f"truth/label/{name}_label.tif", made.label)
        (root / "truth/swc").mkdir(parents=True, exist_ok=True)
        write_swc(to_tree(made.scene.neurites), root / f"truth/swc/{name}.swc")
        save(root / f"image/{name}.tif", made.image)
    return root


def scores(report, name=None):
    """The scores of a volume (the first, or by name)."""
    volumes = {v["volume"]: v["scores"]["prediction"] for v in report.results["volumes"]}
    return volumes[name or next(iter(volumes))]


def test_a_folder_against_a_folder(folders, tmp_path, capsys):
    out = tmp_path / "report"
    status, said = run(
        capsys, "evaluate", folders / "pred", folders / "truth", "-o", out,
        "--raw", folders / "image", "--label-map", LEGEND,
    )  # fmt: skip
    assert status == 0, said
    assert "2 volumes, mean dice 0." in said
    assert "cube2.swc: read as micrometres" in said
    found = json.loads((out / "scores.json").read_text())
    assert {v["volume"] for v in found["volumes"]} == {"cube2", "cube10"}
    f1 = [v["scores"]["prediction"]["skeleton_f1_2"] for v in found["volumes"]]
    assert f1 == sorted(f1)  # the worst first
    assert found["kinds"] == {"prediction": "probability", "truth": "legend"}
    assert found["threshold"] == 0.5
    names = [row["method"] for row in found["methods"]]
    assert names == ["prediction", "prediction, best", "raw", "noise units", "Sato"]
    assert [row["chosen"] for row in found["methods"]] == ["given"] + 4 * ["own best"]
    first = found["volumes"][0]["scores"]["prediction"]
    assert first["snr_prediction"] > first["snr_raw"] * 0.2
    assert sum(row["cells"] for row in found["signal_by_class"]) > 0
    assert found["summary"]["dice"]["low"] <= found["summary"]["dice"]["high"]
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 5
    assert float(rows[0]["dice"]) == pytest.approx(first["dice"])
    page = (out / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    assert page.count("<img") == 2
    assert page.count('<figure class="stack"') == 2
    assert {p.name for p in (out / "pictures").iterdir()} == {"cube2.png", "cube10.png"}
    assert str(folders / "pred") in found["command"]


def test_a_perfect_prediction_and_an_empty_one(tmp_path):
    made = phantom()
    truth = save(tmp_path / "truth.tif", (made.label == 1).astype(np.uint8))
    perfect = scores(evaluate(truth, truth))
    for name in ("dice", "iou", "accuracy", "recall", "precision", "cldice", "skeleton_f1_1"):
        assert perfect[name] == 1, name
    assert math.isnan(perfect["average_precision"])  # a mask has one threshold
    empty = save(tmp_path / "empty.tif", np.zeros(SHAPE, np.uint8))
    nothing = scores(evaluate(empty, truth))
    for name in ("dice", "recall", "precision", "cldice", "skeleton_f1_3"):
        assert nothing[name] == 0, name
    assert nothing["skeleton_missed_2"] == pytest.approx(nothing["length_um"])


@pytest.mark.parametrize(("by", "within"), [(1, (1, 2, 3)), (3, (3,))])
def test_a_prediction_beside_the_truth(tmp_path, by, within):
    line = np.zeros((20, 20, 40), np.uint8)
    line[10, 10] = 1
    truth = save(tmp_path / "truth.tif", line)
    beside = save(tmp_path / "beside.tif", np.roll(line, by, axis=0))
    found = scores(evaluate(beside, truth))
    assert found["dice"] == found["cldice"] == 0
    for tolerance in (1, 2, 3):
        assert found[f"skeleton_f1_{tolerance}"] == (tolerance in within)


@pytest.mark.parametrize(("kind", "block"), [("uint8", 64), ("float32", 32)])
def test_blocked_equals_whole(tmp_path, kind, block):
    made = phantom(3, (70, 66, 40))
    save(tmp_path / "truth.tif", made.label)
    value = blurred(made.label) if kind == "uint8" else blurred(made.label) / np.float32(255)
    save(tmp_path / "prob.tif", value)
    raw = save(tmp_path / "raw.tif", made.image) if kind == "uint8" else None
    whole, blocked = (
        evaluate(tmp_path / "prob.tif", tmp_path / "truth.tif", raw=raw, label_map=LEGEND, block=n)
        for n in (96, block)
    )
    one, other = scores(whole), scores(blocked)
    for name in ("dice", "average_precision", "calibration_error", "snr_raw", "cnr_prediction"):
        assert name not in one or other[name] == pytest.approx(one[name], rel=1e-9), name
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=0.01, abs=0.01, nan_ok=True), name
    for a, b in zip(whole.results["methods"], blocked.results["methods"], strict=True):
        assert a["threshold"] == pytest.approx(b["threshold"]), a["method"]


def test_memory_does_not_grow_with_the_volume(tmp_path):
    """Two fibres end to end in 1 and in 8 times the volume: the same block, the same peak."""

    def peak(length):
        label = np.zeros((64, 64, length), np.uint8)
        label[20:23, 20:23, :60] = label[40:43, 40:43, -60:] = 255
        path = tmp_path / f"{length}.zarr"
        zarr.create_array(path, data=label, chunks=(64, 64, 64))
        tracemalloc.start()
        evaluate(path, path, block=64)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(64)  # what is imported and cached by the way
    assert peak(1024) < 1.5 * peak(128)


def test_ignored_voxels_are_ignored(tmp_path):
    made = phantom(4)
    label = made.label.copy()
    label[:, :20] = 2
    save(tmp_path / "truth.tif", label)
    value = blurred(made.label)
    save(tmp_path / "a.tif", value)
    noise = np.random.default_rng(0).integers(0, 256, value.shape, dtype=np.uint8)
    save(tmp_path / "b.tif", np.where(label == 2, noise, value))
    save(tmp_path / "raw.tif", made.image)
    one, other = (
        scores(evaluate(tmp_path / f, tmp_path / "truth.tif", label_map=LEGEND))
        for f in ("a.tif", "b.tif")
    )
    for name in ("dice", "iou", "accuracy", "average_precision", "calibration_error"):
        assert other[name] == one[name], name
    # lines thin what lies beside the ignored voxels too, so these are not quite the same
    assert other["skeleton_precision_2"] > one["skeleton_precision_2"] - 0.15


def test_a_few_labelled_planes_are_enough(tmp_path):
    made = phantom(5)
    legend = np.zeros(SHAPE, np.uint8)
    legend[[12, 30]] = np.array([1, 2, 0])[made.label[[12, 30]]]
    save(tmp_path / "planes.tif", legend)
    save(tmp_path / "prob.tif", blurred(made.label))
    found = scores(
        evaluate(
            tmp_path / "prob.tif",
            tmp_path / "planes.tif",
            label_map="1=background,2=neurite,0=ignore",
        )
    )
    planes = made.label[[12, 30]]
    detected = blurred(made.label)[[12, 30]] >= 128
    hits = (detected & (planes == 1)).sum()
    assert found["dice"] == pytest.approx(
        2 * hits / ((planes == 1).sum() + detected[planes < 2].sum())
    )


def test_the_order_of_files_changes_nothing(folders, tmp_path):
    for part in ("pred", "label"):
        (tmp_path / part).mkdir()
    source = {"pred": folders / "pred", "label": folders / "truth/label"}
    for part, folder in source.items():
        for file in sorted(folder.iterdir(), reverse=True):
            (tmp_path / part / file.name).write_bytes(file.read_bytes())
    one = evaluate(folders / "pred", folders / "truth/label", label_map=LEGEND)
    other = evaluate(tmp_path / "pred", tmp_path / "label", label_map=LEGEND)
    for name, found in one.results["summary"].items():
        assert found == pytest.approx(other.results["summary"][name], nan_ok=True), name
    assert [v["volume"] for v in one.results["volumes"]] == [
        v["volume"] for v in other.results["volumes"]
    ]


def test_trees_against_trees(tmp_path):
    truth = Tree(
        np.array([(5, 5, 0), (5, 5, 100), (5, 30, 0), (5, 30, 100)], float),
        np.ones(4),
        np.full(4, 2),
        np.array([-1, 0, -1, 2]),
    )
    found = Tree(
        truth.points[:2] + np.array([1, 0, 0]), np.ones(2), np.full(2, 2), np.array([-1, 0])
    )
    write_swc(truth, tmp_path / "truth.swc")
    write_swc(found, tmp_path / "found.swc")
    report = evaluate(tmp_path / "found.swc", tmp_path / "truth.swc", out=tmp_path / "r.html")
    row = scores(report)
    assert row["tree_recovered"] == pytest.approx(0.5)
    assert (row["tree_false"], row["tree_splits"], row["tree_merges"]) == (0, 0, 0)
    assert row["tree_erl"] == pytest.approx(0.5)
    assert row["skeleton_recall_1"] == pytest.approx(0.5)
    assert "dice" not in row
    assert {p.name for p in tmp_path.iterdir()} == {
        "truth.swc", "found.swc", "r.html", "r.json", "r.csv"
    }  # fmt: skip


def test_a_folder_of_trees_belongs_to_one_volume(tmp_path):
    made = phantom(6)
    label = save(tmp_path / "label.tif", made.label, size=2.0)
    tree = to_tree(made.scene.neurites)
    in_um = Tree(tree.points * 2, tree.radii * 2, tree.kinds, tree.parents)
    (tmp_path / "trees").mkdir()
    roots = np.flatnonzero(in_um.parents < 0)
    ends = [*roots[1:], len(in_um.parents)]
    for number, (a, b) in enumerate(zip(roots, ends, strict=True)):
        if (in_um.parents[a + 1 : b] >= a).all():
            part = Tree(
                in_um.points[a:b], in_um.radii[a:b], in_um.kinds[a:b],
                np.where(in_um.parents[a:b] >= 0, in_um.parents[a:b] - a, -1),
            )  # fmt: skip
            write_swc(part, tmp_path / f"trees/tree{number}.swc")
    report = evaluate(tmp_path / "trees", label, label_map=LEGEND)
    assert len(report.results["volumes"]) == 1
    assert scores(report)["skeleton_precision_2"] > 0.8


def test_trees_are_drawn_where_the_other_side_is_a_volume(tmp_path):
    made = phantom(7)
    tree = tmp_path / "tree.swc"
    write_swc(to_tree(made.scene.neurites), tree)
    prob = save(tmp_path / "prob.tif", blurred(made.label))
    row = scores(evaluate(prob, tree))
    assert row["average_precision"] > 0.5
    middle = centreline(made.scene.neurites, SHAPE).sum()
    assert row["length_um"] == pytest.approx(middle, rel=0.35)


def test_anisotropic_voxels_give_lengths_in_micrometres(tmp_path):
    line = np.zeros((20, 12, 12), np.uint8)
    line[2:18, 6, 6] = 1
    metadata = {
        "axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 3.0
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.tif", line, ome=True, metadata=metadata)
    shifted = np.roll(line, 1, axis=1)
    tifffile.imwrite(tmp_path / "b.tif", shifted, ome=True, metadata=metadata)
    row = scores(evaluate(tmp_path / "b.tif", tmp_path / "a.tif", unit="um", tolerances=(0.4, 0.6)))
    assert row["length_um"] == pytest.approx(45)
    assert (row["skeleton_f1_0.4"], row["skeleton_f1_0.6"]) == (0, 1)


def test_a_phantom_cube_is_a_truth(tmp_path, capsys):
    cube = tmp_path / "cube"
    assert run(capsys, "phantom", "cube", "-o", cube, "--size", 48, "--density", "3,3")[0] == 0
    label = tifffile.imread(cube / "label.tif")
    prob = save(tmp_path / "p.tif", blurred(label))
    status, said = run(
        capsys, "evaluate", prob, cube, "-o", tmp_path / "r", "--raw", cube, "--label-map", LEGEND
    )
    assert status == 0, said
    assert "1 volume, mean dice" in said


# what a colour-blind person sees

MACHADO = {  # Machado et al. 2009, severity 1, on linear RGB
    "protanope": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranope": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanope": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


@pytest.mark.parametrize("eye", MACHADO)
def test_the_marks_are_told_apart_by_every_eye(eye):
    from skimage.color import rgb2lab

    colours = np.array([*MARKS.values(), (24, 24, 27)]) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(MACHADO[eye]).T, 0, 1)
    srgb = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(srgb[None])[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert apart[np.triu_indices(4, 1)].min() > 25  # about 2 is just noticeable


# what is refused


def refused(capsys, tmp_path, *arguments):
    status, said = run(capsys, "evaluate", *arguments, "-o", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "none.partial").exists()
    return status, said


def test_other_shapes_are_refused(tmp_path, capsys):
    a = save(tmp_path / "a.tif", np.ones((8, 9, 10), np.uint8))
    b = save(tmp_path / "b.tif", np.ones((8, 9, 11), np.uint8))
    status, said = refused(capsys, tmp_path, a, b)
    assert status == 2
    assert "have one shape" in said
    assert "(8, 9, 11), but (8, 9, 10)" in said


def test_other_voxel_sizes_are_refused(tmp_path, capsys):
    a = save(tmp_path / "a.tif", np.ones((8, 8, 8), np.uint8), size=1.0)
    b = save(tmp_path / "b.tif", np.ones((8, 8, 8), np.uint8), size=2.0)
    status, said = refused(capsys, tmp_path, a, b)
    assert status == 2
    assert "have the same voxel size" in said
    assert "2 x 2 x 2 um, but 1 x 1 x 1 um" in said
    assert run(capsys, "evaluate", a, b, "-o", tmp_path / "r", "--voxel-size", "1,1,1")[0] == 0


def test_an_empty_truth_is_refused(tmp_path, capsys):
    a = save(tmp_path / "a.tif", np.ones((8, 8, 8), np.uint8))
    b = save(tmp_path / "b.tif", np.zeros((8, 8, 8), np.uint8))
    status, said = refused(capsys, tmp_path, a, b)
    assert status == 2
    assert "the truth must contain neurites" in said
    assert "none in 1 volume" in said
    (tmp_path / "empty.swc").write_text("# nothing\n")
    (tmp_path / "point.swc").write_text("1 2 0 0 0 1 -1\n")
    (tmp_path / "one.swc").write_text("1 2 0 0 0 1 -1\n2 2 9 0 0 1 1\n")
    for nothing in ("empty.swc", "point.swc"):
        status, said = refused(capsys, tmp_path, tmp_path / "one.swc", tmp_path / nothing)
        assert status == 2
        assert "the truth must contain neurites" in said


def test_one_empty_truth_among_others_is_scored(tmp_path):
    label = np.zeros((24, 24, 24), np.uint8)
    label[8:11, 8:11] = 1
    for name, truth in (("full", label), ("bare", label * 0)):
        save(tmp_path / f"truth/{name}.tif", truth)
        save(tmp_path / f"pred/{name}.tif", label * 255)
    report = evaluate(tmp_path / "pred", tmp_path / "truth")
    assert math.isnan(scores(report, "bare")["dice"])
    assert scores(report, "bare")["skeleton_false_2"] > 0
    assert report.results["summary"]["dice"]["n"] == 1


def test_names_that_stand_alone_are_refused(tmp_path, capsys):
    for name in ("pred/a_prob.tif", "pred/b_prob.tif", "truth/a.tif", "truth/c.tif"):
        save(tmp_path / name, np.ones((4, 4, 4), np.uint8))
    status, said = refused(capsys, tmp_path, tmp_path / "pred", tmp_path / "truth")
    assert status == 2
    assert "b (no truth), c (no prediction)" in said
    status, said = refused(capsys, tmp_path, tmp_path / "pred", tmp_path / "nowhere")
    assert status == 2
    assert "nothing there" in said
    (tmp_path / "bare").mkdir()
    status, said = refused(capsys, tmp_path, tmp_path / "pred", tmp_path / "bare")
    assert status == 2
    assert "contains volumes or SWC files" in said


def test_one_name_for_two_things_is_refused(tmp_path, capsys):
    for name in ("pred/a_prob.tif", "pred/a.tif", "truth/a.tif"):
        save(tmp_path / name, np.ones((4, 4, 4), np.uint8))
    status, said = refused(capsys, tmp_path, tmp_path / "pred", tmp_path / "truth")
    assert status == 2
    assert "each name stands for one file" in said


def test_values_that_need_a_legend_are_refused(tmp_path, capsys):
    label = np.zeros((6, 6, 6), np.uint8)
    label[2], label[3] = 1, 2
    truth = save(tmp_path / "truth.tif", label)
    prob = save(tmp_path / "prob.tif", label * 100)
    status, said = refused(capsys, tmp_path, prob, truth)
    assert status == 2
    assert "needs a legend" in said
    assert "0, 1, 2" in said
    status, said = refused(capsys, tmp_path, prob, truth, "--label-map", "0=background,1=neurite")
    assert status == 2
    assert "the legend names each value" in said
    assert "2=ignore" in said
    status, said = refused(capsys, tmp_path, prob, truth, "--label-map", "0=nothing")
    assert status == 2
    assert "a meaning is background, neurite, ignore" in said


def test_a_raw_image_is_no_prediction(tmp_path, capsys):
    made = phantom()
    raw = save(tmp_path / "raw.tif", made.image)
    truth = save(tmp_path / "truth.tif", (made.label == 1).astype(np.uint8))
    status, said = refused(capsys, tmp_path, raw, truth)
    assert status == 2
    assert "--raw for a raw image" in said
    wide = save(tmp_path / "wide.tif", np.linspace(0, 7, 48**3, dtype=np.float32).reshape(SHAPE))
    status, said = refused(capsys, tmp_path, wide, truth)
    assert status == 2
    assert "float32 of 0 to 7" in said


@pytest.mark.parametrize("side", ["prediction", "truth", "raw"])
def test_nan_is_refused_with_its_place(tmp_path, capsys, side):
    made = phantom()
    voxels = {
        "prediction": blurred(made.label) / np.float32(255),
        "truth": (made.label == 1).astype(np.float32),
        "raw": made.image.astype(np.float32),
    }
    voxels[side][3, 4, 5] = np.nan
    paths = {name: save(tmp_path / f"{name}.tif", v) for name, v in voxels.items()}
    status, said = refused(
        capsys, tmp_path, paths["prediction"], paths["truth"], "--raw", paths["raw"]
    )
    assert status == 1
    assert "finite" in said
    assert "the first at voxel 3,4,5" in said


def test_trees_in_another_unit_are_said_and_refused(tmp_path, capsys):
    made = phantom()
    prob = save(tmp_path / "prob.tif", blurred(made.label), size=0.25)
    tree = to_tree(made.scene.neurites)
    write_swc(tree, tmp_path / "voxels.swc")
    status, said = refused(capsys, tmp_path, prob, tmp_path / "voxels.swc")
    assert status == 2
    assert "its unit looks wrong" in said
    assert "--swc-unit voxel" in said
    nm = Tree(tree.points * 250 + 1e5, tree.radii, tree.kinds, tree.parents)
    write_swc(nm, tmp_path / "nm.swc")
    status, said = refused(capsys, tmp_path, prob, tmp_path / "nm.swc")
    assert status == 2
    assert "0% of them do when read as micrometres" in said
    status, said = run(
        capsys, "evaluate", prob, tmp_path / "voxels.swc", "-o", tmp_path / "r", "--swc-unit", "voxel"
    )  # fmt: skip
    assert status == 0
    assert "voxels.swc: read as voxels" in said


def test_trees_far_from_each_other_are_said_and_other_units_refused(tmp_path, capsys):
    """Without a volume, the other side says where a tree should lie."""
    tree = to_tree(phantom().scene.neurites)
    write_swc(tree, tmp_path / "true.swc")
    for name, points in (("nm", tree.points * 1000), ("far", tree.points + 500)):
        write_swc(Tree(points, tree.radii, tree.kinds, tree.parents), tmp_path / f"{name}.swc")
    for one, other, which in (("nm", "true", "prediction"), ("true", "nm", "truth")):
        status, said = refused(capsys, tmp_path, tmp_path / f"{one}.swc", tmp_path / f"{other}.swc")
        assert status == 2
        assert f"they lie apart, but not if those of the {which} are read as nanometres" in said
    status, said = run(
        capsys, "evaluate", tmp_path / "far.swc", tmp_path / "true.swc", "-o", tmp_path / "r"
    )
    assert status == 0
    assert "no node of the prediction lies near the truth" in said


def test_a_prediction_that_looks_like_labels_is_said_to(tmp_path, capsys):
    made = phantom()
    label = save(tmp_path / "label.tif", made.label)
    given = ("evaluate", label, label, "-o", tmp_path / "r", "--label-map", LEGEND)
    status, said = run(capsys, *given)
    assert status == 0
    assert "no voxel of the prediction is above 2 of 255" in said
    assert "--prediction-map" in said
    status, said = run(capsys, *given, "--prediction-map", LEGEND, "--restart")
    assert status == 0
    assert "of 255" not in said
    assert "dice 1.000" in said


def test_where_no_voxel_size_is_stated_it_is_said(tmp_path, capsys):
    made = phantom()
    tifffile.imwrite(tmp_path / "p.tif", blurred(made.label))
    write_swc(to_tree(made.scene.neurites), tmp_path / "t.swc")
    status, said = run(capsys, "evaluate", tmp_path / "p.tif", tmp_path / "t.swc", "-o", tmp_path / "r.html")  # fmt: skip
    assert status == 0
    assert "the voxel size is not known: lengths are in voxels" in said
    assert "t.swc: read as voxels" in said


def test_an_existing_report_is_replaced_only_when_asked(tmp_path, capsys):
    a = save(tmp_path / "a.tif", np.pad(np.ones((2, 2, 8), np.uint8), 4))
    command = ("evaluate", a, a, "-o", tmp_path / "r")
    assert run(capsys, *command)[0] == 0
    status, said = run(capsys, *command)
    assert status == 2
    assert "--restart" in said
    assert run(capsys, *command, "--restart")[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/work.txt").write_text("a year")
    status, said = run(capsys, "evaluate", a, a, "-o", tmp_path / "mine", "--restart")
    assert status == 2
    assert "only a report is replaced" in said
    assert (tmp_path / "mine/work.txt").exists()
    status, said = run(capsys, "evaluate", a, a, "-o", tmp_path / "r.pdf")
    assert status == 2
    assert "a report is a folder, or .html" in said


def test_the_threshold_is_the_one_that_the_record_states(tmp_path):
    made = phantom()
    prob = save(tmp_path / "x_prob.tif", blurred(made.label))
    truth = save(tmp_path / "truth.tif", (made.label == 1).astype(np.uint8))
    record = {"model": {"name": "light-microscopy", "threshold": 0.37}}  # of a model of old
    (tmp_path / "x_run.json").write_text(json.dumps(record))
    found = evaluate(prob, truth).results
    assert found["threshold"] == 0.37
    assert found["threshold_from"].startswith("the threshold of the model light-microscopy")
    assert evaluate(prob, truth, threshold=0.7).results["threshold"] == 0.7


def test_settings_are_checked():
    assert EvaluateSettings().tolerances == (1, 2, 3)
    with pytest.raises(InputError, match="must exist"):
        evaluate("nowhere.tif", "nowhere.tif")


def test_a_truth_of_single_planes_is_said_to_be_one(tmp_path, capsys):
    made = phantom()
    truth = np.zeros(made.label.shape, np.uint8)
    truth[::16] = 1 + (made.label[::16] == 1)
    prob, raw = save(tmp_path / "p.tif", blurred(made.label)), save(tmp_path / "i.tif", made.image)
    status, said = run(
        capsys, "evaluate", prob, save(tmp_path / "t.tif", truth), "-o", tmp_path / "r",
        "--raw", raw, "--label-map", "0=ignore,1=background,2=neurite",
    )  # fmt: skip
    assert status == 0
    assert "93% of the voxels are ignored" in said
    rows = json.loads((tmp_path / "r/scores.json").read_text())["volumes"][0]["scores"]
    assert "calibration_error" in rows["prediction"]
    assert "calibration_error" not in rows["raw"]

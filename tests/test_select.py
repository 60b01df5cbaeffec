"""Select: reasons, budgets, splits, exclusions, export; and every refusal."""

import shutil

import numpy as np
import pytest
import tifffile

import neuroglow
from neuroglow.cubes.manifest import Cube, check_files, read_manifest, write_manifest
from neuroglow.cubes.splits import split_apart
from neuroglow.errors import SettingsError
from neuroglow.labels.labels import LEGEND, NEURITE
from neuroglow.selection.survey_table import LABELLED
from neuroglow.trees.swc import Tree, write_swc
from running import run
from survey_pools import make_cube, rows, varied, write_pool


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    """A pool of 16 cubes with a survey: read-only."""
    folder = tmp_path_factory.mktemp("surveyed")
    write_pool(folder / "pool", varied(16))
    neuroglow.survey(folder / "pool", out=folder / "s.csv")
    return folder


@pytest.fixture
def here(surveyed, tmp_path):
    """The same, to spoil."""
    shutil.copytree(surveyed, tmp_path / "here")
    return tmp_path / "here"


def test_a_selection_is_a_training_manifest(here, capsys):
    status, said = run(capsys, "select", here / "s.csv", "-n", "6", "-o", here / "sel.csv")
    assert (status, "6 cubes: 5 train, 1 val" in said) == (0, True)
    chosen = read_manifest(here / "sel.csv")
    check_files(chosen)
    assert len({cube.name for cube in chosen}) == 6
    assert {cube.split for cube in chosen} == {"train", "val"}
    assert sorted(int(cube.other["rank"]) for cube in chosen) == [1, 2, 3, 4, 5, 6]
    assert all("represents" in cube.other["reason"] for cube in chosen)
    page = (here / "sel.html").read_text(encoding="utf-8")
    assert all(cube.name in page and cube.other["reason"] in page for cube in chosen)
    assert "the rule diverse preferred others" in page
    assert (here / "sel.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_selection_twice_is_the_same_file(here):
    for out in ("a.csv", "b.csv"):
        neuroglow.select(here / "s.csv", out=here / out, n=5, rule="random", seed=3)
    assert (here / "a.csv").read_bytes() == (here / "b.csv").read_bytes()
    assert (here / "a.png").read_bytes() == (here / "b.png").read_bytes()
    neuroglow.select(here / "s.csv", out=here / "c.csv", n=5, rule="random", seed=4)
    assert (here / "a.csv").read_bytes() != (here / "c.csv").read_bytes()


def test_dhpr_takes_the_reference_cubes(here):
    table = rows(here / "s.csv")
    density, noise, low = (np.array([float(row[k]) for row in table]) for k in LABELLED)
    noisy = np.flatnonzero(noise > np.median(noise))
    expected = sorted(noisy[np.argsort(-(density + low)[noisy], kind="stable")[:4]])
    neuroglow.select(here / "s.csv", out=here / "sel.csv", n=4, rule="dhpr")
    assert [r["name"] for r in rows(here / "sel.csv")] == [table[i]["name"] for i in expected]
    assert all("above the median" in r["reason"] for r in rows(here / "sel.csv"))


def test_what_is_annotated_already_is_excluded(here):
    neuroglow.select(here / "s.csv", out=here / "first.csv", n=6)
    report = neuroglow.select(
        here / "s.csv", out=here / "next.csv", n=6, exclude=(str(here / "first.csv"),)
    )
    first, following = ({r["name"] for r in rows(here / f)} for f in ("first.csv", "next.csv"))
    assert not first & following
    assert report.left_out == {"excluded: already annotated": 6}


def test_a_cube_left_out_for_its_name_alone_says_so(here, tmp_path):
    annotated = write_pool(tmp_path / "other", {rows(here / "s.csv")[0]["name"]: make_cube(99)})
    write_manifest(read_manifest(annotated), tmp_path / "done.csv")
    report = neuroglow.select(
        here / "s.csv", out=tmp_path / "sel.csv", n=3, exclude=(str(tmp_path / "done.csv"),)
    )
    assert report.left_out == {"excluded: another cube with this name is annotated": 1}


def test_what_is_to_be_excluded_and_matches_nothing_is_told(here, capsys):
    write_pool(here / "others", {f"x{i}": make_cube(100 + i) for i in range(3)})
    words = ["select", here / "s.csv", "-n", "12", "-o", here / "sel.csv"]
    status, said = run(capsys, *words, "--exclude", here / "others")
    assert (status, "left out" in said) == (0, False)
    assert "of --exclude, 3 cubes matched none of the survey: x0, x1, x2" in said


def test_a_copy_under_another_name_is_excluded(here):
    (here / "mine/image").mkdir(parents=True)
    shutil.copy(here / "pool/image/c03.tif", here / "mine/image/first.tif")
    image = tifffile.imread(here / "pool/image/c04.tif")
    tifffile.imwrite(here / "mine/image/second.tif", image, compression="zlib")
    report = neuroglow.select(
        here / "s.csv", out=here / "sel.csv", n=12, exclude=(str(here / "mine"),)
    )
    assert (report.left_out, report.strange) == ({"excluded: already annotated": 2}, ())
    assert not {"c03", "c04"} & {row["name"] for row in rows(here / "sel.csv")}


def test_what_was_exported_is_excluded(here):
    neuroglow.select(here / "s.csv", out=here / "first.csv", n=5, export=here / "cut")
    report = neuroglow.select(
        here / "s.csv", out=here / "next.csv", n=5, exclude=(str(here / "cut"),)
    )
    assert (report.left_out, report.strange) == ({"excluded: already annotated": 5}, ())


def test_boxes_of_a_volume_are_excluded_where_they_overlap(here):
    tifffile.imwrite(here / "v.tif", np.concatenate([make_cube(i)[0] for i in range(3)]))
    neuroglow.survey(here / "v.tif", out=here / "v.csv", cube=32)
    done = Cube("mine", here / "v.tif", box="40:50,0:9,0:9")
    elsewhere = Cube("yours", here / "pool/image/c00.tif", box="0:9,0:9,0:9")
    write_manifest([done, elsewhere], here / "done.csv")
    report = neuroglow.select(
        here / "v.csv", out=here / "sel.csv", n=2, exclude=(str(here / "done.csv"),)
    )
    assert (report.left_out, report.strange) == ({"excluded: already annotated": 1}, ("yours",))
    assert not [row for row in rows(here / "sel.csv") if row["box"].startswith("32:")]


def test_rows_of_sample_information_are_excluded_by_position(tmp_path):
    table = np.random.default_rng(1).random((8, 3))
    np.save(tmp_path / "sample_information.npy", table)
    settings = {"rule": "random", "val_fraction": 0.0}
    source, first = tmp_path / "sample_information.npy", tmp_path / "first.csv"
    neuroglow.select(source, out=first, n=3, **settings)
    report = neuroglow.select(
        source, out=tmp_path / "next.csv", n=5, exclude=(str(first),), **settings
    )
    assert (report.left_out, report.strange) == ({"excluded: already annotated": 3}, ())


def test_one_cube_is_said_to_be_one(here, capsys):
    said = run(capsys, "select", here / "s.csv", "-n", "1", "-o", here / "sel.csv")[1]
    assert "  1 cube: 1 train" in said


def test_copies_constant_and_held_out_cubes_are_left_out(tmp_path):
    image, label = make_cube(1)
    cubes = {**varied(4), "x1": (image, label), "x2": (image, label), "flat": (image * 0, label)}
    listed = read_manifest(write_pool(tmp_path / "pool", cubes))
    held = [Cube(c.name, c.image, c.label, "test" if c.name == "c00" else "") for c in listed]
    write_manifest(held, tmp_path / "list.csv")
    neuroglow.survey(tmp_path / "list.csv", out=tmp_path / "s.csv")
    report = neuroglow.select(tmp_path / "s.csv", out=tmp_path / "sel.csv", n=4, rule="random")
    assert report.left_out == {
        "already held out for validation or testing": 1,
        "a copy of another cube": 1,
        "constant: a single value": 1,
    }


def test_budgets_of_voxels_and_minutes(here):
    for given, unit in (({"voxels": 5.5 * 32**3}, None), ({"minutes": 30.0}, "minutes")):
        out = here / f"{next(iter(given))}.csv"
        neuroglow.select(here / "s.csv", out=out, rule="random", **given)
        chosen = rows(out)
        if unit:
            assert 10 < sum(float(r["minutes"]) for r in chosen) <= 30.5
        else:
            assert len(chosen) == 5


def test_strata_get_their_share(here):
    table = (here / "s.csv").read_text().splitlines()
    brains = ["brain", *("a" if i < 12 else "b" for i in range(16))]
    (here / "b.csv").write_text(
        "\n".join(f"{row},{b}" for row, b in zip(table, brains, strict=True))
    )
    neuroglow.select(here / "b.csv", out=here / "sel.csv", n=8, stratify="brain")
    chosen = rows(here / "sel.csv")
    assert [sum(r["brain"] == b for r in chosen) for b in "ab"] == [6, 2]
    assert all(r["reason"].startswith(f"brain {r['brain']}: ") for r in chosen)


def test_splits_share_no_voxel():
    def grid(step):
        return [
            Cube(f"c{i}", _here(), box=f"0:32,0:32,{step * i}:{step * i + 32}") for i in range(20)
        ]

    for fraction in (0.1, 0.3, 0.6):
        cubes = split_apart(grid(32), fraction, 0.2, 1)
        assert sum(c.split == "val" for c in cubes) == round(20 * fraction)
        assert sum(c.split == "test" for c in cubes) == 4
    touching = grid(16)[:6] + grid(16)[10:14]
    split = {c.name: c.split for c in split_apart(touching, 0.3, 0.0, 1)}
    assert len({split[f"c{i}"] for i in range(6)}) == 1
    assert len({split[f"c{i}"] for i in range(10, 14)}) == 1
    assert sorted(set(split.values())) == ["train", "val"]
    with pytest.raises(SettingsError, match="overlapping cubes are in one split"):
        split_apart(grid(16), 0.2, 0.0, 1)


def test_a_large_share_that_validates_leaves_one_to_train(here):
    report = neuroglow.select(here / "s.csv", out=here / "sel.csv", n=2, val_fraction=0.9)
    assert report.splits == {"train": 1, "val": 1}


def _here():
    from pathlib import Path

    return Path(__file__)


def test_cubes_are_exported_with_empty_labels(tmp_path):
    image = np.concatenate([make_cube(i, side=48)[0] for i in range(3)])
    tifffile.imwrite(
        tmp_path / "brain.ome.tif",
        image,
        metadata={"axes": "ZYX", "PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.5},
    )
    neuroglow.survey(tmp_path / "brain.ome.tif", out=tmp_path / "s.csv", cube=24)
    neuroglow.select(tmp_path / "s.csv", out=tmp_path / "sel.csv", n=5, export=tmp_path / "cubes")
    moved = read_manifest(tmp_path / "cubes/manifest.csv")
    for cube, row in zip(moved, rows(tmp_path / "sel.csv"), strict=True):
        volume = neuroglow.open_volume(cube.image)
        assert volume.voxel_size_um == (2.0, 0.5, 0.5)
        start = [slice(*map(int, axis.split(":"))) for axis in row["box"].split(",")]
        np.testing.assert_array_equal(tifffile.imread(cube.image), image[tuple(start)])
        empty = tifffile.imread(cube.label)
        assert (empty.shape, empty.dtype, empty.any()) == ((24, 24, 24), np.uint8, False)
    assert [c.name for c in read_manifest(tmp_path / "cubes")] == sorted(c.name for c in moved)


@pytest.mark.parametrize("name", ["sel.csv", "sel.html", "sel.png"])
def test_what_exists_is_not_overwritten(here, capsys, name):
    (here / name).write_text("mine")
    command = ("select", here / "s.csv", "-o", here / "sel.csv", "-n", 2)
    status, said = run(capsys, *command)
    assert (status, "not overwritten" in said, name in said) == (2, True, True)
    status, said = run(capsys, *command, "--restart")
    assert (status, "only a selection is replaced" in said) == (2, True)
    assert (here / name).read_text() == "mine"
    (here / name).unlink()
    assert run(capsys, *command)[0] == 0
    assert run(capsys, *command, "--restart")[0] == 0


def test_labels_that_exist_are_exported(here):
    neuroglow.select(here / "s.csv", out=here / "sel.csv", n=2, export=here / "cubes")
    for row in rows(here / "sel.csv"):
        exported = tifffile.imread(here / f"cubes/label/{row['name']}.tif")
        np.testing.assert_array_equal(exported, tifffile.imread(here / row["label"]))


def test_a_traced_tree_is_exported_drawn(tmp_path):
    image = make_cube(1, side=32)[0]
    pool = write_pool(tmp_path / "pool", {"a": (image, None), "b": (image + 1, None)})
    for name in "ab":
        tree = Tree(
            np.array([[9.0, 16, 2], [9, 16, 29]]), np.ones(2), np.ones(2, int), np.array([-1, 0])
        )
        write_swc(tree, pool / f"label/{name}.swc")
    neuroglow.survey(pool, out=tmp_path / "s.csv")
    neuroglow.select(tmp_path / "s.csv", out=tmp_path / "sel.csv", n=2, export=tmp_path / "cubes")
    for cube in read_manifest(tmp_path / "cubes"):
        drawn = tifffile.imread(cube.label)
        assert (drawn[9, 16, 2:30] == NEURITE).all()
        assert cube.other["label_map"] == LEGEND


def test_sample_information_is_selected_by_position(here, shared):
    recorded = np.load(shared / "reference/selection.npz")
    np.save(here / "sample_information.npy", recorded["table"])
    neuroglow.select(here / "sample_information.npy", out=here / "sel.csv", n=10, rule="dhpr")
    positions = [int(r["name"].removeprefix("position-")) for r in rows(here / "sel.csv")]
    assert positions == recorded["selected_top10"].tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "0"], "at least one cube is chosen"),
        ([], "one budget"),
        (["-n", "3", "--voxels", "9"], "one budget"),
        (["-n", "300"], "-n 16, another --rule, or a larger survey"),
        (["-n", "12", "--rule", "dhpr"], "the rule dhpr can choose 8, 12 requested"),
        (["--voxels", "9"], "must pay for at least one cube"),
        (["-n", "3", "--rule", "best"], "a rule is dhpr, random"),
        (["-n", "3", "--rule", "entropy"], "neuroglow survey --model NAME"),
        (["-n", "3", "--stratify", "moon"], "no column 'moon'"),
        (["-n", "3", "--val-fraction", "0.6", "--test-fraction", "0.6"], "some of the chosen"),
        (["-n", "3", "--exclude", "no.csv"], "no.csv"),
        (["-n", "3", "--export", "pool"], "a new folder"),
    ],
)
def test_what_cannot_be_asked_is_refused(here, capsys, monkeypatch, words, message):
    monkeypatch.chdir(here)
    status, said = run(capsys, "select", "s.csv", "-o", "sel.csv", *words)
    assert (status, message in said) == (2, True), said
    assert not list(here.glob("sel.*"))


def test_a_file_that_changed_since_is_refused(here, capsys):
    tifffile.imwrite(here / "pool/image/c03.tif", make_cube(99)[0])
    words = ("select", here / "s.csv", "-n", "16", "-o", here / "sel.csv")
    status, said = run(capsys, *words)
    assert (status, "different content" in said, "c03" in said) == (2, True, True)
    (here / "pool/image/c03.tif").unlink()
    status, said = run(capsys, *words)
    assert (status, "no such file" in said) == (2, True)
    assert not (here / "sel.csv").exists()


def test_a_volume_that_changed_since_is_not_exported(tmp_path, capsys):
    for seed in (1, 2):
        tifffile.imwrite(tmp_path / "v.tif", make_cube(seed, side=48)[0])
        if seed == 1:
            neuroglow.survey(tmp_path / "v.tif", out=tmp_path / "s.csv", cube=24)
    words = ("-n", "3", "-o", tmp_path / "sel.csv", "--export", tmp_path / "cubes")
    status, said = run(capsys, "select", tmp_path / "s.csv", *words)
    assert (status, "must not change after the survey" in said) == (2, True)
    assert not (tmp_path / "cubes").exists()
    assert not (tmp_path / "sel.csv").exists()


@pytest.mark.parametrize("content", [b"", b"name,image\n", b"\x93NUMPY nonsense", b"a,b\n1,2\n"])
def test_what_is_no_survey_is_refused(tmp_path, capsys, content):
    for name in ("s.csv", "sample_information.npy"):
        (tmp_path / name).write_bytes(content)
        status, _ = run(capsys, "select", tmp_path / name, "-n", "1", "-o", tmp_path / "o.csv")
        assert status == 2


def test_a_manifest_without_indicators_is_refused(here, capsys):
    write_manifest(read_manifest(here / "pool"), here / "plain.csv")
    status, said = run(capsys, "select", here / "plain.csv", "-n", "2", "-o", here / "o.csv")
    assert (status, "without free_signal_density" in said) == (2, True)

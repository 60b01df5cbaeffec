"""Selections that DB-Enhance's scripts left are read; and -n says `at most` where asked."""

import numpy as np
import pytest

import neuroglow
from neuroglow.cubes.manifest import read_manifest
from neuroglow.errors import InputError, SettingsError
from neuroglow.selection.db_enhance_lists import read_recorded
from neuroglow.train.sampling import Sampler
from running import run
from test_learning import pooled
from training_sets import TINY, write_cube


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A pool whose files bear numbers, and what its scripts leave of it."""
    folder = tmp_path_factory.mktemp("theirs")
    for number in (3, 13, 22, 101):
        write_cube(folder, number)
        for kind in ("image", "label"):
            (folder / kind / f"c{number}.tif").rename(folder / kind / f"{number}.tif")
    np.save(folder / "selectd_rule1.npy", np.array([3, 13, 101]))
    lists = folder / "DHPR_Selected"
    lists.mkdir()
    for phase, names in (("train", (22, 3, 13)), ("val", (22, 3))):
        for kind in ("image", "label"):
            lines = [f"/media/hp/study/brain_train_data/{kind}/{name}.tif\n" for name in names]
            (lists / f"{phase}_{kind}_list.txt").write_text("".join(lines))
    np.save(lists / "train_random_patch_ind.npy", [[0, 5, 9, 2], [1, 1, 1, 0], [16, 0, 3, 2]])
    return folder


def test_its_selected_indices_are_names_of_files(theirs, tmp_path, capsys):
    status, said = run(
        capsys,
        *("select", theirs, "--from-db-enhance", theirs / "selectd_rule1.npy"),
        *("-o", tmp_path / "s.csv"),
    )
    assert status == 0, said
    chosen = read_manifest(tmp_path / "s.csv")
    assert sorted(cube.name for cube in chosen) == ["101", "13", "3"]
    assert all("selected by DB-Enhance: selectd_rule1.npy" in c.other["reason"] for c in chosen)
    assert "found by name in selectd_rule1.npy" in said


def test_its_selected_indices_are_positions_where_the_survey_knows_them(theirs, tmp_path):
    rows = np.array([[0.1, 5, 0.2], [0.3, 9, 0.4], [0.2, 8, 0.9], [0.4, 7, 0.1]])
    np.save(tmp_path / "sample_information.npy", rows)
    np.save(tmp_path / "selectd_rule1.npy", np.array([[1], [2]]))
    report = neuroglow.select(
        tmp_path / "sample_information.npy",
        out=tmp_path / "s.csv",
        from_db_enhance=str(tmp_path / "selectd_rule1.npy"),
    )
    names = [cube.name for cube in read_manifest(report.selection)]
    assert names == ["position-00001", "position-00002"]


def test_its_lists_and_patches_are_read_and_trained_on(theirs, tmp_path):
    report = neuroglow.select(
        theirs, out=tmp_path / "s.csv", from_db_enhance=str(theirs / "DHPR_Selected")
    )
    assert "validates on 2 of the cubes that it trains on" in " ".join(report.notes)
    chosen = {cube.name: cube for cube in read_manifest(report.selection)}
    assert chosen["13"].other["patches"] == "0 5 9;16 0 3"
    assert chosen["22"].other["patches"] == "1 1 1"
    assert not chosen["3"].other["patches"]
    settings = TINY | {"sampling": "listed", "steps": 2, "val_fraction": 0}
    run_of = neuroglow.train(report.selection, out=tmp_path / "run", **settings)
    assert run_of.steps == 2


def test_each_listed_patch_is_drawn_once_an_epoch(theirs, tmp_path):
    neuroglow.select(
        theirs,
        out=tmp_path / "s.csv",
        from_db_enhance=str(theirs / "DHPR_Selected"),
        val_fraction=0,
    )
    cubes = pooled(tmp_path, read_manifest(tmp_path / "s.csv"))
    sampler = Sampler(cubes, 16, "listed")
    places = [sampler.listed(7, number) for number in range(30)]
    listed = {(cubes[p.cube].name, p.start) for p in places[:3]}
    assert listed == {("13", (0, 5, 9)), ("22", (1, 1, 1)), ("13", (16, 0, 3))}
    assert all(set(places[i : i + 3]) == set(places[:3]) for i in range(0, 30, 3))
    assert len({tuple(places[i : i + 3]) for i in range(0, 30, 3)}) > 1


def test_listed_patches_are_asked_for_where_none_are_listed(theirs, tmp_path):
    with pytest.raises(InputError, match="must list its patches"):
        neuroglow.train(theirs, out=tmp_path / "run", **TINY | {"sampling": "listed"})


BAD = {
    "floats": (np.array([0.5]), "float64"),
    "a cube of numbers": (np.zeros((2, 2, 2), int), "shape"),
    "nothing": (np.zeros(0, int), "shape"),
}


@pytest.mark.parametrize("fault", BAD)
def test_indices_that_are_none_are_refused(tmp_path, fault):
    content, said = BAD[fault]
    np.save(tmp_path / "selectd_rule1.npy", content)
    with pytest.raises(InputError, match=said):
        read_recorded(tmp_path / "selectd_rule1.npy")


def test_what_is_no_selection_of_its_own_is_refused(theirs, tmp_path):
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(InputError, match="array of whole numbers"):
        read_recorded(tmp_path / "pickled.npy")
    with pytest.raises(InputError, match="folder with train_image_list"):
        read_recorded(tmp_path)
    (tmp_path / "train_image_list.txt").write_text("C:\\pool\\image\\7.tif\r\n")
    assert read_recorded(tmp_path).names == ("7",)
    np.save(tmp_path / "train_random_patch_ind.npy", [[0, 0, 0, 1]])
    with pytest.raises(InputError, match="lines to 1 of 1"):
        read_recorded(tmp_path)
    np.save(tmp_path / "selectd_rule1.npy", np.array([5]))
    with pytest.raises(InputError, match="1 of 1 are not: 5"):
        neuroglow.select(
            theirs, out=tmp_path / "s.csv", from_db_enhance=str(tmp_path / "selectd_rule1.npy")
        )


def test_at_most_takes_what_there_is(theirs, tmp_path, capsys):
    np.save(tmp_path / "sample_information.npy", np.random.default_rng(1).random((290, 3)))
    form = {"out": tmp_path / "s.csv", "rule": "dhpr", "n": 300}
    with pytest.raises(SettingsError, match="the rule dhpr can choose 145") as error:
        neuroglow.select(tmp_path / "sample_information.npy", **form)
    assert "--at-most" in error.value.cure
    status, said = run(
        capsys,
        *("select", tmp_path / "sample_information.npy", "-n", "300", "--at-most"),
        *("--rule", "dhpr", "-o", tmp_path / "s.csv"),
    )
    assert (status, "the rule dhpr can only choose 145 of 300" in said) == (0, True)
    assert len(read_manifest(tmp_path / "s.csv")) == 145


def test_what_contradicts_is_refused(theirs, tmp_path):
    chosen = {"out": tmp_path / "s.csv", "from_db_enhance": str(theirs / "selectd_rule1.npy")}
    with pytest.raises(SettingsError, match="together with n"):
        neuroglow.select(theirs, **chosen, n=3)
    with pytest.raises(SettingsError, match="--at-most without -n"):
        neuroglow.select(theirs, out=tmp_path / "s.csv", at_most=True, voxels=1000)

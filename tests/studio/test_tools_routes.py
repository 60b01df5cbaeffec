"""The studio's routes of annotating, checking and choosing, over the real app."""

import csv

import numpy as np
import pytest

from neuroglow.cubes.manifest import Cube, open_image, open_labels, read_manifest, write_manifest
from neuroglow.formats.tiff_export import export_tiff
from neuroglow.selection.survey_table import FREE, write_survey
from neuroglow.skeleton.editing import forest_of, roots_of
from neuroglow.space.geometry import Box
from neuroglow.space.volume import ArrayVolume
from neuroglow.trees.swc import Tree, read_swc, write_swc

pytest.importorskip("fastapi", reason="the extra studio is not installed")
testclient = pytest.importorskip("starlette.testclient", reason="needs httpx")

TOKEN = "t" * 32


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    raw = rng.integers(90, 110, (24, 26, 28)).astype(np.uint16)
    export_tiff(ArrayVolume(raw, (2.0, 1.0, 1.0)), tmp_path / "brain.tif")
    probability = rng.integers(0, 256, raw.shape).astype(np.uint8)
    export_tiff(ArrayVolume(probability, (2.0, 1.0, 1.0)), tmp_path / "brain_prob.tif")
    write_swc(a_trace(), tmp_path / "brain.swc")
    return tmp_path


def a_trace():
    """Give a line along x with a bridge in its middle."""
    points = np.column_stack([np.full(10, 20.0), np.full(10, 12.0), np.arange(10) * 2.0 + 4])
    bridge = np.zeros(10)
    bridge[[4, 5, 6]] = 1
    columns = {"probability": np.where(bridge > 0, 0.2, 0.9), "bridge": bridge}
    return Tree(points, np.ones(10), np.zeros(10, np.int64), np.arange(10) - 1, columns)


def client(folder):
    from neuroglow.studio.app import create_app

    headers = {"authorization": f"Bearer {TOKEN}"}
    return testclient.TestClient(
        create_app(folder, TOKEN), base_url="http://127.0.0.1", headers=headers
    )


def refused(answer, status, *words):
    assert answer.status_code == status, answer.text
    said = " ".join(answer.json()["error"].values())
    assert all(word in said for word in words), said
    return True


BOX = "2:10,4:14,6:18"


def test_a_label_is_painted_saved_and_found_again(folder):
    studio = client(folder)
    where = {"path": "brain.tif", "box": BOX}
    assert refused(studio.get("/api/label", params=where), 404, "no label saved yet")
    begun = studio.post(
        "/api/label/start", json={**where, "start": "prediction", "prediction": "brain_prob.tif"}
    )
    label = np.frombuffer(begun.content, np.uint8).reshape(8, 10, 12).copy()
    assert begun.headers["x-shape"] == "8,10,12"
    assert 0 < label.mean() < 1
    label[0] = 2
    saved = studio.put("/api/label", params=where, content=label.tobytes()).json()
    assert saved == {
        "name": "brain_z2_y4_x6",
        "set": "annotations",
        "neurite_voxels": int((label == 1).sum()),
    }
    again = client(folder)
    assert again.get("/api/label", params=where).content == label.tobytes()
    assert again.get("/api/annotations").json()["cubes"] == [
        {"name": "brain_z2_y4_x6", "source": "brain.tif", "box": BOX, "split": ""}
    ]
    (cube,) = read_manifest(folder / "annotations")
    image = open_image(cube)
    assert np.array_equal(open_labels(cube, image).read(Box.of(image.shape)), label)


def test_a_label_that_does_not_fit_is_refused(folder):
    studio = client(folder)
    where = {"path": "brain.tif", "box": BOX}
    assert refused(studio.put("/api/label", params=where, content=b"\0" * 9), 400, "9 bytes")
    body = b"\7" * (8 * 10 * 12)
    assert refused(studio.put("/api/label", params=where, content=body), 400, "the value 7")
    outside = {"path": "brain.tif", "box": "0:99,0:9,0:9"}
    assert refused(studio.post("/api/label/start", json=outside), 400, "inside the volume")
    for training in ("../elsewhere", "/tmp/x", ".neuroglow-studio"):
        answer = studio.put(
            "/api/label", params={**where, "training": training}, content=b"\0" * 960
        )
        assert refused(answer, 403)
    assert not (folder / "annotations").exists()


def test_a_rejected_bridge_splits_the_tree_in_the_saved_file(folder):
    studio = client(folder)
    opened = studio.get("/api/check", params={"path": "brain.swc", "volume": "brain.tif"}).json()
    assert [p["kind"] for p in opened["places"]] == ["bridge", "end", "end"]
    assert opened["places"][0]["at"] == [14.0, 12.0, 20.0]
    assert len(opened["trees"]) == 1
    decided = {"path": "brain.swc", "place": "bridge-1", "decision": "rejected", "note": "two"}
    changed = studio.post("/api/check/decide", json=decided).json()
    assert [tree["id"] for tree in changed["trees"]] == [0, 6]
    again = client(folder)  # the server was started again
    kept = again.get("/api/check", params={"path": "brain.swc"}).json()
    assert kept["places"][0]["decision"] == "rejected"
    assert len(kept["trees"]) == 2
    out = {"path": "brain.swc", "out": "brain_corrected.swc"}
    saved = again.post("/api/check/save", json=out).json()
    assert saved == {"trees": "brain_corrected.swc", "decisions": "brain_corrected_checked.csv"}
    tree = read_swc(folder / "brain_corrected.swc")
    assert len(set(roots_of(forest_of(tree)).tolist())) == 2
    rows = list(csv.DictReader((folder / "brain_corrected_checked.csv").read_text().splitlines()))
    assert [row["decision"] for row in rows] == ["rejected", "open", "open"]
    assert refused(again.post("/api/check/save", json=out), 409, "not overwritten")
    items = {i["name"]: i for i in again.get("/api/folder").json()["items"]}
    origins = items["brain.swc"]["belongs_to"]
    assert items["brain_corrected.swc"]["belongs_to"] == ["brain.swc", *origins]


def test_each_answer_names_the_trees_from_which_it_tells_the_difference(folder):
    """So that a page knows when another one has changed them; or another studio, or another file."""
    studio = client(folder)
    opened = studio.get("/api/check", params={"path": "brain.swc"}).json()
    cut = {"path": "brain.swc", "step": {"edits": [{"op": "cut", "node": 5}]}}
    one = studio.post("/api/check/step", json=cut).json()
    assert one["before"] == opened["token"] != one["token"]
    two = studio.post("/api/check/undo", json={"path": "brain.swc"}).json()
    assert two["before"] == one["token"]
    again = client(folder)
    assert (
        again.post("/api/check/redo", json={"path": "brain.swc"}).json()["before"] != two["token"]
    )


def test_edits_are_told_as_the_trees_that_change_and_undone(folder):
    studio = client(folder)
    studio.get("/api/check", params={"path": "brain.swc"})

    def step(*edits):
        body = {"path": "brain.swc", "step": {"edits": list(edits)}}
        return studio.post("/api/check/step", json=body)

    cut = step({"op": "cut", "node": 3}).json()
    assert [(t["id"], t["ids"]) for t in cut["trees"]] == [
        (0, [0, 1, 2]),
        (3, [3, 4, 5, 6, 7, 8, 9]),
    ]
    drawn = step({"op": "draw", "node": 2, "at": [8, 13, 20]}).json()
    assert [t["ids"] for t in drawn["trees"]] == [[0, 1, 2, 10]]
    joined = step({"op": "join", "node": 10, "other": 3}).json()
    assert (joined["gone"], [t["id"] for t in joined["trees"]]) == ([3], [0])
    assert refused(step({"op": "join", "node": 0, "other": 9}), 400, "cycle")
    assert refused(step({"op": "explode"}), 422)
    for _ in range(3):
        last = studio.post("/api/check/undo", json={"path": "brain.swc"}).json()
    assert (last["steps"], last["undone"], last["gone"]) == (0, 3, [3])
    assert [t["ids"] for t in last["trees"]] == [list(range(10))]
    assert studio.post("/api/check/redo", json={"path": "brain.swc"}).json()["steps"] == 1
    assert refused(
        studio.post("/api/check/save", json={"path": "brain.swc", "out": "../a.swc"}), 403
    )


def test_another_file_of_the_same_name_begins_anew(folder):
    studio = client(folder)
    decided = {"path": "brain.swc", "place": "bridge-1", "decision": "accepted"}
    studio.post("/api/check/decide", json=decided)
    tree = a_trace()
    write_swc(Tree(tree.points + 1, *(getattr(tree, n) for n in ("radii", "kinds", "parents", "columns"))),
              folder / "brain.swc")  # fmt: skip
    opened = client(folder).get("/api/check", params={"path": "brain.swc"}).json()
    assert opened["steps"] == 0


def test_two_tracings_are_compared(folder):
    tree = a_trace()
    shorter = Tree(*(v[:5] for v in (tree.points, tree.radii, tree.kinds, tree.parents)))
    write_swc(shorter, folder / "other.swc")
    compared = (
        client(folder)
        .get("/api/check/compare", params={"path": "brain.swc", "other": "other.swc"})
        .json()
    )
    assert compared["only_other"] == []
    assert compared["length_this"] == pytest.approx(8, abs=1)
    (marked,) = compared["only_this"]
    assert [node[0] for node in marked["nodes"]] == [16.0, 18.0, 20.0, 22.0]


def a_survey(folder, outside=None):
    rng = np.random.default_rng(1)
    cubes = [
        Cube(
            f"c{i}",
            outside or folder / "brain.tif",
            box=f"0:8,0:8,{8 * i}:{8 * i + 8}",
            other={name: str(rng.random()) for name in FREE},
        )
        for i in range(3)
    ]
    return write_survey(cubes, folder / "survey.csv")


def test_a_selection_by_hand_is_saved_and_seen_again(folder):
    a_survey(folder)
    studio = client(folder)
    survey = studio.get("/api/selection", params={"path": "survey.csv"}).json()
    assert [i["name"] for i in survey["indicators"]] == list(FREE)
    assert [c["chosen"] for c in survey["cubes"]] == [False] * 3
    picture = studio.get("/api/selection/picture", params={"path": "survey.csv", "name": "c1"})
    assert picture.content.startswith(b"\x89PNG")
    body = {
        "path": "survey.csv",
        "out": "mine.csv",
        "taken": [{"name": "c2", "reason": "faint"}, {"name": "c0"}],
        "dropped": [{"name": "c1", "reason": "torn"}],
    }
    saved = studio.post("/api/selection", json=body).json()
    assert [cube["name"] for cube in saved["cubes"]] == ["c0", "c2"]
    kept = client(folder).get("/api/selection", params={"path": "mine.csv"}).json()
    assert [(c["name"], c["reason"], c["chosen"]) for c in kept["cubes"]] == [
        ("c0", "by hand", True),
        ("c2", "faint", True),
    ]
    assert refused(studio.post("/api/selection", json=body), 409, "not overwritten")
    cut = body | {"out": "cut.csv", "export": "cut_cubes"}
    for bad in ("../cut_cubes", ".", "brain.tif/cubes", ".neuroglow-studio/cubes"):
        answer = studio.post("/api/selection", json=cut | {"export": bad})
        assert 400 <= answer.status_code < 500, bad
        assert not (folder / "cut.csv").exists(), bad
    assert studio.post("/api/selection", json=cut).status_code == 200
    assert [cube.name for cube in read_manifest(folder / "cut_cubes")] == ["c0", "c2"]
    again = cut | {"out": "again.csv"}
    assert refused(studio.post("/api/selection", json=again), 409, "new folder")
    assert not (folder / "again.csv").exists()
    assert refused(studio.get("/api/selection", params={"path": "brain.tif"}), 400, "table")


def test_cubes_outside_of_the_folder_are_not_seen(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.tif"
    export_tiff(ArrayVolume(np.ones((9, 9, 30), np.uint8)), secret)
    a_survey(folder, outside=secret)
    studio = client(folder)
    survey = studio.get("/api/selection", params={"path": "survey.csv"})
    assert "elsewhere" not in survey.text
    picture = studio.get("/api/selection/picture", params={"path": "survey.csv", "name": "c1"})
    assert refused(picture, 403)
    body = {"path": "survey.csv", "out": "mine.csv", "taken": [{"name": "c2"}]}
    assert refused(studio.post("/api/selection", json=body), 403)
    assert not (folder / "mine.csv").exists()


def test_annotations_that_point_outside_are_not_read(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.tif"
    export_tiff(ArrayVolume(np.ones((8, 10, 12), np.uint8)), secret)
    other = {"source": "../brain.tif", "source_box": BOX, "label_map": "0=background,1=neurite"}
    (folder / "annotations").mkdir()
    cube = Cube("a", secret, secret, other=other)
    write_manifest([cube], folder / "annotations/manifest.csv")
    answer = client(folder).get("/api/label", params={"path": "brain.tif", "box": BOX})
    assert refused(answer, 403)

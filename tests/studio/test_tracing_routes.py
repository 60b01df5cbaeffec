"""Tracing within a check, over the real app: from a click, over blocks, somata, crops, marks."""

import csv

import numpy as np
import pytest
from asking import error_of, studio_of
from branched_line import LONG, line_with_a_branch_and_a_soma

from neuroglow.formats.tiff_export import export_tiff
from neuroglow.skeleton.editing import forest_of, roots_of
from neuroglow.space.volume import ArrayVolume
from neuroglow.trees.swc import Tree, read_swc, write_swc

pytest.importorskip("fastapi", reason="needs the extra studio")
pytest.importorskip("httpx", reason="needs httpx, to ask the studio")


@pytest.fixture
def folder(tmp_path):
    """A probability with a line along x that is longer than two blocks, a branch, and a soma."""
    voxels = line_with_a_branch_and_a_soma()
    export_tiff(ArrayVolume(voxels, (1.0, 1.0, 1.0)), tmp_path / "line_prob.tif")
    return tmp_path


def grown(ask, **where):
    given = {"path": "new.swc", "probability": "line_prob.tif", "threshold": 0.5, **where}
    return ask.post("/api/check/grow", given)


def test_a_line_is_traced_from_a_click_and_on_over_the_blocks(folder):
    ask = studio_of(folder)
    new = {"out": "new.swc", "made_from": ["line_prob.tif"]}
    assert ask.post("/api/check/new", new).json() == {"path": "new.swc"}
    items = {i["name"]: i for i in ask.get("/api/folder").json()["items"]}
    assert items["new.swc"]["belongs_to"] == ["line_prob.tif"]
    assert ask.post("/api/check/new", {"out": "new.swc"}).status_code == 409
    assert ask.get("/api/check", path="new.swc", volume="line_prob.tif").json()["trees"] == []
    assert error_of(grown(ask, at=[30, 5, 12]))["found"].startswith("none")
    first = grown(ask, at=[20, 20, 12]).json()
    (tree,) = first["trees"]
    assert max(node[0] for node in tree["nodes"]) < 132
    assert max(node[1] for node in tree["nodes"]) > 33  # the branch
    ends = first["open"]
    assert len(ends) == 1
    blocks = 0
    while ends:
        blocks += 1
        assert blocks < 6
        later = grown(ask, node=ends.pop()).json()
        ends += later["open"]
    (tree,) = later["trees"]
    xs = sorted(node[0] for node in tree["nodes"])
    assert xs[0] < 10
    assert xs[-1] > LONG - 10
    assert tree["length"] == pytest.approx(LONG - 8 + 15, abs=20)  # nothing is traced twice
    assert error_of(grown(ask, at=[100, 20, 12]))["found"].startswith("a tree there")
    kept = studio_of(folder).get("/api/check", path="new.swc").json()  # the server was killed
    assert [len(t["nodes"]) for t in kept["trees"]] == [len(tree["nodes"])]
    saved = ask.post("/api/check/save", {"path": "new.swc", "out": "done.swc"})
    assert saved.status_code == 200
    assert len(set(roots_of(forest_of(read_swc(folder / "done.swc"))))) == 1
    undone = ask.post("/api/check/undo", {"path": "new.swc"}).json()
    assert max(node[0] for t in undone["trees"] for node in t["nodes"]) < LONG - 10


def test_a_line_is_traced_in_a_probability_from_a_node_that_is_there(folder):
    ask = studio_of(folder)
    ask.post("/api/check/new", {"out": "new.swc"})
    assert error_of(grown(ask))["rule"].startswith("a line is traced from a place")
    assert grown(ask, node=7).status_code == 404
    export_tiff(ArrayVolume(np.ones((9, 9, 9), np.uint16), (1.0, 1.0, 1.0)), folder / "raw.tif")
    answer = grown(ask, at=[1, 1, 1], probability="raw.tif")
    assert error_of(answer)["found"] == "volume"


def test_somata_are_found_with_the_node_that_lies_in_them(folder):
    line = np.column_stack([np.full(20, 12.0), np.full(20, 20.0), np.arange(20) * 5.0 + 100])
    tree = Tree(line, np.ones(20), np.zeros(20, np.int64), np.arange(20) - 1)
    write_swc(tree, folder / "line.swc")
    ask = studio_of(folder)
    where = {"path": "line.swc", "volume": "line_prob.tif", "radius": 4}
    (soma,) = ask.get("/api/check/somata", **where).json()["somata"]
    assert soma["at"] == pytest.approx([150, 20, 12], abs=1.5)
    assert soma["radius"] == pytest.approx(7.5, abs=1)
    assert soma["node"] == 10
    assert ask.get("/api/check/somata", **where, box="0:24,0:40,0:90").json()["somata"] == []
    edit = {"op": "soma", "node": soma["node"], "radius": soma["radius"]}
    changed = ask.post("/api/check/step", {"path": "line.swc", "step": {"edits": [edit]}}).json()
    (tree,) = changed["trees"]
    assert tree["nodes"][tree["ids"].index(10)][3:] == [
        pytest.approx(soma["radius"], abs=1e-3),
        -1,
        1,
    ]


def test_a_place_is_marked_listed_checked_and_saved(folder):
    line = np.column_stack([np.full(20, 12.0), np.full(20, 20.0), np.arange(20) * 5.0 + 100])
    write_swc(Tree(line, np.ones(20), np.zeros(20, np.int64), np.arange(20) - 1), folder / "a.swc")
    ask = studio_of(folder)
    step = {"mark": [120, 20, 12], "note": "two fibres?"}
    marked = ask.post("/api/check/step", {"path": "a.swc", "step": step}).json()
    mark = marked["places"][-1]
    assert (mark["name"], mark["kind"], mark["at"], mark["said"], mark["decision"]) == (
        "mark-1", "mark", [120, 20, 12], "two fibres?", "open",
    )  # fmt: skip
    decided = {"path": "a.swc", "place": "mark-1", "decision": "accepted", "note": "one fibre"}
    checked = ask.post("/api/check/decide", decided).json()
    assert checked["places"][-1]["decision"] == "accepted"
    ask.post("/api/check/save", {"path": "a.swc", "out": "b.swc"})
    rows = list(csv.DictReader((folder / "b_checked.csv").read_text().splitlines()))
    assert [(r["place"], r["decision"], r["note"]) for r in rows if r["kind"] == "mark"] == [
        ("mark-1", "accepted", "one fibre")
    ]
    for _ in range(2):
        last = ask.post("/api/check/undo", {"path": "a.swc"}).json()
    assert all(place["kind"] != "mark" for place in last["places"])


def test_trees_of_a_brain_are_checked_over_a_crop_of_it(folder):
    """The crop begins at voxel 10, 20, 30 of a brain; one tree crosses it, another lies elsewhere."""
    size = (2.0, 1.0, 1.0)
    export_tiff(ArrayVolume(np.ones((10, 20, 30), np.uint16), size), folder / "crop.tif")
    (folder / "manifest.csv").write_text('name,image,label,split,offset\nc,crop.tif,,,"10,20,30"\n')
    xs = np.arange(20) * 5.0
    lines = [
        np.column_stack([np.full(20, z), np.full(20, y), xs])
        for z, y in ((30.0, 30.0), (90.0, 5.0))
    ]
    parents = np.concatenate([np.arange(20) - 1, np.arange(20) + 19])
    parents[20] = -1
    probability = np.tile(np.where((xs > 34) & (xs < 46), 0.3, 0.9), 2)
    tree = Tree(
        np.concatenate(lines),
        np.ones(40),
        np.zeros(40, np.int64),
        parents,
        {"probability": probability},
    )
    write_swc(tree, folder / "brain.swc")
    ask = studio_of(folder)
    opened = ask.get("/api/check", path="brain.swc", volume="crop.tif").json()
    assert opened["origin"] == [20, 20, 30]
    (shown,) = opened["trees"]
    assert shown["nodes"][0][:3] == [-30, 10, 10]
    (place,) = opened["places"]
    assert (place["kind"], place["at"]) == ("faint", [5, 10, 10])
    assert opened["elsewhere"] == 1
    decided = {"path": "brain.swc", "place": place["name"], "decision": "rejected"}
    changed = ask.post("/api/check/decide", decided).json()
    assert all(node[1:3] == [10, 10] for one in changed["trees"] for node in one["nodes"])
    ask.post("/api/check/save", {"path": "brain.swc", "out": "saved.swc"})
    saved = read_swc(folder / "saved.swc")
    assert len(saved.points) == 40 - 3
    assert saved.points[:, 2].max() == 95  # in the place of the brain
    rows = list(csv.DictReader((folder / "saved_checked.csv").read_text().splitlines()))
    assert {row["decision"] for row in rows if row["kind"] == "faint"} == {"rejected", "open"}

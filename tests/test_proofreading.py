"""Proofreading: the order of doubtful places, decisions and what follows from them, undo."""

import csv
import io

import numpy as np
import pytest
from pydantic import ValidationError

from neuroglow.errors import InputError
from neuroglow.skeleton.doubts import Uncertain, find_doubts, read_uncertain
from neuroglow.skeleton.editing import forest_of, roots_of
from neuroglow.skeleton.edits import Edit, apply_edit
from neuroglow.skeleton.proofreading import Proofreading, Step, decision_rows
from neuroglow.trees.swc import Tree


def chain():
    """Give a line along x of 12 nodes: a bridge over nodes 4 and 5, a faint stretch 8 and 9."""
    points = np.zeros((12, 3))
    points[:, 2] = np.arange(12) * 5.0
    points[:, :2] = 30.0
    bridge = np.zeros(12)
    bridge[[4, 5, 6]] = 1
    probability = np.full(12, 0.9)
    probability[[4, 5]] = 0.2
    probability[[8, 9]] = 0.3
    parents = np.arange(12) - 1
    return Tree(
        points,
        np.ones(12),
        np.zeros(12, np.int64),
        parents,
        {"probability": probability, "bridge": bridge},
    )


def cross():
    """Give a straight line through a node from which a third arm leaves at a right angle."""
    points = np.array([[0, 0, 0], [0, 0, 5], [0, 0, 10], [0, 5, 5]], float)
    columns = {"probability": np.ones(4), "bridge": np.zeros(4)}
    return Tree(points, np.ones(4), np.zeros(4, np.int64), np.array([-1, 0, 1, 1]), columns)


EXTENT = (np.zeros(3), np.array([60.0, 60.0, 55.0]))


def begun(tree=None, uncertain=()):
    forest = forest_of(tree or chain())
    return Proofreading.of(forest, find_doubts(forest, uncertain, EXTENT))


def count(work):
    return len(np.unique(roots_of(work.forest)[work.forest.alive]))


def test_places_come_in_order_bridges_first_and_ends_last():
    uncertain = [Uncertain(np.array([30.0, 30.0, 6.0]), 0.5, "joined")]
    doubts = begun(uncertain=uncertain).doubts
    assert [d.kind for d in doubts] == ["bridge", "crossing", "faint"]  # both ends are at a face
    assert (doubts[1].node, doubts[2].node) == (1, 8)
    assert doubts[0].probability == pytest.approx((0.2 + 0.2 + 0.9) / 3)


def test_an_end_in_the_tissue_is_a_doubt_and_one_at_a_face_is_none():
    forest = forest_of(chain())
    wide = (np.array([0.0, 0.0, -20.0]), np.array([60.0, 60.0, 55.0]))
    assert [d.node for d in find_doubts(forest, (), wide) if d.kind == "end"] == [0]


def test_a_rejected_bridge_splits_the_tree_and_undo_brings_it_back():
    work = begun()
    rejected = work.decide("bridge-1", "rejected", "two fibres")
    assert count(work) == 1
    assert count(rejected) == 2
    assert rejected.forest.alive.sum() == 10
    back = rejected.undo()
    assert count(back) == 1
    assert count(rejected.decide("bridge-1", "rejected")) == 2  # it is gone already
    assert back.decided() == {}
    assert count(back.redo()) == 2
    assert back.redo().decided()["bridge-1"].note == "two fibres"


def test_an_accepted_bridge_changes_nothing_but_the_list():
    work = begun().decide("bridge-1", "accepted")
    assert count(work) == 1
    assert work.decided()["bridge-1"].decision == "accepted"


def test_a_rejected_faint_stretch_is_deleted():
    work = begun().decide("faint-8", "rejected")
    assert np.flatnonzero(~work.forest.alive).tolist() == [8, 9]
    assert count(work) == 2


def test_a_rejected_crossing_keeps_its_straightest_pair_together():
    work = begun(cross(), [Uncertain(np.array([0.0, 0.5, 5.0]), 0.5, "joined")])
    roots = roots_of(work.decide("crossing-1", "rejected").forest)
    assert roots[0] == roots[2] != roots[3]


def test_a_rejected_cut_joins_the_trees_that_meet_there():
    tree = cross()
    apart = Tree(tree.points, tree.radii, tree.kinds, np.array([-1, 0, 1, -1]), tree.columns)
    work = begun(apart, [Uncertain(np.array([0.0, 2.0, 5.0]), 0.5, "cut")])
    assert count(work) == 2
    assert count(work.decide("crossing-1", "rejected")) == 1


def test_steps_that_were_kept_lead_to_the_same_trees():
    work = begun().decide("bridge-1", "rejected")
    work = work.take(Step(edits=(Edit(op="join", node=3, other=6), Edit(op="root", node=7))))
    again = Proofreading.of(work.traced, work.doubts, work.steps)
    assert np.array_equal(again.forest.parents, work.forest.parents)
    kept = [Step.model_validate_json(step.model_dump_json()) for step in work.steps]
    assert tuple(kept) == work.steps


def test_a_step_that_fails_leaves_everything_as_it_was():
    work = begun()
    with pytest.raises(InputError, match="cycle"):
        work.take(Step(edits=(Edit(op="cut", node=4), Edit(op="join", node=1, other=2))))
    with pytest.raises(InputError, match="doubtful places"):
        work.decide("bridge-9", "accepted")
    with pytest.raises(InputError, match="step to undo"):
        work.undo()
    assert work.steps == ()


def test_the_list_of_decisions_names_every_place_and_every_edit():
    work = begun().decide("bridge-1", "rejected", "no, two")
    work = work.take(Step(edits=(Edit(op="cut", node=2),)))
    rows = list(csv.DictReader(io.StringIO(decision_rows(work))))
    assert [(r["place"], r["decision"]) for r in rows] == [
        ("bridge-1", "rejected"),
        ("faint-8", "open"),
        ("", "edited"),
    ]
    assert rows[0]["note"] == "no, two"
    assert "cut" in rows[2]["edits"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"op": "join", "node": 1}, "no other"),
        ({"op": "draw"}, "no at"),
        ({"op": "cut", "node": 0}, "root"),
        ({"op": "cut", "node": 99}, "not there"),
        ({"op": "reject_bridge", "bridge": 5}, "no bridge 5"),
    ],
)
def test_an_impossible_edit_is_refused_in_words(edit, message):
    with pytest.raises(InputError, match="found: .*" + message):
        apply_edit(forest_of(chain()), Edit(**edit))


@pytest.mark.parametrize(
    "edit",
    [
        {"op": "explode"},
        {"op": "move", "node": 1, "at": [1, 2, float("nan")]},
        {"op": "cut", "node": -1},
        {"op": "cut", "node": 1, "extra": 1},
    ],
)
def test_an_edit_of_another_form_is_invalid(edit):
    with pytest.raises(ValidationError):
        Edit(**edit)


def test_somata_are_set_added_and_removed():
    forest = forest_of(chain())
    there = apply_edit(forest, Edit(op="soma", node=6, radius=5))
    assert (there.kinds[6], there.parents[6], there.radii[6]) == (1, -1, 5)
    added = apply_edit(there, Edit(op="draw", at=(1, 2, 3), kind=1, radius=4))
    assert added.points[12].tolist() == [3, 2, 1]
    assert apply_edit(added, Edit(op="delete", node=12)).alive.sum() == 12


def test_the_decisions_of_a_trace_are_read(tmp_path):
    assert read_uncertain(tmp_path / "none.csv") == []
    table = tmp_path / "decisions.csv"
    table.write_text("x,y,z,probability,decision\n")
    assert read_uncertain(table) == []
    table.write_text("x,y,z,probability,decision\n1.000,2.000,3.000,0.40,cut\n")
    (one,) = read_uncertain(table)
    assert (one.place.tolist(), one.probability, one.decision) == ([3, 2, 1], 0.4, "cut")

"""Neurons that touch are cut apart where lines are dense; branches stay, and decisions are listed."""

import csv
from functools import partial

import numpy as np
import pytest

import neuroglow
from lines import SIZE, draw, length, straight
from neuroglow.skeleton.middles import find_middles
from neuroglow.skeleton.tracer import Rules, Views, trace_lines

CURTAIN = [straight((z, 4, x), (z, 60, x), 0.4) for z in (16, 25, 39, 48) for x in range(4, 61, 8)]
"""Many lines close by: chance contacts are frequent."""

TRUNK = straight((32, 32, 2), (32, 32, 62), 0.6)
SIDE = straight((32, 33, 32), (32, 60, 36), 0.6)
"""It ends at the middle of the trunk, at nearly a right angle."""


def found(*trees, **settings):
    return neuroglow.trace(draw(*trees), threshold=0.5, voxel_size=(1, 1, 1), **settings)


def test_a_side_that_touches_among_many_lines_is_a_tree_of_its_own():
    report = found(TRUNK, SIDE, *CURTAIN)
    assert report.summary["branch_points"] == 0
    assert report.summary["trees"] == len(CURTAIN) + 2


def test_the_same_alone_is_a_branch():
    report = found(TRUNK, SIDE)
    assert [report.summary[k] for k in ("trees", "branch_points")] == [1, 1]


def test_fibres_that_run_along_each_other_are_told_apart():
    """They share ten voxels and leave at twenty degrees."""
    one = straight((32, 22, 2), (32, 42, 62), 0.5), straight((32, 42, 2), (32, 22, 62), 0.5)
    report = found(*one)
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [2, 4, 0]
    for tree in report.trees:
        assert abs(tree.points[0, 1] - tree.points[-1, 1]) > 15
        assert length(tree) == pytest.approx(np.hypot(60, 20), rel=0.05)


def test_a_line_that_turns_back_and_changes_where_a_side_was_removed_is_two():
    """One passes the end of the other by a few voxels, which are removed as a spur.

    Alone, and if nothing changes but the direction, it is a bend.
    """
    one = straight((32, 32, 2), (32, 32, 35), 0.6)
    other = draw(straight((32, 33, 32), (32, 62, 4), 2.0), value=0.55)
    bend = straight((32, 33, 32), (32, 62, 4), 0.6)
    alone = neuroglow.trace(draw(one, bend), threshold=0.5)
    among = neuroglow.trace(np.maximum(draw(one, *CURTAIN), other), threshold=0.5)
    assert alone.summary["trees"] == 1
    assert [among.summary[k] for k in ("trees", "branch_points")] == [len(CURTAIN) + 2, 0]


@pytest.mark.parametrize("on", [0, 10])
@pytest.mark.parametrize(("radius", "away"), [(0.6, 6), (1.0, 3), (1.0, 6)])
def test_opposite_branches_of_a_lone_neurite_stay_with_it(radius, away, on):
    """They leave at 90 or 70 degrees, a few voxels from each other."""
    trunk = straight((32, 32, 2), (32, 32, 62), radius)
    sides = (
        straight((32, 32, 32), (32, 4, 32 + on), radius),
        straight((32, 32, 32 + away), (32, 60, 32 + on + away), radius),
    )
    report = found(trunk, *sides)
    assert [report.summary[k] for k in ("trees", "tips")] == [1, 4]


@pytest.mark.parametrize("degrees", [45, 60, 90])
def test_lone_fibres_that_cross_are_two(degrees):
    half = np.radians(degrees) / 2
    way = 28 * np.array([0, np.sin(half), np.cos(half)])
    middle, other = np.array([32, 32, 32]), way * [1, -1, 1]
    report = found(*(straight(middle - w, middle + w, 0.6) for w in (way, other)))
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [2, 4, 0]


def test_a_lone_fork_of_four_stays_whole():
    ends = (32, 32, 2), (32, 50, 60), (32, 14, 60), (50, 32, 60)
    report = found(*(straight((32, 32, 32), end, 0.8) for end in ends))
    assert [report.summary[k] for k in ("trees", "tips")] == [1, 4]


def test_decisions_are_listed_with_their_places(tmp_path):
    report = neuroglow.trace(draw(TRUNK, SIDE, *CURTAIN), threshold=0.5, out=tmp_path / "t.swc")
    rows = list(csv.DictReader(report.decisions.read_text().splitlines()))
    assert {row["decision"] for row in rows} <= {"joined", "cut"}
    cuts = [[float(row[axis]) for axis in "zyx"] for row in rows if row["decision"] == "cut"]
    assert cuts
    assert (np.linalg.norm(np.subtract(cuts, (32, 32, 32)), axis=1) < 3).all()


def test_each_piece_is_in_one_tree_and_no_length_is_lost():
    seen = draw(TRUNK, SIDE, *CURTAIN)
    rules = Rules.usual(0.5, (1, 1, 1))

    def read(box):
        return seen[box.slices]

    trees, decisions = trace_lines(
        Views(read, read), SIZE, (1.0, 1.0, 1.0), rules, find=partial(find_middles, block=64)
    )
    whole = neuroglow.trace(seen, threshold=0.5, crossing_angle=0).trees
    assert any(one.joined for one in decisions)
    assert not all(one.joined for one in decisions)
    assert sum(map(length, trees)) == pytest.approx(sum(map(length, whole)), abs=3)

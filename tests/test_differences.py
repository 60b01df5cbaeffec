"""Two tracings compared."""

import numpy as np
import pytest

from neuroglow.metrics.differences import compare_trees
from neuroglow.trees.swc import Tree


def line(length, *, off=0.0):
    points = np.zeros((length + 1, 3))
    points[:, 2], points[:, 1] = np.arange(length + 1), off
    parents = np.arange(length + 1) - 1
    return Tree(points, np.ones(length + 1), np.zeros(length + 1, np.int64), parents)


def test_a_tracing_is_like_itself():
    same = compare_trees(line(20), line(20))
    assert not same.only_one.any()
    assert not same.only_other.any()
    assert same.length_one == same.length_other == 0
    assert same.scores["erl"] == 1


def test_a_missing_stretch_is_marked_where_it_is():
    apart = compare_trees(line(20), line(10), tolerance=2)
    assert np.flatnonzero(apart.only_one).tolist() == list(range(13, 21))
    assert not apart.only_other.any()
    assert apart.length_one == pytest.approx(7.5)  # a node stands for half of each of its edges
    turned = compare_trees(line(10), line(20), tolerance=2)
    assert np.array_equal(turned.only_other, apart.only_one)


def test_tracings_side_by_side_differ_beyond_the_tolerance():
    assert compare_trees(line(20), line(20, off=3), tolerance=2).only_one.all()
    assert not compare_trees(line(20), line(20, off=3), tolerance=4).only_one.any()


def test_nothing_is_compared_with_nothing():
    none = Tree(np.empty((0, 3)), np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    assert compare_trees(line(5), none).only_one.all()
    assert compare_trees(none, none).scores == {}

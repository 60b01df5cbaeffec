"""Editing of trees: length and edges are kept, no cycle arises, numbers stay."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroglow.errors import InputError
from neuroglow.skeleton import editing
from neuroglow.trees.swc import Tree, parents_first


def tree(parents, bridges=None, kinds=None, seed=0):
    count = len(parents)
    rng = np.random.default_rng(seed)
    return Tree(
        rng.uniform(0, 50, (count, 3)),
        np.ones(count),
        np.zeros(count, np.int64) if kinds is None else np.array(kinds),
        np.array(parents, np.int64),
        {
            "probability": rng.uniform(0, 1, count),
            "bridge": np.zeros(count) if bridges is None else np.array(bridges, float),
        },
    )


@st.composite
def forests(draw):
    """Draw random trees; some edges belong to bridges."""
    count = draw(st.integers(2, 25))
    parents = [-1] + [draw(st.integers(-1, i - 1)) for i in range(1, count)]
    bridges = [draw(st.integers(0, 2)) if p >= 0 else 0 for p in parents]
    return editing.forest_of(tree(parents, bridges, seed=draw(st.integers(0, 99))))


def edges(forest):
    """Give each edge, whatever its direction, with its bridge."""
    bridge = forest.columns["bridge"]
    return {(frozenset((a, b)), bridge[a]) for a, b in editing.edges_of(forest).tolist()}


def length(forest):
    ends = editing.edges_of(forest)
    apart = forest.points[ends[:, 0]] - forest.points[ends[:, 1]]
    return float(np.linalg.norm(apart, axis=1).sum())


def is_sound(forest):
    """Tell whether every living node hangs on a living root."""
    living = np.flatnonzero(forest.alive)
    above = forest.parents[living]
    whole = editing.tree_of(forest)
    return (
        forest.alive[above[above >= 0]].all()
        and len(whole.points) == len(living)
        and len(parents_first(whole.parents)) == len(living)
        and (whole.parents < np.arange(len(living))).all()
    )


@settings(deadline=None, max_examples=30)
@given(forests(), st.data())
def test_rerooting_keeps_every_edge_and_its_bridge(forest, data):
    node = data.draw(st.integers(0, len(forest.alive) - 1))
    turned = editing.reroot(forest, node)
    assert turned.parents[node] == -1
    assert edges(turned) == edges(forest)
    assert is_sound(turned)


@settings(deadline=None, max_examples=30)
@given(forests(), st.data())
def test_a_cut_that_is_joined_again_is_the_same_tree(forest, data):
    ends = editing.edges_of(forest)
    if not len(ends):
        return
    node, parent = data.draw(st.sampled_from(ends.tolist()))
    parted = editing.cut(forest, node)
    assert len(np.unique(editing.roots_of(parted))) == len(np.unique(editing.roots_of(forest))) + 1
    apart = float(np.linalg.norm(forest.points[node] - forest.points[parent]))
    assert length(parted) == pytest.approx(length(forest) - apart)
    again = editing.join(parted, parent, node)
    assert {pair for pair, _ in edges(again)} == {pair for pair, _ in edges(forest)}
    assert is_sound(parted)
    assert is_sound(again)


@settings(deadline=None, max_examples=30)
@given(forests(), st.data())
def test_joining_adds_one_edge_and_never_makes_a_cycle(forest, data):
    count = len(forest.alive)
    a, b = (data.draw(st.integers(0, count - 1)) for _ in range(2))
    roots = editing.roots_of(forest)
    if roots[a] == roots[b]:
        with pytest.raises(InputError, match="cycle"):
            editing.join(forest, a, b)
        return
    joined = editing.join(forest, a, b)
    assert edges(joined) - edges(forest) == {(frozenset((a, b)), 0.0)}
    assert edges(forest) <= edges(joined)
    assert is_sound(joined)


@settings(deadline=None, max_examples=30)
@given(forests(), st.data())
def test_deleting_removes_the_nodes_and_their_edges_alone(forest, data):
    node = data.draw(st.integers(0, len(forest.alive) - 1))
    part = data.draw(st.sampled_from(["node", "piece", "branch", "tree"]))
    nodes = editing.nodes_of(forest, node, part)
    left = editing.delete(forest, nodes)
    gone = set(nodes.tolist())
    assert edges(left) == {edge for edge in edges(forest) if not edge[0] & gone}
    assert left.alive.sum() == forest.alive.sum() - len(gone)
    assert is_sound(left)
    with pytest.raises(InputError, match="not there"):
        editing.reroot(left, node)


@settings(deadline=None, max_examples=30)
@given(forests(), st.data())
def test_dropping_a_node_keeps_what_hangs_together(forest, data):
    node = data.draw(st.integers(0, len(forest.alive) - 1))
    left = editing.drop(forest, node)
    before, after = editing.roots_of(forest), editing.roots_of(left)
    for root in np.unique(before):
        own = np.flatnonzero((before == root) & (np.arange(len(before)) != node))
        assert len(np.unique(after[own])) <= 1
    assert is_sound(left)


@settings(deadline=None, max_examples=30)
@given(forests())
def test_a_rejected_bridge_leaves_every_other_edge(forest):
    if 1.0 not in forest.columns["bridge"]:
        return
    left = editing.reject_bridge(forest, 1)
    assert edges(left) == {edge for edge in edges(forest) if edge[1] != 1}
    seen = {n for pair, number in edges(forest) if number != 1 for n in pair}
    assert left.alive[sorted(seen)].all()
    assert is_sound(left)
    with pytest.raises(InputError, match="no bridge 1"):
        editing.reject_bridge(left, 1)


def test_a_rejected_bridge_takes_its_own_nodes_with_it():
    chain = editing.forest_of(tree([-1, 0, 1, 2, 3, 4], [0, 0, 7, 7, 7, 0]))
    left = editing.reject_bridge(chain, 7)
    assert left.alive.tolist() == [True, True, False, False, True, True]
    assert editing.roots_of(left).tolist() == [0, 0, -1, -1, 4, 4]


def test_a_soma_stays_the_root_of_joined_trees():
    forest = editing.forest_of(tree([-1, 0, -1, 2], kinds=[0, 0, 1, 0]))
    joined = editing.join(forest, 1, 3)
    assert set(editing.roots_of(joined).tolist()) == {2}


def test_a_piece_ends_at_branch_points():
    #  0 - 1 - 2 - 3 - 4
    #          |
    #          5 - 6
    forest = editing.forest_of(tree([-1, 0, 1, 2, 3, 2, 5]))
    assert editing.nodes_of(forest, 6, "piece").tolist() == [5, 6]
    assert editing.nodes_of(forest, 1, "piece").tolist() == [0, 1, 2]
    assert sorted(editing.nodes_of(forest, 2, "branch").tolist()) == [2, 3, 4, 5, 6]


def test_drawn_nodes_get_new_numbers_and_an_unknown_probability():
    forest = editing.draw(editing.forest_of(tree([-1, 0])), np.ones(3), parent=1)
    assert forest.parents.tolist() == [-1, 0, 1]
    assert np.isnan(forest.columns["probability"][2])
    assert forest.columns["bridge"][2] == 0


def test_smoothing_moves_the_middle_of_a_line_and_no_end():
    forest = editing.forest_of(tree([-1, 0, 1, 2]))
    bent = editing.move(forest, 1, forest.points[[0, 2]].mean(axis=0) + 8.0)
    even = editing.smooth(bent, editing.nodes_of(bent, 1, "tree"))
    assert np.array_equal(even.points[[0, 3]], bent.points[[0, 3]])
    assert length(even) < length(bent)


def test_edits_leave_the_forest_that_they_are_given():
    forest = editing.forest_of(tree([-1, 0, 1, -1], [0, 1, 1, 0]))
    before = [np.copy(a) for a in (forest.points, forest.parents, forest.columns["bridge"])]
    editing.join(editing.reroot(forest, 2), 2, 3)
    editing.reject_bridge(forest, 1)
    editing.set_kind(forest, np.array([0]), 2)
    after = (forest.points, forest.parents, forest.columns["bridge"])
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))

"""One soma, one tree; no spurs after the last step; radii without bias; ends in long voxels."""

from functools import reduce

import numpy as np
import pytest

import neuroglow
from lines import ball, draw, length, line, straight
from neuroglow.skeleton import somata
from neuroglow.skeleton.bodies import Body
from neuroglow.skeleton.graph import PER_NODE, Graph, graph_of
from neuroglow.skeleton.middles import find_middles
from neuroglow.skeleton.somata import part_somata

SHAPE = (60, 60, 60)
BODY = (29.7, 30.2, 29.6)
WAYS = [(0, 0, 1), (0, 0.6, -0.8), (0.7, 0.7, 0.1), (-0.6, -0.7, 0.4), (0.3, -0.9, -0.4)]


def neuron(radius, hollow, thick=1.0):
    """Draw a soma with five dendrites; a hollow one is dark inside, but for a wall of two voxels."""
    dendrites = [straight(BODY, np.add(BODY, 27 * np.array(way)), thick) for way in WAYS]
    seen = draw(ball(BODY, radius), *dendrites, shape=SHAPE)
    if hollow:
        seen[draw(ball(BODY, radius - 2), shape=SHAPE) > 0] = 0
    return seen


@pytest.mark.parametrize("hollow", [False, True])
@pytest.mark.parametrize("radius", [4.0, 5.0, 12.0])
def test_one_soma_is_one_tree(radius, hollow):
    report = neuroglow.trace(neuron(radius, hollow), threshold=0.5)
    assert [report.summary[k] for k in ("trees", "somata", "tips")] == [1, 1, 5]
    assert np.linalg.norm(report.trees[0].points[0] - BODY) < 2
    assert report.trees[0].radii[0] == pytest.approx(radius, abs=1.2)


def test_a_thick_neurite_is_no_soma():
    """A body is one only if it is much thicker than what leaves it, or at least 5 um in radius."""
    way = straight((30, 30, 5), (32, 33, 55), 4.0)
    assert neuroglow.trace(draw(way, shape=SHAPE), threshold=0.5).summary["somata"] == 0


def test_no_loop_is_cut_at_a_soma():
    """Dendrites that touch are cut where they touch."""
    places = np.array([[0, 0, 0], [0, 0, 9], [0, 9, 0], [0, 6, 6]], float)
    edges = np.array([[0, 1], [0, 2], [1, 3], [2, 3]])
    somata = np.array([True, False, False, False])
    none = np.zeros(4, np.int64)
    graph = Graph(places, np.ones(3), np.ones(4), np.ones(4), edges, none, somata, none > 0)
    assert graph.as_forest().degrees[0] == 2
    assert len(part_somata(graph.as_forest()).edges) == 3  # there is one soma only


def test_a_loop_that_is_cut_leaves_no_spurs():
    turn = np.linspace(0, np.pi, 40)
    bow = np.stack([np.full(40, 30), 30 + 3 * np.sin(turn), 30 + 3 * np.cos(turn)], axis=1)
    seen = draw(straight((30, 30, 5), (30, 30, 55), 0.4), line(bow, 0.4), shape=SHAPE)
    seen[30, 33, 30] = 0.6
    report = neuroglow.trace(seen, threshold=0.5)
    assert [report.summary[k] for k in ("tips", "branch_points")] == [2, 0]
    assert length(report.trees[0]) == pytest.approx(50, abs=1.5)


@pytest.mark.parametrize("radius", [1.5, 2.5, 4.0])
def test_radii_have_no_bias(radius):
    medians = [
        np.median(
            neuroglow.trace(
                draw(straight((29 + off, 30, 5), (31 + off, 33, 55), radius), shape=SHAPE),
                threshold=0.5,
            )
            .trees[0]
            .radii
        )
        for off in (0, 0.25, 0.5)
    ]
    assert np.mean(medians) == pytest.approx(radius, abs=0.3)


@pytest.mark.parametrize("stop", [(100, 32, 32), (100, 40, 36), (60, 50, 32)])
def test_lines_along_long_voxels_are_not_short(stop):
    """In voxels of 4 x 1 x 1 um."""
    way = straight((20, 12, 12), stop, 1.0)
    seen = draw(way, unit=(4.0, 1.0, 1.0), shape=(30, 60, 60))
    report = neuroglow.trace(seen, threshold=0.5, voxel_size=(4.0, 1.0, 1.0))
    assert report.summary["length_um"] == pytest.approx(length(way), rel=0.02, abs=2)
    ends = report.trees[0].points[[0, -1]]
    for end in (way.points[0], way.points[-1]):
        assert np.linalg.norm(ends - end, axis=1).min() < 2.5


def test_bodies_cost_what_is_around_them_and_change_the_same():
    """One after the other in the whole graph, or by groups in parts of it."""
    rng = np.random.default_rng(4)
    seen = draw(*(straight(*rng.uniform(4, 92, (2, 3))) for _ in range(60)), shape=(96, 96, 96))
    given = {"detected_from": 0.5, "block": 96}
    middles = find_middles(lambda box: seen[box.slices], seen.shape, np.ones(3), **given)
    graph = graph_of(middles, seen.shape, (1.0, 1.0, 1.0), peak=0.5).in_order()
    radii = rng.uniform(3, 7, 14)
    balls = [
        Body(at[None], np.array([r]))
        for at, r in zip(rng.uniform(0, 96, (14, 3)), radii, strict=True)
    ]
    one_by_one = reduce(somata._with_body, balls, graph).in_order()
    together = somata._with_bodies(graph, balls).in_order()
    for name in (*PER_NODE, "edges", "bridges"):
        both = getattr(together, name), getattr(one_by_one, name)
        assert np.array_equal(*both, equal_nan=True), name  # no light is known here
    assert together.somata.sum() == len(balls)
    assert len(together.places) < len(graph.places)

"""The light of the raw image: measured along lines, it tells neurites apart that touch."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from neuroglow.skeleton.arms import arm_of
from neuroglow.skeleton.bonds import Boosted, bonds_of
from neuroglow.skeleton.graph import Graph
from neuroglow.skeleton.light import DIM, with_light

WIDE = (20, 70, 140)
"""More than one brick along two axes."""


def graph_at(places):
    """Return nodes at places, without edges."""
    count = len(places)
    none = np.empty(0, np.int64)
    flat = np.ones(count), np.ones(count), none.reshape(0, 2), none
    return Graph(np.asarray(places, float), np.ones(3), *flat, *np.zeros((2, count), bool))


def test_light_is_the_log_mean_of_the_27_voxels_around_a_node():
    values = np.random.default_rng(0).normal(3, 2, WIDE).astype(np.float32)
    places = np.argwhere(np.random.default_rng(1).random(WIDE) < 0.002)
    places = np.concatenate([places, [[0, 0, 0], np.subtract(WIDE, 1)]])
    mean = uniform_filter(values.astype(float), 3, mode="nearest")[tuple(places.T)]
    light = with_light(graph_at(places), lambda box: values[box.slices], WIDE).lights
    np.testing.assert_allclose(light, np.log(np.maximum(mean, DIM)), atol=1e-6)


def test_without_a_raw_image_no_light_is_known():
    assert np.isnan(with_light(graph_at([[1, 2, 3]]), None, WIDE).lights).all()


@pytest.mark.parametrize("where", ["crossing", "tie"])
def test_two_sides_of_a_straight_line_are_one_neurite_unless_their_light_differs(where):
    def odds(times):
        lights = np.where(np.arange(61) < 30, 0, np.log(times)) + 2
        line = replace(graph_at([[20, 20, x] for x in range(61)]), lights=lights)
        sides = line.names[30::-1], line.names[30:]
        arms = [arm_of(line, nodes, free=False) for nodes in sides]
        return bonds_of(where, arms, [(3.0, 3.0)])[0, 1]

    assert odds(1) > 1
    assert odds(8) < odds(1) - 1


def test_a_tree_of_decisions_goes_right_above_its_limits():
    """The root looks at the first trait, the others at the second."""
    traits = np.array([[0, 1, 1, 1, 1, 1, 1]])
    limits = np.array([[0.0, 10, 20, 5, 15, 5, 25]])
    table = Boosted(traits, limits, np.arange(8.0)[None], start=0.5)
    rows = [(-1, 5), (-1, 5.1), (-1, 11), (-1, 16), (1, 5), (1, 6), (1, 25), (1, 26)]
    np.testing.assert_array_equal(table.odds(np.array(rows)), 0.5 + np.arange(8))


def test_odds_have_an_end():
    table = Boosted(np.zeros((1, 7), int), np.zeros((1, 7)), np.full((1, 8), 99.0), start=0)
    assert table.odds(np.zeros((1, 1))) == pytest.approx(9)

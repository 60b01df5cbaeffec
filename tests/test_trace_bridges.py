"""Bridges are as long as the bound says in every direction of space."""

import itertools

import numpy as np
import pytest

from neuroglow.skeleton.bridges import Bounds, bridge_gaps, grid_detour
from neuroglow.skeleton.graph import Graph

SHAPE = (60, 60, 60)
WAY = np.array([9.0, 4, 3])
"""In this direction, a path over the grid is longest: 1.128 times the straight line."""


def two_lines():
    """Give two lines of a radius of 1 that end at (20, 20, 20) and 10.3 voxels farther on."""
    steps = np.linspace(0, 1, 12)[:, None] * WAY
    places = np.concatenate([20 - steps[::-1], 20 + WAY + steps])
    edges = np.array([(i, i + 1) for i in range(23) if i != 11])
    ones, none = np.ones(24), np.zeros(24, bool)
    return Graph(places, np.ones(3), ones, ones, edges, np.zeros(22, np.int64), none, none)


@pytest.mark.parametrize(("longest", "bridges"), [(10.4, 1), (10.2, 0)])
def test_a_gap_along_a_diagonal_of_space_is_bridged_as_one_along_an_axis(longest, bridges):
    bounds = Bounds(longest, 40.0, 0.1, 0.4)
    found = bridge_gaps(two_lines(), lambda box: np.full(box.shape, 0.2, np.float32), SHAPE, bounds)
    assert found.bridges.max() == bridges


@pytest.mark.parametrize("unit", [(1, 1, 1), (4, 1, 1), (3, 0.5, 1), (1, 2, 5)])
def test_no_path_over_the_grid_is_a_longer_detour(unit):
    unit = np.array(unit, float)
    ratios = []
    for sides in itertools.product(range(13), repeat=3):
        order = np.argsort(sides)[::-1]
        a, b, c = np.array(sides)[order]
        along = np.sqrt(np.cumsum(np.square(unit[order])))
        straight = np.linalg.norm(np.multiply(sides, unit))
        if straight:
            ratios.append(((a - b) * along[0] + (b - c) * along[1] + c * along[2]) / straight)
    assert max(ratios) <= grid_detour(unit) + 1e-9
    if (unit == 1).all():
        assert max(ratios) == pytest.approx(grid_detour(unit), rel=1e-3)


def line_to_soma(gap, degrees=0.0):
    """Give a line that ends so far from the surface of a soma (radius 6), turned away from it."""
    turn = np.radians(degrees)
    tip = np.array([30.0, 30, 30])
    line = tip - np.arange(12)[:, None] * np.array([0, np.sin(turn), np.cos(turn)])
    places = np.concatenate([line, np.array([[30.0, 30, 36 + gap]])])
    edges = np.array([(i, i + 1) for i in range(11)])
    ones, none = np.ones(13), np.zeros(13, bool)
    soma = np.arange(13) == 12
    radii = np.where(soma, 6.0, 1.0)
    return Graph(places, np.ones(3), ones, radii, edges, np.zeros(11, np.int64), soma, none)


@pytest.mark.parametrize(
    ("gap", "degrees", "evidence", "bridges"),
    [
        (5, 0, 0.0, 1),
        (8, 0, 0.0, 1),
        (10, 0, 0.0, 0),
        (10, 0, 0.2, 1),
        (13, 0, 0.2, 0),
        (5, 60, 0.2, 0),
    ],
)
def test_a_bridge_ends_on_the_surface_of_a_soma_that_the_line_points_at(
    gap, degrees, evidence, bridges
):
    """No evidence is needed up to four fifths of the longest bridge."""

    def read(box):
        return np.full(box.shape, evidence, np.float32)

    graph = bridge_gaps(line_to_soma(gap, degrees), read, SHAPE, Bounds(10.0, 40.0, 0.1, 0.4))
    assert graph.bridges.max() == bridges
    assert (graph.degrees[graph.somata] == bridges).all()
    between = ~np.isin(graph.names, np.arange(13))
    away = np.linalg.norm(graph.points[between] - graph.points[graph.somata], axis=1)
    assert (away >= 5.4).all()
    assert len(away) >= bridges * (gap - 1)

"""What trees are whatever the voxels: drawn and traced again, permuted, scaled, in other units."""

import numpy as np
import pytest

import neuroglow
from lines import draw, length
from neuroglow.space.swc import Tree
from neuroglow.tracing.graph import Graph

SHAPE = (32, 80, 80)


def fork(unit, radius=1.5):
    """Give a fork (um) that fills a volume, a node every voxel or two; radius in finest voxels."""
    ends = ((0.15, 0.15, 0.15), (0.85, 0.5, 0.85), (0.5, 0.85, 0.6))
    shares = np.linspace(0, 1, 30)[1:, None]
    arms = [0.5 + shares * np.subtract(end, 0.5) for end in ends]
    points = np.concatenate([[[0.5, 0.5, 0.5]], *arms]) * SHAPE * unit
    parents = np.arange(-1, len(points) - 1)
    parents[[30, 59]] = 0
    radii = np.full(len(points), radius * min(unit))
    return Tree(points, radii, np.zeros(len(points), np.int64), parents)


def trace(seen, unit, **settings):
    return neuroglow.trace(seen, voxel_size=unit, threshold=0.5, **settings)


@pytest.mark.parametrize(
    "unit", [(1, 1, 1), (3, 1, 1), (0.5, 0.2, 0.2), (1, 2, 0.5), (1, 1, 4)], ids=str
)
def test_a_fork_that_is_drawn_and_traced_is_the_same(unit):
    truth = fork(unit)
    report = trace(draw(truth, shape=SHAPE, unit=unit), unit)
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [1, 3, 1]
    tips = 3 * max(unit)  # each may end a voxel off
    assert abs(report.summary["length_um"] - length(truth)) < 0.02 * length(truth) + tips


def test_a_forest_parts_nothing():
    places = np.zeros((4, 3))  # the middle of all of them is one place
    places[3] = 5
    none = np.zeros(3, np.int64)
    edges = np.array([[0, 1], [1, 2], [2, 3]])
    graph = Graph(places, np.ones(3), np.ones(4), np.ones(4), edges, none)
    assert len(graph.as_forest().edges) == 3

"""What trees are whatever the voxels: drawn and traced again, permuted, scaled, in other units."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import neuroglow
from lines import draw, length
from neuroglow.skeleton.graph import Graph
from neuroglow.trees.swc import Tree, read_swc
from neuroglow.trees.swc_unit import scaled

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


def trace(seen, size, **settings):
    return neuroglow.trace(seen, voxel_size=size, threshold=0.5, **settings)


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
    graph = Graph(places, np.ones(3), np.ones(4), np.ones(4), edges, none, *np.zeros((2, 4), bool))
    assert len(graph.as_forest().edges) == 3


@pytest.mark.parametrize("unit", [(1, 1, 1), (3, 1, 1)], ids=str)
def test_axes_that_change_places_and_voxels_that_grow_change_no_length(unit):
    seen = draw(fork(unit), shape=SHAPE, unit=unit)
    report = trace(seen, unit)
    for order in ((1, 0, 2), (2, 1, 0)):
        other = trace(np.ascontiguousarray(seen.transpose(order)), [unit[i] for i in order])
        for name in ("trees", "tips", "branch_points"):
            assert other.summary[name] == report.summary[name]
        # thinning goes round by axis: within a voxel a tip
        assert other.summary["length_um"] == pytest.approx(report.summary["length_um"], rel=0.02)
    lengths = [length(tree) for tree in report.trees]
    grown = trace(seen, [8 * u for u in unit], soma_um=40)
    assert [length(tree) for tree in grown.trees] == pytest.approx([8 * n for n in lengths])


def test_bytes_and_real_numbers_of_one_probability_give_the_same_trees():
    seen = np.rint(255 * draw(fork((1, 1, 1)), shape=SHAPE)).astype(np.uint8)
    one, other = (trace(s, (1, 1, 1)) for s in (seen, seen.astype(np.float32) / np.float32(255)))
    assert [t.points.tolist() for t in one.trees] == [t.points.tolist() for t in other.trees]


def test_trees_in_voxels_are_read_back_as_those_in_micrometres(tmp_path):
    unit = (3.0, 1.0, 1.5)
    seen = draw(fork(unit), shape=SHAPE, unit=unit)
    for name in ("um", "voxel"):
        trace(seen, unit, unit=name, out=tmp_path / f"{name}.swc")
    um, voxel = (scaled(read_swc(tmp_path / f"{n}.swc"), n, unit) for n in ("um", "voxel"))
    assert um.points == pytest.approx(voxel.points, abs=0.003)
    assert um.radii == pytest.approx(voxel.radii, abs=0.003)


def test_nodes_that_are_left_out_leave_one_edge():
    report = trace(draw(fork((1, 1, 1)), shape=SHAPE), (1, 1, 1), step_um=1e6)
    (tree,) = report.trees
    assert len(tree.points) == 4
    assert sorted(np.bincount(tree.parents[tree.parents >= 0]).tolist())[-2:] == [1, 2]


def test_blocks_of_odd_voxels_give_the_very_places_of_the_whole():
    unit = (1.0, 0.3, 1.0)  # 0.3 is no binary number
    rng = np.random.default_rng(4)
    seen = gaussian_filter(rng.normal(size=(64, 96, 64)).astype(np.float32), 1.5)
    seen = np.clip((seen - seen.min()) / np.ptp(seen) * 4 - 2.4, 0, 1)
    whole, parts = (trace(seen, unit, block=block, min_length_um=5) for block in (128, 32))
    assert len(whole.trees) > 5
    assert [t.points.tolist() for t in whole.trees] == [t.points.tolist() for t in parts.trees]

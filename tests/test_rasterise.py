"""Trees drawn into voxels: by the distance, and the same however the volume is cut."""

import time

import numpy as np
import pytest
from scipy import ndimage

from neuroglow.errors import SettingsError
from neuroglow.space.geometry import Box, tile
from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import Tree, join_trees, read_swc

ANISOTROPIC = (2.0, 0.5, 0.7)


def path(points, radii=1.0, kinds=2):
    points = np.asarray(points, float)
    n = len(points)
    return Tree(points, np.full(n, float(radii)), np.full(n, kinds), np.arange(-1, n - 1))


def wander(seed=0, n=60, step=4.0):
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.normal(0, step, (n, 3)), axis=0) + 20
    parents = np.array([-1, *(max(0, i - int(rng.integers(1, 4))) for i in range(1, n))])
    return Tree(points, rng.uniform(0.2, 2.5, n), np.full(n, 2), parents)


def by_hand(tree, shape, unit, margin):
    """The definition, voxel by voxel, without its thin lines."""
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1) * unit
    best = np.full(shape, -np.inf)
    for node, parent in enumerate(tree.parents):
        a, b = tree.points[node], tree.points[parent if parent >= 0 else node]
        ra, rb = (
            max(tree.radii[i], min(unit) / 2) for i in (node, parent if parent >= 0 else node)
        )
        t = np.clip((grid - a) @ (b - a) / max((b - a) @ (b - a), 1e-30), 0, 1)
        apart = np.linalg.norm(grid - a - t[..., None] * (b - a), axis=-1)
        best = np.maximum(best, ra + t * (rb - ra) - apart)
    return np.where(best >= 0, 1, np.where(best >= -margin * min(unit), 2, 0))


@pytest.mark.parametrize("unit", [(1.0, 1.0, 1.0), ANISOTROPIC])
def test_voxels_within_the_radius_are_detected(unit):
    tree, shape = wander(), (24, 50, 44)
    drawn, expected = rasterise(tree, shape, unit, margin_vox=1.5), by_hand(tree, shape, unit, 1.5)
    differ = drawn != expected
    assert differ.mean() < 0.01  # the line itself, where thinner than a voxel, is detected besides
    assert (drawn[differ] == 1).all()
    assert set(np.unique(drawn)) == {0, 1, 2}


def test_a_straight_line_has_its_calibre():
    drawn = rasterise(path([(10, 10, 2), (10, 10, 40)], 3.0), (21, 21, 43), (1, 1, 1))
    assert (drawn[:, :, 20] == 1).sum() == sum(
        y * y + z * z <= 9 for y in range(-9, 9) for z in range(-9, 9)
    )
    assert drawn[10, 10, 20] == 1
    assert drawn[10, 14, 20] == 2
    assert drawn[10, 15, 20] == 0


def test_a_thin_line_has_no_gaps():
    points = [(1, 1, 1), (8.3, 30.2, 40.7), (30.1, 33.3, 41.9)]
    for unit in ((1.0, 1.0, 1.0), ANISOTROPIC):
        drawn = rasterise(path(points, 0.01), (40, 80, 70), unit, margin_vox=0)
        assert ndimage.label(drawn, np.ones((3, 3, 3)))[1] == 1


def test_a_radius_replaces_dummies():
    tree = path([(10, 10, 2), (10, 10, 30)], 0.0)
    thin, thick = (rasterise(tree, (20, 20, 32), (1, 1, 1), radius_um=r) for r in (None, 4.0))
    assert (thin == 1).sum() < 40
    assert (thick[:, :, 16] == 1).sum() == 49


@pytest.mark.parametrize("block", [(7, 11, 13), (24, 16, 50), (1, 50, 44)])
@pytest.mark.parametrize("unit", [(1.0, 1.0, 1.0), ANISOTROPIC])
def test_blocks_equal_the_whole(block, unit):
    tree, shape = wander(1), (24, 50, 44)
    whole = rasterise(tree, shape, unit)
    blocked = np.full(shape, 9, np.uint8)
    for each in tile(Box.of(shape), block):
        blocked[each.write.slices] = rasterise(tree, shape, unit, box=each.write)
    assert (blocked == whole).all()


def test_a_node_alone_is_a_ball_and_an_empty_tree_is_nothing():
    lone = rasterise(path([(5, 5, 5)], 2.0), (11, 11, 11), (1, 1, 1), margin_vox=0)
    assert lone.sum() == 33
    empty = Tree(np.empty((0, 3)), np.empty(0), np.empty(0, int), np.empty(0, int))
    assert not rasterise(empty, (4, 4, 4), (1, 1, 1)).any()


def test_an_edge_that_crosses_from_far_away_costs_little():
    far = path([(-1e7, -1e7, -1e7 + 3), (1e7, 1e7, 1e7 + 3)])
    began = time.perf_counter()
    drawn = rasterise(far, (40, 40, 40), (1, 1, 1))
    assert time.perf_counter() - began < 5
    assert drawn[20, 20, 23] == 1
    assert not rasterise(far, (40, 40, 40), (1, 1, 1), box=Box((0, 20, 0), (10, 40, 10))).any()


def test_a_real_neuron_is_drawn_whole(shared):
    tree = read_swc(shared / "data/morphologies/18455_00011.swc")
    points = tree.points - tree.points.min(axis=0) + 2
    shape = tuple(int(n) // 8 + 3 for n in points.max(axis=0))
    drawn = rasterise(
        Tree(points, tree.radii, tree.kinds, tree.parents),
        shape,
        (8, 8, 8),
        radius_um=4,
        margin_vox=0,
    )
    assert ndimage.label(drawn, np.ones((3, 3, 3)))[1] == (tree.parents < 0).sum()
    at = np.rint(points / 8).astype(int)
    assert (drawn[tuple(at.T)] == 1).all()


@pytest.mark.parametrize(("radius", "margin"), [(-1.0, 1.0), (float("nan"), 1.0), (None, -2.0)])
def test_wrong_numbers_are_refused(radius, margin):
    with pytest.raises(SettingsError, match="positive numbers"):
        rasterise(path([(1, 1, 1)]), (4, 4, 4), (1, 1, 1), radius_um=radius, margin_vox=margin)


def test_joined_trees_keep_their_parents():
    one, other = path([(1, 2, 3), (1, 2, 9)]), path([(5, 5, 5), (5, 9, 5), (9, 9, 5)])
    joined = join_trees([one, other])
    assert joined.parents.tolist() == [-1, 0, -1, 2, 3]
    np.testing.assert_array_equal(joined.points, np.concatenate([one.points, other.points]))
    assert len(join_trees([]).points) == 0

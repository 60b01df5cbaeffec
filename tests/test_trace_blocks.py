"""Blocked equals whole: voxel by voxel, and node by node; thinning keeps what it must."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

import neuroglow
from lines import ball, draw, length, line, random_walks
from neuroglow.skeleton.bridges import Bricks
from neuroglow.skeleton.middles import HALO, find_middles
from neuroglow.skeleton.thinning import (
    NEIGHBOURS,
    REACH,
    DenseVoxels,
    SparseVoxels,
    is_simple,
    keys_of,
    subfields,
    thin,
)
from neuroglow.space.geometry import Box, tile
from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import read_swc

FULL = np.ones((3, 3, 3))


def thinned(detected, origin=(0, 0, 0), iterations=None):
    """Thin a mask, as part of a volume in which it starts at `origin`."""
    voxels = DenseVoxels(detected)
    keys = voxels.keys()
    thin(voxels, keys, subfields(voxels.places(keys) + origin), iterations=iterations)
    left = np.zeros(detected.shape, bool)
    left[tuple(voxels.places(keys[voxels.has(keys)]).T)] = True
    return left


def blobs(rng, shape=(40, 44, 48), sigma=2.0, share=0.3):
    field = ndimage.gaussian_filter(rng.normal(size=shape), sigma)
    return field > np.quantile(field, 1 - share)


def euler(detected):
    """Give the Euler characteristic of a mask whose voxels touch through corners."""
    padded = np.pad(detected, 1)
    count = 0
    for axes in itertools.product((0, 1), repeat=3):  # cells of the cubes: corners, edges, faces
        touched = np.zeros_like(padded)
        for shift in itertools.product(*((0, -1) if a == 0 else (0,) for a in axes)):
            touched |= np.roll(padded, shift, axis=(0, 1, 2))
        count += (-1) ** sum(axes) * int(touched.sum())
    return count


def topology(detected):
    """Give what thinning must keep: parts, holes, tunnels."""
    parts = ndimage.label(detected, FULL)[1]
    cavities = ndimage.label(~np.pad(detected, 1))[1] - 1
    return parts, cavities, parts + cavities - euler(detected)


def test_topology_is_told_apart():
    ring = np.zeros((5, 9, 9), bool)
    ring[2, 2:7, 2:7] = True
    assert topology(ring) == (1, 0, 0)
    ring[2, 4, 4] = False
    assert topology(ring) == (1, 0, 1)
    shell = np.ones((5, 5, 5), bool)
    shell[2, 2, 2] = False
    assert topology(shell) == (1, 1, 0)


@pytest.mark.parametrize("seed", range(4))
def test_thinning_keeps_the_topology(seed):
    rng = np.random.default_rng(seed)
    detected = blobs(rng, sigma=1.0 + seed / 2, share=0.2)
    left = thinned(detected)
    assert topology(left) == topology(detected)
    assert not (left & ~detected).any()


def test_a_voxel_is_simple_where_its_removal_keeps_the_topology():
    rng = np.random.default_rng(0)
    codes, kept = [], []
    for share in np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 60):
        cube = np.pad(rng.random((3, 3, 3)) < share, 1)
        bits = [int(cube[tuple(2 + o)]) << i for i, o in enumerate(NEIGHBOURS)]
        codes.append(sum(bits))
        cube[2, 2, 2] = True
        before = topology(cube)
        cube[2, 2, 2] = False
        kept.append(topology(cube) == before)
    simple = is_simple(np.array(codes, np.uint32))
    assert 20 < simple.sum() < 280
    np.testing.assert_array_equal(simple, kept)


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.5, 4.0])
def test_what_is_thinned_is_one_voxel_wide(radius):
    detected = (
        draw(
            *random_walks(np.random.default_rng(2), (48, 48, 48), 3, radius=radius), shape=(48,) * 3
        )
        > 0
    )
    left = thinned(detected)
    solid = ndimage.minimum_filter(left, (2, 2, 2))
    assert not solid.any()
    np.testing.assert_array_equal(thinned(left), left)
    # the line stays in the middle: every voxel lies within the radius of it, and a little more
    assert ndimage.distance_transform_edt(~left)[detected].max() < radius + 3


@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_blocks_thin_as_the_whole_does(iterations):
    detected = blobs(np.random.default_rng(iterations), shape=(50, 53, 57), share=0.4)
    whole = thinned(detected, iterations=iterations)
    box = Box.of(detected.shape)
    for part in tile(box, (17, 19, 23), halo=REACH * iterations):
        own = thinned(detected[part.read.slices], part.read.start, iterations)
        np.testing.assert_array_equal(own[part.inner.slices], whole[part.write.slices])


def test_less_than_the_reach_is_too_little():
    detected = blobs(np.random.default_rng(3), shape=(50, 53, 57), share=0.4)
    whole = thinned(detected, iterations=3)
    wrong = 0
    for part in tile(Box.of(detected.shape), (17, 19, 23), halo=2):
        own = thinned(detected[part.read.slices], part.read.start, 3)
        wrong += int((own[part.inner.slices] != whole[part.write.slices]).sum())
    assert wrong > 0


def test_a_list_of_voxels_thins_as_an_array_does():
    detected = blobs(np.random.default_rng(5))
    places = np.argwhere(detected)
    keys = keys_of(places, detected.shape)
    voxels = SparseVoxels(keys, detected.shape)
    thin(voxels, keys, subfields(places))
    np.testing.assert_array_equal(
        voxels.keys(), keys_of(np.argwhere(thinned(detected)), detected.shape)
    )


def noisy(rng, shape=(70, 75, 97)):
    """Give a probability with thin and thick lines, a body, holes and specks."""
    walks = random_walks(rng, shape, 14, radius=1.2) + random_walks(rng, shape, 1, radius=5)
    seen = ndimage.gaussian_filter(draw(*walks, shape=shape, value=1.0), 0.8)
    dips = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    seen[dips > 1.5 * dips.std()] *= 0.4
    seen = np.maximum(seen, draw(ball((30, 36, 60), 14.0), shape=shape))
    seen += ndimage.gaussian_filter(rng.normal(size=shape), 0.7) * 0.25
    return np.clip(seen, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def hard():
    return noisy(np.random.default_rng(8))


@pytest.fixture(scope="module")
def whole(hard):
    return neuroglow.trace(hard, threshold=0.6, low=0.4, block=512, gap_um=15)


def test_middle_lines_are_the_same_in_any_blocks(hard):
    one, other = (
        find_middles(
            lambda box: hard[box.slices], hard.shape, (1, 1, 1), detected_from=0.4, block=block
        )
        for block in (128, 32)
    )
    assert len(one.places) > 500
    for name in ("places", "off", "probability", "peak", "radii"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("block", [32, 64])
def test_blocked_equals_whole(hard, whole, block):
    """Voxel for voxel: somata, thick neurites, bridges and all."""
    blocked = neuroglow.trace(hard, threshold=0.6, low=0.4, block=block, gap_um=15)
    assert whole.summary["bridges"] > 2 < whole.summary["trees"]
    assert blocked.summary == whole.summary
    for one, other in zip(blocked.trees, whole.trees, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.parents, other.parents)
        np.testing.assert_array_equal(one.radii, other.radii)
        np.testing.assert_array_equal(one.columns["bridge"], other.columns["bridge"])


def test_with_a_raw_image_too_blocked_equals_whole(hard):
    raw = (1000 * hard + np.random.default_rng(1).normal(100, 10, hard.shape)).astype(np.uint16)
    found = [
        neuroglow.trace(hard, raw=raw, threshold=0.7, low=0.6, block=block).summary
        for block in (32, 128)
    ]
    assert found[0] == found[1]
    assert found[0]["bridges"] > 0


def test_bricks_read_what_is_there(hard):
    reads = []

    def read(box):
        reads.append(box)
        return hard[box.slices]

    bricks = Bricks(read, hard.shape, side=16, most=8)
    for start, stop in [
        ((0, 0, 0), (5, 5, 5)),
        ((10, 60, 80), (30, 75, 97)),
        ((0, 0, 0), (20, 20, 20)),
    ]:
        box = Box(start, stop)
        np.testing.assert_array_equal(bricks.read(box), hard[box.slices])
    assert len(bricks._kept) <= 8
    count = len(reads)
    bricks.read(Box((0, 0, 0), (16, 16, 16)))
    assert len(reads) == count  # it is kept


def test_memory_is_that_of_a_block_and_the_lines(tmp_path):
    """No box that is read is larger than a block and its halo."""
    largest = 0
    seen = draw(*random_walks(np.random.default_rng(6), (96, 96, 192), 4), shape=(96, 96, 192))

    def read(box):
        nonlocal largest
        largest = max(largest, box.size)
        return seen[box.slices]

    find_middles(read, seen.shape, (1, 1, 1), detected_from=0.5, block=32)
    assert largest <= (32 + 2 * HALO) ** 3


def dim_axon(folder, tip=11795, reach_um=1000.0):
    """Give the last millimetre of a real axon, and a dim and uneven probability of it."""
    tree = read_swc(folder / "data/morphologies/18455_00011.swc")
    run = [tip]
    way = 0.0
    while way < reach_um:
        run.append(int(tree.parents[run[-1]]))
        way += float(np.linalg.norm(tree.points[run[-1]] - tree.points[run[-2]]))
    points = tree.points[run]
    points = points - points.min(axis=0) + 10
    shape = tuple(int(n) for n in np.ceil(points.max(axis=0)) + 11)
    rng = np.random.default_rng(9)
    detected = rasterise(line(points, 1.2), shape, (1, 1, 1), margin_vox=0) == 1
    seen = ndimage.gaussian_filter(detected.astype(np.float32), 0.7)
    uneven = ndimage.zoom(rng.uniform(0.3, 0.75, tuple(n // 12 + 2 for n in shape)), 12, order=1)
    noise = np.abs(rng.normal(0, 0.05, shape)).astype(np.float32)
    seen *= uneven[tuple(slice(n) for n in shape)]
    return points, np.rint(255 * np.clip(seen + noise, 0, 1)).astype(np.uint8)


def test_a_millimetre_of_dim_axon_is_traced_whole(shared):
    points, seen = dim_axon(shared)
    settings = {"threshold": 0.35, "low": 0.2, "voxel_size": (1, 1, 1), "min_length_um": 50}
    report = neuroglow.trace(seen, block=64, **settings)
    crossed = np.unique(points.astype(int) // 64, axis=0)
    assert len(crossed) >= 8
    (tree,) = report.trees
    # an axon that was traced by hand wiggles below what its width lets see
    seen_way = ndimage.gaussian_filter1d(points, 1.5, axis=0, mode="nearest")
    assert length(tree) == pytest.approx(length(line(seen_way)), rel=0.02)
    from scipy.spatial import cKDTree

    assert cKDTree(tree.points).query(points)[0].max() < 4
    assert cKDTree(points).query(tree.points)[0].max() < 4
    whole = neuroglow.trace(seen, block=512, **settings)
    assert whole.summary == report.summary
    np.testing.assert_array_equal(whole.trees[0].points, tree.points)

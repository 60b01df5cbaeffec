"""Lines of known length and shape are traced as what they are."""

import numpy as np
import pytest

import neuroglow
from lines import SIZE, ball, circle, draw, helix, length, line, random_walks, straight
from neuroglow.skeleton.trees import SOMA
from neuroglow.trees.swc import Tree

CORNERS = [
    ((32, 32, -5), (32, 32, 69)),
    ((-9, -9, -9), (73, 73, 73)),
    ((20, 28, -9), (40, 37, 73)),
    ((-5, 12, 8), (70, 50, 40)),
]


def inside(tree):
    """Give the length of a tree between the outermost voxels of SIZE."""
    kept = ((tree.points >= 0) & (tree.points <= np.subtract(SIZE, 1))).all(axis=1)
    points = tree.points[kept]
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def trace(*trees, unit=(1.0, 1.0, 1.0), shape=SIZE, **settings):
    settings = {"threshold": 0.5, "voxel_size": unit, **settings}
    return neuroglow.trace(draw(*trees, unit=unit, shape=shape), **settings)


def tips(tree):
    children = np.bincount(tree.parents[tree.parents >= 0], minlength=len(tree.parents))
    return tree.points[(children == 0) | ((tree.parents < 0) & (children == 1))]


@pytest.mark.parametrize("radius", [0.3, 1.0, 1.5])
@pytest.mark.parametrize("ends", CORNERS)
def test_a_straight_line_is_as_long_as_it_is(ends, radius):
    truth = straight(*ends, radius)
    report = trace(truth)
    assert len(report.trees) == 1
    assert report.summary["branch_points"] == 0
    assert report.summary["length_um"] == pytest.approx(inside(truth), rel=0.02)


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.0])
def test_a_circle_is_a_tree_as_long_as_it(radius):
    report = trace(circle(22, thick=radius))
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [1, 2, 0]
    assert report.summary["length_um"] == pytest.approx(2 * np.pi * 22, rel=0.02)


@pytest.mark.parametrize("radius", [0.3, 1.0, 2.0])
def test_a_helix_is_as_long_as_it_is(radius):
    truth = helix(52, 20, 3, radius)
    report = trace(truth)
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [1, 2, 0]
    assert report.summary["length_um"] == pytest.approx(length(truth), rel=0.02)


@pytest.mark.parametrize("radius", [0.6, 1.0, 2.0])
def test_a_fork_is_one_tree_with_one_branch_point(radius):
    ends = (32, 10, 32), (32, 52, 12), (32, 52, 52)
    report = trace(*(straight((32, 32, 32), end, radius) for end in ends))
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [1, 3, 1]
    assert report.summary["length_um"] == pytest.approx(22 + 2 * np.hypot(20, 20), rel=0.02)
    (tree,) = report.trees
    for end in ends:
        assert np.linalg.norm(tips(tree) - end, axis=1).min() < 2


@pytest.mark.parametrize("radius", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("across", [0, 2])
def test_fibres_that_cross_stay_two(radius, across):
    fibres = [
        straight((32, 10, 10), (32, 54, 54), radius),
        straight((32 - across / 2, 10, 54), (32 + across / 2, 54, 10), radius),
    ]
    report = trace(*fibres)
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [2, 4, 0]
    for tree in report.trees:
        start, stop = tree.points[[0, -1]]
        assert np.sign(stop[1] - start[1]) * np.sign(stop[2] - start[2]) in (1, -1)
        assert abs(stop[1] - start[1]) > 40 < abs(stop[2] - start[2])
        # what is drawn is round at its ends: a line is longer by the radius there, at most
        assert -1.5 < length(tree) - np.hypot(44, 44) < 2 * radius + 1


def bent(start, middle, stop):
    """Give a line that turns at its middle."""
    halves = [
        np.array(a) + np.linspace(0, 1, 150)[:, None] * np.subtract(b, a)
        for a, b in ((start, middle), (middle, stop))
    ]
    return line(np.concatenate([halves[0], halves[1][1:]]))


def ends_of(report):
    """Give, for each tree without branches, the two ends that it joins, to ten voxels."""
    ends = [np.round(tree.points[[0, -1], 1:], -1).astype(int).tolist() for tree in report.trees]
    return sorted(sorted(map(tuple, pair)) for pair in ends)


AROUND = [straight((z, 4, x), (z, 60, x), 0.4) for z in (8, 20, 44, 56) for x in range(4, 61, 8)]
"""Many lines around a crossing: chance contacts are frequent."""


def test_fibres_that_bend_where_they_cross_stay_two():
    """Each turns by 45 degrees: the straightest way to pair the pieces is not the only one."""
    fibres = [
        bent((32, 10, 10), (32, 32, 32), (32, 32, 60)),
        bent((30, 10, 60), (32, 30, 34), (34, 60, 34)),
    ]
    report = trace(*fibres, *AROUND)
    counts = [report.summary[k] for k in ("trees", "tips", "branch_points")]
    assert counts == [2 + len(AROUND), 2 * (2 + len(AROUND)), 0]
    ends = ends_of(report)
    assert [(10, 10), (30, 60)] in ends
    assert [(10, 60), (60, 30)] in ends


def test_three_fibres_through_one_place_stay_three():
    fibres = [
        straight((32, 10, 32), (32, 54, 32)),
        straight((32, 32, 10), (32, 32, 54)),
        straight((10, 32, 32), (54, 32, 32)),
    ]
    report = trace(*fibres)
    assert [report.summary[k] for k in ("trees", "tips", "branch_points")] == [3, 6, 0]
    assert all(abs(length(tree) - 44) < 4 for tree in report.trees)


def test_what_ends_at_a_crossing_leaves_the_fibres_that_cross_apart():
    fibres = [straight((32, 10, 10), (32, 54, 54)), straight((32, 10, 54), (32, 54, 10))]
    report = trace(*fibres, straight((54, 32, 32), (32, 32, 32)), *AROUND, gap_um=0)
    first, second, *rest = report.trees
    assert min(length(first), length(second)) > 58
    assert len(rest) - len(AROUND) in {0, 1}


def test_the_neurites_of_a_soma_do_not_cross_in_it():
    body, ends = (32, 32, 32), [(32, 4, 32), (32, 60, 32), (32, 32, 4), (32, 32, 60), (60, 40, 40)]
    report = trace(ball(body, 8.0), *(straight(body, end) for end in ends))
    assert [report.summary[k] for k in ("trees", "somata", "tips")] == [1, 1, 5]


def test_crossings_are_branch_points_where_that_is_asked_for():
    fibres = [straight((32, 10, 10), (32, 54, 54)), straight((32, 10, 54), (32, 54, 10))]
    report = trace(*fibres, crossing_angle=0)
    assert [report.summary[k] for k in ("trees", "tips")] == [1, 4]


def test_a_fork_of_four_is_no_crossing():
    ends = (32, 10, 32), (32, 45, 15), (32, 54, 32), (32, 45, 52)
    report = trace(*(straight((32, 24, 32), end) for end in ends))
    assert report.summary["branch_points"]
    assert length(report.trees[0]) > 70


def test_parallel_fibres_two_voxels_apart_stay_two():
    fibres = [straight((32, y, 5), (32, y, 58), 0.3) for y in (30, 32)]
    report = trace(*fibres)
    assert [report.summary[k] for k in ("trees", "tips", "bridges")] == [2, 4, 0]
    assert report.summary["length_um"] == pytest.approx(2 * 53, rel=0.02)


@pytest.mark.parametrize("unit", [(3.0, 1.0, 1.0), (2.0, 0.5, 0.5), (0.5, 1.0, 1.5)])
def test_lengths_are_micrometres_whatever_a_voxel_is(unit):
    shape = tuple(int(72 / u) for u in unit)
    along = helix(52, 20, 1.5, 0.3)
    report = trace(along, unit=unit, shape=shape)
    assert report.summary["trees"] == 1
    assert report.summary["length_um"] == pytest.approx(length(along), rel=0.02)


def test_places_in_voxels_are_those_in_micrometres_over_the_voxel_size():
    unit, shape = (2.0, 0.5, 0.5), (36, 144, 144)
    in_um = trace(helix(52, 20, 1.5), unit=unit, shape=shape)
    voxels = neuroglow.trace(
        draw(helix(52, 20, 1.5), unit=unit, shape=shape),
        threshold=0.5,
        voxel_size=unit,
        unit="voxel",
    )
    np.testing.assert_allclose(voxels.trees[0].points * unit, in_um.trees[0].points)
    assert voxels.summary == in_um.summary


@pytest.mark.parametrize(("cut", "joined"), [(6, True), (9, True), (15, False)])
def test_a_cut_is_bridged_as_the_bound_says(cut, joined):
    parts = [
        straight((32, 30, 5), (32, 30, 32 - cut / 2)),
        straight((32, 30, 32 + cut / 2), (32, 30, 58)),
    ]
    report = trace(*parts, gap_um=12, gap_probability=0)
    assert report.summary["bridges"] == int(joined)
    assert report.summary["trees"] == 2 - joined
    if joined:
        assert report.summary["length_um"] == pytest.approx(53, rel=0.03)
        assert report.summary["bridged_um"] == pytest.approx(cut, abs=2.5)
        (tree,) = report.trees
        names = tree.columns["bridge"]
        assert set(np.unique(names)) == {0, 1}
        # a bridge's nodes lie in the cut, but for the one where the neurite goes on
        assert (np.abs(tree.points[names == 1][:, 2] - 32) < cut / 2 + 1).all()
        assert (tree.columns["probability"][names == 0] > 0.8).mean() > 0.9


def test_no_bridge_goes_where_the_evidence_is_too_little():
    parts = [straight((32, 30, 5), (32, 30, 29)), straight((32, 30, 35), (32, 30, 58))]
    between = draw(straight((32, 30, 27), (32, 30, 37), 0.3), value=0.15)
    seen = np.maximum(draw(*parts), between)
    for least, bridges in ((0.1, 1), (0.3, 0)):
        report = neuroglow.trace(seen, threshold=0.5, gap_um=12, gap_probability=least)
        assert report.summary["bridges"] == bridges


def test_no_bridge_turns_more_than_it_may():
    parts = [straight((32, 30, 5), (32, 30, 29)), straight((32, 38, 34), (32, 38, 58))]
    kwargs = {"gap_um": 14, "gap_probability": 0}
    assert trace(*parts, gap_angle=30, **kwargs).summary["bridges"] == 0
    assert trace(*parts, gap_angle=70, **kwargs).summary["bridges"] == 1


def test_a_bridge_leads_along_what_can_be_seen():
    parts = [straight((32, 20, 5), (32, 20, 24)), straight((32, 20, 40), (32, 20, 58))]
    turn = np.pi * np.linspace(0, 1, 100)[:, None]
    arc = np.hstack([32 + 0 * turn, 20 + 5 * np.sin(turn), 32 - 8 * np.cos(turn)])
    seen = np.maximum(draw(*parts), draw(line(arc, 0.3), value=0.18))
    report = neuroglow.trace(seen, threshold=0.5, gap_um=24)
    (tree,) = report.trees
    middle = tree.points[(tree.columns["bridge"] == 1) & (np.abs(tree.points[:, 2] - 32) < 4)]
    assert middle[:, 1].max() > 22


def test_the_raw_image_speaks_for_bridges():
    rng = np.random.default_rng(4)
    whole = straight((32, 30, 5), (32, 30, 58), 1.0)
    parts = [straight((32, 30, 5), (32, 30, 28)), straight((32, 30, 36), (32, 30, 58))]
    dark = rng.normal(100, 10, SIZE)
    shining = dark + 60 * (draw(whole) > 0)
    settings = {"threshold": 0.5, "gap_um": 12}
    assert neuroglow.trace(draw(*parts), **settings).summary["bridges"] == 0
    for raw, bridges in ((dark, 0), (shining, 1)):
        report = neuroglow.trace(draw(*parts), raw=raw.astype(np.float32), **settings)
        assert report.summary["bridges"] == bridges


def test_somata_are_roots():
    body = (32, 32, 32)
    report = trace(
        ball(body, 9.0), straight(body, (32, 32, 60)), straight(body, (32, 60, 32)), soma_um=5
    )
    (tree,) = report.trees
    assert tree.kinds.tolist() == [SOMA, *[0] * (len(tree.kinds) - 1)]
    assert np.linalg.norm(tree.points[0] - body) < 2
    assert tree.radii[0] == pytest.approx(9, abs=1)
    assert [report.summary[k] for k in ("tips", "branch_points", "somata")] == [2, 0, 1]
    assert trace(ball(body, 9.0), straight(body, (32, 32, 60)), soma_um=0).summary["somata"] == 0


def test_a_tree_of_two_somata_is_cut_between_them():
    bodies = (32, 32, 14), (32, 32, 50)
    report = trace(*(ball(b, 8.0) for b in bodies), straight(*bodies))
    assert [report.summary[k] for k in ("trees", "somata")] == [2, 2]
    for tree, body in zip(sorted(report.trees, key=lambda t: t.points[0, 2]), bodies, strict=True):
        assert np.linalg.norm(tree.points[0] - body) < 2


def test_a_bridge_between_two_somata_is_not_cut_in_two():
    somata = [ball((32, 32, x), 6.0) for x in (10, 54)]
    axons = [straight((32, 32, 10), (32, 32, 28)), straight((32, 32, 36), (32, 32, 54))]
    gap = draw(straight((32, 32, 25), (32, 32, 40), 0.3), value=0.2)
    report = neuroglow.trace(np.maximum(draw(*somata, *axons), gap), threshold=0.5, min_length_um=0)
    assert [report.summary[k] for k in ("trees", "somata", "bridges")] == [2, 2, 0]
    for tree in report.trees:
        assert not ((tree.points[:, 2] > 28.5) & (tree.points[:, 2] < 35.5)).any()


@pytest.mark.parametrize("radius", [2.0, 3.0, 4.0])
def test_radii_are_those_of_the_neurite(radius):
    (tree,) = trace(straight((32, 30, 6), (32, 34, 57), radius)).trees
    assert np.median(tree.radii) == pytest.approx(radius, abs=0.6)


def test_spurs_are_pruned_by_length_and_by_probability():
    trunk = straight((32, 20, 3), (32, 20, 60))

    def seen(side, value):
        return np.maximum(
            draw(trunk), draw(straight((32, 20, 30), (32, 20 + side, 30)), value=value)
        )

    tips = {
        (side, value): neuroglow.trace(
            seen(side, value), threshold=0.8, low=0.3, spur_um=6
        ).summary["tips"]
        for side in (5, 10, 20)
        for value in (0.9, 0.4)
    }
    assert tips == {
        (5, 0.9): 2,
        (5, 0.4): 2,
        (10, 0.9): 3,
        (10, 0.4): 2,
        (20, 0.9): 3,
        (20, 0.4): 3,
    }


def test_neurites_with_a_dip_between_them_stay_two():
    """The probability between them reaches both thresholds."""
    fibres = [straight((32, y, 0), (32, y, 63)) for y in (30, 34)]
    between = draw(straight((32, 32, 0), (32, 32, 63)), value=0.52)
    report = neuroglow.trace(np.maximum(draw(*fibres), between), threshold=0.5)
    assert report.summary["trees"] == 2


def test_what_is_faint_must_be_long():
    """Shorter than a tree where it reaches the threshold, and not much longer elsewhere."""
    for long, trees in ((28, 0), (50, 1)):
        faint = draw(straight((32, 30, 4), (32, 30, 4 + long)), value=0.4)
        bright = draw(straight((32, 30, 10), (32, 30, 18)), value=0.6)
        assert neuroglow.trace(np.maximum(faint, bright), threshold=0.5).summary["trees"] == trees


def test_what_nowhere_reaches_the_threshold_is_no_neurite():
    faint = np.maximum(draw(circle(22)), draw(straight((10, 8, 8), (10, 8, 60)), value=0.45))
    assert neuroglow.trace(faint, threshold=0.5, low=0.4).summary["trees"] == 1
    faint[10, 8, 30] = 0.55
    assert neuroglow.trace(faint, threshold=0.5, low=0.4).summary["trees"] == 2


def test_short_trees_are_left_out():
    seen = draw(circle(22), straight((10, 8, 8), (10, 8, 28)))
    for least, trees in ((10, 2), (40, 1), (500, 0)):
        report = neuroglow.trace(seen, threshold=0.5, min_length_um=least)
        assert report.summary["trees"] == trees
    assert "at least 500" in report.notes[-1]


def test_trees_are_valid_and_sorted():
    rng = np.random.default_rng(3)
    report = trace(*random_walks(rng, SIZE, 8))
    assert len(report.trees) > 1
    sizes = [length(tree) for tree in report.trees]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == pytest.approx(report.summary["length_um"], abs=0.01)
    for tree in report.trees:
        assert isinstance(tree, Tree)
        assert (tree.parents < np.arange(len(tree.parents))).all()
        assert (tree.parents < 0).sum() == 1
        assert (tree.radii > 0).all()
        assert ((tree.points >= 0) & (tree.points <= 63)).all()
        assert ((tree.columns["probability"] >= 0) & (tree.columns["probability"] <= 1)).all()


def test_nodes_are_a_step_apart():
    way = straight((32, 30, 5), (32, 36, 58))
    counts = {step: len(trace(way, step_um=step).trees[0].points) for step in (0, 2, 10)}
    assert counts[0] > 50 > counts[2] > 20 > counts[10] > 4

"""Scores against cases counted by hand, their extremes, the reference, and other programs."""

import numpy as np
import pytest

from neuroglow.metrics import average_precision, confusion_scores
from neuroglow.metrics.counts import Levels, ScoreCounts
from neuroglow.metrics.intervals import summary
from neuroglow.metrics.signal import CELL, REACH, by_class, measure_cells, uniformity
from neuroglow.metrics.skeletons import (
    Line,
    cldice,
    distance_to,
    length_scores,
    skeleton_line,
    thin,
)
from neuroglow.metrics.somata import node_scores
from neuroglow.metrics.trees import (
    cut_to_box,
    fragments,
    merges_of,
    structure_distances,
    to_strand,
    tree_scores,
)
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import Tree, join_trees

VOXEL = (1.0, 1.0, 1.0)
BYTES = Levels(0, 1, 256)


def fibre(*points):
    """A tree of one path through these points."""
    count = len(points)
    return Tree(
        np.array(points, float),
        np.ones(count),
        np.full(count, 2),
        np.arange(-1, count - 1),
    )


def line_of(tree):
    return to_strand(tree, VOXEL).line


# voxels


def scored_voxels():
    rng = np.random.default_rng(4)
    truth = rng.random(5000) < 0.2
    score = np.rint(255 * np.clip(rng.normal(0.3 + 0.3 * truth, 0.2), 0, 1)).astype(np.uint8)
    return (score / np.float32(255)), truth


def test_counts_give_what_the_voxels_give():
    score, truth = scored_voxels()
    counts = ScoreCounts.of(BYTES, score[truth], score[~truth])
    assert counts.average_precision == pytest.approx(average_precision(score, truth), abs=1e-12)
    for threshold in (0.1, 0.25, 0.5, 100 / 255, 1.0):
        expected = confusion_scores(score >= np.float32(threshold), truth)
        assert counts.scores(threshold) == pytest.approx(expected, abs=1e-12)
        assert (BYTES.detected(score, threshold) == (score >= np.float32(threshold))).all()
    best = counts.best_threshold()
    dice = [confusion_scores(score >= np.float32(v / 255), truth)["dice"] for v in range(256)]
    assert counts.scores(best)["dice"] == pytest.approx(max(dice))


def test_counts_of_parts_add_up():
    score, truth = scored_voxels()
    whole = ScoreCounts.of(BYTES, score[truth], score[~truth])
    parts = [np.arange(5000) % 3 == part for part in range(3)]
    added = sum(
        (ScoreCounts.of(BYTES, score[p & truth], score[p & ~truth]) for p in parts),
        ScoreCounts.nothing(BYTES),
    )
    assert (added.neurites == whole.neurites).all()
    assert (added.background == whole.background).all()


def test_counts_give_the_reference(shared):
    reference = np.load(shared / "reference/loss.npz")
    score = reference["logits"].argmax(1).astype(float)
    truth = reference["target"] == 1
    counts = ScoreCounts.of(Levels(0, 1, 2), score[truth], score[~truth])
    for name, value in counts.scores(0.5).items():
        assert value == pytest.approx(float(reference[name]), abs=1e-9), name


def test_a_real_score_counts_as_the_nearest_level():
    levels = Levels(0, 1, 1001)
    score = np.array([0.4994, 0.4996, 0.5, 2.0, -1.0])
    assert levels.detected(score, 0.5).tolist() == [False, True, True, True, False]
    assert levels.step == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("detected", "dice", "recall", "precision"),
    [("perfect", 1, 1, 1), ("empty", 0, 0, 0), ("all", 0.4, 1, 0.25)],
)
def test_extremes_of_voxels(detected, dice, recall, precision):
    truth = np.arange(8) < 2
    score = {"perfect": truth, "empty": truth & False, "all": truth | True}[detected].astype(float)
    found = ScoreCounts.of(Levels(0, 1, 2), score[truth], score[~truth]).scores(0.5)
    assert (found["dice"], found["recall"], found["precision"]) == pytest.approx(
        (dice, recall, precision)
    )


def test_calibration_by_hand():
    """Ten voxels said 0.2 of which 3 are, ten said 0.8 of which 8 are: off by 0.1 and by 0."""
    levels = Levels(0, 1, 11)
    neurites = np.repeat([0.2, 0.8], [3, 8])
    background = np.repeat([0.2, 0.8], [7, 2])
    counts = ScoreCounts.of(levels, neurites, background)
    assert counts.calibration_error == pytest.approx(0.05)
    assert [(r["voxels"], r["share"]) for r in counts.reliability()] == [(10, 0.3), (10, 0.8)]
    assert [r["probability"] for r in counts.reliability()] == pytest.approx([0.2, 0.8])


def test_without_a_neurite_what_says_nothing_is_nan():
    counts = ScoreCounts.of(BYTES, np.empty(0), np.zeros(5))
    assert np.isnan(counts.average_precision)
    assert np.isnan(counts.best_threshold())
    assert counts.curve() == []


# intervals


def test_an_interval_holds_the_mean_and_knows_no_order():
    values = [0.2, 0.9, 0.5, 0.7, float("nan")]
    found = summary(values)
    assert found == summary(values[::-1])
    assert found["n"] == 4
    assert found["mean"] == pytest.approx(0.575)
    assert found["sd"] == pytest.approx(np.std([0.2, 0.9, 0.5, 0.7], ddof=1))
    half = 3.182 * found["sd"] / 2  # Student's t with 3 degrees of freedom
    assert found["high"] - found["mean"] == pytest.approx(half, rel=1e-3)
    assert found["mean"] - found["low"] == pytest.approx(half, rel=1e-3)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for count in (2, 4, 12):
        found = [summary(rng.normal(size=count)) for _ in range(400)]
        covered = np.mean([f["low"] <= 0 <= f["high"] for f in found])
        assert 0.92 <= covered <= 0.98, count


def test_one_volume_has_no_interval():
    found = summary([0.4])
    assert (found["n"], found["mean"]) == (1, 0.4)
    assert np.isnan([found["sd"], found["low"], found["high"]]).all()
    assert np.isnan(summary([])["mean"])


# middle lines


def mask_of(points, shape=(24, 24, 24)):
    mask = np.zeros(shape, bool)
    mask[tuple(np.asarray(points).T)] = True
    return mask


@pytest.mark.parametrize(
    ("step", "unit", "length"),
    [
        ((0, 0, 1), VOXEL, 10),
        ((0, 1, 1), VOXEL, 10 * 2**0.5),
        ((1, 1, 1), VOXEL, 10 * 3**0.5),
        ((1, 0, 0), (3.0, 0.5, 0.5), 30),
        ((1, -1, 0), (3.0, 4.0, 1.0), 50),
    ],
)
def test_the_length_of_straight_lines(step, unit, length):
    start = np.where(np.array(step) < 0, 20, 2)
    mask = mask_of(start + np.outer(np.arange(11), step))
    line = skeleton_line(mask, unit)
    assert line.length == pytest.approx(length)
    assert len(line.points) == 11


def test_a_corner_is_not_counted_twice():
    corner = [(0, 0, i) for i in range(6)] + [(0, i, 5) for i in range(1, 6)]
    assert skeleton_line(mask_of(corner), VOXEL).length == pytest.approx(10)
    assert skeleton_line(mask_of([(1, 1, 1)]), VOXEL).length == 0


def test_a_tube_is_thinned_to_its_length():
    zyx = np.indices((20, 20, 60))
    tube = ((zyx[0] - 10) ** 2 + (zyx[1] - 9) ** 2 <= 9) & (abs(zyx[2] - 30) <= 20)
    line = skeleton_line(thin(tube), VOXEL)
    assert line.length == pytest.approx(40, abs=8)  # its ends are rounded off, by the radius
    assert np.abs(line.points[:, :2] - (10, 9)).max() <= 1
    assert not thin(np.zeros((4, 4, 4), bool)).any()


STRAIGHT = Line(np.column_stack([np.full(50, 9.0), np.full(50, 9.0), np.arange(50.0)]), np.ones(50))


def moved(line, by):
    return Line(line.points + by, line.lengths)


def scores_of(found, tolerance=2.0, unit=VOXEL):
    counted = np.ones(len(found.points), bool)
    return length_scores(STRAIGHT, found, tolerance, unit=unit, counted=counted)


def test_extremes_of_lines():
    assert scores_of(STRAIGHT) == {"recall": 1, "precision": 1, "f1": 1, "missed": 0, "false": 0}
    nothing = scores_of(Line.joined([]))
    assert nothing == {"recall": 0, "precision": 0, "f1": 0, "missed": 50, "false": 0}
    no_truth = length_scores(Line.joined([]), STRAIGHT, 2, unit=VOXEL, counted=np.ones(50, bool))
    assert np.isnan([no_truth["recall"], no_truth["precision"], no_truth["f1"]]).all()
    assert no_truth["false"] == 50


@pytest.mark.parametrize(("by", "found_within"), [(1, (1, 2, 3)), (3, (3,))])
def test_a_line_beside_the_truth_is_found_within_its_distance(by, found_within):
    for tolerance in (1, 2, 3):
        scores = scores_of(moved(STRAIGHT, (by, 0, 0)), tolerance)
        assert scores["f1"] == (tolerance in found_within)


def test_half_a_line_by_hand():
    half = STRAIGHT.where(STRAIGHT.points[:, 2] < 20)
    away = moved(STRAIGHT.where(STRAIGHT.points[:, 2] < 10), (9, 0, 0))
    scores = scores_of(Line.joined([half, away]))
    assert scores["recall"] == pytest.approx(22 / 50)  # 0..19, and two voxels beyond
    assert scores["precision"] == pytest.approx(20 / 30)
    assert (scores["missed"], scores["false"]) == (28, 10)


def test_tolerances_in_micrometres_heed_the_voxel_size():
    beside = moved(STRAIGHT, (1, 0, 0))
    assert scores_of(beside, 2.0, unit=(3.0, 0.5, 0.5))["f1"] == 0
    assert scores_of(moved(STRAIGHT, (0, 3, 0)), 2.0, unit=(3.0, 0.5, 0.5))["f1"] == 1


def test_distances_are_to_the_line_between_its_points():
    """Planes 5 um apart: nodes that lie half a plane off are 2.5 um from the next, on the line."""
    unit = (5.0, 1.0, 1.0)
    truth, found = (
        to_strand(Tree(points, np.ones(12), np.full(12, 2), np.arange(-1, 11)), unit)
        for points in (np.outer(np.arange(12) + off, unit) * [1, 0, 0] for off in (0, 0.5))
    )
    scores = length_scores(
        truth.line, found.line, 1.0, unit=unit, counted=np.ones(len(found.points), bool)
    )
    assert scores["recall"] > 0.95 < scores["precision"]  # all but the ends
    assert (fragments(truth, found, 1.0, unit)[1:] == 0).all()
    assert distance_to(np.array([[0.25, 3.0, 0.0]]), truth.line, unit) == pytest.approx(3.0)


def test_ignored_points_are_neither_right_nor_wrong():
    found = Line.joined([STRAIGHT, moved(STRAIGHT, (9, 0, 0))])
    counted = found.points[:, 0] < 12
    scores = length_scores(STRAIGHT, found, 2, unit=VOXEL, counted=counted)
    assert (scores["precision"], scores["recall"], scores["false"]) == (1, 1, 0)
    none = length_scores(STRAIGHT, found, 2, unit=VOXEL, counted=counted & False)
    assert none["recall"] == 1  # found all the same


def test_cldice_by_hand():
    assert cldice(8, 10, 5, 10) == pytest.approx(2 * 0.8 * 0.5 / 1.3)
    assert cldice(10, 10, 10, 10) == 1
    assert cldice(0, 0, 0, 10) == 0
    assert np.isnan(cldice(0, 3, 0, 0))


# trees


def test_resampling_keeps_length_and_parents():
    tree = join_trees([fibre((0, 0, 0), (0, 0, 10), (0, 7.5, 10)), fibre((5, 0, 0), (5, 3, 4))])
    strand = to_strand(tree, VOXEL)
    ends, starts = strand.edges
    away = np.linalg.norm(strand.points[ends] - strand.points[starts], axis=1)
    assert away.max() <= 1 + 1e-9
    assert strand.steps[ends] == pytest.approx(away)
    assert strand.line.length == pytest.approx(22.5)
    assert sorted(np.bincount(strand.trees)) == [6, 19]
    assert (strand.parents < 0).sum() == 2
    twice = to_strand(tree, (2.0, 1.0, 0.5))
    assert twice.line.length == pytest.approx(22.5)
    assert np.abs(np.diff(twice.points[twice.parents >= 0][:5], axis=0)).max() <= 20


def test_what_leaves_the_volume_is_cut_off():
    tree = fibre((5, 5, 2), (5, 5, 16), (5, 9, 16), (5, 9, 2))
    strand = cut_to_box(to_strand(tree, VOXEL), Box.of((10, 20, 10)))
    assert strand.points[:, 2].max() == 9
    assert strand.line.length == pytest.approx(14)
    assert np.bincount(strand.pieces).tolist() == [8, 8]


@pytest.mark.parametrize(("by", "esa", "dsa", "pds"), [(0, 0, 0, 0), (1, 1, 0, 0), (3, 3, 3, 1)])
def test_structure_distances_of_a_moved_fibre(by, esa, dsa, pds):
    one, other = (to_strand(fibre((x, 0, 0), (x, 0, 40)), VOXEL) for x in (0, by))
    expected = {"esa": esa, "dsa": dsa, "pds": pds}
    assert structure_distances(one, other) == pytest.approx(expected)
    both = tree_scores(one, other)
    assert (both["esa"], both["dsa"], both["pds"]) == pytest.approx((esa, dsa, pds))


def peer_trees():
    t = np.arange(120) * 0.5
    stem = np.column_stack([10 * np.sin(t / 15), 8 * np.cos(t / 12), 0.6 * t])
    branch = stem[50] + np.outer(np.arange(1, 61), [0.5, 0.2, 0.3])
    points = np.round(np.concatenate([stem, branch]) + 20, 1)  # pyneval rounds to 2 places
    parents = np.arange(-1, 179)
    parents[120] = 50
    wave = np.round(points + np.outer(3 * np.sin(points[:, 2] / 4), [1, 0.4, 0]), 1)
    kinds = np.full(180, 2)
    truth = Tree(points, np.ones(180), kinds, parents)
    return truth, Tree(wave[:165], np.ones(165), kinds[:165], parents[:165])


def test_structure_distances_are_pynevals():
    """pyneval 1.1.1, metric ssd (threshold 2, static; up-sampling 1) on these two trees.

    Its ssd_score is DSA of both ways; its recall and precision are 1 less PDS, one way each.
    """
    truth, found = (to_strand(tree, VOXEL) for tree in peer_trees())
    scores = tree_scores(truth, found)
    assert scores["dsa"] == pytest.approx(3.0716953503604607, abs=1e-9)
    assert 1 - scores["pds_recall"] == pytest.approx(0.6666666666666667, abs=1e-9)
    assert 1 - scores["pds_precision"] == pytest.approx(0.6606060606060606, abs=1e-9)


def three_fibres():
    """Three true fibres of 100 voxels; one split, the other two merged."""
    truth = join_trees([fibre((0, y, 0), (0, y, 100)) for y in (0, 20, 40)])
    found = join_trees(
        [
            fibre((0, 0, 0), (0, 0, 60)),
            fibre((0, 0, 61), (0, 0, 100)),
            fibre((0, 20, 0), (0, 20, 100), (0, 40, 69), (0, 40, 0)),
            fibre((0, 40, 70), (0, 40, 100)),
        ]
    )
    return to_strand(truth, VOXEL), to_strand(found, VOXEL)


def test_splits_and_run_lengths_are_those_of_segmentation_skeleton_metrics():
    """segmentation-skeleton-metrics 5.9.14 on three graphs that are labelled as here.

    SplitCountMetric: 1, 0, 1. labels_with_merge: label 3 in the second and the third.
    ERLMetric: 51.73, 0, 9.09; it divides by the length that is followed, we by all length
    (Januszewski et al. 2018), so the two agree when that is undone.
    """
    truth, found = three_fibres()
    scores = tree_scores(truth, found, tolerance=0.4)
    assert scores["splits"] == 1 + 0 + 1
    assert scores["merges"] == 1
    followed = (60 + 39, 100, 69 + 30)
    peer = sum(erl * part for erl, part in zip((51.73, 0, 9.09), followed, strict=True)) / 300
    assert scores["erl_um"] == pytest.approx(peer, abs=0.01)
    assert scores["erl_um"] == pytest.approx((60**2 + 39**2 + 30**2) / 300)
    assert scores["erl"] == pytest.approx(scores["erl_um"] / 100)


def test_a_neuron_that_leaves_the_volume_and_comes_back_is_one():
    way = fibre((0, 20, 18), (0, 20, -5), (0, 0, -5), (0, 0, 18))
    truth = cut_to_box(to_strand(way, VOXEL), Box((-1, -1, 0), (1, 21, 19)))
    sides = (0, 20, 0), (0, 20, 18), (0, 0, 18), (0, 0, 0)
    assert (truth.trees == 0).all()
    assert len(np.unique(truth.pieces)) == 2
    assert tree_scores(truth, to_strand(fibre(*sides), VOXEL))["merges"] == 0
    two = to_strand(join_trees([fibre(*sides[:2]), fibre(*sides[2:])]), VOXEL)
    scores = tree_scores(truth, two)
    assert (scores["splits"], scores["erl"]) == (0, 1)


def test_doubled_traces_and_false_branch_points():
    truth = to_strand(fibre((0, 0, 0), (0, 0, 40)), VOXEL)
    twice = join_trees([fibre((0, 0, 0), (0, 0, 40)), fibre((0, 1, 0), (0, 1, 40))])
    fork = Tree(
        np.array([(0, 0, 0), (0, 0, 20), (0, 0, 40), (0, 9, 20)], float),
        np.ones(4),
        np.full(4, 2),
        np.array([-1, 0, 1, 1]),
    )
    assert tree_scores(truth, to_strand(twice, VOXEL))["doubled"] == pytest.approx(1)
    assert tree_scores(truth, truth)["doubled"] == pytest.approx(0)
    scores = tree_scores(truth, to_strand(fork, VOXEL))
    assert np.isnan(scores["branch_recall"])
    assert scores["branch_precision"] == 0
    one = tree_scores(to_strand(fork, VOXEL), to_strand(fork, VOXEL))
    assert one["branch_precision"] == 1


def test_somata_found_and_false_and_errors_of_radii():
    """One of two somata is found, 4 um off; another found one is false; radii are 0.5 too large."""

    def neuron(soma, y, radius):
        points = np.array([soma, (0, y, 10), (0, y, 20), (0, y, 30)], float)
        return Tree(
            points, np.array([6, radius, radius, radius]), np.array([1, 3, 3, 3]), np.arange(-1, 3)
        )

    truth = join_trees([neuron((0, 0, 0), 0, 1.0), neuron((0, 50, 0), 50, 1.5)])
    found = join_trees([neuron((0, 4, 0), 0, 1.5), neuron((0, 90, 0), 50, 2.0)])
    scores = node_scores(truth, found)
    assert (scores["somata_recall"], scores["somata_false"]) == (0.5, 1)
    assert scores["radius_error"] == scores["radius_bias"] == pytest.approx(0.5)
    assert node_scores(truth, truth)["radius_error"] == 0
    bare = node_scores(fibre((0, 0, 0), (0, 0, 9)), found, box=Box((-5, -5, -5), (5, 30, 5)))
    assert np.isnan(bare["somata_recall"])
    assert bare["somata_false"] == 1


def test_perfect_trees():
    truth, _ = three_fibres()
    scores = tree_scores(truth, truth)
    nothing = ("esa", "dsa", "pds", "gaps_100um", "splits", "merges")
    assert all(scores[name] == 0 for name in nothing)
    assert (scores["erl"], scores["tip_recall"]) == (1, 1)
    assert scores["erl_um"] == pytest.approx(100)
    assert np.isnan(scores["branch_recall"])  # there is none


def test_empty_trees():
    truth, _ = three_fibres()
    scores = tree_scores(truth, to_strand(join_trees([]), VOXEL))
    assert np.isnan(scores["esa"])
    assert (scores["splits"], scores["merges"], scores["gaps_100um"], scores["erl"]) == (0, 0, 0, 0)
    assert scores["tip_recall"] == 0


def test_gaps_are_what_parts_two_found_pieces():
    """Of 200 voxels two inner pieces and one end are missing: two gaps, a split of each."""
    truth = to_strand(fibre((0, 0, 0), (0, 0, 200)), VOXEL)
    found = join_trees([fibre((0, 0, a), (0, 0, b)) for a, b in ((0, 50), (70, 100), (120, 170))])
    scores = tree_scores(truth, to_strand(found, VOXEL))
    assert scores["gaps_100um"] == pytest.approx(1.0)
    assert scores["splits"] == 2
    bridged = to_strand(fibre((0, 0, 0), (0, 0, 170)), VOXEL)
    assert tree_scores(truth, bridged)["gaps_100um"] == 0


def test_where_neurites_cross_each_keeps_its_own():
    cross = join_trees([fibre((0, 0, -30), (0, 0, 30)), fibre((1, -30, 0), (1, 30, 0))])
    strand = to_strand(cross, VOXEL)
    scores = tree_scores(strand, strand)
    assert (scores["splits"], scores["merges"], scores["erl"]) == (0, 0, 1)
    assert (fragments(strand, strand, 2.0, VOXEL) == strand.trees).all()


def test_one_tree_through_both_neurites_is_a_merge():
    two = join_trees([fibre((0, 0, 0), (0, 0, 50)), fibre((0, 30, 0), (0, 30, 50))])
    one = fibre((0, 0, 0), (0, 0, 50), (0, 30, 50), (0, 30, 0))
    scores = tree_scores(to_strand(two, VOXEL), to_strand(one, VOXEL))
    assert (scores["merges"], scores["splits"], scores["erl"]) == (1, 0, 0)


def test_a_merge_lies_where_both_come_nearest():
    two = [fibre((0, 0, 0), (0, 0, 50)), fibre((0, 30, 20), (0, 30, 50))]
    found = [fibre((0, 0, 0), (0, 0, 50), (0, 30, 50), (0, 30, 20)), fibre((9, 0, 0), (9, 0, 50))]
    truth, strand = (to_strand(join_trees(trees), VOXEL) for trees in (two, found))
    (merge,) = merges_of(truth, strand)
    assert merge.length == pytest.approx(30)
    np.testing.assert_allclose(merge.place[:2], (0, 15))
    assert 20 <= merge.place[2] <= 50  # they run along each other there
    assert merges_of(truth, truth) == []
    assert merges_of(truth, to_strand(join_trees([]), VOXEL)) == []


@pytest.mark.parametrize("seed", range(4))
def test_merges_have_as_many_places_as_are_counted(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (8, 4, 3))
    truth = to_strand(join_trees([fibre(*line) for line in corners]), VOXEL)
    joined = [fibre(*corners[i], *corners[i + 1]) for i in range(5)]
    found = to_strand(join_trees(joined), VOXEL)
    counted = tree_scores(truth, found)["merges"]
    assert len(merges_of(truth, found)) == counted > 0


def test_tips_and_branch_points():
    points = np.array([(0, 0, 0), (0, 0, 20), (0, 0, 40), (0, 20, 20)], float)
    tree = Tree(points, np.ones(4), np.full(4, 2), np.array([-1, 0, 1, 1]))
    truth = to_strand(tree, VOXEL)
    stem = to_strand(fibre((0, 0, 0), (0, 0, 36)), VOXEL)
    scores = tree_scores(truth, stem)
    assert scores["tip_recall"] == pytest.approx(2 / 3)
    assert scores["branch_recall"] == 0
    assert tree_scores(truth, truth)["branch_recall"] == 1
    at_faces = tree_scores(truth, stem, box=Box((-9, -9, 0), (9, 30, 41)))
    assert at_faces["tip_recall"] == 0  # the only tip that is not the volume's face is missed


# signal


def block_with_a_fibre(contrast, noise):
    rng = np.random.default_rng(2)
    label = np.zeros((CELL, CELL, CELL), np.uint8)
    label[14:17, 14:17] = 1
    return label, 100 + contrast * (label == 1) + rng.normal(0, noise, label.shape)


def test_signal_of_a_known_fibre():
    label, image = block_with_a_fibre(contrast=30, noise=5)
    everything = (slice(None),) * 3
    cell = measure_cells({"raw": (image, 0.3)}, label, everything)[0]["raw"]
    assert cell.snr == pytest.approx(6, rel=0.1)
    assert cell.cnr == pytest.approx(6, rel=0.1)
    assert cell.voxels == 9 * CELL
    assert cell.shell == pytest.approx(100, abs=0.5)


def test_signal_heeds_only_the_known_shell():
    label, image = block_with_a_fibre(contrast=30, noise=5)
    everything = (slice(None),) * 3
    before = measure_cells({"raw": (image, 0.3)}, label, everything)
    label[:, 20:23, 14] = 2  # ignored: as bright as it may be
    image[:, 20:23, 14] = 9999
    after = measure_cells({"raw": (image, 0.3)}, label, everything)
    assert after[0]["raw"].snr == pytest.approx(before[0]["raw"].snr, rel=0.02)
    image[:, 0, 0] = 9999  # farther than REACH
    assert int(REACH) == 6
    again = measure_cells({"raw": (image, 0.3)}, label, everything)
    assert again == after


def test_a_spread_below_rounding_is_not_believed():
    label, _ = block_with_a_fibre(30, 5)
    flat = np.where(label == 1, 1.0, 0.0)
    cell = measure_cells({"p": (flat, 0.01)}, label, (slice(None),) * 3)[0]["p"]
    assert cell.snr == pytest.approx(100)


def test_signal_by_class_and_uniformity():
    cells = []
    for contrast, ground in ((5, 0), (20, 0), (60, 30)):
        label, image = block_with_a_fibre(contrast, noise=5)
        cells += measure_cells({"raw": (image + ground, 0.3)}, label, (slice(None),) * 3)
    rows = by_class(cells, "raw")
    assert [row["cells"] for row in rows] == [1, 1, 1]
    assert rows[1]["snr, raw"] == pytest.approx(4, rel=0.15)
    ones = [cell["raw"] for cell in cells]
    assert uniformity(ones[:2]) == pytest.approx(1, abs=0.05)
    assert uniformity(ones) == pytest.approx(1 - 0.9 * 30 / np.mean([5, 20, 60]), abs=0.05)
    assert np.isnan(uniformity(ones[:1]))

"""What each score on a page is called there, and what it is; docs/reference/scores.md says more."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["DEFINITIONS", "TITLES"]

SCORES: Mapping[str, tuple[str, str]] = {
    "skeleton_f1": ("length F1", "harmonic mean of length recall and length precision"),
    "skeleton_recall": (
        "length recall",
        "share of the true length that lies within the tolerance of a found line",
    ),
    "skeleton_precision": (
        "length precision",
        "share of the found length that lies within the tolerance of a true line",
    ),
    "dice": ("Dice", "overlap of detected and true neurite voxels: 2 TP / (2 TP + FP + FN)"),
    "average_precision": (
        "average precision",
        "precision summed over the steps of recall, over all thresholds; ties together",
    ),
    "recall": ("recall", "share of the true neurite voxels that are detected"),
    "precision": ("precision", "share of the detected voxels that are neurite voxels"),
    "iou": ("IoU", "intersection over union, the mean of neurites' and background's"),
    "accuracy": (
        "accuracy",
        "share of all voxels told rightly; high where few are neurites",
    ),
    "calibration_error": (
        "calibration error",
        "mean distance of the probability from the share that are neurites, in 15 bins: 0 is best",
    ),
    "cldice": (
        "clDice",
        "harmonic mean of the shares of either middle line inside the other's mask",
    ),
    "tree_recovered": (
        "trees: recovered",
        "share of the true length that lies within the tolerance of a found tree",
    ),
    "tree_false": (
        "trees: false",
        "found length beyond the tolerance of any true tree, over the true length",
    ),
    "tree_esa": ("trees: ESA", "mean distance to the nearest node of the other, both ways"),
    "tree_dsa": ("trees: DSA", "the same over the nodes that lie 2 or more away"),
    "tree_pds": ("trees: PDS", "share of the nodes that lie 2 or more away from the other"),
    "tree_gaps_100um": (
        "trees: gaps per 100",
        "pieces of the truth between followed pieces that no found tree follows, for each 100 of "
        "true length",
    ),
    "tree_splits": ("trees: splits", "found trees that follow one true tree, less one"),
    "tree_merges": (
        "trees: merges",
        "true trees of which one found tree follows 10 voxels or more, less one",
    ),
    "tree_tip_recall": (
        "trees: tip recall",
        "share of the true tips with a found tip within twice the tolerance",
    ),
    "tree_branch_recall": (
        "trees: branch-point recall",
        "share of the true branch points with a found one within twice the tolerance",
    ),
    "tree_branch_precision": (
        "trees: branch-point precision",
        "share of the found branch points with a true one within twice the tolerance",
    ),
    "tree_doubled": (
        "trees: doubled",
        "found length along the truth over the true length that it follows, less 1",
    ),
    "tree_somata_recall": (
        "trees: somata found",
        "share of the true somata with a found one within 5, or their radius if larger",
    ),
    "tree_somata_false": ("trees: false somata", "found somata that are none of the true ones"),
    "tree_radius_error": (
        "trees: radius error",
        "median difference between the radii of found nodes and of the true nodes nearest to them, "
        "without its sign",
    ),
    "tree_radius_bias": ("trees: radius bias", "the same with its sign: above 0 is too thick"),
    "tree_erl_um": (
        "trees: run length",
        "expected run length: mean, over points of the truth, of the length of the piece around "
        "them that one found tree follows without a gap; merged pieces count 0",
    ),
    "tree_erl": ("trees: run length (share)", "expected run length over the largest possible"),
    "snr_raw": (
        "SNR, raw",
        "mean of the labelled neurites less that of the background around them, over the standard "
        "deviation of that background",
    ),
    "snr_prediction": ("SNR, prediction", "the same of the prediction"),
    "cnr_raw": (
        "CNR, raw",
        "the same difference over the root of the mean variance of neurites and background",
    ),
    "cnr_prediction": ("CNR, prediction", "the same of the prediction"),
    "uniformity_raw": (
        "uniformity, raw",
        "1 less the range of the background over cells (5 to 95 %), over the mean contrast",
    ),
    "uniformity_prediction": ("uniformity, prediction", "the same of the prediction"),
}
"""Score -> its title and its definition; in the order of the page. Of lines at one tolerance."""

TITLES: Mapping[str, str] = {name: title for name, (title, _) in SCORES.items()}

DEFINITIONS: Mapping[str, str] = (
    dict(SCORES.values())
    | {
        title.removeprefix("trees: "): meaning
        for title, meaning in SCORES.values()
        if title.startswith("trees: ")
    }
    | {
        "95 % interval": "interval of the mean over volumes by Student's t; none for one volume",
        "SD": "standard deviation over volumes",
        "volumes": "of how many volumes the score is: it is left out where it says nothing",
        "threshold": "a voxel is detected at or above it",
    }
)

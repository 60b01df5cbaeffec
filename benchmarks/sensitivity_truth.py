"""Is `sensitivity` right? Its predictions compared with phantoms, whose truth is known.

    python benchmarks/sensitivity_truth.py [--regions sparse plexus ...] [--seeds 3] [--out FILE]

Each phantom is examined as a user's volume would be: without its label, with the blur of the optics
and the calibre of the axons given as for a known microscope. Its own neurites are then cut into
pieces of known SNR (peak over the local noise, as measured for noise units), and the share of their
length within 2 voxels of a detected voxel is measured. The prediction is the curve of the added
neurites, read at the SNR of each true piece. The false rate is the share of detected voxels among
those farther than 4 voxels from any neurite or ignored structure. One row for each region, with all
its seeds; 95 % intervals over pieces, and over phantoms.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

import neuroglow
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.labels.labels import BACKGROUND
from neuroglow.metrics.intervals import share_interval, summary
from neuroglow.phantom.anatomy import populate
from neuroglow.phantom.cube import make_cube
from neuroglow.recovery.trial import APART, highest_near
from neuroglow.space.geometry import Box

SHAPE, PIECE, FAR = (64, 96, 96), 30, 4
BINS = ((1.0, 1.7), (1.7, 2.5), (2.5, 3.5), (3.5, 5.0), (5.0, 9.0))


def true_pieces(cube: Any) -> list[tuple[np.ndarray, float]]:
    """Give the places (n, 3) and the SNR of pieces of the phantom's neurites, apart from others."""
    scope, box = cube.microscope, Box.of(cube.image.shape)
    noise = NoiseUnits(open_volume(cube.image)).levels(box)[1]
    light = (1 - scope.haze) * scope._tissue(box) * scope._gain(box) * scope.noise
    grey = np.broadcast_to(light, cube.image.shape)
    neurites = [n for item in populate(cube.settings, scope) for n in item.neurites]
    found = []
    for index, neurite in enumerate(neurites):
        at = np.rint(neurite.points).astype(int)
        inside = ((at >= 0) & (at < cube.image.shape)).all(1) & scope.in_tissue(neurite.points)
        others = [n.points for i, n in enumerate(neurites) if i != index]
        if others:
            tree = cKDTree(np.concatenate(others))
            inside &= ~np.isfinite(tree.query(neurite.points, distance_upper_bound=APART)[0])
        peak = neurite.snr * scope.dimming(neurite.points[:, 0], neurite.radius_vox)
        for start in range(0, len(at), PIECE):
            own = np.flatnonzero(inside[start : start + PIECE]) + start
            if len(own) >= 12:
                places = tuple(at[own].T)
                found.append((at[own], float(np.median(peak[own] * grey[places] / noise[places]))))
    return found


def compare(region: str, seed: int) -> dict[str, Any]:
    """Give the prediction for one phantom, and the truth."""
    cube = make_cube({"shape": SHAPE, "region": region}, seed=seed)
    blur = cube.microscope.sigma_vox[1]
    report = neuroglow.sensitivity(
        cube.image,
        block=48,
        blocks=4,
        rounds=3,
        filters=False,
        seed=100 + seed,
        calibre_um=cube.settings.radius,
        blur_um=(blur, 1.01 * blur),
    )
    own = report.results["methods"][0]
    curve = [r for r in report.results["recall"] if r["threshold_from"] == own["threshold_from"]]
    probability = neuroglow.predict(cube.image)
    pieces = [
        (snr, len(at), int((highest_near(probability, at) >= own["threshold"]).sum()))
        for at, snr in true_pieces(cube)
    ]
    far = ndimage.distance_transform_edt(cube.label == BACKGROUND) > FAR
    return {
        "region": region,
        "seed": seed,
        "curve": {k: [r[k] for r in curve] for k in ("snr", "recall", "low", "high")},
        "pieces": pieces,
        "false": [own["false_rate"], own["false_low"], own["false_high"]],
        "shuffled": own["shuffled"],
        "true_false": float((probability >= own["threshold"])[far].mean()),
    }


def recall_rows(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give, for each bin of SNR, the predicted and the true recall."""
    rows = []
    for low, high in BINS:
        hits, counts, told = [], [], []
        for run in runs:
            curve = {k: np.array(v, float) for k, v in run["curve"].items()}
            for snr, count, hit in run["pieces"]:
                if low <= snr < high:
                    at = np.log(snr), np.log(curve["snr"])
                    told.append([np.interp(*at, curve[k]) for k in ("recall", "low", "high")])
                    hits.append(hit)
                    counts.append(count)
        if len(hits) >= 5:
            share, least, most = share_interval(np.array(hits), np.array(counts))
            predicted = np.average(told, axis=0, weights=counts)
            rows.append(
                {
                    "snr": f"{low:g}-{high:g}",
                    "pieces": len(hits),
                    "predicted": predicted.tolist(),
                    "true": [share, least, most],
                    "agree": bool(predicted[1] <= most and least <= predicted[2]),
                }
            )
    return rows


def main() -> None:
    """Read the command line; print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--regions", nargs="+", default=["sparse", "plexus", "cells", "near_noise"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    every, tables = [], {}
    print("| region | SNR | pieces | recall predicted | true recall | intervals overlap |")
    print("|---|---|---|---|---|---|", flush=True)
    for region in asked.regions:
        runs = [compare(region, seed) for seed in range(1, asked.seeds + 1)]
        every += runs
        tables[region] = recall_rows(runs)
        for row in tables[region]:
            told, true = ("{:.2f} ({:.2f}-{:.2f})".format(*row[k]) for k in ("predicted", "true"))
            print(
                f"| {region} | {row['snr']} | {row['pieces']} | {told} | {true} "
                f"| {'yes' if row['agree'] else 'no'} |",
                flush=True,
            )
        rates = [summary(r["false"][0] for r in runs), summary(r["true_false"] for r in runs)]
        for run in runs:
            print(
                f"  {region} {run['seed']}: false {run['false']}, true {run['true_false']:.5f}",
                flush=True,
            )
        print(
            f"  {region}: false predicted {rates[0]['mean']:.4f}, true {rates[1]['mean']:.4f}",
            flush=True,
        )
    if asked.out:
        asked.out.write_text(json.dumps({"runs": every, "recall": tables}, indent=1))


if __name__ == "__main__":
    main()

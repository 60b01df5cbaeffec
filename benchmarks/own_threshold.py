"""On which test set does a method without a network beat the model at its own threshold?

    python benchmarks/own_threshold.py --shared ../shared [--model light-microscopy] [--out FILE]

F1 within 2 voxels on the phantoms of reliability.py (synthetic, two of each region and four of dim
neurites, fitted to nothing) and on TRAILMAP's labelled planes (real; the bundled model saw them).
The model has the one threshold that its settings say. Raw intensity, noise units and a Sato filter
have, in each volume, the threshold that is best for that very volume: more than a user could
choose. The model's F1 at its best threshold for each volume stands beside them, to tell a wrong
threshold from a wrong probability.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from detection import PLANES, Score, baselines, planes_f1
from numpy.typing import NDArray
from reliability import phantoms

import neuroglow
from neuroglow import metrics
from neuroglow.phantom import IGNORE, NEURITE

SHARES = np.geomspace(0.002, 0.25, 12)
"""Shares of the voxels that the tried thresholds detect."""

METHODS = ("raw", "noise units", "Sato")


def best_phantom(values: NDArray, label: NDArray[np.uint8]) -> float:
    """Give the F1 of a phantom at the threshold that is best for it."""
    truth, ignore = label == NEURITE, label == IGNORE
    thresholds = np.unique(np.quantile(values, 1 - SHARES))
    return max(metrics.detection(values > t, truth, ignore=ignore).f1 for t in thresholds)


def rows_of_phantoms(model: str, methods: dict[str, Score]) -> Iterator[dict[str, object]]:
    """Score every phantom."""
    own = neuroglow.load_model(model).settings.threshold
    for group, image, label in phantoms():
        said = neuroglow.predict(image, model=model, dtype="float32")
        truth, ignore = label == NEURITE, label == IGNORE
        yield {
            "group": group,
            "model": metrics.detection(said > own, truth, ignore=ignore).f1,
            "model, best": best_phantom(said, label),
            **{name: best_phantom(method(image), label) for name, method in methods.items()},
        }


def row_of_planes(model: str, data: Path, methods: dict[str, Score]) -> dict[str, object]:
    """Score the labelled planes together."""
    image = tifffile.imread(data / "trailmap/labelled_volume.tif")
    axon = tifffile.imread(data / "trailmap/labelled_label.tif")[list(PLANES)] == 2
    own = neuroglow.load_model(model).settings.threshold

    def best(values: NDArray) -> float:
        return max(planes_f1(values > t, axon) for t in np.quantile(values, 1 - SHARES))

    said = neuroglow.predict(image, model=model, dtype="float32")[list(PLANES)]
    return {
        "group": "labelled planes",
        "model": planes_f1(said > own, axon),
        "model, best": best(said),
        **{name: best(method(image)[list(PLANES)]) for name, method in methods.items()},
    }


def main() -> None:
    """Read the command line; print a row a group, and name what is beaten."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    methods = {name: method for name, method in baselines().items() if name in METHODS}
    rows = [row_of_planes(asked.model, asked.shared / "data", methods)]
    rows += rows_of_phantoms(asked.model, methods)
    columns = [name for name in rows[0] if name != "group"]
    print("| | " + " | ".join(columns) + " | volumes where it is beaten |")
    print("|---|" + "---|" * (len(columns) + 1))
    for group in dict.fromkeys(row["group"] for row in rows):
        own = [row for row in rows if row["group"] == group]
        cells = [f"{np.mean([row[name] for row in own]):.3f}" for name in columns]
        beaten = [row for row in own if row["model"] < max(row[name] for name in methods)]
        print(f"| {group} | " + " | ".join(cells) + f" | {len(beaten)} of {len(own)} |")
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

"""Does a probability mean what it says, and is 0.5 the threshold? A reliability diagram.

    python benchmarks/reliability.py --shared ../shared [--model light-microscopy]
        [--planes "runs/model-fold-{fold}"] [--picture FILE] [--out FILE]

- phantoms (synthetic), two of each region and four of dim neurites, of seeds that neither training
  nor calibration used: of the voxels with a probability in a bin, what share is a neurite's?
  The truth of a voxel: without noise it is brighter than half of the neurite's peak; ignored from
  there to a fifth.
- labelled planes of TRAILMAP (a person's; axon against background, edges ignored), each by the
  model of the fold that never saw it (`--planes`, with {fold} for a, b, c).

For each group the F1 (within 2 voxels) at 0.5 and at the threshold that is best for the group.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import tifffile
from detection import PLANES, planes_f1
from numpy.typing import NDArray

import neuroglow
from neuroglow import metrics
from neuroglow.phantom import IGNORE, NEURITE, REGIONS, PhantomSettings, make_cube, make_phantom

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BINS = np.linspace(0, 1, 11)
THRESHOLDS = np.round(np.arange(0.05, 0.96, 0.05), 2)
DIM = PhantomSettings(neurites=(6, 16), snr=(1.5, 6.0))
FOLDS = dict(zip(PLANES, "abc", strict=True))


def phantoms() -> Iterator[tuple[str, NDArray[Any], NDArray[np.uint8]]]:
    """Give (group, image, label) of phantoms that nothing was fitted to."""
    for seed in range(4):
        dim = make_phantom(np.random.default_rng(7000 + seed), DIM)
        yield "dim", dim.image, dim.label
    for region in sorted(REGIONS):
        for seed in range(2):
            cube = make_cube({"region": region, "shape": (96, 96, 96)}, seed=7_000_000 + seed)
            yield region, cube.image, cube.label


class Group:
    """Counts of one group of volumes: voxels and neurite voxels a bin, F1 a threshold."""

    def __init__(self) -> None:
        self.voxels = np.zeros(len(BINS) - 1)
        self.said = np.zeros(len(BINS) - 1)
        self.true = np.zeros(len(BINS) - 1)
        self.f1: list[list[float]] = []

    def count(self, probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Add voxels to the diagram."""
        self.voxels += np.histogram(probability, BINS)[0]
        self.said += np.histogram(probability, BINS, weights=probability)[0]
        self.true += np.histogram(probability[truth], BINS)[0]

    def row(self) -> dict[str, Any]:
        """Give the diagram, and the F1 at 0.5 and at the best threshold."""
        mean = np.mean(self.f1, axis=0)
        voxels = np.maximum(self.voxels, 1)
        return {
            "said": (self.said / voxels).tolist(),
            "observed": (self.true / voxels).tolist(),
            "voxels": self.voxels.tolist(),
            "f1_half": float(mean[THRESHOLDS == 0.5][0]),
            "f1_best": float(mean.max()),
            "best_threshold": float(THRESHOLDS[mean.argmax()]),
        }


def measure_phantoms(model: str) -> dict[str, Group]:
    """Predict all phantoms, and count."""
    groups: dict[str, Group] = {}
    for name, image, label in phantoms():
        group = groups.setdefault(name, Group())
        said = neuroglow.predict(image, model=model, dtype="float32")
        truth, ignore = label == NEURITE, label == IGNORE
        group.count(said[~ignore], truth[~ignore])
        scores = [metrics.detection(said > t, truth, ignore=ignore).f1 for t in THRESHOLDS]
        group.f1.append(scores)
    return groups


def measure_planes(models: str, data: Path) -> Group:
    """Predict each labelled plane with the model of its fold, and count."""
    image = tifffile.imread(data / "trailmap/labelled_volume.tif")
    label = tifffile.imread(data / "trailmap/labelled_label.tif")
    group = Group()
    for plane in PLANES:
        model = models.format(fold=FOLDS[plane])
        said = neuroglow.predict(image, model=model, dtype="float32")[plane]
        counted = (label[plane] == 1) | (label[plane] == 2)
        group.count(said[counted], label[plane][counted] == 2)
        axon = label[plane][None] == 2
        group.f1.append([planes_f1(said[None] > t, axon) for t in THRESHOLDS])
    return group


def draw(rows: dict[str, dict[str, Any]], file: Path) -> None:
    """Draw the diagram."""
    figure, axes = plt.subplots(figsize=(5, 4.6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, linestyle="--", label="perfect calibration")
    for name, row in rows.items():
        enough = np.array(row["voxels"]) >= 200
        said, seen = np.array(row["said"])[enough], np.array(row["observed"])[enough]
        axes.plot(said, seen, marker="o", markersize=3, linewidth=1.2, label=name)
    axes.set(xlabel="probability", ylabel="share of voxels that belong to a neurite")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title="Reliability on phantoms (synthetic)")
    axes.legend(fontsize=8, frameon=False)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Read the command line; print a row a group."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--planes", help="models that never saw a plane, with {fold}")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = {name: group.row() for name, group in measure_phantoms(asked.model).items()}
    if asked.planes:
        rows["labelled planes"] = measure_planes(asked.planes, asked.shared / "data").row()
    print("| | F1 at 0.5 | best F1 | at |\n|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['f1_half']:.3f} | {row['f1_best']:.3f} | {row['best_threshold']:g} |"
        )
    if asked.picture:
        draw(rows, asked.picture)
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

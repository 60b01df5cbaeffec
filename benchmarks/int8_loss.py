"""What int8 costs in accuracy: float32 and int8 of one model on the labelled planes.

    OMP_NUM_THREADS=1 python benchmarks/int8_loss.py --shared ../shared [--model light-microscopy]
        [--keep]

A copy of the model gets an int8 variant, as `neuroglow models optimise` makes it, calibrated on a
phantom of each region (synthetic, 96 voxels per axis) and on real volumes of many kinds. The
labelled volume does not calibrate it. --keep puts the variant into the folder of the model: so is
that of the bundled model made. Scores are those of detection.py; then follow the voxels that
only one of the two detects.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from detection import score_planes

import neuroglow
from neuroglow.network.models import find_model
from neuroglow.network.optimise import optimise_model
from neuroglow.network.stored import INT8
from neuroglow.phantom import REGIONS

REAL = (
    "trailmap/example_chunk.tif",
    "dlmbmap/brain_example.tif",
    "neurotorch/soma_dendrites.tif",
    "fly/neuron.tif",
    "sources/lightsheet_01.tif",
    "sources/lightsheet_05.tif",
    "sources/lightsheet_09.tif",
    "sources/nuclei_010.tif",
    "sources/plaques_000.tif",
    "sources/vessels_014.tif",
    "sources/serial_two_photon.tif",
)


def calibrated(model: str, data: Path, folder: Path) -> Path:
    """Copy a model, and make its int8 variant."""
    volumes = [str(data / name) for name in REAL]
    for seed, region in enumerate(REGIONS):
        neuroglow.phantom_cube(folder / region, region=region, seed=900 + seed, shape=(96,) * 3)
        volumes.append(str(folder / region / "image.tif"))
    copy = shutil.copytree(find_model(model), folder / "model")
    optimise_model(copy, volumes, replace=True)
    return copy


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    data = asked.shared / "data"
    image = tifffile.imread(data / "trailmap/labelled_volume.tif")
    with tempfile.TemporaryDirectory() as name:
        model = calibrated(asked.model, data, Path(name))
        found = {
            precision: neuroglow.predict(image, model=model, precision=precision)
            for precision in ("float32", "int8")
        }
        if asked.keep:
            shutil.copy(model / INT8, find_model(asked.model) / INT8)
    print("| precision | average precision | best F1 | F1 at 0.5 |\n|---|---|---|---|")
    for precision, probability in found.items():
        scores = score_planes(lambda _, p=probability: p, data)
        cells = (scores[f"planes_{key}"] for key in ("ap", "best_f1", "f1_at_half"))
        print(f"| {precision} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |")
    one, other = (probability >= 0.5 for probability in found.values())
    apart = np.abs(found["float32"] - found["int8"])
    print(
        f"\ndetected by one alone {np.mean(one != other):.4%}, by both {np.mean(one & other):.3%};"
    )
    print(f"difference of the probability: largest {apart.max():.3f}, mean {apart.mean():.5f}")


if __name__ == "__main__":
    main()

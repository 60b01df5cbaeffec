"""One sheet of all real sources: the raw volume, and what the model detects in it.

    python benchmarks/source_sheet.py --shared ../shared --out docs/pictures/real/sources.png
        [--folds "runs/model-fold-{fold}"]

Each pair is a maximum projection of the middle planes: noise units alone, and with the probability
in colour over them. With `--folds`, a source is predicted by the model of the fold that never saw
it (recipes/light_microscopy/tissue.py, SOURCES), where it is in a fold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib
import numpy as np
import tifffile
from numpy.typing import NDArray

import neuroglow
from neuroglow.imaging.noise_units import to_noise_units

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "light_microscopy"))
import tissue

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PLANES, SIDE, PAIRS = 16, 200, 4
SCORED_ALONE = ("trailmap/labelled_volume.tif", "worm/ASJ5.tif", "fly/neuron.tif")
VESSELS = ("sources/vessels_014.tif", "sources/vessels_017.tif")


def pictures(image: NDArray, model: str) -> tuple[NDArray, NDArray]:
    """Give the projections (y, x, rgb) of a volume, raw and with the probability over it."""
    said = neuroglow.predict(image, model=model, dtype="float32")
    extent = (PLANES, SIDE, SIDE)
    window = tuple(
        slice(max(0, n // 2 - size // 2), n // 2 + size // 2)
        for n, size in zip(said.shape, extent, strict=True)
    )
    grey = to_noise_units(image)[window].max(axis=0)
    low, high = np.quantile(grey, (0.02, 0.998))
    raw = np.repeat(np.clip((grey - low) / max(high - low, 1e-3), 0, 1)[..., None], 3, axis=-1)
    share = np.clip(said[window].max(axis=0), 0, 1)[..., None]
    return raw, raw * (1 - 0.75 * share) + 0.75 * share * np.array([1.0, 0.55, 0.0])


def main() -> None:
    """Predict every source and draw the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--folds", help="models of the folds, with {fold}")
    asked = parser.parse_args()
    names = [*tissue.SOURCES, *VESSELS, *SCORED_ALONE]
    rows = -(-len(names) // PAIRS)
    figure, grid = plt.subplots(rows, 2 * PAIRS, figsize=(2 * PAIRS * 1.5, rows * 1.68))
    figure.subplots_adjust(0, 0, 1, 0.98, wspace=0.02, hspace=0.12)
    for axes in grid.flat:
        axes.axis("off")
    for number, name in enumerate(names):
        fold = tissue.SOURCES.get(name, ("", 0))[0]
        model = asked.folds.format(fold=fold) if asked.folds and fold else asked.model
        pair = pictures(tifffile.imread(asked.shared / "data" / name), model)
        for axes, picture in zip(grid.flat[2 * number : 2 * number + 2], pair, strict=True):
            axes.imshow(picture, aspect="equal")
        grid.flat[2 * number].set_title(Path(name).stem, fontsize=8, loc="left", pad=2)
        print(name, flush=True)
    figure.savefig(asked.out, dpi=100, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()

"""One sheet of all real sources: the raw volume, and what the model detects in it.

    python benchmarks/source_sheet.py --shared ../shared --out docs/pictures/real/sources.png --docs
    python benchmarks/source_sheet.py --shared ../shared --out sheet.png
        [--folds "runs/model-fold-{fold}"]

Each pair is a maximum projection of the middle planes: noise units alone, and with the probability
in colour over them. `--docs`: only the six sources that the documentation shows. With `--folds`, a
source is predicted by the model of the fold that never saw it (recipes/light_microscopy/tissue.py,
SOURCES), where it is in a fold.
"""

from __future__ import annotations

import argparse
import sys
from itertools import chain
from pathlib import Path

import tifffile
from numpy.typing import NDArray

import neuroglow
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.pictures.colours import glow, grey, range_of
from neuroglow.pictures.sheet import Panel, draw_sheet
from neuroglow.pictures.view import View

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "light_microscopy"))
import tissue
from real_pictures import SOURCES, write_small

PLANES, SIDE, PAIRS = 16, 200, 2
SCORED_ALONE = ("trailmap/labelled_volume.tif", "worm/ASJ5.tif", "fly/neuron.tif")
VESSELS = ("sources/vessels_014.tif", "sources/vessels_017.tif")


def pair(image: NDArray, name: str, model: str) -> list[Panel]:
    """Draw the middle of a volume: raw, and with the probability over it."""
    said = neuroglow.predict(image, model=model, dtype="float32")
    window = tuple(
        slice(max(0, n // 2 - size // 2), n // 2 + size // 2)
        for n, size in zip(said.shape, (PLANES, SIDE, SIDE), strict=True)
    )
    flat = to_noise_units(image)[window].max(axis=0)
    raw = grey(flat, *range_of({"z": flat}))
    over = glow(raw, said[window].max(axis=0))
    view = View.of((1, *flat.shape), None, side=2 * SIDE)
    return [
        Panel(view.enlarge(pixels, 0), title, view.bar(0))
        for pixels, title in ((raw, name), (over, "probability over it"))
    ]


def main() -> None:
    """Predict every source and draw the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--folds", help="models of the folds, with {fold}")
    parser.add_argument("--docs", action="store_true")
    asked = parser.parse_args()
    every = [*tissue.SOURCES, *VESSELS, *SCORED_ALONE]
    pairs = []
    for name in SOURCES.values() if asked.docs else every:
        fold = tissue.SOURCES.get(name, ("", 0))[0]
        model = asked.folds.format(fold=fold) if asked.folds and fold else asked.model
        pairs.append(pair(tifffile.imread(asked.shared / "data" / name), name, model))
        print(name, flush=True)
    rows = [[*chain(*pairs[i : i + PAIRS])] for i in range(0, len(pairs), PAIRS)]
    note = f"Maxima of the middle {PLANES} planes, in noise units"
    write_small(asked.out, draw_sheet(rows, note=note))


if __name__ == "__main__":
    main()

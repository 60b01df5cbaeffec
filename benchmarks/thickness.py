"""Are detected neurites as thick as the true ones, and do two neighbouring neurites stay apart?

    python benchmarks/thickness.py --shared ../shared [--model light-microscopy ...] [--out OUT]

Synthetic, in the noise of a phantom camera, at the model's own threshold:

- volume: neurites of real morphology of one full width at half maximum, at one SNR: number of
  voxels that are detected within two widths of a middle line, divided by the number of voxels
  brighter than half of the peak (without noise). The target is 0.8 to 1.3.
- apart: pairs of straight neurites of a full width of 2 voxels, with a distance of 3 or 4 voxels
  between their middle lines: the share of their cross-sections in which both are detected and a
  voxel between them is not.

Mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from detection import draw_neurites
from numpy.typing import NDArray
from scipy import ndimage

import neuroglow
from neuroglow.imaging import optics
from neuroglow.imaging.neurites import Neurite, centreline
from neuroglow.imaging.rendering import render

WIDTHS_VOX = (1.7, 2.4, 3.4, 4.8, 6.7)
SNRS = (3.0, 6.0, 20.0)
APART_VOX = (3.0, 4.0)
FULL_WIDTH = 2 * np.sqrt(2 * np.log(2))
RADIUS = 0.4
SHAPE = (64, 96, 96)


def sigma_of(width_vox: float) -> float:
    """Give the blur that, with what `render` adds for the calibre, makes a full width."""
    return float(np.sqrt(max((width_vox / FULL_WIDTH) ** 2 - (0.6 * RADIUS) ** 2, 0.05)))


def detected(
    model: str, signal: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Take a picture of a signal, and give what the model detects in it."""
    noise = optics.correlated_noise(signal.shape, (0.4,) * 3, rng)
    image = optics.expose(signal, noise, optics.Camera())
    threshold = neuroglow.load_model(model).settings.threshold
    said = neuroglow.predict(image, model=model, dtype="float32", gate=False)
    return np.asarray(said > threshold)


def volume(model: str, data: Path, width: float, snr: float, seed: int) -> float:
    """Give the detected volume over the neurites' own."""
    rng = np.random.default_rng([60, seed])
    neurites = draw_neurites(rng, data / "morphologies", SHAPE, 6)
    signal, extent = render(neurites, SHAPE, (sigma_of(width),) * 3)
    lit = detected(model, snr * np.minimum(signal, 1.2), rng)
    far = ndimage.distance_transform_edt(~centreline(neurites, SHAPE))
    return float(lit[far <= 2 * width].sum() / (extent > 0.5).sum())


def apart(model: str, distance: float, snr: float, seed: int) -> float:
    """Give the share of cross-sections in which two parallel neurites are two."""
    rng = np.random.default_rng([61, seed])
    along = np.arange(-4.0, SHAPE[2] + 4)
    places = [(z, y) for z in (12, 32, 52) for y in (16, 48, 80)]
    lines, pairs = [], []
    for z, y in places:
        at = z + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5)
        pairs.append(at)
        for side in (-distance / 2, distance / 2):
            points = np.stack([0 * along + at[0], 0 * along + at[1] + side, along], 1)
            lines.append(Neurite(points, RADIUS, np.full(len(along), snr)))
    lit = detected(model, render(lines, SHAPE, (sigma_of(2.0),) * 3)[0], rng)
    return float(np.mean([_two(lit, at, distance) for at in pairs]))


def _two(lit: NDArray[np.bool_], at: tuple[float, float], distance: float) -> float:
    """Give the share of the voxels along x at which both lines of a pair are detected apart."""
    z, middle = round(at[0]), at[1]
    rows = np.arange(round(middle - distance / 2), round(middle + distance / 2) + 1)
    plane = lit[z, rows, 8:-8]
    return float((plane[0] & plane[-1] & ~plane.all(axis=0)).mean())


def rows(model: str, data: Path, seeds: int) -> list[dict[str, Any]]:
    """Measure one model."""
    measured = []
    for snr in SNRS:
        for width in WIDTHS_VOX:
            runs = [volume(model, data, width, snr, seed) for seed in range(seeds)]
            measured.append({"what": f"volume, width {width:g}", "snr": snr, "runs": runs})
        for distance in APART_VOX:
            runs = [apart(model, distance, snr, seed) for seed in range(seeds)]
            measured.append({"what": f"two, {distance:g} apart", "snr": snr, "runs": runs})
    return measured


def main() -> None:
    """Read the command line; print a row for each width or distance."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", nargs="+", default=["light-microscopy"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    table = {model: rows(model, asked.shared / "data", asked.seeds) for model in asked.model}
    print("| | SNR | " + " | ".join(table) + " |\n|---|---|" + "---|" * len(table))
    for row in zip(*table.values(), strict=True):
        cells = [f"{np.mean(r['runs']):.2f} ± {np.std(r['runs']):.2f}" for r in row]
        print(f"| {row[0]['what']} | {row[0]['snr']:g} | " + " | ".join(cells) + " |")
    if asked.out:
        asked.out.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()

"""How wide, in voxels, a neurite may be: recall and precision at one width (synthetic).

    python benchmarks/widths.py --shared ../shared [--model light-microscopy] [--out widths.json]

Pieces of real axons (../shared/data/morphologies) are rendered in the noise of a phantom camera,
blurred to one full width at half maximum, at one SNR (peak over noise). For each width: the share
of their length within 2 voxels of a voxel detected at the model's own threshold, and the share of
detected voxels within 2 voxels of where the neurite is brighter than half of its peak; mean and
standard deviation over seeds. It shows at which voxel size a volume should be resampled.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from detection import draw_neurites

import neuroglow
from neuroglow import metrics
from neuroglow.imaging import optics
from neuroglow.phantom import centreline, render

WIDTHS_VOX = (1.2, 1.7, 2.4, 3.4, 4.8, 6.7, 9.5)
FULL_WIDTH = 2 * np.sqrt(2 * np.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1."""


def score(model: str, data: Path, width_vox: float, snr: float, seed: int) -> tuple[float, float]:
    """Give (recall of length, precision) of neurites of one width and SNR."""
    rng = np.random.default_rng([40, seed])
    shape = (96, 128, 128)
    neurites = draw_neurites(rng, data / "morphologies", shape, 8)
    thin = 0.6 * 0.4  # the blur that render adds for the thinnest calibre
    sigma = np.sqrt(max((width_vox / FULL_WIDTH) ** 2 - thin**2, 0.05))
    signal, extent = render(neurites, shape, (sigma,) * 3)
    noise = optics.correlated_noise(shape, (0.4,) * 3, rng)
    image = optics.expose(snr * np.minimum(signal, 1.2), noise, optics.Camera())
    threshold = neuroglow.load_model(model).settings.threshold
    lit = neuroglow.predict(image, model=model, dtype="float32") > threshold
    found = metrics.spread(lit.astype(np.float32), 2) > 0
    recall = found[centreline(neurites, shape)].mean()
    near = metrics.spread((extent > 0.5).astype(np.float32), 2) > 0
    return float(recall), float(near[lit].mean()) if lit.any() else 0.0


def main() -> None:
    """Read the command line; print a row for each width."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--snr", type=float, nargs="+", default=[3.0, 6.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = []
    print("| width, voxels | SNR | recall | precision |\n|---|---|---|---|")
    for width in WIDTHS_VOX:
        for snr in asked.snr:
            runs = np.array(
                [
                    score(asked.model, asked.shared / "data", width, snr, seed)
                    for seed in range(asked.seeds)
                ]
            )
            (recall, precision), (of_recall, of_precision) = runs.mean(0), runs.std(0, ddof=1)
            rows.append({"width_vox": width, "snr": snr, "recall": recall, "precision": precision})
            print(
                f"| {width:g} | {snr:g} | {recall:.2f} ± {of_recall:.2f} "
                f"| {precision:.2f} ± {of_precision:.2f} |",
                flush=True,
            )
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

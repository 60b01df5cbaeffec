"""True and false detections: a model compared with methods without a network.

    python benchmarks/detection.py --shared ../shared [--model light-microscopy ...]

- planes: the labelled planes of a real volume, never trained on: average precision, best F1
  within 2 pixels (and the F1 at the model's own threshold).
- faint: neurites of real morphology rendered at an SNR of 1.5, 2, 3 and 5 (peak of the blurred
  neurite over the local noise) and added to real volumes; recall within 2 voxels at the
  threshold for which, in the untouched volume, a tenth of all voxels lies within 2 voxels of a
  detected one. Chance finds 0.10. Training never saw the crops of TRAILMAP; it saw those of
  D-LMBmap and of NeuroTorch, without labels.
- lit_...: the share of voxels above the model's own threshold in three boxes of real volumes in
  which a person sees no neurite: the grain of a cell layer (D-LMBmap), the halo of a saturated
  soma (NeuroTorch), out-of-focus streaks (worm ASJ5, never seen).
- synthetic: the same neurites in the noise of a phantom camera: the same recall, the best F1
  within 2 voxels, and the share of length found at a precision of 0.8.

The methods without a network: raw intensity, noise units, a Sato filter on noise units, and
NIEND (Zhao et al. 2024) if `pip install neuron-image-denoise` has installed it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from skimage.filters import sato

import neuroglow
from neuroglow import metrics
from neuroglow.formats.opening import open_volume
from neuroglow.imaging import optics
from neuroglow.imaging.noise_units import NoiseUnits, to_noise_units
from neuroglow.phantom import Neurite, centreline, render
from neuroglow.space.geometry import Box
from neuroglow.trees.swc import paths, read_swc

Score = Callable[[np.ndarray], np.ndarray]
PLANES = (17, 48, 77)
FAINT = (1.5, 2.0, 3.0, 5.0)
EMPTY = {  # what is there instead of neurites: file, box zyx
    "grain": ("dlmbmap/brain_example.tif", np.s_[10:90, 0:180, 190:270]),
    "halo": ("neurotorch/soma_dendrites.tif", np.s_[32:40, 100:170, 40:90]),
    "streaks": ("worm/ASJ5.tif", np.s_[:, 5:55, 10:90]),
}
MORPHOLOGIES = ("18455_00011.swc", "15257_4021_x16401_y21556.swc")


def score_planes(score: Score, data: Path, own: float | None = None) -> dict[str, float]:
    """Score the labelled planes as ../shared/README.md says."""
    image = tifffile.imread(data / "trailmap/labelled_volume.tif")
    label = tifffile.imread(data / "trailmap/labelled_label.tif")[list(PLANES)]
    values = score(image)[list(PLANES)]
    counted = (label == 1) | (label == 2)
    thresholds = np.quantile(values, np.linspace(0.5, 0.97, 48))
    curve = [(float(t), planes_f1(values > t, label == 2)) for t in thresholds]
    best, f1 = max(curve, key=lambda pair: pair[1])
    return {
        "planes_ap": metrics.average_precision(values[counted], label[counted] == 2),
        "planes_best_f1": f1,
        "planes_best_threshold": best,
        "planes_f1_at_half": planes_f1(values > 0.5, label == 2),
    } | ({} if own is None else {"planes_f1_at_own_threshold": planes_f1(values > own, label == 2)})


def score_empty(score: Score, data: Path, own: float) -> dict[str, float]:
    """Give the share of voxels that are detected where a person sees no neurite."""
    return {
        f"lit_{name}": float((score(tifffile.imread(data / file))[box] > own).mean())
        for name, (file, box) in EMPTY.items()
    }


def planes_f1(lit: np.ndarray, axon: np.ndarray) -> float:
    """Give the F1 within 2 pixels, in each plane, over all planes."""
    disc = metrics.ball(2, 2)[None]
    near_lit, near_axon = (ndimage.binary_dilation(m, disc) for m in (lit, axon))
    if not lit.any():
        return 0.0
    return metrics.Detection(float(near_axon[lit].mean()), float(near_lit[axon].mean())).f1


def draw_neurites(
    rng: np.random.Generator, folder: Path, shape: tuple[int, ...], count: int
) -> list[Neurite]:
    """Place pieces of real axons (1 um a voxel) at random in a volume."""
    trees = [read_swc(folder / name) for name in MORPHOLOGIES]
    neurites: list[Neurite] = []
    while len(neurites) < count:
        tree = trees[int(rng.integers(len(trees)))]
        pieces = [p for p in paths(tree) if len(p) > 60]
        points = tree.points[pieces[int(rng.integers(len(pieces)))]]
        at = points[int(rng.integers(len(points)))]
        moved = points - at + rng.uniform(0.2, 0.8, 3) * shape
        inside = ((moved > -10) & (moved < np.add(shape, 10))).all(1)
        runs = np.split(np.arange(len(points)), np.flatnonzero(np.diff(inside.astype(int))) + 1)
        run = max((r for r in runs if inside[r[0]]), key=len)
        if len(run) > 40:
            neurites.append(
                Neurite(ndimage.gaussian_filter1d(moved[run], 2, axis=0), 0.5, np.ones(len(run)))
            )
    return neurites


def score_faint(score: Score, data: Path, crop: np.ndarray, snr: float, seed: int) -> float:
    """Add neurites of one SNR to a real crop; give recall with a tenth detected without them."""
    rng = np.random.default_rng([20, seed])
    neurites = draw_neurites(rng, data / "morphologies", crop.shape, 14)
    signal, _ = render(neurites, crop.shape, (1.4, 1.0, 1.0))
    noise = NoiseUnits(open_volume(crop)).levels(Box.of(crop.shape))[1]
    added = np.clip(
        np.rint(crop + snr * np.minimum(signal, 1.2) * noise), 0, np.iinfo(crop.dtype).max
    )
    threshold = metrics.threshold_for_share(score(crop), 0.1)
    found = metrics.spread(score(added.astype(crop.dtype)), 2) > threshold
    return float(found[centreline(neurites, crop.shape)].mean())


def score_synthetic(score: Score, data: Path, snr: float, seed: int) -> dict[str, float]:
    """Score the same in a phantom camera's noise, no distractors: recall, best F1, length."""
    rng = np.random.default_rng([30, seed])
    shape = (96, 128, 128)
    neurites = draw_neurites(rng, data / "morphologies", shape, 10)
    signal, extent = render(neurites, shape, (1.4, 1.0, 1.0))
    uneven = optics.smooth_field(shape, 50, rng)
    noise = optics.correlated_noise(shape, (0.5, 0.5, 0.5), rng)
    values = score(optics.expose(snr * signal + uneven, noise, optics.Camera()))
    empty = score(optics.expose(uneven, noise, optics.Camera()))
    middle = centreline(neurites, shape)
    recall = (metrics.spread(values, 2) > metrics.threshold_for_share(empty, 0.1))[middle].mean()
    truth = extent > 0.5
    thresholds = np.quantile(values, 1 - np.geomspace(0.001, 0.2, 30))
    _, best = metrics.best_detection(values, truth, thresholds)
    length, _ = metrics.length_at_precision(values, truth, middle, precision=0.8)
    return {"recall": float(recall), "f1": best.f1, "length_at_80": length}


def real_crops(data: Path) -> dict[str, np.ndarray]:
    """Give the real crops to which neurites are added."""
    return {
        "trailmap": tifffile.imread(data / "trailmap/example_chunk.tif")[207:303, 70:230, 70:230],
        "labelled": tifffile.imread(data / "trailmap/labelled_volume.tif")[:96],
        "dlmbmap": tifffile.imread(data / "dlmbmap/brain_example.tif")[2:98, 200:360, 60:220],
        "soma": tifffile.imread(data / "neurotorch/soma_dendrites.tif")[2:98, 90:250, 90:250],
    }


def score_all(
    score: Score, data: Path, own: float | None = None, *, seeds: int = 3
) -> dict[str, float]:
    """Give all scores of one method; `own` is its own threshold, if it has one."""
    figures = score_planes(score, data, own)
    if own is not None:
        figures |= score_empty(score, data, own)
    for name, crop in real_crops(data).items():
        for snr in FAINT:
            faint = [score_faint(score, data, crop, snr, seed) for seed in range(seeds)]
            figures[f"faint_{name}_{snr:g}"] = float(np.mean(faint))
    for snr in (2.0, 3.0):
        runs = [score_synthetic(score, data, snr, seed) for seed in range(seeds)]
        for name in runs[0]:
            figures[f"synthetic_{name}_{snr:g}"] = float(np.mean([run[name] for run in runs]))
    return figures


def baselines() -> dict[str, Score]:
    """Give the methods without a network."""
    methods: dict[str, Score] = {
        "raw": lambda image: image.astype(np.float32),
        "noise units": to_noise_units,
        "Sato": lambda image: sato(to_noise_units(image), sigmas=(1, 2), black_ridges=False),
    }
    if find_spec("neuron_image_denoise"):
        from neuron_image_denoise.filter import adaptive_denoise

        methods["NIEND"] = lambda image: adaptive_denoise(image.astype(np.uint16))
    return methods


def main() -> None:
    """Read the command line, print one row for each method, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--baselines", nargs="*", help="which of them; default: all")
    parser.add_argument("--views", type=int, choices=(1, 2, 4, 8), default=1, help="of models")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    methods = {
        name: method
        for name, method in baselines().items()
        if asked.baselines is None or name in asked.baselines
    }
    for model in asked.model or ([] if asked.baselines else ["light-microscopy"]):
        methods[model] = _model_score(model, asked.views)
    table = {}
    for name, method in methods.items():
        own = None if name in baselines() else neuroglow.load_model(name).settings.threshold
        table[name] = score_all(method, asked.shared / "data", own)
        print(name, json.dumps({k: round(v, 3) for k, v in table[name].items()}), flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(table, indent=1))


def _model_score(model: str, views: int) -> Score:
    return lambda image: neuroglow.predict(image, model=model, dtype="float32", views=views)


if __name__ == "__main__":
    main()

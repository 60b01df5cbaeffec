"""Make a model of trained states, its probability calibrated so that it means what it says.

    python calibrate.py runs/main-5?/state-00300.pt --pool runs/tissue --out runs/model-main \\
        [--without a]
    python benchmarks/detection.py --model runs/model-main --out scores.json
    python benchmarks/seams.py --model runs/model-main --out seams.json
    python calibrate.py runs/main-5?/state-00300.pt --pool runs/tissue --out MODEL \\
        --scores scores.json --seams seams.json

The weights are the mean of several trainings, which differ in their seed.

A voxel is a neurite's where, without noise, it is brighter than half of the neurite's peak; ignored
from there to a fifth, and within two voxels of one, as every score forgives them. The volumes are
phantoms that training never saw (eight of SNR 1.5 to 6, two of each region, four crowded with
nuclei, microglia, plaques) and crops of real volumes without neurites. The logit's scale is fitted
by maximum likelihood (Platt 1999), its shift so that F1 is the best at 0.5, the threshold.
`--without` leaves a fold out, as in training.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import continuity
import first
import numpy as np
import publish
import tissue
import torch
from continuity import BLOCKS
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.metrics.calibration import fit_logistic
from neuroglow.network.checkpoint import save_model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.model_settings import (
    Calibration,
    ModelSettings,
    NoiseUnitsInput,
    SeamError,
)
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, make_scene

Volume = tuple[NDArray, NDArray]
THRESHOLD = 0.5
TOLERANCE = 2
"""Voxels: so near a neurite, what is detected is forgiven by all scores, and left out here."""

CROWDED = range(950, 954)
PUBLIC = (
    "TRAILMAP (MIT), D-LMBmap (CC BY 4.0), NeuroTorch (BSD-3), Normalized_Level_Set (MIT), "
    "lsm_fm_public_repo and SELMA3D (MIT), delivr_cfos (MIT), cellfinder (BSD-3), pyNeuTube (BSD-3)"
)
DESCRIPTION = (
    "Neurites in fluorescence light microscopy, read in noise units. Trained on phantoms, on "
    "phantoms added to real volumes without neurites (nuclei, plaques, cFos, microglia) and to "
    "real volumes with neurites that an earlier model named; half of them degraded as files are; "
    "on bright somata and on backgrounds set to zero. Labelled planes had a small part."
)


def crowded() -> Iterator[Volume]:
    """Give phantoms with what is no neurite by the hundred, unseen by training."""
    for seed in CROWDED:
        rng = np.random.default_rng(seed)
        scene = make_scene(rng, first.phantom_settings(rng))
        tissue.crowd(rng, scene)
        yield first.before_phantom_camera(rng, scene), scene.label


def negatives(pool: Path, without: str) -> Iterator[Volume]:
    """Give the middles of real volumes without neurites."""
    volumes, _ = tissue.reals(pool, "none")
    for real in volumes:
        if not without or list(tissue.SOURCES.values())[real.source][0] != without:
            window = tuple(slice(max(0, n // 2 - 32), n // 2 + 32) for n in real.image.shape)
            yield real.image[window], np.full(real.image[window].shape, BACKGROUND, np.uint8)


@torch.inference_mode()
def logits(network: torch.nn.Module, image: NDArray) -> NDArray[np.float32]:
    """Give the network's answer to a volume."""
    x = to_noise_units(image)
    padded = np.pad(x, [(0, -n % 8) for n in x.shape], mode="reflect")
    answer = network(torch.from_numpy(padded)[None, None])[0, 0].numpy()
    return np.asarray(answer[tuple(slice(n) for n in x.shape)])


def counted(answers: list[NDArray[np.float32]], volumes: list[Volume]) -> tuple[NDArray, NDArray]:
    """Give logit and truth (0, 1) of all voxels that count."""
    logit, truth = [], []
    for answer, (_, label) in zip(answers, volumes, strict=True):
        neurite = label == NEURITE
        counts = (label != IGNORE) & (neurite | ~around(neurite))
        logit.append(answer[counts])
        truth.append(neurite[counts])
    return np.concatenate(logit).astype(np.float64), np.concatenate(truth).astype(np.float64)


def around(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Grow a mask (zyx) by the tolerance."""
    return np.asarray(ndimage.binary_dilation(mask, iterations=TOLERANCE))


def f1(answers: list[NDArray[np.float32]], volumes: list[Volume], above: float) -> float:
    """Give the F1 of all voxels together whose logit lies above a threshold, within the tolerance.

    Precision: detected voxels near a neurite's; recall: a neurite's voxels near a detected one.
    """
    near, far, found, neurites = 0, 0, 0, 0
    for answer, (_, label) in zip(answers, volumes, strict=True):
        detected, neurite = answer > above, label == NEURITE
        forgiven = around(neurite)
        near += np.count_nonzero(detected & forgiven)
        far += np.count_nonzero(detected & ~forgiven & (label != IGNORE))
        found += np.count_nonzero(neurite & around(detected))
        neurites += np.count_nonzero(neurite)
    precision, recall = near / max(near + far, 1), found / max(neurites, 1)
    return 2 * precision * recall / max(precision + recall, 1e-9)


def calibrate(network: torch.nn.Module, pool: Path, without: str) -> Calibration:
    """Calibrate a network: its scale by likelihood, its shift by F1."""
    volumes = [*publish.unseen(), *crowded(), *negatives(pool, without)]
    answers = [logits(network, image) for image, _ in volumes]
    scale, shift = fit_logistic(*counted(answers, volumes))
    candidates = -shift / scale + np.arange(-1.0, 1.0, 0.05)
    best = max(candidates, key=lambda above: f1(answers, volumes, above))
    print(f"by likelihood alone: scale {scale:.3f}, shift {shift:+.3f}", flush=True)
    return Calibration(
        scale=scale,
        shift=-scale * float(best),
        fitted="scale of the logit by maximum likelihood, shift by the best F1 at 0.5, "
        "on twenty-four phantoms that training never saw and on crops of real volumes "
        f"without neurites; background within {TOLERANCE} voxels of a neurite is left out",
    )


def network_of(states: list[Path]) -> GlowNet:
    """Rebuild the network of the mean of states or models."""
    network = GlowNet(widths=first.Recipe.widths, blocks=BLOCKS)
    weights = [continuity.grown(state).state_dict() for state in states]
    mean = {
        name: (sum(part[name].float() for part in weights) / len(weights)).to(value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(mean)
    return network.float().eval()


def described(calibration: Calibration, asked: argparse.Namespace) -> ModelSettings:
    """Describe the model: how it was trained, on what, and what was measured."""
    plan = tissue.Plan(without=asked.without)
    planes = tuple(plane for fold, plane in tissue.PLANES.items() if fold != plan.without)
    scores = next(iter(json.loads(asked.scores.read_text()).values())) if asked.scores else {}
    seams = json.loads(asked.seams.read_text()) if asked.seams else []
    return ModelSettings(
        name="light-microscopy",
        network="glow",
        arguments={"widths": first.Recipe.widths, "blocks": BLOCKS},
        normalisation=NoiseUnitsInput(),
        halo=publish.HALO,
        threshold=THRESHOLD,
        calibration=calibration,
        seam_error=tuple(SeamError(**seam) for seam in seams),
        scores={k: v for k, v in scores.items() if not k.startswith("planes_")},
        training={
            "recipe": "recipes/light_microscopy/recipe.py",
            "steps": plan.steps,
            "batch": plan.batch,
            "seeds": list(tissue.SEEDS),
            "data": f"phantoms; unlabelled: {PUBLIC}; labelled: TRAILMAP's planes {planes}",
            "threshold": calibration.fitted,
        },
        licence="BSD-3-Clause",
        description=DESCRIPTION,
    )


def main() -> None:
    """Read the command line; calibrate and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("states", type=Path, nargs="+", help="states, or folders of models")
    parser.add_argument("--pool", type=Path, required=True, help="the run of tissue.py pool")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", default="", choices=tissue.FOLDS)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--seams", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(2)
    network = network_of(asked.states)
    calibration = calibrate(network, asked.pool, asked.without)
    settings = described(calibration, asked)
    card = publish.card(settings)
    save_model(asked.out, network, settings, dtype=torch.float16, card=card, replace=True)
    print(f"scale {calibration.scale:.3f}, shift {calibration.shift:+.3f}", flush=True)


if __name__ == "__main__":
    main()

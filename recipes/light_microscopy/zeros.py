"""A side stage of `light-microscopy`: volumes whose background somebody has set to zero.

    python zeros.py --start SEVEN --pool runs/continuity --out runs/zeros

Confocal stacks and denoised brains are often stored so: background subtracted, what is below some
level zero, 8 bits. There is no noise then to measure by, a thin neurite is a row of beads, and
recipes/continuity.py has taught that short pieces are none. Here every fourth patch is a phantom
treated so: where beads are near enough, the neurite runs on between them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import continuity
import first
import numpy as np
import refine
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

import neuroglow
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.phantom import IGNORE, NEURITE, make_scene

Floats = NDArray[np.float32]
REACH = 3
"""Voxels: where a neurite leaves no trace so near, nobody can know of it."""


@dataclass(frozen=True)
class Zeros:
    """What decides the weights, besides the model to start from and the pool."""

    scenes: int = 240
    pool_seed: int = 90
    steps: int = 640
    batch: int = 4
    learning_rate: float = 5e-4
    seed: int = 40
    ema: float = 0.99


def cut_off(rng: Generator, image: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Set the background to zero, as people do: smooth perhaps, subtract, clip, 8 bits."""
    grey = image.astype(np.float32)
    if rng.random() < 0.5:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.4, 0.9))
    middle = np.median(grey)
    noise = 1.4826 * np.median(np.abs(grey - middle)) + 1e-3
    grey = np.maximum(grey - middle - rng.uniform(1.5, 5) * noise, 0)
    top = max(float(np.quantile(grey, rng.uniform(0.98, 0.9999))), 4 * noise)
    return np.asarray(np.clip(np.rint(grey / top * 255), 0, 255), np.uint8)


def make_patches(rng: Generator) -> Iterator[tuple[NDArray, ...]]:
    """Make three patches (noise units, brightness, label) of one scene."""
    scene = make_scene(rng, first.phantom_settings(rng))
    if rng.random() < 0.2:
        continuity.add_soma(rng, scene)
    image = cut_off(rng, first.before_phantom_camera(rng, scene))
    label = scene.label.copy()
    trace = ndimage.uniform_filter((image > 0).astype(np.float32), 2 * REACH + 1) > 0
    label[~trace & (label == NEURITE)] = IGNORE
    x = to_noise_units(image)
    for _ in range(3):
        window = first.draw_window(rng, (label == NEURITE).astype(np.float32))
        yield x[window].astype(np.float16), scene.target[window].astype(np.float16), label[window]


def patches(plan: Zeros) -> Iterator[list[Floats]]:
    """Make all patches once, then give (noise units, target, weight) for ever, turned at random."""
    pool = [
        patch
        for number in range(plan.scenes)
        for patch in make_patches(np.random.default_rng([plan.pool_seed, number]))
    ]
    rng = np.random.default_rng([plan.seed, 1])
    fading = continuity.Plan(start=Path())
    while True:
        x, snr, label = pool[int(rng.integers(len(pool)))]
        target = (label == NEURITE).astype(np.float32)
        faded = refine.fade(target, np.maximum(snr.astype(np.float32), 0), fading)
        faded = np.where(snr > 0, faded, target)
        weight = (label != IGNORE).astype(np.float32)
        yield continuity.turned(rng, (x.astype(np.float32), faded, weight))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", type=Path, required=True, help="a model's folder")
    parser.add_argument("--pool", type=Path, required=True, help="the run of continuity.py")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    plan = first.sized(Zeros())
    network = neuroglow.load_model(asked.start).network.float()
    torch.manual_seed(plan.seed)
    stream = continuity.mixed(asked.pool, patches(plan), plan.batch, plan.seed)
    first.fit(network, stream, plan, asked.out)


if __name__ == "__main__":
    main()

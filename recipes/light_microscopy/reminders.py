"""Patches of what the last stage of `light-microscopy` (tissue.py) would forget.

    python reminders.py --out runs/reminders --processes 2

Bright somata without dendrites, which look like nuclei but are far brighter, and neurites on a
background that somebody set to zero (zeros.py). Half of the patches each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import continuity
import first
import numpy as np
import refine
import tissue
import torch
import zeros

from neuroglow.imaging import field
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.phantom import NEURITE, make_scene

SHAPE = tissue.SHAPE
PATCHES = 240
POOL_SEED = 700
BRIGHT, ALONE = (150, 1500), (0, 4)
"""SNR of the somata, and their number of dendrites: from the first to below the second."""


def make_patches(number: int) -> list[tissue.Patch]:
    """Make the patches of one phantom."""
    torch.set_num_threads(1)
    plan, rng = tissue.Plan(), np.random.default_rng([POOL_SEED, number])
    scene, lost = make_scene(rng, first.phantom_settings(rng)), np.zeros(SHAPE, bool)
    if number % 2:
        tissue.crowd(rng, scene)
        continuity.add_soma(rng, scene, BRIGHT, ALONE)
        x = to_noise_units(first.before_phantom_camera(rng, scene))
    else:
        cut = zeros.cut_off(rng, first.before_phantom_camera(rng, scene))
        x, lost = to_noise_units(cut), field.unseen(cut)
    target, weight = tissue.answer(x, scene.label, scene, tissue.between(scene.extent), plan)
    body = (scene.label == NEURITE) & (scene.extent < 0.2)
    target[body] = refine.fade(body.astype(np.float32), refine.brightness_of(x), plan)[body]
    weight[body] = 1
    weight[lost & (target > 0)] = 0
    parts = (x, target, weight, np.where(body, 0, scene.target))
    windows = [first.draw_window(rng, target) for _ in range(tissue.PER_IMAGE)]
    return [tuple(part[window] for part in parts) for window in windows]


def make_pool(patches: int, out: Path, processes: int) -> None:
    """Make all patches, and save them whole."""
    images = patches // tissue.PER_IMAGE
    made = tissue.stacked(make_patches, images, tissue.FED, processes)
    out.mkdir(parents=True, exist_ok=True)
    for name, parts in made.items():
        np.save(out / f"{name}.npy", parts)
    (out / "pool.done").touch()


def main() -> None:
    """Read the command line; make the patches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    make_pool(PATCHES, asked.out, asked.processes)


if __name__ == "__main__":
    main()

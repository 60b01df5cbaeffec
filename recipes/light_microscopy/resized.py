"""Volumes without neurites, enlarged or reduced, for the last stage of `light-microscopy`.

    python resized.py --tissue runs/tissue --out runs/patches --processes 2

The few volumes without neurites have nuclei of few sizes, and a network learns those. Here they
are 0.45 to 1.4 times as large, with new noise and another contrast, before phantom neurites are
added (tissue.py). The patches follow those of tissue.py in one pool.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import first
import numpy as np
import tissue
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from neuroglow.imaging.injection import local_noise
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.phantom import BACKGROUND, make_scene

IMAGES = 170
POOL_SEED = 4321
SMALLEST, LARGEST = 0.45, 1.4
TOP = np.iinfo(np.uint16).max


def resized(rng: Generator, image: NDArray[Any]) -> NDArray[np.uint16]:
    """Enlarge or reduce a volume (zyx); often with new noise, sometimes with another contrast."""
    factor = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST)))
    factors = (np.clip(factor * np.exp(rng.normal(0, 0.15)), 0.4, 1.5), factor, factor)
    noise = float(np.median(local_noise(image)))
    smooth = ndimage.gaussian_filter(
        image.astype(np.float32), [max(0, 0.4 * (1 / f - 1)) for f in factors]
    )
    grey = ndimage.zoom(smooth, factors, order=1)
    if rng.random() < 0.7:
        level = noise * rng.uniform(0.2, 1.0)
        grey = grey + level * rng.standard_normal(grey.shape).astype(np.float32)
    if rng.random() < 0.4:
        low = np.quantile(grey, 0.02)
        top = max(np.quantile(grey, 0.999) - low, 1)
        gamma = np.exp(rng.normal(0, 0.3))
        bright = top * (np.clip(grey - low, 0, None) / top) ** gamma
        grey = low + bright + np.minimum(grey - low, 0)
    return np.asarray(np.clip(np.rint(grey), 0, TOP), np.uint16)


def make_patches(number: int, pool: Path) -> list[tissue.Patch]:
    """Make the patches of one scene before one resized volume."""
    plan = tissue.Plan()
    rng = np.random.default_rng([POOL_SEED, number])
    scene = make_scene(rng, first.phantom_settings(rng))
    volumes, shares = tissue.reals(pool, "none")
    real = volumes[int(rng.choice(len(volumes), p=shares))]
    image = resized(rng, real.image)
    label = np.full(image.shape, BACKGROUND, np.uint8)
    whole = tissue.Real(image, local_noise(image).astype(np.float32), label, real.source)
    image, noise, label = tissue.crop(rng, whole)
    label = np.where(scene.label == BACKGROUND, label, scene.label)
    raised = np.clip(image + np.minimum(scene.target, 60) * noise, 0, TOP)
    x = to_noise_units(np.rint(raised).astype(np.uint16))
    shown = tissue.Shown(scene, tissue.between(scene.extent), label, real.source)
    return tissue.patches_of(rng, x, shown, plan)


def make_pool(pool: Path, out: Path, processes: int, images: int = IMAGES) -> None:
    """Make all patches; save them behind those of tissue.py."""
    made = tissue.stacked(partial(make_patches, pool=pool), images, tissue.KINDS, processes)
    out.mkdir(parents=True, exist_ok=True)
    for name, parts in made.items():
        before = np.load(pool / f"{name}.npy", mmap_mode="r")
        np.save(out / f"{name}.npy", np.concatenate([before, parts]))
    (out / "pool.done").touch()


def main() -> None:
    """Read the command line; make the patches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tissue", type=Path, required=True, help="the run of `tissue.py pool`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--images", type=int, default=IMAGES)
    asked = parser.parse_args()
    make_pool(asked.tissue, asked.out, asked.processes, asked.images)


if __name__ == "__main__":
    main()

"""The last stage of `light-microscopy`: on with tissue.py, and what that stage forgets.

    python reminders.py pool --out runs/reminders --processes 2
    python reminders.py fit --start runs/main/state-00250.pt --teacher runs/teacher \\
        --reminders runs/reminders --pool runs/tissue --out runs/last
    python reminders.py fit ... --without a --out runs/last-a

The stage of tissue forgets bright somata without dendrites, which look like nuclei, and neurites on
a background that somebody set to zero. Here one patch of each batch shows such a soma, far brighter
than nuclei are, or such a background (zeros.py); the others are those of tissue.py, without the
sources of the fold that is left out.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import continuity
import first
import numpy as np
import planes
import refine
import tissue
import torch
import zeros
from numpy.typing import NDArray

from neuroglow.imaging import field
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.phantom import NEURITE, make_scene

Patch = tuple[NDArray[Any], ...]
SHAPE = tissue.SHAPE
PATCHES = 240
POOL_SEED = 700
BRIGHT, ALONE = (150, 1500), (0, 4)
"""SNR of the somata, and their number of dendrites: from the first to below the second."""

ALL_THERE = 1000
"""A step of tissue.py at which all of its patches may be drawn."""

PLAN = tissue.Plan(steps=80, batch=3, learning_rate=3e-4, seed=60, ema=0.97, dim=0.6)
"""The stage; `batch`: patches of tissue.py in a batch, besides the reminder."""


def make_patches(number: int) -> list[Patch]:
    """Make the patches of one phantom."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([POOL_SEED, number])
    scene, lost = make_scene(rng, first.phantom_settings(rng)), np.zeros(SHAPE, bool)
    if number % 2:
        tissue.crowd(rng, scene)
        continuity.add_soma(rng, scene, BRIGHT, ALONE)
        x = to_noise_units(first.before_phantom_camera(rng, scene))
    else:
        cut = zeros.cut_off(rng, first.before_phantom_camera(rng, scene))
        x, lost = to_noise_units(cut), field.unseen(cut)
    target, weight = tissue.answer(x, scene.label, scene, tissue.between(scene.extent), PLAN)
    body = (scene.label == NEURITE) & (scene.extent < 0.2)
    target[body] = refine.fade(body.astype(np.float32), refine.brightness_of(x), PLAN)[body]
    weight[body] = 1
    weight[lost & (target > 0)] = 0
    parts = (x, target, weight, np.where(body, 0, scene.target))
    windows = [first.draw_window(rng, target) for _ in range(tissue.PER_IMAGE)]
    return [tuple(part[window] for part in parts) for window in windows]


def make_pool(patches: int, out: Path, processes: int) -> None:
    """Make all patches, and save them whole."""
    with ProcessPoolExecutor(processes) as executor:
        numbers = range(patches // tissue.PER_IMAGE)
        made = [patch for some in executor.map(make_patches, numbers) for patch in some]
    out.mkdir(parents=True, exist_ok=True)
    for name, parts in zip(tissue.FED, zip(*made, strict=True), strict=True):
        np.save(out / f"{name}.npy", np.stack(parts).astype(tissue.KINDS[name]))
    (out / "pool.done").touch()


def reminders(plan: tissue.Plan, pool: Path, start: int) -> tissue.Batches:
    """Give batches of one such patch from step `start` on, mirrored, turned in plane."""
    arrays = [np.load(pool / f"{name}.npy", mmap_mode="r") for name in tissue.FED]
    for step in count(start):
        rng = np.random.default_rng([plan.seed, 1, step])
        number = int(rng.integers(len(arrays[0])))
        parts = [array[number].astype(np.float32) for array in arrays]
        yield tissue.tensors([continuity.turned(rng, tissue.thinned(*parts, plan))])


def batches(
    plan: tissue.Plan, pools: tuple[Path, Path], labelled: planes.Labelled, start: int
) -> tissue.Batches:
    """Give batches: a reminder, and patches of tissue.py."""
    there = ALL_THERE + start
    both = reminders(plan, pools[0], start), tissue.batches(plan, pools[1], labelled, there)
    for parts in zip(*both, strict=True):
        yield tuple(torch.cat(pair) for pair in zip(*parts, strict=True))


def main() -> None:
    """Read the command line; make the reminders, or train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("pool", "fit"))
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, help="the state to go on from")
    parser.add_argument("--teacher", type=Path, help="the model that doubts labelled planes")
    parser.add_argument("--reminders", type=Path, help="the run of `reminders.py pool`")
    parser.add_argument("--pool", type=Path, help="the run of `tissue.py pool`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", default="", choices=tissue.FOLDS)
    parser.add_argument("--steps", type=int, default=PLAN.steps)
    parser.add_argument("--seed", type=int, default=PLAN.seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    if asked.part == "pool":
        make_pool(PATCHES, asked.out, asked.processes)
        return
    torch.set_num_threads(asked.threads)
    torch.manual_seed(asked.seed)
    there = len(np.load(asked.pool / "source.npy", mmap_mode="r"))
    plan = replace(PLAN, patches=there, steps=asked.steps, seed=asked.seed, without=asked.without)
    labelled = tissue.labelled_planes(plan, asked.volumes, asked.teacher)
    pools, start = (asked.reminders, asked.pool), continuity.grown(asked.start)
    tissue.fit(plan, start, asked.out, lambda step: batches(plan, pools, labelled, step))


if __name__ == "__main__":
    main()

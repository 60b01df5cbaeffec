"""A side stage of `light-microscopy`: three labelled planes, mixed into the patches.

    python planes.py --start SEVEN --pool runs/continuity --out runs/planes
    python planes.py --start SEVEN --pool runs/continuity --out runs/planes-48 --without 48

A person labelled planes 17, 48 and 77 of a TRAILMAP volume (1 background, 2 axon, 3 artefact, 4 its
edge; all else unlabelled). Fed alone, they teach a network to ignore what is too faint for a
person. Here they are a quarter of each batch, and where the person says background, that counts
only where the model to start from says so too, or where the image is bright: of a dim line
that it sees there nobody knows. The answer falls towards the edge of a dim axon, as in the other
stages: a person's outline is wide. recipes/publish.py goes only a third of the way there.
`--without` leaves a plane out, for scoring.
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
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage

import neuroglow
from neuroglow.imaging.noise_units import to_noise_units

Floats = NDArray[np.float32]
PLANES = (17, 48, 77)
BACKGROUND, AXON, ARTEFACT = 1, 2, 3
DOUBTED, BRIGHT = 0.2, 1.0
"""From this probability a label of background is doubted, unless the image is this bright."""


@dataclass(frozen=True)
class Mixed:
    """What decides the weights, besides the model to start from and the pool.

    heed: weight of a voxel of a labelled plane, which has a hundredth of a patch's voxels.
    """

    steps: int = 400
    batch: int = 4
    learning_rate: float = 3e-4
    seed: int = 30
    ema: float = 0.99
    heed: float = 12.0


@dataclass(frozen=True)
class Labelled:
    """A volume in noise units with target and weight (zyx float32), and its labelled planes."""

    x: Floats
    target: Floats
    weight: Floats
    planes: tuple[int, ...]


def load(data: Path, start: Path, planes: tuple[int, ...], heed: float) -> Labelled:
    """Read the labelled planes; doubt what a person calls background and the model does not."""
    image = tifffile.imread(data / "trailmap/labelled_volume.tif")
    label = tifffile.imread(data / "trailmap/labelled_label.tif")
    x = to_noise_units(image)
    said = neuroglow.predict(image, model=start, dtype="float32", gate=False)
    surely = (said < DOUBTED) | (ndimage.gaussian_filter(x, 1.0) > BRIGHT)
    counted = (label == AXON) | (np.isin(label, (BACKGROUND, ARTEFACT)) & surely)
    chosen = np.zeros(len(label), bool)
    chosen[list(planes)] = True
    weight = heed * (counted & chosen[:, None, None]).astype(np.float32)
    axon, fading = (label == AXON).astype(np.float32), continuity.Plan(start=start)
    target = refine.fade(axon, refine.brightness_of(x), fading)
    return Labelled(x, target, weight, planes)


def patches(labelled: Labelled, seed: int | list[int]) -> Iterator[list[Floats]]:
    """Cut patches around the labelled planes for ever, mirrored and turned at random."""
    rng = np.random.default_rng([*np.atleast_1d(seed), 1])
    size = first.PATCH
    while True:
        plane = int(rng.choice(labelled.planes))
        lowest, highest = max(0, plane - size + 1), min(plane, len(labelled.x) - size)
        corner = [int(rng.integers(lowest, highest + 1))]
        corner += [int(rng.integers(n - size + 1)) for n in labelled.x.shape[1:]]
        window = tuple(slice(a, a + size) for a in corner)
        parts = (labelled.x, labelled.target, labelled.weight)
        yield continuity.turned(rng, tuple(part[window] for part in parts))


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, required=True, help="a model's folder")
    parser.add_argument("--pool", type=Path, required=True, help="the run of continuity.py")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--without", type=int, choices=PLANES)
    parser.add_argument("--seed", type=int, default=Mixed.seed)
    parser.add_argument("--heed", type=float, default=Mixed.heed)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    plan = first.sized(Mixed(seed=asked.seed, heed=asked.heed))
    planes = tuple(plane for plane in PLANES if plane != asked.without)
    network = neuroglow.load_model(asked.start).network.float()
    torch.manual_seed(plan.seed)
    labelled = load(asked.volumes, asked.start, planes, plan.heed)
    stream = continuity.mixed(asked.pool, patches(labelled, plan.seed), plan.batch, plan.seed)
    first.fit(network, stream, plan, asked.out)


if __name__ == "__main__":
    main()

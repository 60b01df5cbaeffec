"""Ideas to find more of the faint, each tried alone: what it gains over the same steps without it.

    python leads.py --volumes ../shared/data --pool runs/third --out runs/leads \\
        --start runs/second/state-02400.pt runs/third/state-02400.pt [--lead ridge ...]

Each lead goes on from the mean of these states (the bundled model's weights) for a few hundred
steps on the patches of the third stage (recipes/refine.py third), with one seed, the same
for all; `none` is the same without any change. Then it is scored as benchmarks/detection.py does:
labelled planes, faint neurites in TRAILMAP, and what is lit in it untouched. No spread is known:
what differs by 0.01 differs by chance.

- none: nothing
- dim: only patches whose own neurites are dim (median SNR between 1 and 3)
- length: a neurite's voxels weigh the less, the more of them lie around: its length counts
- cldice: a third of soft clDice (Shit et al. 2021) in the loss
- ridge: the response of a Sato filter as a second input
- context: two more convolutions at stride 8, dilated by 2, for a longer view along the fibre

and three without training: `start`, the mean of the states as it is; `views`, its mean over eight
mirrored views; `opening`, its probability lowered to where it is connected to 30 voxels or more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import refine
import torch
from first import Recipe, fit, mean_weights
from numpy.typing import NDArray
from skimage.filters import sato
from skimage.morphology import area_opening
from torch import Tensor, nn
from torch.nn import functional

from neuroglow import metrics
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.network.glownet import GlowNet, fold
from neuroglow.train.losses import bce_dice, soft_cldice

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import detection

TRAINED = ("none", "dim", "length", "cldice", "ridge", "context")
LEADS = ("start", "views", "opening", *TRAINED)
PLAN = replace(refine.THIRD, steps=400, learning_rate=4e-4, seed=7)
Stream = Iterator[tuple[Tensor, ...]]


class RidgeStem(nn.Module):
    """A stem that also looks at ridges, given with each batch; at first it does not heed them."""

    def __init__(self, stem: nn.Sequential) -> None:
        super().__init__()
        self.convolution, self.norm = stem
        self.extra = nn.Conv3d(8, self.convolution.out_channels, 3, padding=1, bias=False)
        nn.init.zeros_(self.extra.weight)
        self.ridges = torch.empty(0)

    def forward(self, folded: Tensor) -> Tensor:
        """Add the response to the ridges before normalisation."""
        return self.norm(self.convolution(folded) + self.extra(fold(self.ridges)))


class RidgeFed(nn.Module):
    """A GlowNet fed (noise units, ridges): (N, 2, Z, Y, X)."""

    def __init__(self, network: GlowNet) -> None:
        super().__init__()
        network.stem = RidgeStem(network.stem)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Give one logit a voxel."""
        self.network.stem.ridges = x[:, 1:]
        return self.network(x[:, :1])


class Dilated(nn.Module):
    """x + two dilated convolutions of x; at first x alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, channels, 3, padding=2, dilation=2)
        self.second = nn.Conv3d(channels, channels, 3, padding=2, dilation=2)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Keep shape and channels."""
        return x + self.second(functional.relu(self.first(x)))


def build(lead: str, start: list[Path]) -> nn.Module:
    """Give the network of a lead with the weights that all leads begin with."""
    network = GlowNet(widths=Recipe.widths, blocks=Recipe.blocks)
    network.load_state_dict(mean_weights(start))
    if lead == "context":
        network.encode[-1].append(Dilated(Recipe.widths[-1]))
    return RidgeFed(network) if lead == "ridge" else network


def stream(lead: str, pool: Path) -> Stream:
    """Give the batches of a lead."""
    drawn = refine.batches(PLAN, pool, chosen=refine.dim_patches(pool) if lead == "dim" else None)
    for x, target, weight in drawn:
        shown, heed = x, weight
        if lead == "ridge":
            shown = torch.cat([x, torch.stack([ridges(each[0].numpy()) for each in x])], 1)
        if lead == "length":
            around = functional.avg_pool3d((target > 0).float(), 5, 1, 2) * 125
            heed = torch.where(target > 0, weight * (10 / around.clamp(min=5)), weight)
        yield shown, target, heed


def ridges(x: NDArray[np.float32]) -> Tensor:
    """Filter noise units (zyx) for ridges: (1, Z, Y, X), 0 to about 3."""
    return torch.from_numpy(sato(x, sigmas=[1.5], black_ridges=False).astype(np.float32))[None]


def loss_of(lead: str, logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Give the loss of a lead."""
    loss = bce_dice(logit, target, weight)
    return loss + soft_cldice(logit, target, weight) / 3 if lead == "cldice" else loss


def probability(network: nn.Module, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predict a whole volume of noise units (zyx)."""
    parts = [x, ridges(x)[0].numpy()] if isinstance(network, RidgeFed) else [x]
    room = [(0, -n % 16) for n in x.shape]
    fed = torch.from_numpy(np.stack([np.pad(p, room, mode="reflect") for p in parts])[None])
    with torch.inference_mode():
        whole = network(fed).sigmoid()[0, 0].numpy()
    return whole[tuple(slice(n) for n in x.shape)]


def method(lead: str, network: nn.Module) -> detection.Score:
    """Give what scores an image (zyx)."""
    network.eval()

    def seen(image: NDArray[np.generic]) -> NDArray[np.float32]:
        x = to_noise_units(image)
        if lead == "views":
            mirrors = list(itertools.product((slice(None), slice(None, None, -1)), repeat=3))
            views = [probability(network, x[mirror].copy())[mirror] for mirror in mirrors]
            return np.mean(views, axis=0)
        found = probability(network, x)
        return area_opening(found, 30, connectivity=3) if lead == "opening" else found

    return seen


def score(seen: detection.Score, data: Path) -> dict[str, float]:
    """Score a method: planes; faint in TRAILMAP, three seeds of scenes; lit there untouched."""
    planes = detection.score_planes(seen, data)
    found = {"planes AP": planes["planes_ap"], "best F1": planes["planes_best_f1"]}
    crop = detection.real_crops(data)["trailmap"]
    for snr in (2.0, 3.0):
        runs = [detection.score_faint(seen, data, crop, snr, seed) for seed in range(3)]
        found[f"faint {snr:g}"] = float(np.mean(runs))
    near = metrics.spread(seen(crop), 2)
    return found | {"lit at 0.35 within 2": float((near > 0.35).mean())}


def train(lead: str, network: nn.Module, pool: Path, out: Path) -> None:
    """Go on with a network as the lead says, or read what was trained before."""
    last = out / f"state-{PLAN.steps:05d}.pt"
    if not last.exists():
        fit(network, stream(lead, pool), PLAN, out, loss_of=partial(loss_of, lead))
    network.load_state_dict(torch.load(last, weights_only=True)["network"])


def main() -> None:
    """Read the command line; train and score each lead; print a row each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=Path, required=True)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--start", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lead", nargs="+", choices=LEADS, default=LEADS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for lead in asked.lead:
        out = asked.out / lead
        kept = out / "scores.json"
        if not kept.exists():
            torch.manual_seed(PLAN.seed)
            network = build(lead, asked.start)
            if lead in TRAINED:
                train(lead, network, asked.pool, out)
            out.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(score(method(lead, network), asked.volumes)))
        cells = json.loads(kept.read_text())
        print(f"| {lead} | {' | '.join(f'{v:.3f}' for v in cells.values())} |", flush=True)


if __name__ == "__main__":
    main()

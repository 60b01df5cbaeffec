"""The first stage of the bundled model `light-microscopy`: seeded, re-runnable, no person's labels.

    python first.py --volumes ../shared/data --out runs/light-microscopy

Three kinds of training cube, drawn in turn from one seed:

- phantom neurites on a phantom camera's noise;
- phantom neurites on noise with the spectrum and histogram of a real volume, its phases random;
- phantom neurites added to a real volume. What stands out there by itself is ignored, unless
  it is bright and long: then it is neurite.

The real volumes carry no labels. The labelled volume, the last planes of TRAILMAP's chunk,
and the worm ASJ5 are never seen: benchmarks/detection.py scores on them.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import sato
from skimage.measure import label as connected
from skimage.measure import regionprops

from neuroglow.formats.opening import open_volume
from neuroglow.imaging import optics
from neuroglow.imaging.noise_units import NoiseUnits, to_noise_units
from neuroglow.network.checkpoint import load_model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.inference import choose_precision
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, PhantomSettings, Scene, make_scene
from neuroglow.space.geometry import Box
from neuroglow.train.losses import bce_dice

Floats = NDArray[np.float32]
Patch = tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.uint8]]

CUBE, PATCH = 96, 64
SEEN = {  # file: planes that training may see, share of the draws, are its bright ridges neurites?
    "trailmap/example_chunk.tif": (slice(0, 200), 0.4, True),
    "dlmbmap/brain_example.tif": (slice(0, 100), 0.25, True),
    "neurotorch/soma_dendrites.tif": (slice(0, 100), 0.15, True),
    "worm/AIY1.tif": (slice(None), 0.07, False),  # its halo and grid are bright ridges too
    "worm/AIY4.tif": (slice(None), 0.07, False),
    "worm/ASJ1.tif": (slice(None), 0.06, False),
}


REHEARSAL = "LIGHT_MICROSCOPY_REHEARSAL"
"""The variable of the environment by which recipe.py tells its stages that it rehearses."""


def sized(plan: Any) -> Any:
    """Give a stage's plan; in a rehearsal, cut down to a few steps and patches."""
    few = {"steps": 2, "patches": 60, "scenes": 4}
    if not os.environ.get(REHEARSAL):
        return plan
    return replace(plan, **{f.name: few[f.name] for f in fields(plan) if f.name in few})


@dataclass(frozen=True)
class Recipe:
    """What decides the weights, besides the volumes."""

    steps: int = 3600
    batch: int = 4
    learning_rate: float = 2e-3
    widths: tuple[int, ...] = (24, 48, 96)
    blocks: tuple[int, ...] = (1, 1, 1)
    seed: int = 1
    phantom_share: float = 0.4
    texture_share: float = 0.2
    patches_a_cube: int = 3
    ema: float = 0.995


@dataclass(frozen=True)
class Real:
    """An unlabelled real volume, and what stands out in it by itself.

    image: zyx grey levels. noise: the local noise of each voxel, float16, grey levels.
    guess: BACKGROUND, NEURITE or IGNORE.
    """

    image: NDArray[np.generic]
    noise: NDArray[np.float32]
    guess: NDArray[np.uint8]


def guess_structures(x: Floats) -> NDArray[np.uint8]:
    """Tell what a volume in noise units shows by itself: nothing, bright and long, or unsure."""
    smooth = ndimage.gaussian_filter(x, 1.0)
    ridge = sato(x, sigmas=(1.0, 1.8, 3.0), black_ridges=False)
    usual = np.median(ridge)
    spread = 1.4826 * np.median(np.abs(ridge - usual))
    ridge = (ridge - usual) / max(spread, 1e-3)
    guess = np.full(x.shape, BACKGROUND, np.uint8)
    unsure = (ridge > 2.5) | (smooth > 1.0)
    guess[ndimage.binary_dilation(unsure, iterations=1)] = IGNORE
    bright = (smooth > 1.8) & (ridge > 4.0)
    parts = connected(bright)
    for part in regionprops(parts):
        size = [stop - start for start, stop in zip(part.bbox[:3], part.bbox[3:], strict=True)]
        if max(size) >= 20:
            guess[part.slice][part.image] = NEURITE
    return guess


def load_real(folder: Path, cache: Path) -> list[Real]:
    """Load the volumes of SEEN, and guess their structures (once; kept in `cache`)."""
    cache.mkdir(parents=True, exist_ok=True)
    loaded = []
    for name, (planes, _, trusted) in SEEN.items():
        kept = cache / (name.replace("/", "-") + ".npz")
        if not kept.exists():
            image = tifffile.imread(folder / name)[planes]
            units = NoiseUnits(open_volume(image))
            whole = Box.of(image.shape)
            guess = guess_structures(units.read(whole))
            if not trusted:
                guess[guess == NEURITE] = IGNORE
            np.savez(kept, image=image, noise=units.levels(whole)[1], guess=guess)
        with np.load(kept) as arrays:
            loaded.append(Real(arrays["image"], arrays["noise"], arrays["guess"]))
    return loaded


def draw_crop(
    rng: Generator, real: list[Real], beside: Sequence[NDArray[np.uint8]] = ()
) -> tuple[NDArray[Any], ...]:
    """Cut a cube (mirrored where the volume is thinner) and turn it at random.

    Gives image (float32), noise, guess, and the same cube of a volume's neighbour in `beside`.
    """
    shares = np.array([share for _, share, _ in SEEN.values()])
    number = int(rng.choice(len(real), p=shares / shares.sum()))
    chosen = real[number]
    parts = [chosen.image, chosen.noise, chosen.guess, *beside[number : number + 1]]
    at = [int(rng.integers(0, max(0, n - CUBE) + 1)) for n in chosen.image.shape]
    window = tuple(slice(a, a + CUBE) for a in at)
    cut = [part[window] for part in parts]
    pad = [(0, CUBE - n) for n in cut[0].shape]
    cut = [np.pad(part, pad, mode="reflect") for part in cut]
    turns, flips = int(rng.integers(4)), rng.random(3) < 0.5
    cut = [
        np.rot90(part, turns, (1, 2))[tuple(slice(None, None, -1 if f else 1) for f in flips)]
        for part in cut
    ]
    return cut[0].astype(np.float32), *cut[1:]


def phantom_settings(rng: Generator) -> PhantomSettings:
    """Draw what the next phantom is like: sparse or crowded, dim or bright, thin or thick."""
    style = rng.choice(["sparse", "crowded", "plexus"], p=[0.55, 0.27, 0.18])
    if style == "plexus":
        return PhantomSettings(
            shape=(CUBE,) * 3,
            neurites=(50, 140),
            snr=(1.2, 10.0),
            radius_vox=(0.3, 0.9),
            tortuosity=(0.08, 0.4),
            branches=0.3,
            anisotropy=(1.0, 2.2),
            distractors=(3.0, 0.2, 0.1, 0.1),
        )
    return PhantomSettings(
        shape=(CUBE,) * 3,
        neurites=(20, 60) if style == "crowded" else (3, 20),
        snr=(1.2, 40.0) if rng.random() < 0.5 else (1.2, 6.0),
        radius_vox=(0.3, 1.5) if rng.random() < 0.6 else (0.3, 3.5),
        tortuosity=(0.02, 0.25),
        branches=0.6,
        anisotropy=(1.0, 2.2),
        unevenness=(0.0, 3.0),
        distractors=(8.0, 0.4, 0.3, 0.2),
    )


def compose(
    rng: Generator, scene: Scene, real: list[Real], recipe: Recipe
) -> tuple[Floats, Floats, NDArray[np.uint8]]:
    """Put a scene before one of the three kinds of background: (noise units, target, weight)."""
    kind = rng.random()
    label = scene.label
    if kind < recipe.phantom_share:
        image: NDArray[Any] = before_phantom_camera(rng, scene)
    elif kind < recipe.phantom_share + recipe.texture_share:
        crop, level, guess = draw_crop(rng, real)
        image = texture(rng, crop, level, guess) + scene.signal * 400 + 4000
    else:
        crop, level, guess = draw_crop(rng, real)
        # what the phantom adds is seen as well against a dim guess as against none
        keep = rng.random() < 0.85
        image = crop + (scene.target if keep else 0) * level
        label = scene.label.copy() if keep else np.zeros_like(scene.label)
        free = label == BACKGROUND
        label[free] = guess[free]
    x = to_noise_units(image)
    x = np.arcsinh(np.sinh(x) * np.float32(np.exp(rng.normal(0, 0.25))))
    return x, visibility(scene, label), (label != IGNORE).astype(np.uint8)


def before_phantom_camera(rng: Generator, scene: Scene) -> NDArray[np.uint16]:
    """Take a picture of a scene with a camera drawn at random, its noise white or correlated."""
    camera = optics.Camera.draw(rng)
    sigma = rng.uniform(0, 1.0) * np.array([rng.uniform(0.5, 1.5), 1, 1]) * (rng.random() < 0.7)
    noise = optics.correlated_noise(scene.signal.shape, sigma, rng)
    return optics.expose(scene.signal, noise, camera)


def texture(rng: Generator, crop: Floats, level: Floats, guess: NDArray[np.uint8]) -> Floats:
    """Turn a real crop into noise of its spectrum and histogram, of deviation about 400.

    What stands out is replaced by its surroundings first, as far as its brightness goes.
    """
    background = ndimage.uniform_filter(crop, 24)
    flat = (crop - background) / level
    quiet = flat[guess == BACKGROUND]
    if quiet.size > 1000:
        loud = guess != BACKGROUND
        flat[loud] = np.minimum(flat[loud], rng.choice(quiet, int(loud.sum())))
    return optics.noise_like(flat, rng) * np.float32(400)


def visibility(scene: Scene, label: NDArray[np.uint8]) -> Floats:
    """Soften the target where a neurite is dim, so that the answer grows with its SNR."""
    target = (label == NEURITE).astype(np.float32)
    own = (scene.label == NEURITE) & (label == NEURITE)
    target[own] = 1 - 0.5 * np.exp(-np.maximum(scene.target[own], 0) / 2.5)
    return target


def make_patches(task: tuple[int, Recipe, Path, Path]) -> list[Patch]:
    """Make the patches of cube number `task[0]`: two backgrounds of one scene."""
    number, recipe, volumes, cache = task
    real = _worker_volumes(volumes, cache)
    rng = np.random.default_rng([recipe.seed, number])
    scene = make_scene(rng, phantom_settings(rng))
    patches = []
    for _ in range(2):
        x, target, weight = compose(rng, scene, real, recipe)
        for _ in range(recipe.patches_a_cube):
            window = draw_window(rng, target)
            patches.append(
                (x[window].astype(np.float16), target[window].astype(np.float16), weight[window])
            )
    return patches


def draw_window(rng: Generator, target: Floats) -> tuple[slice, slice, slice]:
    """Draw a patch, usually around a voxel of a neurite."""
    hits = np.argwhere(target > 0)
    at = rng.integers(0, CUBE - PATCH + 1, 3)
    if len(hits) and rng.random() < 0.8:
        middle = hits[int(rng.integers(len(hits)))]
        at = np.clip(middle - rng.integers(8, PATCH - 8, 3), 0, CUBE - PATCH)
    z, y, x = (slice(int(a), int(a) + PATCH) for a in at)
    return z, y, x


_loaded: list[Real] = []


def _worker_volumes(volumes: Path, cache: Path) -> list[Real]:
    if not _loaded:
        torch.set_num_threads(1)
        _loaded.extend(load_real(volumes, cache))
    return _loaded


def batches(
    recipe: Recipe, volumes: Path, cache: Path, first: int = 0
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Give shuffled batches for ever; cubes are made in one other process, in order."""
    rng = np.random.default_rng([recipe.seed, 10**6, first])
    pool: list[Patch] = []
    with ProcessPoolExecutor(1) as executor:
        waiting = []
        number = first
        while True:
            while len(waiting) < 4:
                waiting.append(executor.submit(make_patches, (number, recipe, volumes, cache)))
                number += 1
            pool += waiting.pop(0).result()
            while len(pool) >= 96 + recipe.batch:
                drawn = [pool.pop(int(rng.integers(len(pool)))) for _ in range(recipe.batch)]
                yield tuple(
                    torch.from_numpy(np.stack(part)[:, None].astype(np.float32))
                    for part in zip(*drawn, strict=True)
                )


def train(recipe: Recipe, volumes: Path, out: Path) -> None:
    """Train from scratch; the newest state lies in `out`."""
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    network = GlowNet(widths=recipe.widths, blocks=recipe.blocks)
    fit(network, batches(recipe, volumes, out / "cache"), recipe, out)


def weights_of(state: Path) -> dict[str, torch.Tensor]:
    """Read the weights of a state (*.pt), or of a model."""
    if state.suffix == ".pt":
        return torch.load(state, weights_only=True)["network"]
    return load_model(state).network.state_dict()


def mean_weights(states: list[Path]) -> dict[str, torch.Tensor]:
    """Average the weights of several states or models."""
    loaded = [weights_of(state) for state in states]
    return {
        name: torch.stack([each[name].float() for each in loaded]).mean(0).to(loaded[0][name].dtype)
        for name in loaded[0]
    }


def hardware_precision() -> torch.autocast:
    """Compute in bfloat16 where the processor does; emulated, it is three times slower."""
    native = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=native)


def fit(
    network: torch.nn.Module,
    stream: Iterator[tuple[torch.Tensor, ...]],
    plan: Any,
    out: Path,
    *,
    loss_of: Callable[..., torch.Tensor] = bce_dice,
) -> None:
    """Train on a stream of (noise units, target, weight); keep the average of the weights."""
    network.train().to(memory_format=torch.channels_last_3d)
    averaged = torch.optim.swa_utils.AveragedModel(
        network,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(plan.ema),
        use_buffers=True,
    )
    optimiser = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, plan.learning_rate, plan.steps, pct_start=0.1
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(asdict(plan), default=str))
    started, losses = time.monotonic(), []
    for step in range(1, plan.steps + 1):
        x, target, weight = next(stream)
        with hardware_precision():
            logit = network(x)
        loss = loss_of(logit.float(), target, weight)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        averaged.update_parameters(network)
        losses.append(float(loss.detach()))
        if step % 50 == 0:
            pace = (time.monotonic() - started) / step
            print(
                f"{step}/{plan.steps} loss {np.mean(losses[-50:]):.4f}, {pace:.2f} s a step",
                flush=True,
            )
        if step % 250 == 0 or step == plan.steps:
            partial = out / "state.partial"
            torch.save({"step": step, "network": averaged.module.state_dict()}, partial)
            partial.rename(out / f"state-{step:05d}.pt")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    asked = parser.parse_args()
    train(sized(Recipe(steps=asked.steps, seed=asked.seed)), asked.volumes, asked.out)


if __name__ == "__main__":
    main()

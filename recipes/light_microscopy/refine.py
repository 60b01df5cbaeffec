"""The later stages of `light-microscopy`: a model says what real volumes show.

    python first.py --volumes ../shared/data --out runs/first
    python refine.py second --volumes ../shared/data --out runs/second \\
        --start runs/first/state-03600.pt
    python refine.py third --volumes ../shared/data --out runs/third \\
        --start runs/second/state-02400.pt
    python refine.py fourth --pool runs/third --out runs/fourth \\
        --start runs/second/state-02400.pt runs/third/state-02400.pt
    python refine.py fifth --pool runs/third --out runs/fifth \\
        --start runs/fourth/state-03000.pt
    python refine.py sixth --pool runs/third --out runs/sixth \\
        --start runs/fifth/state-02800.pt

Three changes to the first stage, which go on from its weights:

- what stands out in a real volume by itself is named by the first stage's model (the mean of two
  views) and no more by a ridge filter: neurite where it is sure, background where it is sure that
  there is none, ignored between;
- the answer no longer grows with a neurite's brightness: a dim one is as much a neurite;
- it falls from the middle line to the edge (to about three quarters), so that what is lit first
  is thin, and lies where a tracer wants it.

The third stage does this once more, and judges by its shape what the second one says: neurite is
what runs on in one direction; compact specks and the smooth glow around something brighter are
background; in worms, whose glow has streaks, nothing is neurite. Some of its patches are phantoms
of six regions, with grain, stripes and edges.

The fourth stage goes on from the mean of the second and the third (Wortsman et al., "Model
soups", ICML 2022), on the third's patches: every other batch holds only such whose own neurites
are dim. In the fifth, how far the answer falls to the edge goes by the neurite's brightness: of a
bright one the width is known, of a dim one hardly more than the middle. In the sixth a bright one
does not fall at all.

The patches are made once and kept on disk, so that training waits for nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import first
import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import structure_tensor, structure_tensor_eigenvalues
from skimage.filters import sato
from skimage.measure import label as connected
from skimage.measure import regionprops

import neuroglow
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.network.checkpoint import save_model
from neuroglow.network.glownet import GlowNet
from neuroglow.network.model_settings import ModelSettings, NoiseUnitsInput
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, REGIONS, make_cube, make_scene

Floats = NDArray[np.float32]
KINDS = {"x": np.float16, "snr": np.float16, "label": np.uint8, "taught": np.uint8}
GUESSED = 10
"""Added to a label that nobody made: it is decided by what the teacher says."""

SURE, SURELY_NOT = 217, 13
"""0.85 and 0.05 of 255: from where the teacher is believed."""

UNSURE = 128
LIT = 64
"""Of 255: what is found, for judging its shape."""

SPECK = 10
"""What is found and extends over fewer voxels along each axis is no neurite."""


@dataclass(frozen=True)
class Refinement:
    """What decides the weights, besides the volumes and the stage before.

    judged: is what the teacher says judged by its shape? regions: share of the scenes that are
    phantoms of a region. edge: the power by which the answer falls from the middle to the edge.
    bright, bright_edge: the same of neurites of this SNR and more (0: they do not fall); from DIM
    to there it changes. dim: does every other batch hold dim neurites alone? every_seed: then of
    the batches between.
    """

    patches: int = 4800
    pool_seed: int = 77
    steps: int = 2400
    batch: int = 4
    learning_rate: float = 8e-4
    seed: int = 5
    ema: float = 0.995
    phantom_share: float = 0.2
    texture_share: float = 0.2
    edge: float = 0.4
    bright: float = np.inf
    bright_edge: float = 0.0
    dim: bool = False
    every_seed: int = 0
    judged: bool = False
    regions: float = 0.0


DIM = 2.0
"""SNR up to which little of a neurite's width is known."""

SECOND = Refinement()
THIRD = replace(SECOND, pool_seed=78, seed=6, edge=0.6, judged=True, regions=0.15)
FOURTH = replace(THIRD, steps=3000, learning_rate=1e-3, seed=8, dim=True, every_seed=9)
FIFTH = replace(FOURTH, steps=2800, seed=10, every_seed=110, edge=0.8, bright=6.0, bright_edge=0.15)
SIXTH = replace(
    FOURTH,
    steps=1800,
    learning_rate=8e-4,
    seed=12,
    every_seed=112,
    edge=0.75,
    bright=4.5,
    bright_edge=0.0,
)
STAGES = {"second": SECOND, "third": THIRD, "fourth": FOURTH, "fifth": FIFTH, "sixth": SIXTH}


def teach(asked: Refinement, volumes: Path, start: list[Path], out: Path) -> None:
    """Keep, for each volume, what the stage before finds in it: the mean of two views, uint8."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (planes, _, trusted) in first.SEEN.items():
        kept = _taught(out, name)
        if kept.exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            model = save_model(
                Path(folder) / "first", stage_before(start), first_settings(), dtype=torch.float16
            )
            image = tifffile.imread(volumes / name)[planes]
            turned = (slice(None, None, -1),) * 3
            views = [
                neuroglow.predict(view, model=model, dtype="float32", gate=False)
                for view in (image, np.ascontiguousarray(image[turned]))
            ]
        said = np.rint((views[0] + views[1][turned]) / 2 * 255).astype(np.uint8)
        np.save(kept, judge(said, to_noise_units(image), trusted=trusted) if asked.judged else said)


def judge(said: NDArray[np.uint8], x: Floats, *, trusted: bool) -> NDArray[np.uint8]:
    """Turn what a teacher says of a volume in noise units into SURE, UNSURE or surely not.

    Neurite is what runs on: where the structure tensor's least eigenvalue is below half of the
    second. Glow is bright but no ridge, and far less bright than something near.
    """
    tensor = structure_tensor(ndimage.gaussian_filter(said / 255, 0.7), sigma=4, mode="reflect")
    _, second, least = structure_tensor_eigenvalues(tensor)
    verdict = np.where(said < SURELY_NOT, 0, UNSURE).astype(np.uint8)
    if trusted:
        verdict[(said > SURE) & (least < 0.5 * second)] = 255
    brightness = ndimage.gaussian_filter(np.sinh(np.clip(x, -3, 9)), 1.0)
    ridge = sato(brightness, sigmas=(1.5, 3.0), black_ridges=False)
    dim = brightness < 0.35 * ndimage.maximum_filter(brightness, 31)
    verdict[dim & (ridge < 0.12 * np.maximum(brightness, 1))] = 0
    verdict[ndimage.binary_dilation(specks(said > LIT))] = 0
    return verdict


def specks(lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give the connected parts that are small along every axis."""
    parts, small = connected(lit), np.zeros(lit.shape, bool)
    for part in regionprops(parts):
        if max(extent.stop - extent.start for extent in part.slice) < SPECK:
            small[part.slice] |= part.image
    return small


def _taught(folder: Path, name: str) -> Path:
    return folder / f"taught-{name.replace('/', '-')}.npy"


def stage_before(states: list[Path]) -> GlowNet:
    """Rebuild the network of a stage before, or the mean of several."""
    network = GlowNet(widths=first.Recipe.widths, blocks=first.Recipe.blocks)
    network.load_state_dict(first.mean_weights(states))
    return network


def first_settings() -> ModelSettings:
    """Describe the first stage well enough to predict with it."""
    return ModelSettings(
        name="first",
        network="glow",
        arguments={"widths": first.Recipe.widths, "blocks": first.Recipe.blocks},
        normalisation=NoiseUnitsInput(),
        halo=32,
        threshold=0.25,
    )


def make_patches(task: tuple[int, Refinement, Path, Path]) -> list[tuple[NDArray, ...]]:
    """Make the six patches of one scene: before two backgrounds, three of each."""
    number, asked, volumes, out = task
    real = first._worker_volumes(volumes, out / "cache")
    taught = [np.load(_taught(out, name), mmap_mode="r") for name in first.SEEN]
    rng = np.random.default_rng([asked.pool_seed, number])
    if asked.regions and rng.random() < asked.regions:
        return region_patches(rng, number)
    scene = make_scene(rng, first.phantom_settings(rng))
    patches = []
    for _ in range(2):
        own, label, probability = scene.label == NEURITE, scene.label, np.zeros(1, np.uint8)
        kind = rng.random()
        if kind < asked.phantom_share:
            image = first.before_phantom_camera(rng, scene)
        elif kind < asked.phantom_share + asked.texture_share:
            crop, level, guess = first.draw_crop(rng, real)[:3]
            image = first.texture(rng, crop, level, guess) + scene.signal * 400 + 4000
        else:
            crop, level, guess, probability = first.draw_crop(rng, real, taught)
            kept = rng.random() < 0.9
            image = crop + (scene.target if kept else 0) * level
            label = scene.label.copy() if kept else np.zeros_like(scene.label)
            own = own & kept
            free = label == BACKGROUND
            label[free] = guess[free] + GUESSED
        x = to_noise_units(image)
        x = np.arcsinh(np.sinh(x) * np.float32(np.exp(rng.normal(0, 0.25))))
        probability = np.broadcast_to(probability, x.shape)
        neurite = np.isin(label, (NEURITE, NEURITE + GUESSED)).astype(np.float32)
        for _ in range(3):
            window = first.draw_window(rng, neurite)
            parts = (x, np.where(own, scene.target, 0), label, probability)
            patches.append(
                tuple(p[window].astype(t) for p, t in zip(parts, KINDS.values(), strict=True))
            )
    return patches


def region_patches(rng: np.random.Generator, number: int) -> list[tuple[NDArray, ...]]:
    """Make the six patches of a phantom of one region; all that is in it is known."""
    region = sorted(REGIONS)[int(rng.integers(len(REGIONS)))]
    cube = make_cube({"region": region, "shape": (first.CUBE,) * 3}, seed=10**6 + number)
    x = to_noise_units(cube.image)
    neurite = cube.label == NEURITE
    parts = (x, np.where(neurite, cube.target, 0), cube.label, np.zeros_like(cube.label))
    patches = []
    for _ in range(6):
        window = first.draw_window(rng, neurite.astype(np.float32))
        patches.append(
            tuple(p[window].astype(t) for p, t in zip(parts, KINDS.values(), strict=True))
        )
    return patches


def make_pool(asked: Refinement, volumes: Path, out: Path) -> None:
    """Make all patches once, on every core; a pool that is whole is kept."""
    done = out / "pool.done"
    if done.exists():
        return
    shape = (asked.patches, *(first.PATCH,) * 3)
    arrays = {
        name: np.lib.format.open_memmap(out / f"{name}.npy", "w+", kind, shape)
        for name, kind in KINDS.items()
    }
    tasks = [(number, asked, volumes, out) for number in range(asked.patches // 6)]
    with ProcessPoolExecutor(os.cpu_count()) as executor:
        for number, patches in enumerate(executor.map(make_patches, tasks)):
            for i, parts in enumerate(patches):
                for array, part in zip(arrays.values(), parts, strict=True):
                    array[6 * number + i] = part
            if number % 50 == 0:
                print(f"{6 * number}/{asked.patches} patches", flush=True)
    done.touch()


def decide(label: NDArray[np.uint8], taught: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Let the teacher name what nobody made."""
    decided = label.copy()
    open_ = label >= GUESSED
    sure, no = taught[open_] > SURE, taught[open_] < SURELY_NOT
    decided[open_] = np.where(sure, NEURITE, np.where(no, BACKGROUND, IGNORE))
    return decided


def fade(target: Floats, brightness: Floats, asked: Refinement) -> Floats:
    """Let the target fall from the middle line, where brightness peaks, to the edge."""
    peak = np.maximum(ndimage.maximum_filter(brightness, 5), 1e-3)
    power = np.interp(peak, [DIM, asked.bright], [asked.edge, asked.bright_edge])
    return np.asarray(target * np.clip(brightness / peak, 0.1, 1) ** power, np.float32)


def brightness_of(x: Floats) -> Floats:
    """Give how bright noise units are to see: smoothed, never negative."""
    return np.maximum(ndimage.gaussian_filter(np.sinh(np.clip(x, -3, 6)), 0.7), 0)


def batches(
    asked: Refinement, out: Path, *, chosen: NDArray[np.int64] | None = None
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Give batches from the pool for ever: (noise units, target, weight), flipped at random.

    chosen: the numbers of the patches to draw from; all by default.
    """
    rng = np.random.default_rng(asked.seed)
    pool = {name: np.load(out / f"{name}.npy", mmap_mode="r") for name in KINDS}
    while True:
        batch = []
        for _ in range(asked.batch):
            i = int(rng.integers(asked.patches) if chosen is None else rng.choice(chosen))
            x, snr = pool["x"][i].astype(np.float32), pool["snr"][i].astype(np.float32)
            label = decide(pool["label"][i], pool["taught"][i])
            target = (label == NEURITE).astype(np.float32)
            own = (target > 0) & (snr > 0)
            target = np.where(
                own,
                fade(target, snr, asked),
                fade(target, brightness_of(x), asked),
            )
            flips = tuple(slice(None, None, -1 if f else 1) for f in rng.random(3) < 0.5)
            weight = (label != IGNORE).astype(np.float32)
            batch.append([part[flips] for part in (x, target, weight)])
        yield tuple(
            torch.from_numpy(np.stack(part)[:, None].astype(np.float32))
            for part in zip(*batch, strict=True)
        )


def alternating(asked: Refinement, pool: Path) -> Iterator[tuple[torch.Tensor, ...]]:
    """Give batches of dim neurites and batches of all, in turn."""
    dim = batches(asked, pool, chosen=dim_patches(pool))
    every = batches(replace(asked, seed=asked.every_seed), pool)
    while True:
        yield next(dim)
        yield next(every)


def dim_patches(pool: Path) -> NDArray[np.int64]:
    """Find the dim patches of a pool."""
    return dim_ones(np.load(pool / "snr.npy", mmap_mode="r"))


def dim_ones(snr: NDArray[np.float16]) -> NDArray[np.int64]:
    """Find the patches whose own neurites have a median SNR between 1 and 3."""
    middle = np.zeros(len(snr))
    for number, patch in enumerate(snr):
        own = patch[::2, ::2, ::2]
        middle[number] = np.median(own[own > 0.3]) if (own > 0.3).any() else 0
    return np.flatnonzero((middle > 1) & (middle < 3))


def main() -> None:
    """Read the command line; teach, make the pool, train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--start", type=Path, nargs="+", required=True, help="last states before")
    parser.add_argument("--volumes", type=Path, help="to teach and to make patches of")
    parser.add_argument("--pool", type=Path, help="instead: the run whose patches are used")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    asked, pool = first.sized(STAGES[given.stage]), given.pool or given.out
    if not given.pool:
        teach(asked, given.volumes, given.start, given.out)
        make_pool(asked, given.volumes, given.out)
    torch.set_num_threads(1)
    stream = alternating(asked, pool) if asked.dim else batches(asked, pool)
    first.fit(stage_before(given.start), stream, asked, given.out)


if __name__ == "__main__":
    main()

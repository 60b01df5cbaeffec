"""The last stage of `light-microscopy`: what runs on is a neurite; grain and glow are none.

    python continuity.py pool --start SIX --out runs/continuity --volumes ../shared/data
    python continuity.py fit --start SIX --out runs/continuity

The model of six stages (first.py, refine.py) found faint neurites, and
lit the grain of cell layers, specks, and the halo of a saturated soma. This stage goes on from it
(SIX is the folder in which recipes/publish.py left it):

- real volumes, shuffled: blocks of 8 to 14 voxels in which the model finds nothing sure change
  places, mirrored and turned. Grain, puncta and noise stay as they are; what ran on runs on no
  more. All of it is background, and phantom neurites are added to it;
- phantoms with grain (hundreds to thousands of small spots), with broad glow out of focus, and with
  a saturated soma in a halo, whose dendrites run through it. The soma is found, the halo is not;
- real volumes as they are, named by the model (the mean of eight mirrored views), judged by shape;
- one more residual block at strides 4 and 8, which does nothing at first: a longer view for a
  quarter more arithmetic.

Patches are made while the training runs: step s draws from the first `available(s)` of them, and
waits if they are not there yet, so that the batches follow from the seed alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import first
import numpy as np
import refine
import tifffile
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

import neuroglow
from neuroglow.imaging import optics
from neuroglow.imaging.neurites import beads, log_uniform, unit, walk
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.imaging.rendering import splat
from neuroglow.network.glownet import GlowNet
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, Neurite, make_scene, render
from neuroglow.phantom.scene import Scene

Floats = NDArray[np.float32]
CUBE = first.CUBE
SHAPE = (CUBE,) * 3
BLOCKS = (1, 2, 2)


@dataclass(frozen=True)
class Plan:
    """What decides the weights, besides the volumes and the model to start from.

    camera, texture, shuffled: shares of the backgrounds; the rest are real volumes as they are.
    edge, bright, bright_edge: as in refine.Refinement.
    """

    start: Path
    patches: int = 9600
    pool_seed: int = 80
    steps: int = 5200
    batch: int = 4
    learning_rate: float = 1.2e-3
    seed: int = 20
    ema: float = 0.998
    regions: float = 0.15
    camera: float = 0.25
    texture: float = 0.1
    shuffled: float = 0.3
    edge: float = 0.75
    bright: float = 4.5
    bright_edge: float = 0.0

    def available(self, step: int) -> int:
        """Give how many patches step `step` may draw from."""
        return min(self.patches, 1200 + 3 * step)


def teach(plan: Plan, volumes: Path, out: Path) -> None:
    """Keep, for each volume, what the model finds in it, judged by shape (refine.judge)."""
    for name, (planes, _, trusted) in first.SEEN.items():
        kept = refine._taught(out, name)
        if kept.exists():
            continue
        image = tifffile.imread(volumes / name)[planes]
        said = neuroglow.predict(image, model=plan.start, dtype="float32", gate=False, views=8)
        judged = refine.judge(
            np.rint(said * 255).astype(np.uint8), to_noise_units(image), trusted=trusted
        )
        np.save(kept, judged)


def shuffle(rng: Generator, flat: Floats, structure: NDArray[np.bool_], size: int) -> Floats | None:
    """Build a cube of mirrored and turned blocks of `flat` that hold no structure.

    Gives None where fewer than 40 places of a block hold none.
    """
    share = ndimage.uniform_filter(structure.astype(np.float32), size, origin=0)
    half = size // 2
    inner = share[tuple(slice(half, n - size + half + 1) for n in flat.shape)]
    places = np.argwhere(inner < 0.5 / size**3)
    if len(places) < 40:
        return None
    result = np.empty_like(flat)
    for corner in np.ndindex(*(-(-n // size) for n in flat.shape)):
        at = places[int(rng.integers(len(places)))]
        block = flat[tuple(slice(a, a + size) for a in at)]
        block = block - np.median(block)  # no steps of brightness from block to block
        block = np.rot90(block, int(rng.integers(4)), (1, 2))
        block = block[tuple(slice(None, None, int(s)) for s in rng.choice((-1, 1), 3))]
        to = tuple(
            slice(c * size, min(n, c * size + size)) for c, n in zip(corner, SHAPE, strict=True)
        )
        result[to] = block[tuple(slice(0, s.stop - s.start) for s in to)]
    return result


def add_grain(rng: Generator, scene: Scene, sigma: float) -> None:
    """Add hundreds to thousands of small spots to the signal, thick in some places."""
    count = int(log_uniform(rng, (150, 9000)))
    points = rng.uniform(0, CUBE, (count, 3))
    crowd = optics.smooth_field(SHAPE, rng.uniform(24, 90), rng)
    thick = crowd[tuple(points.astype(int).T)] > rng.uniform(-1.5, 0.7)
    points = points[thick]
    snr = np.exp(rng.uniform(np.log(1.0), np.log(rng.uniform(3, 16)), len(points)))
    width = np.array([sigma * rng.uniform(1.0, 2.0), sigma, sigma])
    peak = snr * (2 * np.pi) ** 1.5 * np.prod(width)
    spots = splat(points, peak, SHAPE)
    scene.signal[...] += ndimage.gaussian_filter(spots, width, mode="constant", truncate=3)


def add_glow(rng: Generator, scene: Scene) -> None:
    """Add what is out of focus: a few broad streaks, which are background."""
    sigma = rng.uniform(5, 9)
    lines = []
    for _ in range(int(rng.integers(1, 6))):
        start = rng.uniform(0, CUBE, 3)
        points = walk(rng, start, unit(rng.standard_normal(3)), 0.05, SHAPE)
        lines.append(Neurite(points, 0.4, log_uniform(rng, (2, 25)) * np.ones(len(points))))
    scene.signal[...] += render(lines, SHAPE, (1.4 * sigma, sigma, sigma))[0]


def add_soma(
    rng: Generator,
    scene: Scene,
    snr: tuple[float, float] = (30, 1500),
    dendrites_of: tuple[int, int] = (2, 7),
) -> None:
    """Add a saturated soma (a neurite's, to be found) in its halo (background), with dendrites.

    dendrites_of: their number, from the first to below the second.
    """
    brightness = log_uniform(rng, snr)
    centre = rng.uniform(0.1, 0.9, 3) * CUBE
    radii = rng.uniform(6, 18) * np.array([rng.uniform(0.35, 1), *rng.uniform(0.7, 1.3, 2)])
    wide = radii * np.array([rng.uniform(1.2, 3), *np.full(2, rng.uniform(1.8, 5))])
    axes = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    body, far = (
        np.sqrt(sum(((g - c) / r) ** 2 for g, c, r in zip(axes, centre, r3, strict=True)))
        for r3 in (radii, wide)
    )
    soma = np.asarray(1 / (1 + np.exp(np.clip(6 * (body - 1), -30, 30))), np.float32)
    halo = np.exp(-1.5 * far) / (1 + np.exp(np.clip(rng.uniform(2, 14) * (far - 1), -30, 30)))
    halo = np.asarray(halo * rng.uniform(0.02, 0.2) * min(brightness, 400), np.float32)
    dendrites = []
    for _ in range(int(rng.integers(*dendrites_of))):
        points = walk(rng, centre, unit(rng.standard_normal(3)), rng.uniform(0.02, 0.1), SHAPE)
        taper = np.exp(-np.arange(len(points)) / rng.uniform(30, 120))
        snr = brightness * rng.uniform(0.05, 0.5) * taper * beads(rng, len(points))
        dendrites.append(Neurite(points, rng.uniform(0.6, 2.5), np.maximum(snr, 2.5)))
    blur = rng.uniform(0.8, 1.6)
    sigma = (blur * rng.uniform(1, 2), blur, blur)
    grown, extent = render(dendrites, SHAPE, sigma) if dendrites else np.zeros((2, *SHAPE), "f4")
    scene.signal[...] += brightness * soma + halo + grown
    scene.target[...] += grown
    seen = grown > 0.5 * np.sqrt(1 + 0.3 * halo) + 0.02 * halo
    scene.label[(extent > 0.2) & (scene.label == BACKGROUND)] = IGNORE
    scene.label[(extent > 0.5) & seen] = NEURITE
    hidden = (scene.label == NEURITE) & (scene.target < 0.8 * np.sqrt(1 + 0.3 * halo))
    scene.label[hidden] = IGNORE
    scene.label[(soma > 0.1) & (scene.label == BACKGROUND)] = IGNORE
    scene.label[soma > 0.5] = NEURITE


def make_patches(task: tuple[int, Plan, Path, Path]) -> list[tuple[NDArray, ...]]:
    """Make the six patches of one scene: before two backgrounds, three of each."""
    number, plan, volumes, out = task
    rng = np.random.default_rng([plan.pool_seed, number])
    if rng.random() < plan.regions:
        return refine.region_patches(rng, 10**5 + number)
    scene = make_scene(rng, first.phantom_settings(rng))
    kinds = [draw_kind(rng, plan) for _ in range(2)]
    if "real" not in kinds and rng.random() < 0.3:
        add_soma(rng, scene)
    if rng.random() < 0.2:
        add_glow(rng, scene)
    if rng.random() < 0.45:
        add_grain(rng, scene, rng.uniform(0.6, 1.5))
    patches = []
    for kind in kinds:
        image, label, own, probability = before(rng, kind, scene, (plan, volumes, out))
        x = to_noise_units(image)
        x = np.arcsinh(np.sinh(x) * np.float32(np.exp(rng.normal(0, 0.25))))
        named = np.isin(label, (NEURITE, NEURITE + refine.GUESSED)).astype(np.float32)
        for _ in range(3):
            window = first.draw_window(rng, named)
            parts = (x, np.where(own, scene.target, 0), label, probability)
            patches.append(
                tuple(
                    p[window].astype(t) for p, t in zip(parts, refine.KINDS.values(), strict=True)
                )
            )
    return patches


def draw_kind(rng: Generator, plan: Plan) -> str:
    """Draw what the background is."""
    shares = [plan.camera, plan.texture, plan.shuffled]
    return str(rng.choice(["camera", "texture", "shuffled", "real"], p=[*shares, 1 - sum(shares)]))


def before(
    rng: Generator, kind: str, scene: Scene, places: tuple[Plan, Path, Path]
) -> tuple[NDArray, ...]:
    """Put a scene before a background: (image, label, which voxels are its own, taught)."""
    _, volumes, out = places
    own, none = scene.label == NEURITE, np.zeros(SHAPE, np.uint8)
    if kind == "camera":
        return first.before_phantom_camera(rng, scene), scene.label, own, none
    real = first._worker_volumes(volumes, out / "cache")
    taught = [np.load(refine._taught(out, name), mmap_mode="r") for name in first.SEEN]
    crop, level, guess, said = first.draw_crop(rng, real, taught)
    if kind == "real":
        kept = rng.random() < 0.9
        image = crop + (scene.target if kept else 0) * level
        label = scene.label.copy() if kept else none.copy()
        free = label == BACKGROUND
        label[free] = guess[free] + refine.GUESSED
        return image, label, own & kept, said
    flat = None
    if kind == "shuffled":
        plain = (crop - ndimage.uniform_filter(crop, 24)) / level
        structure = (guess == NEURITE) | (said > refine.SURE)
        flat = shuffle(rng, plain, structure, int(rng.choice((8, 10, 12, 14))))
    grey = first.texture(rng, crop, level, guess) if flat is None else flat * np.float32(400)
    return grey + scene.signal * 400 + 4000, scene.label, own, none


def make_pool(plan: Plan, volumes: Path, out: Path, processes: int) -> None:
    """Make all patches; `pool.count` says how many there are by now."""
    out.mkdir(parents=True, exist_ok=True)
    count = out / "pool.count"
    done = int(count.read_text()) if count.exists() else 0
    shape = (plan.patches, *(first.PATCH,) * 3)
    arrays = [
        np.load(file, mmap_mode="r+")
        if done
        else np.lib.format.open_memmap(file, "w+", kind, shape)
        for file, kind in ((out / f"{name}.npy", kind) for name, kind in refine.KINDS.items())
    ]
    tasks = ((number, plan, volumes, out) for number in range(done // 6, plan.patches // 6))
    with ProcessPoolExecutor(processes) as executor:
        for patches in executor.map(make_patches, tasks):
            for parts in patches:
                for array, part in zip(arrays, parts, strict=True):
                    array[done] = part
                done += 1
            scrap = out / "pool.count.partial"
            scrap.write_text(str(done))
            scrap.rename(count)
            if done % 300 == 0:
                print(f"{done}/{plan.patches} patches", flush=True)
    (out / "pool.done").touch()


def batches(plan: Plan, pool: Path) -> Iterator[tuple[torch.Tensor, ...]]:
    """Give batches for ever, every other one of dim neurites alone; mirrored, turned in plane."""
    rng = np.random.default_rng(plan.seed)
    arrays = {name: np.load(pool / f"{name}.npy", mmap_mode="r") for name in refine.KINDS}
    dim: list[int] = []
    looked = 0
    for step in range(10**9):
        there = plan.available(step)
        wait_for(pool, there)
        dim += [looked + int(i) for i in refine.dim_ones(arrays["snr"][looked:there])]
        looked = there
        numbers = rng.choice(dim, plan.batch) if step % 2 else rng.integers(there, size=plan.batch)
        batch = [
            turned(rng, shown({name: a[int(i)] for name, a in arrays.items()}, plan))
            for i in numbers
        ]
        yield tuple(
            torch.from_numpy(np.stack(part)[:, None].astype(np.float32))
            for part in zip(*batch, strict=True)
        )


def mixed(
    pool: Path, own: Iterator[list[Floats]], batch: int, seed: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Give batches for ever: one patch of a later stage's own, the rest from the pool."""
    plan = first.sized(Plan(start=pool, batch=batch - 1, seed=seed))
    for rest, one in zip(batches(plan, pool), own, strict=True):
        yield tuple(
            torch.cat([part, torch.from_numpy(np.array(mine, np.float32))[None, None]])
            for part, mine in zip(rest, one, strict=True)
        )


def wait_for(pool: Path, count: int) -> None:
    """Wait until so many patches are there."""
    while int((pool / "pool.count").read_text()) < count:
        time.sleep(2)


def shown(patch: dict[str, NDArray], plan: Plan) -> tuple[Floats, ...]:
    """Give noise units, target and weight of one patch."""
    x, snr = patch["x"].astype(np.float32), patch["snr"].astype(np.float32)
    label = refine.decide(patch["label"], patch["taught"])
    target = (label == NEURITE).astype(np.float32)
    own = (target > 0) & (snr > 0)
    faded = [refine.fade(target, brightness, plan) for brightness in (snr, refine.brightness_of(x))]
    return x, np.where(own, *faded), (label != IGNORE).astype(np.float32)


def turned(rng: Generator, parts: tuple[Floats, ...]) -> list[Floats]:
    """Mirror along each axis and turn in plane, at random."""
    turns, signs = int(rng.integers(4)), rng.choice((-1, 1), 3)
    mirror = tuple(slice(None, None, int(s)) for s in signs)
    return [np.rot90(part, turns, (1, 2))[mirror] for part in parts]


def grown(start: Path) -> GlowNet:
    """Give the model's network with more blocks, which change nothing at first."""
    weights = first.weights_of(start)
    network = GlowNet(widths=first.Recipe.widths, blocks=BLOCKS)
    missing = network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    assert not missing.unexpected_keys
    fresh = set(missing.missing_keys)
    for name, value in network.state_dict().items():
        if name in fresh and ".second.1." in name and name.endswith(("weight", "bias")):
            value.zero_()
    return network


def main() -> None:
    """Read the command line; make the pool, or train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("pool", "fit"))
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="the model of six stages")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    plan = first.sized(Plan(start=asked.start))
    torch.set_num_threads(asked.threads)
    if asked.part == "pool":
        asked.out.mkdir(parents=True, exist_ok=True)
        teach(plan, asked.volumes, asked.out)
        make_pool(plan, asked.volumes, asked.out, asked.processes)
    else:
        torch.manual_seed(plan.seed)
        first.fit(grown(plan.start), batches(plan, asked.out), plan, asked.out)


if __name__ == "__main__":
    main()

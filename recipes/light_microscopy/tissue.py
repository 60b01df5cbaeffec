"""The last stage of `light-microscopy`: tissue of many kinds, files as the field has them.

    python tissue.py pool --start MODEL --out runs/tissue
    python tissue.py fit --start MODEL --out runs/tissue
    python tissue.py fit --start MODEL --pool runs/tissue \\
        --without selma3d --out runs/without-selma3d

A third of the images each:

- phantoms before a phantom camera, with nuclei, microglia, plaques, vessels and grain among what
  is no neurite;
- phantoms added to real volumes *without* neurites (nuclei, plaques, cFos, microglia): all that is
  not added is background;
- phantoms added to real volumes with neurites of their own, which the model to start from names:
  above SURE, and where it runs on, neurite; from DOUBT to there ignored; less is background.

Half of all images then go through what people's files go through (imaging/field.py). The answer
falls from a neurite's middle to its edge by a power of the brightness, so that what is detected is
about as wide as the neurite, and between neurites that lie side by side it is background.

`--without` leaves all patches of one place that publishes volumes out: models trained so score
the volumes of that place. No person's label has a part in this stage.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import continuity
import first
import numpy as np
import refine
import tifffile
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

import neuroglow
from neuroglow.imaging import field
from neuroglow.imaging.injection import local_noise
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, Scene, make_scene
from neuroglow.phantom.crowds import microglia, nuclei, plaques, vessels

Floats = NDArray[np.float32]
SHAPE = (first.CUBE,) * 3
KINDS = {
    "x": np.float16,
    "target": np.float16,
    "weight": np.uint8,
    "place": np.uint8,
    "snr": np.float16,
}

PLACES = ("phantom", "selma3d", "delivr", "neurotorch", "cellfinder", "pyneutube", "earlier")
"""Who published a volume; `earlier` are those of the stages before."""

NONE = {  # volumes without neurites: place, share of the draws
    "sources/nuclei_010.tif": ("selma3d", 3),
    "sources/nuclei_011.tif": ("selma3d", 3),
    "sources/plaques_000.tif": ("selma3d", 2),
    "sources/plaques_009.tif": ("selma3d", 2),
    "sources/nuclei_neurotorch.tif": ("neurotorch", 3),
    "sources/cfos_1008_2.tif": ("delivr", 2),
    "sources/cfos_695_0.tif": ("delivr", 2),
    "sources/cfos_969_3.tif": ("delivr", 2),
    "sources/microglia_2248_2.tif": ("delivr", 1),
    "sources/microglia_9758_3.tif": ("delivr", 1),
}
OWN = {  # volumes with neurites of their own
    "sources/lightsheet_01.tif": ("selma3d", 2),
    "sources/lightsheet_02.tif": ("selma3d", 2),
    "sources/lightsheet_05.tif": ("selma3d", 2),
    "sources/lightsheet_06.tif": ("selma3d", 2),
    "sources/lightsheet_08.tif": ("selma3d", 2),
    "sources/lightsheet_09.tif": ("selma3d", 2),
    "sources/serial_two_photon.tif": ("cellfinder", 2),
    "sources/pyramidal_clipped.tif": ("pyneutube", 1),
    "trailmap/example_chunk.tif": ("earlier", 4),
    "dlmbmap/brain_example.tif": ("earlier", 2),
    "neurotorch/soma_dendrites.tif": ("earlier", 2),
    "worm/AIY1.tif": ("earlier", 1),
    "worm/AIY4.tif": ("earlier", 1),
    "worm/ASJ1.tif": ("earlier", 1),
}
FED = ("x", "target", "weight")
SURE, DOUBT = 0.5, 0.08
PER_IMAGE, IMAGES = 3, 2
PER_SCENE = PER_IMAGE * IMAGES


@dataclass(frozen=True)
class Plan:
    """What decides the weights, besides the volumes and the model to start from.

    rough: share of the images that go through what files go through. edge, bright_edge: the
    power by which the answer falls with the brightness, of dim neurites (SNR 2) and bright ones
    (`bright`). without: places whose patches are left out.
    """

    patches: int = 1800
    pool_seed: int = 100
    steps: int = 900
    batch: int = 4
    learning_rate: float = 8e-4
    seed: int = 50
    ema: float = 0.995
    rough: float = 0.5
    edge: float = 0.7
    bright: float = 4.5
    bright_edge: float = 0.45
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Real:
    """A real volume (zyx grey levels), its local noise, and what is named in it."""

    image: NDArray[Any]
    noise: Floats
    named: NDArray[np.uint8]
    place: str


def named(image: NDArray[Any], model: Path, *, known: bool) -> NDArray[np.uint8]:
    """Let a model name what a volume shows: what it is sure of, and runs on, is neurite.

    known: is it a volume that the model grew up with? Then only specks are doubted.
    """
    said = neuroglow.predict(image, model=model, dtype="float32", gate=False)
    label = np.where(said < DOUBT, BACKGROUND, IGNORE).astype(np.uint8)
    if known:
        runs_on = ~refine.specks(said > SURE)
    else:
        grey = np.rint(said * 255).astype(np.uint8)
        verdict = refine.judge(grey, to_noise_units(image), trusted=True)
        runs_on = ndimage.binary_dilation(verdict == 255)
    label[(said > SURE) & runs_on] = NEURITE
    return label


def prepare(start: Path, volumes: Path, out: Path) -> None:
    """Keep each volume with its noise and with what the model names in it."""
    (out / "volumes").mkdir(parents=True, exist_ok=True)
    for name in [*NONE, *OWN]:
        kept = out / "volumes" / (name.replace("/", "-") + ".npz")
        if kept.exists():
            continue
        planes = first.SEEN.get(name, (slice(None),))[0]
        image = tifffile.imread(volumes / name)[planes]
        none = name in NONE
        known = name in first.SEEN
        label = np.full(image.shape, BACKGROUND, np.uint8)
        if not none:
            label = named(image, start, known=known)
        np.savez(kept, image=image, noise=local_noise(image).astype(np.float32), label=label)
        print(f"{name}: {(label == NEURITE).mean():.4f} neurite", flush=True)


_reals: dict[str, list[Real]] = {}


def reals(out: Path, kind: str) -> tuple[list[Real], NDArray[np.float64]]:
    """Give the volumes of a kind, loaded once a process, and their shares."""
    table = NONE if kind == "none" else OWN
    if kind not in _reals:
        torch.set_num_threads(1)
        _reals[kind] = []
        for name, (place, _) in table.items():
            with np.load(out / "volumes" / (name.replace("/", "-") + ".npz")) as arrays:
                _reals[kind].append(Real(arrays["image"], arrays["noise"], arrays["label"], place))
    shares = np.array([share for _, share in table.values()], float)
    return _reals[kind], shares / shares.sum()


def crop(rng: Generator, real: Real) -> tuple[NDArray[Any], Floats, NDArray[np.uint8]]:
    """Cut a cube, mirrored where the volume is thinner, turned at random."""
    at = [int(rng.integers(0, max(0, n - first.CUBE) + 1)) for n in real.image.shape]
    window = tuple(slice(a, a + first.CUBE) for a in at)
    cut = [part[window] for part in (real.image, real.noise, real.named)]
    pad = [(0, first.CUBE - n) for n in cut[0].shape]
    image, noise, label = continuity.turned(rng, tuple(np.pad(c, pad, mode="reflect") for c in cut))
    return image, noise, label


def crowd(rng: Generator, scene: Scene) -> None:
    """Add what is no neurite to a scene: nuclei, microglia, plaques, vessels, grain, glow."""
    for chance, draw in ((0.35, nuclei), (0.2, microglia), (0.15, plaques)):
        if rng.random() < chance:
            scene.signal[...] += draw(rng, SHAPE, scene.sigma_vox)
    if rng.random() < 0.12:
        light, inside = vessels(rng, SHAPE, scene.sigma_vox)
        scene.signal[...] += light
        scene.label[inside & (scene.label == NEURITE) & (scene.target < 0.5 * light)] = IGNORE
    if rng.random() < 0.3:
        continuity.add_soma(rng, scene)
    if rng.random() < 0.15:
        continuity.add_glow(rng, scene)
    if rng.random() < 0.35:
        continuity.add_grain(rng, scene, rng.uniform(0.6, 1.5))


def between(extent: Floats) -> NDArray[np.float32]:
    """Give how far each voxel lies below the neurites on both sides of it; 1: it does not."""
    return np.asarray(
        extent / np.maximum(ndimage.grey_closing(extent, (5, 5, 5)), 1e-3), np.float32
    )


def image_of(rng: Generator, scene: Scene, kind: str, out: Path) -> tuple[NDArray[Any], ...]:
    """Put a scene before a background: (image, label, which voxels are its own, place)."""
    if kind == "phantom":
        return first.before_phantom_camera(rng, scene), scene.label, PLACES.index("phantom")
    volumes, shares = reals(out, kind)
    real = volumes[int(rng.choice(len(volumes), p=shares))]
    image, noise, label = crop(rng, real)
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else np.inf
    label = np.where(scene.label == BACKGROUND, label, scene.label)
    raised = np.clip(image + np.minimum(scene.target, 60) * noise, 0, top)
    return np.rint(raised).astype(image.dtype), label, PLACES.index(real.place)


def make_patches(task: tuple[int, Plan, Path]) -> list[tuple[NDArray[Any], ...]]:
    """Make the patches of one scene: before two backgrounds."""
    number, plan, out = task
    rng = np.random.default_rng([plan.pool_seed, number])
    scene = make_scene(rng, first.phantom_settings(rng))
    kinds = rng.choice(["phantom", "none", "own"], IMAGES, replace=False)
    if "phantom" in kinds:
        crowd(rng, scene)
    apart = between(scene.extent)
    patches = []
    for kind in kinds:
        image, label, place = image_of(rng, scene, str(kind), out)
        x = to_noise_units(image)
        lost = np.zeros(SHAPE, bool)
        if rng.random() < plan.rough:
            grey, lost = field.roughen(rng, np.sinh(x))
            x = to_noise_units(grey)
        x = np.arcsinh(np.sinh(x) * np.float32(np.exp(rng.normal(0, 0.25))))
        target, weight = answer(x, label, scene, apart, plan)
        weight[lost & (target > 0)] = 0
        parts = (x, target, weight, np.uint8(place), scene.target)
        for _ in range(PER_IMAGE):
            window = first.draw_window(rng, target)
            patches.append(tuple(p[window] if np.ndim(p) else p for p in parts))
    return patches


def answer(
    x: Floats, label: NDArray[np.uint8], scene: Scene, apart: Floats, plan: Plan
) -> tuple[Floats, NDArray[np.uint8]]:
    """Give target and weight: how far the answer falls follows from the brightness."""
    truth = (label == NEURITE).astype(np.float32)
    own = (scene.label == NEURITE) & (truth > 0) & (scene.target > 0)
    faded = [refine.fade(truth, b, plan) for b in (scene.target, refine.brightness_of(x))]
    target = np.where(own, *faded)
    weight = (label != IGNORE).astype(np.uint8)
    target[own & (apart < 0.7)] = 0
    weight[own & (apart >= 0.7) & (apart < 0.85)] = 0
    return target, weight


def make_pool(plan: Plan, out: Path, processes: int) -> None:
    """Make all patches; `pool.count` says how many there are by now."""
    count = out / "pool.count"
    done = int(count.read_text()) if count.exists() else 0
    shapes = dict.fromkeys(KINDS, (plan.patches, *((first.PATCH,) * 3))) | {
        "place": (plan.patches,)
    }
    arrays = [
        np.load(out / f"{name}.npy", mmap_mode="r+")
        if done
        else np.lib.format.open_memmap(out / f"{name}.npy", "w+", kind, shapes[name])
        for name, kind in KINDS.items()
    ]
    tasks = ((number, plan, out) for number in range(done // PER_SCENE, plan.patches // PER_SCENE))
    with ProcessPoolExecutor(processes) as executor:
        for patches in executor.map(make_patches, tasks):
            for parts in patches:
                for array, part in zip(arrays, parts, strict=True):
                    array[done] = part
                done += 1
            scrap = out / "pool.count.partial"
            scrap.write_text(str(done))
            scrap.rename(count)
            if done % 120 == 0:
                print(f"{done}/{plan.patches} patches", flush=True)


def available(plan: Plan, step: int) -> int:
    """Give how many patches step `step` may draw from, so that batches follow from the seed."""
    return min(plan.patches, PER_SCENE * int(20 + 0.3 * step))


def batches(plan: Plan, pool: Path, start: int = 0) -> Iterator[tuple[torch.Tensor, ...]]:
    """Give the batches from step `start` on for ever: mirrored, turned in plane."""
    arrays = {name: np.load(pool / f"{name}.npy", mmap_mode="r") for name in KINDS}
    out = [PLACES.index(place) for place in plan.without]
    for step in range(start, 10**9):
        rng = np.random.default_rng([plan.seed, step])
        there = available(plan, step)
        continuity.wait_for(pool, there)
        allowed = np.flatnonzero(~np.isin(arrays["place"][:there], out))
        batch = [
            continuity.turned(
                rng, tuple(arrays[n][i].astype(np.float32) for n in ("x", "target", "weight"))
            )
            for i in rng.choice(allowed, plan.batch)
        ]
        yield tuple(torch.from_numpy(np.stack(part)[:, None]) for part in zip(*batch, strict=True))


def fit(plan: Plan, start: Path, pool: Path, out: Path) -> None:
    """Train, from the newest state in `out` where there is one."""
    network = continuity.grown(start).train().to(memory_format=torch.channels_last_3d)
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(plan.ema), use_buffers=True
    )
    optimiser = torch.optim.AdamW(network.parameters(), plan.learning_rate, weight_decay=1e-3)
    parts = {"network": network, "averaged": averaged, "optimiser": optimiser}
    out.mkdir(parents=True, exist_ok=True)
    newest, done = out / "newest.pt", 0
    if newest.exists():
        kept = torch.load(newest, weights_only=True)
        done = kept.pop("step")
        for name, part in parts.items():
            part.load_state_dict(kept[name])
    stream, losses, started = batches(plan, pool, done), [], time.monotonic()
    for step in range(done + 1, plan.steps + 1):
        x, target, weight = next(stream)
        with torch.autocast("cpu", torch.bfloat16):
            logit = network(x.contiguous(memory_format=torch.channels_last_3d))
        loss = first.bce_dice(logit.float(), target, weight)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate(step, plan)
        optimiser.step()
        averaged.update_parameters(network)
        losses.append(float(loss.detach()))
        if step % 25 == 0:
            pace = (time.monotonic() - started) / (step - done)
            print(
                f"{step}/{plan.steps} loss {np.mean(losses[-50:]):.4f}, {pace:.2f} s a step",
                flush=True,
            )
        if step % 50 == 0 or step == plan.steps:
            keep(newest, {"step": step} | {name: part.state_dict() for name, part in parts.items()})
            keep(
                out / f"state-{step:05d}.pt",
                {"step": step, "network": averaged.module.state_dict()},
            )


def rate(step: int, plan: Plan) -> float:
    """Give the learning rate: up over a tenth of the steps, then down along a cosine."""
    done = step / plan.steps
    if done < 0.1:
        return plan.learning_rate * (0.04 + 0.96 * done / 0.1)
    return plan.learning_rate * (0.5 + 0.5 * float(np.cos(np.pi * (done - 0.1) / 0.9)))


def keep(file: Path, state: dict[str, Any]) -> None:
    """Save a state whole or not at all."""
    scrap = file.with_suffix(".partial")
    torch.save(state, scrap)
    scrap.rename(file)


def main() -> None:
    """Read the command line; make the pool, or train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("pool", "fit"))
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--start", type=Path, required=True, help="the model to go on from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pool", type=Path, help="the run whose patches are used")
    parser.add_argument("--without", nargs="*", default=(), choices=PLACES)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    plan = Plan(steps=asked.steps, seed=asked.seed, without=tuple(asked.without))
    torch.set_num_threads(asked.threads)
    if asked.part == "pool":
        prepare(asked.start, asked.volumes, asked.out)
        make_pool(plan, asked.out, asked.processes)
    else:
        torch.manual_seed(plan.seed)
        fit(plan, asked.start, asked.pool or asked.out, asked.out)


if __name__ == "__main__":
    main()

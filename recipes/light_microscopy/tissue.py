"""The last stage of `light-microscopy`: tissue of many kinds, files as the field has them.

    python tissue.py pool --teacher MODEL --out runs/tissue
    python reminders.py --out runs/reminders
    python resized.py --tissue runs/tissue --out runs/patches
    python tissue.py fit --start runs/teacher --pool runs/patches --reminders runs/reminders \\
        --out runs/main [--without a]

A third of the images each:

- phantoms in front of a phantom camera, with nuclei, microglia, plaques, vessels and grain that are
  not neurites;
- phantoms added to real volumes *without* neurites (nuclei, plaques, cFos, microglia): everything
  else is background;
- phantoms added to real volumes with neurites of their own, which a teacher names: neurite where
  it is surer than SURE and the structure runs on, ignored from DOUBT to there, background below.

Half of all images then go through what people's files go through (imaging/field.py). The target
falls from a neurite's middle to its edge by a power of the brightness, so that the detected line is
about as wide as the neurite; between neurites that lie side by side it is background, and so are
the skirts of a thin, bright one (`thinned`). Every other draw is of a patch whose own neurites are
dim; some patches come from the planes that a person labelled (planes.py), and some show what this
stage would forget (reminders.py). Besides, there are volumes without neurites that were enlarged
or reduced (resized.py): nuclei of other sizes than those of the few volumes at hand.

`--without` leaves out one of four folds of the sources and, but for fold d, one labelled plane.
Every source that scores, and every plane, is in one fold, so four trainings score them all, none on
what it saw.

The learning rate falls along a cosine over `horizon` steps, and training stops at `steps`, long
before it reaches zero: more steps make nuclei rarer and lose dim dendrites in clipped volumes
(docs/lab-notebook/model.md).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import continuity
import first
import numpy as np
import planes
import refine
import tifffile
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

import neuroglow
from neuroglow.imaging import field
from neuroglow.imaging.crowds import microglia, nuclei, plaques, vessels
from neuroglow.imaging.injection import local_noise
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.network.glownet import GlowNet
from neuroglow.phantom import BACKGROUND, IGNORE, NEURITE, Scene, make_scene

Floats = NDArray[np.float32]
Patch = tuple[NDArray[Any], ...]
Batches = Iterator[tuple[torch.Tensor, ...]]
SHAPE = (first.CUBE,) * 3
KINDS = {
    "x": np.float16,
    "target": np.float16,
    "weight": np.uint8,
    "source": np.uint8,
    "snr": np.float16,
}

FOLDS = ("a", "b", "c", "d")
NONE = {  # volumes without neurites: fold that leaves it out, share of the draws
    "sources/nuclei_010.tif": ("a", 3),
    "sources/nuclei_011.tif": ("a", 3),
    "sources/plaques_000.tif": ("b", 2),
    "sources/plaques_009.tif": ("b", 2),
    "sources/nuclei_neurotorch.tif": ("c", 3),
    "sources/cfos_1008_2.tif": ("d", 2),
    "sources/cfos_695_0.tif": ("d", 2),
    "sources/cfos_969_3.tif": ("d", 2),
    "sources/microglia_2248_2.tif": ("", 1),
    "sources/microglia_9758_3.tif": ("", 1),
}
OWN = {  # volumes with neurites of their own
    "sources/lightsheet_01.tif": ("a", 2),
    "sources/lightsheet_02.tif": ("", 2),
    "sources/lightsheet_05.tif": ("d", 2),
    "sources/lightsheet_06.tif": ("b", 2),
    "sources/lightsheet_08.tif": ("c", 2),
    "sources/lightsheet_09.tif": ("", 2),
    "sources/serial_two_photon.tif": ("a", 2),
    "sources/pyramidal_clipped.tif": ("c", 1),
    "trailmap/example_chunk.tif": ("", 4),
    "dlmbmap/brain_example.tif": ("", 2),
    "neurotorch/soma_dendrites.tif": ("", 2),
    "worm/AIY1.tif": ("", 1),
    "worm/AIY4.tif": ("", 1),
    "worm/ASJ1.tif": ("", 1),
}
SOURCES = NONE | OWN
PHANTOM = len(SOURCES)
"""The number of a patch's source: its place in SOURCES, or this one."""

PLANES = {"a": 17, "b": 48, "c": 77}
SEEDS = (51, 52, 53)
"""The trainings whose mean is published."""

FED = ("x", "target", "weight", "snr")
BRIGHT = 3.0
"""Noise deviations: what is darker, smoothed, hides no neurite."""

SURE, DOUBT = 0.5, 0.08
PER_IMAGE, IMAGES = 3, 2
PER_SCENE = PER_IMAGE * IMAGES


@dataclass(frozen=True)
class Plan:
    """What decides the weights, besides the volumes and the model to start from.

    rough: share of the images that go through what files go through. edge, bright_edge: the
    power by which the target falls with the brightness, for dim neurites (SNR 2) and bright ones
    (`bright`); steeper: factor of that power for bright ones when patches are fed. skirt: below
    this share of the peak a thin, bright neurite ends. dim: share of the patches that are drawn
    from those whose own neurites have an SNR of 1 to 3. labelled: share of the patches from
    labelled planes, whose voxels weigh `heed`. reminders: share of the patches that come from
    reminders.py. horizon: the steps over which the learning rate falls (`rate`).
    plain, resized: how often a patch of a volume without neurites is drawn, as it is and resized,
    compared with the others. crowded: the most that a neurite between bright bodies weighs
    (`crowded`). without: the fold whose sources and plane are left out.
    """

    patches: int = 1020
    pool_seed: int = 100
    steps: int = 300
    horizon: int = 500
    batch: int = 4
    learning_rate: float = 8e-4
    seed: int = SEEDS[0]
    ema: float = 0.995
    rough: float = 0.5
    edge: float = 0.7
    bright: float = 4.5
    bright_edge: float = 0.45
    steeper: float = 1.6
    skirt: float = 0.4
    dim: float = 0.4
    labelled: float = 0.12
    heed: float = 6.0
    reminders: float = 0.15
    plain: float = 0.57
    resized: float = 0.51
    crowded: float = 12.0
    without: str = ""


@dataclass(frozen=True)
class Real:
    """A real volume (zyx grey levels), its local noise, and what is named in it."""

    image: NDArray[Any]
    noise: Floats
    named: NDArray[np.uint8]
    source: int


@dataclass(frozen=True)
class Shown:
    """What an image shows: a scene, how far its voxels lie between neurites, all labels, a source.

    apart: what `between` gives. label: of the scene and of the background, the source's volume.
    """

    scene: Scene
    apart: Floats
    label: NDArray[np.uint8]
    source: int


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


def prepare(teacher: Path, volumes: Path, out: Path) -> None:
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
            label = named(image, teacher, known=known)
        np.savez(kept, image=image, noise=local_noise(image).astype(np.float32), label=label)
        print(f"{name}: {(label == NEURITE).mean():.4f} neurite", flush=True)


_reals: dict[str, list[Real]] = {}


def reals(out: Path, kind: str) -> tuple[list[Real], NDArray[np.float64]]:
    """Give the volumes of a kind, loaded once a process, and their shares."""
    table = NONE if kind == "none" else OWN
    if kind not in _reals:
        torch.set_num_threads(1)
        _reals[kind] = []
        for name in table:
            source = list(SOURCES).index(name)
            with np.load(out / "volumes" / (name.replace("/", "-") + ".npz")) as arrays:
                _reals[kind].append(Real(arrays["image"], arrays["noise"], arrays["label"], source))
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
    """Put a scene before a background: (image, label, source)."""
    if kind == "phantom":
        return first.before_phantom_camera(rng, scene), scene.label, PHANTOM
    volumes, shares = reals(out, kind)
    real = volumes[int(rng.choice(len(volumes), p=shares))]
    image, noise, label = crop(rng, real)
    top = np.iinfo(image.dtype).max if image.dtype.kind == "u" else np.inf
    label = np.where(scene.label == BACKGROUND, label, scene.label)
    raised = np.clip(image + np.minimum(scene.target, 60) * noise, 0, top)
    return np.rint(raised).astype(image.dtype), label, real.source


def make_patches(task: tuple[int, Plan, Path]) -> list[Patch]:
    """Make the patches of one scene: before two backgrounds."""
    number, plan, out = task
    rng = np.random.default_rng([plan.pool_seed, number])
    scene = make_scene(rng, first.phantom_settings(rng))
    kinds = rng.choice(["phantom", "none", "own"], IMAGES, replace=False)
    if "phantom" in kinds:
        crowd(rng, scene)
    apart = between(scene.extent)
    patches: list[Patch] = []
    for kind in kinds:
        image, label, source = image_of(rng, scene, str(kind), out)
        patches += patches_of(rng, to_noise_units(image), Shown(scene, apart, label, source), plan)
    return patches


def patches_of(rng: Generator, x: Floats, shown: Shown, plan: Plan) -> list[Patch]:
    """Cut patches of an image in noise units, which is roughened first, or not."""
    scene, lost = shown.scene, np.zeros(SHAPE, bool)
    if rng.random() < plan.rough:
        grey, lost = field.roughen(rng, np.sinh(x))
        x = to_noise_units(grey)
    x = np.arcsinh(np.sinh(x) * np.float32(np.exp(rng.normal(0, 0.25))))
    target, weight = answer(x, shown.label, scene, shown.apart, plan)
    weight[lost & (target > 0)] = 0
    parts = (x, target, weight, np.uint8(shown.source), scene.target)
    windows = [first.draw_window(rng, target) for _ in range(PER_IMAGE)]
    return [tuple(p[window] if np.ndim(p) else p for p in parts) for window in windows]


def answer(
    x: Floats, label: NDArray[np.uint8], scene: Scene, apart: Floats, plan: Plan
) -> tuple[Floats, NDArray[np.uint8]]:
    """Give target and weight: how far the answer falls follows from the brightness.

    Where the light of a neurite crosses a soma, much of the soma becomes background, and all of its
    dendrites: a fault, with which the bundled weights were made, and without which more nuclei are
    detected (docs/lab-notebook/model.md). reminders.py labels both whole.
    """
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
        "source": (plan.patches,)
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
    (out / "pool.done").touch()


def stacked(
    make: Callable[[int], list[Patch]], images: int, names: Iterable[str], processes: int
) -> dict[str, NDArray[Any]]:
    """Make the patches of so many images, and stack their parts by name."""
    with ProcessPoolExecutor(processes) as executor:
        made = [patch for some in executor.map(make, range(images)) for patch in some]
    parts = zip(names, zip(*made, strict=True), strict=True)
    return {name: np.stack(part).astype(KINDS[name]) for name, part in parts}


def left_out(plan: Plan) -> list[int]:
    """Give the numbers of the sources that training does not see."""
    folds = [fold for fold, _ in SOURCES.values()]
    return [n for n, fold in enumerate(folds) if plan.without and fold == plan.without]


def shares(plan: Plan, source: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Give how often each patch is drawn, compared with the others; 0: its source is left out."""
    often = np.where(source < len(NONE), plan.plain, 1.0)
    often[plan.patches :] = plan.resized
    often[np.isin(source, left_out(plan))] = 0
    return often


def batches(
    plan: Plan, pool: Path, reminders: Path, labelled: planes.Labelled, start: int = 0
) -> Batches:
    """Give the batches from step `start` on for ever: mirrored, turned in plane."""
    arrays, kept = (
        {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        for folder, names in ((pool, KINDS), (reminders, FED))
    )
    often = shares(plan, arrays["source"])
    dim = np.zeros_like(often)
    dim_ones = refine.dim_ones(arrays["snr"])
    dim[dim_ones] = often[dim_ones]
    often, dim = often / often.sum(), dim / dim.sum()
    for step in range(start, 10**9):
        rng = np.random.default_rng([plan.seed, step])
        own = planes.patches(labelled, [plan.seed, step])
        batch = []
        for _ in range(plan.batch):
            kind = rng.random()
            if kind < plan.labelled:
                batch.append(next(own))
                continue
            kind -= plan.labelled
            if kind < plan.reminders:
                drawn, number = kept, int(rng.integers(len(kept["x"])))
            else:
                drawn, few = arrays, kind < plan.reminders + plan.dim
                number = int(rng.choice(len(often), p=dim if few else often))
            parts = [drawn[name][number].astype(np.float32) for name in FED]
            fed = crowded(*thinned(*parts, plan), parts[-1], plan)
            batch.append(continuity.turned(rng, fed))
        yield tensors(batch)


def tensors(batch: list[list[Floats]]) -> tuple[torch.Tensor, ...]:
    """Stack the parts of patches: a tensor (patch, channel, zyx) of each part."""
    return tuple(
        torch.from_numpy(np.stack(part)[:, None].astype(np.float32))
        for part in zip(*batch, strict=True)
    )


def thinned(
    x: Floats, target: Floats, weight: Floats, snr: Floats, plan: Plan
) -> tuple[Floats, Floats, Floats]:
    """Let the target of bright neurites fall more steeply, and call thin ones' skirts background.

    Within two voxels a thin neurite falls from its peak to its skirt, a wide one does not.
    """
    own = snr > 0
    brightness = np.where(own, snr, refine.brightness_of(x))
    peak = np.maximum(ndimage.maximum_filter(brightness, 5), 1e-3)
    target = target ** np.interp(peak, [refine.DIM, plan.bright], [1, plan.steeper])
    skirt = own & (peak > plan.bright) & (snr < plan.skirt * peak) & (snr > 0.05 * peak)
    return (
        x,
        np.where(skirt, 0, target).astype(np.float32),
        np.where(skirt, 1, weight).astype(np.float32),
    )


def crowded(
    x: Floats, target: Floats, weight: Floats, snr: Floats, plan: Plan
) -> tuple[Floats, Floats, Floats]:
    """Weigh the added neurites that show between bright bodies the more, the less they leave dark.

    Else a network learns that among many nuclei there are hardly any neurites. Voxels over which
    something brighter than the neurite lies are ignored: nobody could find it there.
    """
    behind = ndimage.gaussian_filter(np.sinh(np.clip(x, -3, 8)) - snr, 0.7)
    dark = ndimage.maximum_filter(behind, 5) < BRIGHT
    own = (snr > 0) & (target > 0)
    factor = min(plan.crowded, 1 / max(float(dark.mean()), 1e-3))
    weight = np.where(own & dark, factor, 1) * weight
    hidden = own & (behind > np.maximum(BRIGHT, snr))
    return x, target, np.where(hidden, 0, weight).astype(np.float32)


def labelled_planes(plan: Plan, volumes: Path, start: Path) -> planes.Labelled:
    """Read the labelled planes, but for the one that is left out."""
    kept = tuple(plane for fold, plane in PLANES.items() if fold != plan.without)
    return planes.load(volumes, start, kept, plan.heed)


def fit(plan: Plan, network: GlowNet, out: Path, stream_from: Callable[[int], Batches]) -> None:
    """Train, from the newest state in `out` where there is one, on batches from a step on."""
    network = network.train().to(memory_format=torch.channels_last_3d)
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
    stream, losses, started = stream_from(done), [], time.monotonic()
    for step in range(done + 1, plan.steps + 1):
        x, target, weight = next(stream)
        with first.hardware_precision():
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
    """Give the learning rate: up over a tenth of the horizon, then down along a cosine."""
    done = step / plan.horizon
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
    parser.add_argument("--start", type=Path, help="the model to go on from")
    parser.add_argument("--teacher", type=Path, help="the model that names real volumes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pool", type=Path, help="the run of resized.py, whose patches are used")
    parser.add_argument("--reminders", type=Path, help="the run of reminders.py")
    parser.add_argument("--without", default="", choices=FOLDS)
    parser.add_argument("--patches", type=int, default=Plan.patches, help="in the pool")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--horizon", type=int, default=Plan.horizon)
    parser.add_argument("--afresh", action="store_true", help="from random weights")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    plan = Plan(
        asked.patches,
        steps=asked.steps,
        horizon=asked.horizon,
        seed=asked.seed,
        without=asked.without,
    )
    plan = first.sized(plan)
    torch.set_num_threads(asked.threads)
    if asked.part == "pool":
        prepare(asked.teacher, asked.volumes, asked.out)
        make_pool(plan, asked.out, asked.processes)
    else:
        torch.manual_seed(plan.seed)
        labelled = labelled_planes(plan, asked.volumes, asked.start)
        pools, start = (asked.pool, asked.reminders), continuity.grown(asked.start)
        if asked.afresh:
            start = GlowNet(widths=first.Recipe.widths, blocks=continuity.BLOCKS)
        fit(plan, start, asked.out, lambda step: batches(plan, *pools, labelled, step))


if __name__ == "__main__":
    main()

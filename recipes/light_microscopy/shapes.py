"""The shape of the network: several, distilled from one model for the same small budget (seeded).

    python shapes.py --volumes ../../../shared/data --out runs/shapes [--seeds 1] [--steps 160]
    python shapes.py --volumes ../../../shared/data --out runs/shapes --only today stem4

Each shape starts from random weights and takes the same batches: patches of phantoms (half of them
crowded with what is no neurite), and of two unlabelled volumes where they are present; its target
is the probability of the model (`--teacher`). Then it is scored: by average precision on phantoms
that nothing was trained on (synthetic), on TRAILMAP's labelled planes (the teacher saw these, so
they say only how much is passed on), and by its mean distance from the teacher's probability there.
Its cost is that of OpenVINO, one thread, a block of 32 x 64 x 64 voxels, in each precision; all
shapes in turn, the fastest of the rounds. A budget of minutes ranks how fast shapes learn, which
favours small ones: it can tell a shape that is clearly better at equal cost, not the best one.

What is there already is kept (OUT/SHAPE-SEED.json): a run that was stopped goes on with the next
shape. OUT/front.csv and OUT/front.png are written at the end.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import continuity
import first
import numpy as np
import tifffile
import tissue
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from planes import PLANES
from torch import Tensor, nn

from neuroglow import metrics
from neuroglow.imaging.noise_units import to_noise_units
from neuroglow.network.engine import use_threads
from neuroglow.network.glownet import ConvNorm, GlowNet, fold, unfold
from neuroglow.network.lean_openvino import openvino
from neuroglow.network.machine import Machine, prepare
from neuroglow.network.stored import read_model
from neuroglow.phantom import IGNORE, NEURITE, make_scene

Floats = NDArray[np.float32]

PATCH, BATCH = 48, 4
SCENES, CROPS = 30, 16
UNSEEN = range(970, 978)
"""Seeds of the phantoms that score; every other one is crowded."""

REAL = {"trailmap/example_chunk.tif": slice(0, 200), "dlmbmap/brain_example.tif": slice(0, 100)}
BLOCK = (32, 64, 64)
PRECISIONS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class Coarse(GlowNet):
    """GlowNet on voxels that are folded twice: a stem and a head of stride 4."""

    def __init__(self, *, widths: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__(widths=widths, blocks=blocks)
        self.stem = ConvNorm(64, widths[0])
        self.head = nn.Conv3d(widths[0] + 64, 64, 3, padding=1)

    def forward(self, x: Tensor, inner: None = None) -> Tensor:
        """Return one logit per voxel."""
        return unfold(super().forward(fold(x), inner))


@dataclass(frozen=True)
class Shape:
    """A shape: channels and residual blocks of each level, and the stride of the stem."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    stem: int = 2

    def build(self) -> GlowNet:
        """Make the network."""
        return (GlowNet if self.stem == 2 else Coarse)(widths=self.widths, blocks=self.blocks)


SHAPES = {
    "today": Shape((24, 48, 96), (1, 2, 2)),
    "fewer blocks": Shape((24, 48, 96), (1, 1, 1)),
    "narrow": Shape((16, 32, 64), (1, 2, 2)),
    "wide": Shape((32, 64, 128), (1, 2, 2)),
    "blocks below": Shape((16, 48, 96), (0, 2, 4)),
    "two levels": Shape((24, 48), (1, 3)),
    "stem4": Shape((48, 96), (2, 2), stem=4),
}


@dataclass(frozen=True)
class Plan:
    """What decides the weights, besides the shape, the teacher and the volumes."""

    steps: int = 160
    seed: int = 1
    learning_rate: float = 3e-3
    ema: float = 0.98


@cache
def phantom(seed: int) -> tuple[Floats, NDArray[np.uint8]]:
    """Make a phantom in noise units, and its label; every other one is crowded."""
    rng = np.random.default_rng([31, seed])
    scene = make_scene(rng, first.phantom_settings(rng))
    if seed % 2:
        tissue.crowd(rng, scene)
    return to_noise_units(first.before_phantom_camera(rng, scene)), scene.label


def crops(volumes: Path) -> Iterator[Floats]:
    """Cut cubes of the unlabelled volumes, in noise units, where these are present."""
    rng = np.random.default_rng(32)
    for name, planes in REAL.items():
        if not (volumes / name).exists():
            continue
        x = to_noise_units(tifffile.imread(volumes / name)[planes])
        for _ in range(CROPS // len(REAL)):
            at = [int(rng.integers(n - first.CUBE + 1)) for n in x.shape]
            yield x[tuple(slice(a, a + first.CUBE) for a in at)]


def make_pool(out: Path, volumes: Path, teacher: Path | str) -> dict[str, Floats]:
    """Make the patches (x, and what the teacher says), once: eight of each cube."""
    kept = out / "pool.npz"
    if not kept.exists():
        cubes = [phantom(seed)[0] for seed in range(SCENES)] + list(crops(volumes))
        said = [probability(teacher, x) for x in cubes]
        half = [slice(0, PATCH), slice(first.CUBE - PATCH, first.CUBE)]
        windows = [(z, y, x) for z in half for y in half for x in half]
        pairs = {"x": cubes, "said": said}
        cut = {
            name: np.stack([c[w] for c in all_ for w in windows]) for name, all_ in pairs.items()
        }
        scrap = out / "pool.partial.npz"
        np.savez(scrap, **{name: values.astype(np.float16) for name, values in cut.items()})
        scrap.rename(kept)
    with np.load(kept) as arrays:
        return {name: arrays[name] for name in ("x", "said")}


def probability(model: Path | str, x: Floats) -> Floats:
    """Let a model say what it sees in noise units (float32: no variant decides)."""
    engine = prepare(read_model(model), Machine("openvino"), "cpu")
    return engine.probability(np.ascontiguousarray(x, np.float32))


def batches(pool: dict[str, Floats], seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Give batches for ever: x, target, weight; mirrored and turned at random."""
    rng = np.random.default_rng([33, seed])
    while True:
        drawn = [int(n) for n in rng.integers(len(pool["x"]), size=BATCH)]
        parts = [continuity.turned(rng, (pool["x"][n], pool["said"][n])) for n in drawn]
        x, said = tissue.tensors(parts)
        yield x, said, torch.ones_like(said)


def score(says: Callable[[Floats], Floats], volumes: Path, teacher: Path | str) -> dict[str, float]:
    """Score a probability on unseen phantoms, and on the labelled planes where they are present."""
    scored = [phantom(seed) for seed in UNSEEN]
    said = [says(x) for x, _ in scored]
    label = np.concatenate([truth.ravel() for _, truth in scored])
    counted = label != IGNORE
    values = np.concatenate([values.ravel() for values in said])
    found = {"phantoms_ap": metrics.average_precision(values[counted], label[counted] == NEURITE)}
    if (volumes / "trailmap/labelled_volume.tif").exists():
        x = to_noise_units(tifffile.imread(volumes / "trailmap/labelled_volume.tif"))
        truth = tifffile.imread(volumes / "trailmap/labelled_label.tif")[list(PLANES)]
        values, known = says(x), np.isin(truth, (1, 2))
        there = values[list(PLANES)][known]
        found["planes_ap"] = metrics.average_precision(there, truth[known] == 2)
        found["from_teacher"] = float(np.abs(values - probability(teacher, x)).mean())
    return found


@torch.inference_mode()
def run(network: GlowNet, x: Floats) -> Floats:
    """Let a network say what it sees in noise units (zyx), mirrored up to a multiple of 16."""
    wide = np.pad(x, [(0, -n % 16) for n in x.shape], mode="reflect")
    z, y, w = x.shape
    said = network(torch.from_numpy(wide.astype(np.float32))[None, None])
    return np.asarray(said[0, 0, :z, :y, :w].double().sigmoid().numpy())


def compiled(shape: Shape, precision: str) -> Any:
    """Compile a shape with random weights for a block; int8 as NNCF makes it, if installed."""
    torch.manual_seed(0)
    x = np.random.default_rng(0).normal(size=(1, 1, *BLOCK)).astype(np.float32)
    graph = openvino.convert_model(shape.build().fuse(), example_input=torch.from_numpy(x))
    graph.reshape({0: x.shape})
    if precision == "int8":
        import nncf

        calibrated = nncf.Dataset([x])
        graph = nncf.quantize(
            graph, calibrated, preset=nncf.QuantizationPreset.MIXED, subset_size=1
        )
    options = {"INFERENCE_PRECISION_HINT": PRECISIONS[precision], "INFERENCE_NUM_THREADS": 1}
    request = openvino.Core().compile_model(graph, "CPU", options).create_infer_request()
    return lambda: request.infer({0: x}, share_inputs=True, share_outputs=True)


def costs(names: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Measure the CPU seconds a million voxels of each shape: all in turn, the least counts."""
    found: dict[str, dict[str, float]] = {name: {} for name in names}
    for precision in PRECISIONS:
        runs = {name: compiled(SHAPES[name], precision) for name in names}
        for _ in range(rounds):
            for name, run in runs.items():
                begun = time.process_time()
                run()
                seconds = (time.process_time() - begun) * 1e6 / np.prod(BLOCK)
                found[name][precision] = min(seconds, found[name].get(precision, np.inf))
    return found


def distil(name: str, plan: Plan, asked: argparse.Namespace) -> None:
    """Train one shape with one seed, score it, and keep the scores."""
    out = asked.out / f"{name}-{plan.seed}".replace(" ", "-")
    result = out.with_suffix(".json")
    if result.exists():
        return
    torch.manual_seed(plan.seed)
    network, pool = SHAPES[name].build(), make_pool(asked.out, asked.volumes, asked.teacher)
    begun = time.process_time()
    first.fit(network, batches(pool, plan.seed), plan, out)
    row = {"shape": name, "seed": plan.seed, "cpu_s": round(time.process_time() - begun)}
    network.load_state_dict(first.weights_of(out / f"state-{plan.steps:05d}.pt"))
    network = network.eval().to(memory_format=torch.contiguous_format)
    row |= score(partial(run, network), asked.volumes, asked.teacher)
    result.write_text(json.dumps(row))
    print(row, flush=True)


def front(rows: list[dict[str, Any]], out: Path) -> None:
    """Write the table, and draw accuracy over cost: a dot a seed, a name a shape."""
    with (out / "front.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    figure = Figure(figsize=(9, 4), layout="constrained")
    measures = {"phantoms_ap": "phantoms, unseen (synthetic)", "planes_ap": "TRAILMAP's planes"}
    for axes, (measure, words) in zip(figure.subplots(1, 2), measures.items(), strict=True):
        for name in dict.fromkeys(row["shape"] for row in rows):
            of = [row for row in rows if row["shape"] == name]
            x, y = [row["int8"] for row in of], [row.get(measure, np.nan) for row in of]
            axes.plot(x, y, "o", label=name)
            axes.annotate(name, (x[0], max(y)), textcoords="offset points", xytext=(4, 3))
        axes.set(title=words, xlabel="int8, CPU-s a Mvoxel", ylabel="average precision")
    figure.savefig(out / "front.png", dpi=110)


def main() -> None:
    """Read the command line; distil what is left, measure the costs, draw the front."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--teacher", default="light-microscopy")
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--only", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    use_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    for seed in asked.seeds:
        for name in asked.only:
            distil(name, Plan(steps=asked.steps, seed=seed), asked)
    ceiling = score(partial(probability, asked.teacher), asked.volumes, asked.teacher)
    print({"shape": "the teacher itself"} | ceiling, flush=True)
    cost = costs(asked.only, asked.rounds)
    rows = [json.loads(file.read_text()) for file in sorted(asked.out.glob("*-*.json"))]
    rows = [row | cost[row["shape"]] for row in rows if row["shape"] in cost]
    for row in rows:
        print(" | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    front(rows, asked.out)


if __name__ == "__main__":
    main()

"""neuroglow compared with what a user would run instead: cost and accuracy, alternately in one run.

    OMP_NUM_THREADS=1 python benchmarks/peers.py [--size 128] [--repeats 3] [--patches 2]
        [--volume cube] [--monai FOLDER] [--neurofly FOLDER]
        [--source FILE ...] [--ways db-enhance,neuroglow]

Each run is a process of its own, from a TIFF to a file, start included; the system counts its CPU
seconds and its peak memory. Volumes are phantoms (synthetic, seeded): a cube of the region
`plexus`, and a sparse cube with a tenth of the usual neurites; or --source, files without a truth.
An OME-Zarr is for neuroglow, and for db-enhance, which then reads one patch. Ways (all, or --ways):

- db-enhance: its network and tiling (db_enhance_way.py), float32, random weights, so without an
  accuracy. Only --patches of its patches are run; their CPU seconds are multiplied. 0: all, and
  their averages are written.
- monai: its sliding window (windows of 96, overlap 0.25, its defaults) with our weights, PyTorch.
- neurofly: its segmentation network, the weights in its wheel, blocks of 100 with 4 around.
- sato: the ridge filter of scikit-image, on noise units.
- neuroglow: `predict`, without the gate and with it.

MONAI and NeuroFly are used if they can be imported, or lie in a folder:
`pip download --no-deps monai neurofly`, then unzip each wheel. NeuroFly is GPL and no
dependency; its weights are read as tensors only. Accuracy: average precision of the voxels, the F1
at the method's own threshold, and at the best one (which needs the truth).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from neuroglow.formats.opening import open_volume
from neuroglow.network.db_enhance_facts import INPUT, PATCH
from neuroglow.space.geometry import Box

WINDOW, BORDER, BLOCK = 96, 4, 100
OWN = {"neuroglow": 0.5, "neuroglow, no gate": 0.5, "monai": 0.5, "neurofly": 0.5}
"""Thresholds that the methods come with."""


@dataclass(frozen=True)
class Cost:
    """One run: seconds, CPU seconds, peak gigabytes."""

    wall: float
    cpu: float
    memory: float


def db_enhance(image: np.ndarray[Any, Any], shape: Sequence[int], patches: int) -> None:
    """Run so many patches of DB-Enhance's; print the CPU seconds of each, and their number.

    shape: of the volume, of which the image may be a corner.
    """
    import torch

    from neuroglow.network.patchwork import patch_starts
    from neuroglow.network.voxresnet import VoxResNet

    needed = int(np.prod([len(patch_starts(n)) for n in shape]))
    network = VoxResNet().eval()
    x = np.resize(INPUT.normalise(image), (PATCH,) * 3).astype(np.float32)
    before = time.process_time()
    for _ in range(patches):  # with gradients, as it does
        network(torch.from_numpy(x.copy())[None, None]).softmax(1)[0, 1].detach().numpy()
    print(f"each {(time.process_time() - before) / patches} of {needed}")


def monai(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Predict with MONAI's sliding window and the weights of the bundled model."""
    import torch

    from neuroglow.imaging.noise_units import to_noise_units
    from neuroglow.network.checkpoint import build_model
    from neuroglow.network.stored import read_model

    window = importlib.import_module("monai.inferers").sliding_window_inference
    stored = read_model("light-microscopy")
    network, calibration = build_model(stored).network.eval(), stored.settings.calibration
    assert calibration is not None
    x = torch.from_numpy(to_noise_units(image))[None, None]
    with torch.inference_mode():
        logit = window(x, (WINDOW,) * 3, 1, network) * calibration.scale + calibration.shift
    return np.asarray(logit.sigmoid()[0, 0].numpy())


def neurofly(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Predict with NeuroFly's network and weights, in its blocks."""
    import torch

    load = torch.load
    torch.load = lambda *a, **k: load(*a, **k | {"weights_only": True})
    found_at = importlib.util.find_spec("neurofly")  # importing it whole would open napari
    assert found_at is not None
    folder = Path(next(iter(found_at.submodule_search_locations or [])), "models")
    code = importlib.util.spec_from_file_location("unet_torch", folder / "unet_torch.py")
    assert code is not None
    assert code.loader is not None
    unet = importlib.util.module_from_spec(code)
    code.loader.exec_module(unet)
    network = unet.SegNet(str(folder / "universal_tiny.pth"))
    size = BLOCK + 2 * BORDER
    far = [(BORDER, BORDER + -n % BLOCK) for n in image.shape]
    padded = np.pad(image, far, mode="symmetric")
    found = np.zeros([n + -n % BLOCK for n in image.shape], np.float32)
    for at in np.ndindex(*(n // BLOCK for n in found.shape)):
        start = [BLOCK * i for i in at]
        block = padded[tuple(slice(i, i + size) for i in start)].astype(np.float64)
        with torch.no_grad():
            logit = network.model(network.preprocess(block))
        inner = (slice(BORDER, -BORDER),) * 3
        found[tuple(slice(i, i + BLOCK) for i in start)] = logit.sigmoid()[0, 0].numpy()[inner]
    return found[tuple(slice(n) for n in image.shape)]


def sato(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Filter noise units with scikit-image's Sato filter."""
    from skimage.filters import sato as filtered

    from neuroglow.imaging.noise_units import to_noise_units

    return np.asarray(filtered(to_noise_units(image), sigmas=(1, 2), black_ridges=False))


WAYS: dict[str, Callable[..., Any]] = {"monai": monai, "neurofly": neurofly, "sato": sato}


def one_way(way: str, source: Path, target: Path, patches: int) -> None:
    """Run one method in this process."""
    if way == "db-enhance" and source.suffix == ".zarr":
        volume = open_volume(source)
        corner = volume.read(Box.of(volume.shape).intersect(Box.of((PATCH,) * 3)))
        db_enhance(corner, volume.shape, patches)
        return
    image = tifffile.imread(source)
    if way == "db-enhance":
        db_enhance(image, image.shape, patches)
        return
    np.save(target, WAYS[way](image))


def run(way: str, source: Path, folder: Path, asked: argparse.Namespace) -> Cost:
    """Run one method in a process of its own; what it found is left in the folder."""
    target = folder / f"{way}.npy"
    command = [sys.executable, __file__, "--way", way, str(source), str(target)]
    command += ["--patches", str(asked.patches)]
    if way == "db-enhance" and not asked.patches:
        whole = Path(__file__).with_name("db_enhance_way.py")
        command = [sys.executable, str(whole), str(source), str(folder / "db-enhance.tif")]
    if way.startswith("neuroglow"):
        suffix = ".ome.zarr" if source.suffix == ".zarr" else ".tif"
        target = folder / f"{way.replace(', ', '-').replace(' ', '-')}{suffix}"
        command = [sys.executable, "-m", "neuroglow", "predict", str(source), "-o", str(target)]
        command += ["--restart", *(["--no-gate"] if "no gate" in way else [])]
    paths = [str(p) for p in (asked.monai, asked.neurofly) if p] + [
        os.environ.get("PYTHONPATH", "")
    ]
    begun = time.perf_counter()
    with (folder / "said.txt").open("w+", encoding="utf-8") as said:
        child = subprocess.Popen(
            command,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if status:
        raise SystemExit(f"{way} failed: {text[-500:]}")
    cost = Cost(time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6)
    partly = way == "db-enhance" and asked.patches
    return extrapolated(cost, text, asked.patches) if partly else cost


def extrapolated(cost: Cost, said: str, patches: int) -> Cost:
    """Add the patches that were not run; wall time as CPU time, for it ran on one thread."""
    each, needed = (float(n) for n in said.split("each ")[1].split(" of "))
    more = (needed - patches) * each
    return Cost(cost.wall + more, cost.cpu + more, cost.memory)


def accuracy(way: str, folder: Path, truth: np.ndarray[Any, Any] | None) -> str:
    """Score what a method found: average precision, F1 at its own threshold, best F1."""
    from neuroglow.metrics.voxels import average_precision

    if truth is None:
        return "| | "
    if way == "db-enhance":
        return "random weights | | "
    if way.startswith("neuroglow"):
        name = way.replace(", ", "-").replace(" ", "-")
        found = tifffile.imread(folder / f"{name}.tif") / np.float32(255)
    else:
        found = np.load(folder / f"{way}.npy")
    known = truth != 2
    score, wanted = found[known].astype(np.float32), truth[known] == 1
    if not wanted.any():
        return "no neurites | | "
    levels = np.unique(np.quantile(score, 1 - np.geomspace(1e-5, 0.3, 200)))
    best = max(f1(score >= level, wanted) for level in levels if level > 0)
    own = f"{f1(score >= OWN[way], wanted):.3f}" if way in OWN else "none"
    return f"{average_precision(score, wanted):.3f} | {own} | {best:.3f}"


def f1(detected: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    """Return the F1 of voxels."""
    both = float((detected & wanted).sum())
    return 2 * both / max(1.0, float(detected.sum() + wanted.sum()))


def volumes(
    folder: Path, size: int, sources: list[Path]
) -> dict[str, tuple[Path, np.ndarray[Any, Any] | None]]:
    """Make the cube and the sparse brain: the file of each, and its label; or take given files."""
    import neuroglow

    if sources:
        return {source.name: (source, None) for source in sources}
    cube, brain = folder / "cube", folder / "brain"
    shape = (size,) * 3
    neuroglow.phantom_cube(cube, region="plexus", seed=1, shape=shape)
    sparse = {"region": "sparse", "seed": 2, "density": (0.005, 0.02)}
    neuroglow.phantom_cube(brain, shape=shape, **sparse)
    return {
        f"cube of {size}": (cube / "image.tif", tifffile.imread(cube / "label.tif")),
        f"sparse, {size}": (brain / "image.tif", tifffile.imread(brain / "label.tif")),
    }


def available(asked: argparse.Namespace) -> list[str]:
    """List the ways that can run here."""
    sys.path[:0] = [str(p) for p in (asked.monai, asked.neurofly) if p]
    ways = ["db-enhance", "monai", "neurofly", "sato", "neuroglow, no gate", "neuroglow"]
    ways = [w for w in ways if not asked.ways or w in asked.ways.split(",") or w == "neuroglow"]
    return [w for w in ways if w not in ("monai", "neurofly") or importlib.util.find_spec(w)]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--volume", default="", help="only `cube` or `sparse`")
    parser.add_argument("--source", type=Path, nargs="+", default=[])
    parser.add_argument("--ways", default="", help="some of them, separated by commas")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--patches", type=int, default=2)
    parser.add_argument("--monai", type=Path)
    parser.add_argument("--neurofly", type=Path)
    parser.add_argument("--way", nargs=3, metavar=("WAY", "IN", "OUT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        one_way(asked.way[0], Path(asked.way[1]), Path(asked.way[2]), asked.patches)
        return
    ways = available(asked)
    print("| volume | method | s | CPU-s (spread) | CPU-s / neuroglow | GB | AP | F1 | best F1 |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for volume, (source, truth) in volumes(folder, asked.size, asked.source).items():
            if not volume.startswith(asked.volume):
                continue
            measure = partial(run, source=source, folder=folder, asked=asked)
            rounds = [{way: measure(way) for way in ways} for _ in range(asked.repeats)]
            for way in ways:
                costs = [costs[way] for costs in rounds]
                ratios = [costs[way].cpu / costs["neuroglow"].cpu for costs in rounds]
                print(
                    row(volume, way, costs, ratios) + accuracy(way, folder, truth) + " |",
                    flush=True,
                )


def row(volume: str, way: str, costs: list[Cost], ratios: list[float]) -> str:
    """Write the costs of a method as cells of the table."""
    cpu = sorted(c.cpu for c in costs)
    middle = statistics.median
    wall, memory = middle(c.wall for c in costs), middle(c.memory for c in costs)
    spread = f"{middle(cpu):.1f} ({cpu[0]:.1f} to {cpu[-1]:.1f})"
    return f"| {volume} | {way} | {wall:.0f} | {spread} | {middle(ratios):.2f} | {memory:.2f} | "


if __name__ == "__main__":
    main()

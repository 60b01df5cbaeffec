"""Time and memory of tracing: Mvoxel/s of the middle lines and of all, growth with the volume.

    python benchmarks/trace_cost.py [--sizes 128 256 384] [--density 3.0]

Each size is a synthetic probability of the same kind: wandering neurites of radius 1.5, DENSITY
voxels of length per thousand voxels, blurred, with dips. Each run is a process of its own that
calls the function of the command line with one thread; CPU seconds are user + system of the
process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

from neuroglow.progress import Progress
from neuroglow.trees.rasterise import rasterise
from neuroglow.trees.swc import Tree

STEPS, STEP = 300, 0.7


def neurites(rng: np.random.Generator, shape: tuple[int, ...], count: int) -> Tree:
    """Give lines that wander through a volume."""
    points = []
    for _ in range(count):
        ways = rng.normal(size=3) + np.cumsum(rng.normal(0, 0.1, (STEPS, 3)), axis=0)
        ways /= np.linalg.norm(ways, axis=1)[:, None]
        reach = STEPS * STEP
        start = rng.uniform(-reach, np.add(shape, reach))
        points.append(start + np.cumsum(STEP * ways, axis=0))
    parents = np.arange(-1, count * STEPS - 1)
    parents[::STEPS] = -1
    some = np.ones(count * STEPS)
    return Tree(np.concatenate(points), 1.5 * some, 2 * some.astype(np.int64), parents)


def scene(
    rng: np.random.Generator, size: int, density: float
) -> tuple[Tree, np.ndarray, np.ndarray]:
    """Give neurites, the voxels that they lie in, and their probability, with dips."""
    shape = (size,) * 3
    # they start as far around the volume as they reach: as dense at its faces as in its middle
    reach = STEPS * STEP
    count = round(density / 1000 * (size + 2 * reach) ** 3 / reach)
    tree = neurites(rng, shape, count)
    lit = rasterise(tree, shape, (1, 1, 1), margin_vox=0) == 1
    seen = ndimage.gaussian_filter(lit.astype(np.float32), 0.8)
    dips = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 3)
    seen[dips > 1.8 * dips.std()] *= 0.4
    return tree, lit, seen


def make(size: int, density: float, path: Path) -> None:
    """Write a probability."""
    _, _, seen = scene(np.random.default_rng([77, size]), size, density)
    tifffile.imwrite(path, np.rint(255 * np.clip(seen, 0, 1)).astype(np.uint8))


def child(source: str, out: str) -> None:
    """Trace; print the seconds of each stage."""
    import neuroglow

    last: dict[str, float] = {}
    begin = time.process_time()

    def tell(progress: Progress) -> None:
        last[progress.work] = time.process_time() - begin

    report = neuroglow.trace(source, out=out, threshold=0.4, mode="restart", on_progress=tell)
    seconds = {
        "lines": last["middle lines"] - last["looking over"],
        "all": time.process_time() - begin,
    }
    print(json.dumps(seconds | dict(report.summary)))


def measure(script: str, *places: str) -> dict[str, float]:
    """Run a script's `--child` as a process of its own; add its CPU seconds and peak memory."""
    command = [sys.executable, script, "--child", *places]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        said = running.stdout.read() if running.stdout else ""
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = status
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    cpu = used.ru_utime + used.ru_stime
    return json.loads(said.splitlines()[-1]) | {"cpu": cpu, "peak_gb": used.ru_maxrss / 1e6}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 384])
    parser.add_argument("--density", type=float, default=3.0)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    if asked.make:
        make(int(asked.make[0]), asked.density, Path(asked.make[1]))
        return
    print("| voxels | length, mm | bridges | lines, Mvoxel/s | all, Mvoxel/s | peak GB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for size in asked.sizes:
            source = Path(name) / "p.tif"
            # a process of its own: a child's peak counts what its parent held at its start
            words = ["--density", str(asked.density), "--make", str(size), str(source)]
            subprocess.run([sys.executable, __file__, *words], check=True)
            row = measure(__file__, str(source), str(Path(name) / "trees.swc"))
            voxels = size**3 / 1e6
            print(
                f"| {size}³ = {voxels:.1f} M | {row['length_um'] / 1000:.1f} | {row['bridges']} "
                f"| {voxels / row['lines']:.1f} | {voxels / row['all']:.1f} "
                f"| {row['peak_gb']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

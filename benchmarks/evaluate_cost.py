"""Time and memory of an evaluation: Mvoxel per CPU second, peak memory, growth with the volume.

    python benchmarks/evaluate_cost.py [--sizes 128 256 384] [--raw-size 128]

Each size is a synthetic pair of the same kind: wandering neurites of radius 1.5 as made by
`trace_cost.py`, their probability (uint8) as the prediction, and their voxels (a mask) or
their trees (SWC) as the truth. The last row adds the raw image (the same neurites in noise) and
the methods without a network. Each run is a process of its own that calls the public function with
one thread; CPU seconds are user + system, including the start. `length` is that of the truth.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from trace_cost import measure, scene

from neuroglow.trees.swc import Tree, write_swc


def make(size: int, density: float, folder: Path) -> None:
    """Write a probability, its truth as mask and as trees, and a raw image."""
    rng = np.random.default_rng([78, size])
    tree, lit, seen = scene(rng, size, density)
    noise = rng.standard_normal(seen.shape, dtype=np.float32)
    images = {
        "prediction": 255 * np.clip(seen, 0, 1),
        "mask": lit,
        "raw": 500 + 40 * (noise + 4 * seen),
    }
    for name, image in images.items():
        kind = np.uint16 if name == "raw" else np.uint8
        tifffile.imwrite(folder / f"{name}.tif", np.rint(image).astype(kind))
    write_swc(_inside(tree, size), folder / "trees.swc")


def _inside(tree: Tree, size: int) -> Tree:
    """Leave out what lies outside the volume."""
    inside = ((tree.points >= 0) & (tree.points <= size - 1)).all(axis=1)
    place = np.where(inside, np.cumsum(inside) - 1, -1)
    parents = np.where(tree.parents >= 0, place[tree.parents], -1)[inside]
    return Tree(tree.points[inside], tree.radii[inside], tree.kinds[inside], parents)


def child(prediction: str, truth: str, raw: str) -> None:
    """Evaluate; print the truth's length."""
    import neuroglow

    given = {"raw": raw} if raw else {}
    place = str(Path(truth).with_suffix("")) + ("_raw" if raw else "")
    report = neuroglow.evaluate(prediction, truth, out=place, threshold=0.4, **given)
    print(json.dumps({"length": report.results["volumes"][0]["scores"]["prediction"]["length_um"]}))


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 384])
    parser.add_argument("--raw-size", type=int, default=128)
    parser.add_argument("--density", type=float, default=3.0)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    if asked.make:
        make(int(asked.make[0]), asked.density, Path(asked.make[1]))
        return
    print("| voxels | truth | length, mm | CPU-s | Mvoxel / CPU-s | peak GB |")
    print("|---|---|---|---|---|---|")
    runs = [(size, truth, "") for size in asked.sizes for truth in ("mask.tif", "trees.swc")]
    runs.append((asked.raw_size, "mask.tif", "raw.tif"))
    with tempfile.TemporaryDirectory() as name:
        for size, truth, raw in runs:
            folder = Path(name) / str(size)
            if not folder.exists():
                folder.mkdir()
                # a process of its own: a child's peak counts what its parent held at its start
                words = ["--density", str(asked.density), "--make", str(size), str(folder)]
                subprocess.run([sys.executable, __file__, *words], check=True)
            places = (folder / "prediction.tif", folder / truth, folder / raw if raw else "")
            row = measure(__file__, *map(str, places))
            voxels = size**3 / 1e6
            what = {"mask.tif": "mask", "trees.swc": "trees"}[truth] + (
                ", with `--raw`" if raw else ""
            )
            print(
                f"| {size}³ = {voxels:.1f} M | {what} | {row['length'] / 1000:.1f} "
                f"| {row['cpu']:.1f} | {voxels / row['cpu']:.2f} | {row['peak_gb']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()

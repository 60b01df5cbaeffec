"""Pictures of the documentation that show synthetic data; all seeded.

    python benchmarks/docs_pictures.py --out docs/pictures [--only trace select]

Each is the picture that its command writes. `real_pictures.py` makes those of real sources,
`selection/study.py` makes `study.png`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import neuroglow
from neuroglow.demo import run_demo
from neuroglow.phantom import phantom_cube, phantom_pool

sys.path.insert(0, str(Path(__file__).parent / "selection"))
import label_free


def demo(folder: Path) -> Path:
    """Make the picture of `neuroglow demo`."""
    return run_demo(folder).picture


def phantom(folder: Path) -> Path:
    """Make the contact sheet of a pool of 18 cubes."""
    return phantom_pool(folder / "pool", cubes=18).picture


def evaluate(folder: Path) -> Path:
    """Make the picture of one volume of a report."""
    pool, found, report = folder / "pool", folder / "found", folder / "report"
    phantom_pool(pool, cubes=1, shape=(80, 80, 80), seed=5, regions=["plexus"], snr=(3, 8))
    neuroglow.predict(pool, out=found)
    legend = "0=background,1=neurite,2=ignore"
    neuroglow.evaluate(found, pool, out=report, raw=pool, label_map=legend)
    [picture] = (report / "pictures").glob("*.png")
    return picture


def trace(folder: Path) -> Path:
    """Make the picture of a trace."""
    image = folder / "cube/image.tif"
    options = {"shape": (96, 96, 96), "snr": (4, 10), "density": (0.8, 1.2)}
    phantom_cube(image.parent, seed=12, **options)
    neuroglow.predict(image, out=folder / "axons_prob.tif")
    neuroglow.trace(folder / "axons_prob.tif", out=folder / "axons.swc", raw=image)
    return folder / "axons_trees.png"


def select(folder: Path) -> Path:
    """Make the picture of a selection: 20 of 144 cubes."""
    table = label_free.surveyed(folder, 144, 11, None)
    neuroglow.select(table, out=folder / "chosen.csv", n=20, rule="diverse", indicators="free")
    return folder / "chosen.png"


MAKERS: dict[str, Callable[[Path], Path]] = {
    "demo": demo,
    "phantom": phantom,
    "evaluate": evaluate,
    "trace": trace,
    "select": select,
}


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=MAKERS, default=list(MAKERS))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(MAKERS[name](Path(folder)), asked.out / f"{name}.png")
        print(name, flush=True)


if __name__ == "__main__":
    main()

"""How well indicators without labels stand for those with them: on synthetic cubes.

    python benchmarks/selection/label_free.py [--cubes 144] [--seed 11] [--model light-microscopy]

Makes a pool of phantoms (64 voxels an axis; neurites, SNR, camera and noise vary from cube to
cube), surveys it with labels, and prints the rank correlation (Spearman) of each label-free
indicator with its labelled one, and how many cubes two selections share, one made with labels
and one without. All of it synthetic; the bundled model was trained on phantoms of this kind.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from scipy.stats import spearmanr

import neuroglow
from neuroglow.learn.manifest import read_manifest
from neuroglow.learn.survey_table import numbers, read_survey
from neuroglow.phantom import NEURITE, PhantomSettings, make_phantom

PAIRS = (
    ("signal density", "units_signal_density", "free_vox"),
    ("low-SNR ratio, noise units", "units_low_snr_ratio", "free_low_snr_ratio"),
    ("low-SNR ratio, DB-Enhance's grey levels", "low_snr_ratio", "free_low_snr_ratio"),
    ("noise, grey levels", "noise_variance", "free_noise"),
)


def write_pool(folder: Path, count: int, seed: int) -> Path:
    """Write phantoms of varied density, SNR, calibre, camera and noise, with their labels."""
    for part in ("image", "label"):
        (folder / part).mkdir(parents=True)
    for i in range(count):
        rng = np.random.default_rng([seed, i])
        dimmest = float(np.exp(rng.uniform(np.log(1.5), np.log(12))))
        neurites = int(rng.integers(0, 30))
        settings = PhantomSettings(
            shape=(64, 64, 64),
            neurites=(neurites, neurites),
            snr=(dimmest, dimmest * rng.uniform(1.5, 4)),
        )
        phantom = make_phantom(rng, settings)
        tifffile.imwrite(folder / f"image/c{i:03d}.tif", phantom.image, compression="zlib")
        mask = (phantom.label == NEURITE).astype(np.uint8)
        tifffile.imwrite(folder / f"label/c{i:03d}.tif", mask, compression="zlib")
    return folder


def correlations(table: Path) -> list[tuple[str, float, float]]:
    """Give the rank correlation of each pair: over all cubes, and those with neurites."""
    cubes = read_survey(table)
    has = numbers(cubes, "label_vox") > 0
    found = []
    for name, labelled, free in PAIRS:
        truth, guess = numbers(cubes, labelled), numbers(cubes, free)
        both = (spearmanr(truth, guess)[0], spearmanr(truth[has], guess[has])[0])
        found.append((name, float(both[0]), float(both[1])))
    return found


def overlap(table: Path, rule: str, count: int) -> float:
    """Give the share of cubes that a selection with labels and one without have in common."""
    names = []
    for which in ("labels", "free"):
        out = table.with_name(f"{table.stem}-{rule}-{count}-{which}.csv")
        neuroglow.select(table, out=out, n=count, rule=rule, indicators=which)
        names.append({cube.name for cube in read_manifest(out)})
    return len(names[0] & names[1]) / count


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cubes", type=int, default=144)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--model", default="light-microscopy")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool = write_pool(folder / "pool", asked.cubes, asked.seed)
        tables = {}
        for way, model in (("ridges", None), ("model", asked.model)):
            report = neuroglow.survey(pool, out=folder / f"{way}.csv", model=model, device="cpu")
            tables[way] = report.table
        found = {way: correlations(table) for way, table in tables.items()}
        print(f"{asked.cubes} cubes, seed {asked.seed}\n")
        print("| rank correlation with the labelled one | ridges | model |\n|---|---|---|")
        for ridges, model in zip(found["ridges"], found["model"], strict=True):
            cells = " | ".join(f"{way[1]:.2f} ({way[2]:.2f})" for way in (ridges, model))
            print(f"| {ridges[0]} | {cells} |")
        counts = [round(share * asked.cubes) for share in (0.1, 0.2, 0.4)]
        print(f"\n| shared cubes | {' | '.join(f'of {n}' for n in counts)} |\n|---|---|---|---|")
        for rule in ("dhpr", "diverse"):
            for way, table in tables.items():
                shares = " | ".join(f"{overlap(table, rule, n):.2f}" for n in counts)
                print(f"| {rule}, {way} | {shares} |")
        chance = " | ".join(f"{n / asked.cubes:.2f}" for n in counts)
        print(f"| by chance | {chance} |")


if __name__ == "__main__":
    main()

"""How well indicators without labels agree with those with labels, on synthetic cubes.

    python benchmarks/selection/label_free.py [FOLDER] [--seeds 11 31 32 33] [--ridges]

Makes pools of phantoms (64 voxels per axis; neurites, SNR, camera and noise vary from cube to
cube), surveys each with labels, by ridges and by a model (--ridges: by ridges only), and prints the
rank correlation (Spearman) of each label-free indicator with its labelled one, and the share of
cubes that selections with and without labels have in common. All synthetic; the bundled model was
trained on phantoms of this kind. Ridges were tuned on the seeds 21 to 24. Pools that exist in
FOLDER are not made again.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from scipy.stats import spearmanr

import neuroglow
from neuroglow.cubes.manifest import read_manifest
from neuroglow.phantom import NEURITE, PhantomSettings, make_phantom
from neuroglow.selection.survey_table import numbers, read_survey

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
        neuroglow.select(table, out=out, n=count, rule=rule, indicators=which, mode="restart")
        names.append({cube.name for cube in read_manifest(out)})
    return len(names[0] & names[1]) / count


def surveyed(folder: Path, cubes: int, seed: int, model: str | None) -> Path:
    """Make a pool and survey it by ridges or by a model, once; gives the table."""
    pool, table = folder / f"pool-{seed}", folder / f"{'model' if model else 'ridges'}-{seed}.csv"
    if not pool.exists():
        shutil.rmtree(folder / "unfinished", ignore_errors=True)
        write_pool(folder / "unfinished", cubes, seed).rename(pool)
    if not table.exists():
        mode = "resume" if table.with_name(f"{table.name}.partial").exists() else "new"
        neuroglow.survey(pool, out=table, model=model, device="cpu", mode=mode)
    return table


def print_tables(tables: dict[str, list[Path]], cubes: int) -> None:
    """Print correlations (mean, minimum, maximum of the pools; only with neurites) and overlaps."""
    found = {
        way: np.array([[c[1:] for c in correlations(t)] for t in tables[way]]) for way in tables
    }
    print(f"| rank correlation | {' | '.join(tables)} |")
    print(f"|{'---|' * (1 + len(tables))}")
    for k, (name, _, _) in enumerate(PAIRS):
        cells = []
        for values in found.values():
            everywhere, having = values[:, k].T
            ends = f"{everywhere.min():.2f} to {everywhere.max():.2f}"
            cells.append(f"{everywhere.mean():.2f}, {ends} ({having.mean():.2f})")
        print(f"| {name} | {' | '.join(cells)} |")
    counts = [round(share * cubes) for share in (0.1, 0.2, 0.4)]
    print(f"\n| shared cubes | {' | '.join(f'of {n}' for n in counts)} |\n|---|---|---|---|")
    for rule in ("dhpr", "diverse"):
        for way, several in tables.items():
            shares = (np.mean([overlap(t, rule, n) for t in several]) for n in counts)
            print(f"| `{rule}`, {way} | {' | '.join(f'{share:.2f}' for share in shares)} |")
    print(f"| by chance | {' | '.join(f'{n / cubes:.2f}' for n in counts)} |")


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--cubes", type=int, default=144)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 31, 32, 33])
    parser.add_argument("--model", default="light-microscopy")
    parser.add_argument("--ridges", action="store_true")
    asked = parser.parse_args()
    ways = {"ridges": None} if asked.ridges else {"ridges": None, "model": asked.model}
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        tables = {
            way: [surveyed(folder, asked.cubes, seed, model) for seed in asked.seeds]
            for way, model in ways.items()
        }
        print(f"{asked.cubes} cubes, seeds {asked.seeds}\n")
        print_tables(tables, asked.cubes)


if __name__ == "__main__":
    main()

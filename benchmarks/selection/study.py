"""Does it matter which cubes are used for training? Rules x budgets x seeds, on a synthetic pool.

    python benchmarks/selection/study.py OUT [--hours 2] [--cubes 600] [--steps 1500]
        [--only RULE ...] [--shares 0.1 ...]
    python benchmarks/selection/study.py OUT --table [--figure study.png]

The pool consists of phantom cubes of several regions (`neuroglow phantom pool`). A sixth of each
region is held out, and tests all networks. The rest is surveyed, and each rule chooses 5, 10 and 20
% of it, and all. For each choice and seed the same small network is trained for the same number of
steps, and scored on the held-out cubes. Everything is in OUT, one folder for each run, and finished
work is kept: run it as often as needed, in steps of --hours. A run that was stopped continues from
its checkpoint. Rules without labels use ridges; a model surveys the cubes only for `entropy`, if
that is run.

The scores of a run (scores.json): average precision, clDice at 0.5, and recall of the
neurites' middle lines within 2 voxels, over all held-out cubes, in each region, and in the hardest
third (by the labelled low-SNR ratio, in noise units); and recall by the SNR of the neurite
(its blurred brightness over the noise). Recall is measured at the threshold that one background
voxel in 200 of all held-out cubes exceeds, so a network gains nothing by detecting more of
everything. The table gives means and 95 % intervals over seeds, and the differences of `diverse`
from other rules, seed by seed.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import t as student

import neuroglow
from neuroglow.cubes.manifest import Cube, read_manifest, write_manifest
from neuroglow.files.writing import appearing
from neuroglow.metrics import average_precision, spread
from neuroglow.phantom import make_cube
from neuroglow.report import figure_png, new_figure
from neuroglow.selection import rules
from neuroglow.selection.survey_table import numbers, read_survey
from neuroglow.space.geometry import Box

SHARES = (0.05, 0.10, 0.20, 1.0)
WAYS = {
    "random": ("random", "free"),
    "foreground-random": ("foreground-random", "labels"),
    "foreground-random, no labels": ("foreground-random", "free"),
    "dhpr": ("dhpr", "labels"),
    "dhpr, no labels": ("dhpr", "free"),
    "diverse": ("diverse", "labels"),
    "diverse, no labels": ("diverse", "free"),
    "diverse of all": ("diverse", "labels"),
    "diverse of all, no labels": ("diverse", "free"),
    "entropy": ("entropy", "free"),
}
"""Name -> rule and indicators."""

HARD_SHARES = dict.fromkeys(("diverse of all", "diverse of all, no labels"), 1.0)
"""Of how many cubes, the hardest, `diverse` takes, where it is not the rule's own share."""

NETWORK = "network: glow\nwidths: [8, 16, 32]\nblocks: [1, 1, 1]\n"
LEGEND = "0=background,1=neurite,2=ignore"
"""What the labels of `neuroglow phantom pool` mean."""

HELD_OUT = 6
"""One cube of so many is held out."""

OWN_HARD_SHARE = rules.HARD_SHARE

SEEDS = (1, 2, 3)

FALSE_SHARE = 0.005
"""Of background voxels, above the threshold at which recall is taken."""

CLASSES = (0.0, 2.0, 3.0, 5.0, np.inf)
"""Of SNR, for recall."""

FIGURE = ("all: AP", "all: clDice", "hardest third: recall")


@dataclass(frozen=True)
class Run:
    """One network: rule, share of the pool, seed."""

    way: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.way.replace(', ', '-').replace(' ', '-')}-{self.share:.2f}-{self.seed}"


def runs() -> Iterator[Run]:
    """List all runs, seed by seed; the whole pool is one run, not one for each rule."""
    for seed in SEEDS:
        for share in SHARES:
            for way in WAYS if share < 1 else ["random"]:
                yield Run(way, share, seed)


def command(*words: object) -> None:
    """Run neuroglow as a person would; stop the study if it fails."""
    subprocess.run([sys.executable, "-m", "neuroglow", *map(str, words)], check=True)


def prepare(out: Path, cubes: int, todo: list[Run]) -> None:
    """Make the pool, hold out a part of each region, survey the rest, once."""
    pool = out / "pool"
    if not (pool / "manifest.csv").exists():
        resume = ["--resume"] if pool.with_name("pool.partial").exists() else []
        command("phantom", "pool", "-o", pool, "--cubes", cubes, "--size", 64, "--seed", 1, *resume)
    if not (out / "train.csv").exists():
        train, test = hold_out(read_manifest(pool / "manifest.csv"))
        write_manifest(test, out / "test.csv")
        write_manifest(train, out / "train.csv")
    if not (out / "test-snr.npz").exists():
        remake_snr(out)
    survey(out / "train.csv", out / "train-survey.csv")
    survey(out / "test.csv", out / "test-survey.csv")
    if any(run.way == "entropy" for run in todo):
        survey(out / "train.csv", out / "entropy-survey.csv", "--model", "light-microscopy")


def survey(cubes: Path, table: Path, *model: str) -> None:
    """Survey some cubes, once."""
    if not table.exists():
        resume = ["--resume"] if Path(f"{table}.partial").exists() else []
        command("survey", cubes, "-o", table, "--label-map", LEGEND, *model, *resume)


def hold_out(cubes: list[Cube]) -> tuple[list[Cube], list[Cube]]:
    """Split the cubes by a hash of their names, region by region."""
    train, test = [], []
    regions = sorted({cube.other.get("region", "") for cube in cubes})
    for region in regions:
        own = [cube for cube in cubes if cube.other.get("region", "") == region]
        own.sort(key=lambda cube: hashlib.sha256(cube.name.encode()).digest())
        count = max(1, len(own) // HELD_OUT)
        test += [replace(cube, split="test") for cube in own[:count]]
        train += [replace(cube, split="") for cube in own[count:]]
    return train, test


def remake_snr(out: Path) -> None:
    """Keep the SNR of the neurites in each held-out cube, made again from its record."""
    found = {}
    for cube in read_manifest(out / "test.csv"):
        record = json.loads((out / f"pool/record/{cube.name}.json").read_text(encoding="utf-8"))
        again = make_cube(record["settings"], seed=record["seed"])
        label = neuroglow.open_volume(cube.label)
        if not np.array_equal(label.read(Box.of(label.shape)), again.label):
            raise SystemExit(f"{cube.name}: another cube comes of its record; make the pool anew")
        found[cube.name] = again.target.astype(np.float16)
    with appearing(out / "test-snr.npz") as partial, partial.open("wb") as file:
        np.savez_compressed(file, **found)


def choose(out: Path, run: Run) -> Path:
    """Select the cubes of a run: all are used for training, with a fixed number of steps."""
    surveyed = "entropy" if run.way == "entropy" else "train"
    table, selection = out / f"{surveyed}-survey.csv", out / run.name / "selection.csv"
    selection.parent.mkdir(parents=True, exist_ok=True)
    if not selection.exists():
        rule, indicators = WAYS[run.way]
        count = max(2, round(run.share * len(read_survey(table))))
        rules.HARD_SHARE = HARD_SHARES.get(run.way, OWN_HARD_SHARE)
        neuroglow.select(
            table,
            out=selection,
            n=count,
            rule=rule,
            indicators=indicators,
            seed=run.seed,
            val_fraction=0.0,
        )
    return selection


def train(selection: Path, folder: Path, run: Run, steps: int) -> None:
    """Train the small network, or continue."""
    config = folder / "network.yaml"
    config.write_text(NETWORK, encoding="utf-8")
    words = ["train", selection, "-o", folder / "run", "--steps", steps, "--seed", run.seed]
    words += ["--val-fraction", 0, "--patch", 48, "--batch", 2, "--config", config]
    words += ["--label-map", LEGEND]
    command(*words, *(["--resume"] if (folder / "run").exists() else []))


def score(out: Path, model: Path) -> dict[str, float]:
    """Score a model on the held-out cubes: all, each region, the hardest third."""
    cubes = read_survey(out / "test-survey.csv")
    hardness = numbers(cubes, "units_low_snr_ratio")
    hard = hardness >= np.quantile(hardness, 2 / 3)
    with np.load(out / "test-snr.npz") as snr:
        measured = [measure(cube, model, snr[cube.name].astype(np.float32)) for cube in cubes]
    background = np.concatenate([m["probability"][~m["truth"]] for m in measured])
    threshold = float(np.quantile(background, 1 - FALSE_SHARE))
    found = summary("all", measured, threshold)
    hardest = [m for m, h in zip(measured, hard, strict=True) if h]
    found |= summary("hardest third", hardest, threshold)
    regions = [cube.other.get("region", "") for cube in cubes]
    for region in sorted(set(regions)):
        own = [m for m, r in zip(measured, regions, strict=True) if r == region]
        found |= summary(region or "nowhere", own, threshold)
    near, level = (np.concatenate([m[k] for m in measured]) for k in ("near_line", "line_snr"))
    for low, high in itertools.pairwise(CLASSES):
        inside = (level >= low) & (level < high)
        found[f"SNR {low:g}-{high:g}: recall"] = _mean(near[inside] > threshold)
    return found


def measure(cube: Cube, model: Path, snr: np.ndarray) -> dict[str, np.ndarray]:
    """Predict a cube; give probability and truth of its voxels, and its middle lines found."""
    from skimage.morphology import skeletonize

    image = neuroglow.open_volume(cube.image)
    label = neuroglow.open_volume(cube.label)
    box = Box.of(image.shape)
    codes = label.read(box)
    truth, counted = codes == 1, codes != 2
    probability = neuroglow.predict(image.read(box), model=str(model))
    lit = (probability > 0.5) & counted
    lines, drawn = skeletonize(truth), skeletonize(lit)
    return {
        "probability": probability[counted][::8],
        "truth": truth[counted][::8],
        "near_line": spread(probability, 2)[lines],
        "line_snr": spread(snr, 1)[lines],
        "true_on_line": lit[lines],
        "drawn_in_truth": truth[drawn],
    }


def summary(name: str, measured: list[dict[str, np.ndarray]], threshold: float) -> dict[str, float]:
    """Give average precision, clDice (Shit et al., 2021) and recall of some cubes."""
    joined = {key: np.concatenate([m[key] for m in measured]) for key in measured[0]}
    sensitivity, precision = (_mean(joined[k]) for k in ("true_on_line", "drawn_in_truth"))
    both = sensitivity + precision
    return {
        f"{name}: AP": average_precision(joined["probability"], joined["truth"]),
        f"{name}: clDice": 2 * sensitivity * precision / both if both else 0.0,
        f"{name}: recall": _mean(joined["near_line"] > threshold),
    }


def _mean(flags: np.ndarray) -> float:
    return float(flags.mean()) if flags.size else 0.0


def one_run(out: Path, run: Run, steps: int) -> None:
    """Choose, train, score; leave scores.json."""
    folder = out / run.name
    selection = choose(out, run)
    model = folder / "run/checkpoints/last"
    if not (folder / "run/report.html").exists():
        train(selection, folder, run, steps)
    chosen = read_manifest(selection)
    scores = score(out, model)
    scores |= {"cubes": len(chosen), "foreground": float(numbers(chosen, "label_vox").sum())}
    with appearing(folder / "scores.json") as partial:
        partial.write_text(json.dumps(scores, indent=1), encoding="utf-8")


def is_scored(scores: Path) -> bool:
    """Is a run scored, and by SNR too? (An older study's runs are scored again.)"""
    return scores.exists() and "SNR 2-3: recall" in json.loads(scores.read_text(encoding="utf-8"))


def read_scores(out: Path) -> list[tuple[Run, dict[str, float]]]:
    """Read the scores of all runs that are done."""
    done = [(run, file) for run in runs() if (file := out / run.name / "scores.json").exists()]
    rows = [(run, json.loads(file.read_text(encoding="utf-8"))) for run, file in done]
    if not rows:
        raise SystemExit("no run is done yet")
    return rows


def print_table(out: Path) -> None:
    """Print means and 95 % intervals over the existing seeds; write all scores as CSV."""
    rows = read_scores(out)
    with (out / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        keys = list(rows[0][1])
        table.writerow(["way", "share", "seed", *keys])
        table.writerows([[r.way, r.share, r.seed, *(s[k] for k in keys)] for r, s in rows])
    columns = ["all: AP", "all: clDice", "hardest third: recall", "foreground"]
    print(f"| share | rule | seeds | {' | '.join(columns)} |\n|{'---|' * (3 + len(columns))}")
    for share in SHARES:
        for way in WAYS:
            own = [scores for run, scores in rows if (run.way, run.share) == (way, share)]
            if own:
                cells = " | ".join(interval([s[c] for s in own]) for c in columns)
                print(f"| {share:.0%} | {way if share < 1 else 'all'} | {len(own)} | {cells} |")


def print_details(out: Path, share: float) -> None:
    """Print average precision by region and recall by SNR for one budget: means over the seeds."""
    rows = [(run, scores) for run, scores in read_scores(out) if run.share in (share, 1.0)]
    names = [key for key in rows[0][1] if key.startswith("SNR") or key.endswith(": AP")]
    names = [key for key in names if not key.startswith(("all", "hardest"))]
    print(f"\n| {share:.0%} | {' | '.join(names)} |\n|{'---|' * (1 + len(names))}")
    for way in (*WAYS, "all"):
        own = [s for run, s in rows if (run.way if run.share < 1 else "all") == way]
        if own:
            cells = " | ".join(f"{np.mean([s.get(n, np.nan) for s in own]):.2f}" for n in names)
            print(f"| {way} | {cells} |")


def print_pairs(out: Path) -> None:
    """Print how much `diverse` is better than others at the same budget and seed."""
    scores = {(run.way, run.share, run.seed): found for run, found in read_scores(out)}
    columns = ["all: AP", "all: clDice", "hardest third: recall"]
    print(f"\n| difference | pairs | {' | '.join(columns)} |")
    print(f"|{'---|' * (2 + len(columns))}")
    for way in (way for way in WAYS if way.startswith("diverse")):
        for other in ("random", "foreground-random", "dhpr", "diverse", "diverse, no labels"):
            pairs = [
                (scores[way, share, seed], scores[other, share, seed])
                for share in SHARES[:-1]
                for seed in SEEDS
                if (way, share, seed) in scores and (other, share, seed) in scores
            ]
            if pairs and way != other:
                cells = " | ".join(interval([a[c] - b[c] for a, b in pairs]) for c in columns)
                print(f"| {way} less {other} | {len(pairs)} | {cells} |")


def draw_figure(out: Path, file: Path) -> None:
    """Draw three scores over the budget: a line for each rule, with 95 % intervals over seeds."""
    rows = read_scores(out)
    figure = new_figure(width=12, height=4.5)
    for axes, column in zip(figure.subplots(1, 3), FIGURE, strict=True):
        everything = [s[column] for run, s in rows if run.share == 1]
        axes.axhline(np.mean(everything), color="0.6", linestyle="--", label="all cubes")
        for number, way in enumerate(WAYS):
            shares, middle, half = [], [], []
            for share in SHARES[:-1]:
                own = [s[column] for run, s in rows if (run.way, run.share) == (way, share)]
                if own:
                    shares.append(100 * share * 1.03 ** (number - 3.5))
                    middle.append(np.mean(own))
                    half.append(half_interval(own) if len(own) > 2 else 0.0)
            axes.errorbar(shares, middle, half, marker="o", capsize=2, lw=1, ms=3, label=way)
        axes.set(xscale="log", xlabel="share of the pool, %", title=column)
        axes.set_xticks([5, 10, 20], labels=["5", "10", "20"], minor=False)
        axes.minorticks_off()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    file.write_bytes(figure_png(figure))


def half_interval(values: list[float]) -> float:
    """Give half of the 95 % interval of a mean (Student's t over the seeds)."""
    scale = np.std(values, ddof=1) / np.sqrt(len(values))
    return float(student.ppf(0.975, len(values) - 1) * scale)


def interval(values: list[float]) -> str:
    """Write a mean with its 95 % interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.3g}"
    return f"{mean:.3g} ± {half_interval(values):.2g}"


def main() -> None:
    """Continue the study until the hours are over, then print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--cubes", type=int, default=600)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), metavar="RULE")
    parser.add_argument("--shares", nargs="+", type=float, choices=SHARES, default=SHARES)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    end = time.monotonic() + 3600 * asked.hours
    if not asked.table:
        asked.out.mkdir(parents=True, exist_ok=True)
        todo = [run for run in runs() if run.way in asked.only and run.share in asked.shares]
        prepare(asked.out, asked.cubes, todo)
        for run in todo:
            if is_scored(asked.out / run.name / "scores.json"):
                continue
            if time.monotonic() > end:
                break
            one_run(asked.out, run, asked.steps)
    print_table(asked.out)
    print_details(asked.out, 0.10)
    print_pairs(asked.out)
    if asked.figure:
        draw_figure(asked.out, asked.figure)


if __name__ == "__main__":
    main()

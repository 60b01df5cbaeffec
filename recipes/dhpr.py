"""The recipe of `uses-1500` and `dhpr-300`: is a small, representative training set as good?

    python recipes/dhpr.py --out runs/dhpr [--publish src/neuroglow/bundled]
    python benchmarks/seams.py --model dhpr-300 --halos 32 --out runs/dhpr/dhpr-300-seams.json
    python benchmarks/seams.py --model uses-1500 --halos 32 --out runs/dhpr/uses-1500-seams.json
    python recipes/dhpr.py --out runs/dhpr --publish src/neuroglow/bundled

A phantom pool of 1,500 cubes; the 300 that DB-Enhance's rule selects from it; one network trained
in the same way on both, with three seeds; scored on a held-out pool that was used neither for the
rule nor for training. Everything is synthetic. Finished work is kept: the same command continues
after a stop.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neuroglow
from neuroglow import metrics
from neuroglow.cubes.manifest import Cube, read_manifest, write_manifest
from neuroglow.network.checkpoint import save_model
from neuroglow.network.model_settings import SeamError
from neuroglow.phantom import IGNORE, NEURITE
from neuroglow.space.geometry import Box

SETS = ("dhpr-300", "uses-1500")


@dataclass(frozen=True)
class Plan:
    """The settings of the comparison."""

    cubes: int = 1500
    chosen: int = 300
    validation: int = 40
    held_out: int = 60
    size: int = 64
    steps: int = 400
    patch: int = 48
    seeds: tuple[int, ...] = (1, 2, 3)


def make_pools(plan: Plan, out: Path) -> None:
    """Make the pool, the validation cubes and the held-out pool, of seeds of their own."""
    counts = {"pool": plan.cubes, "validation": plan.validation, "held-out": plan.held_out}
    for seed, (name, cubes) in enumerate(counts.items(), start=1):
        if not (out / name).exists():
            begun = (out / f"{name}.partial").exists()
            neuroglow.phantom_pool(
                out / name,
                cubes=cubes,
                seed=seed,
                workers=2,
                mode="resume" if begun else "new",
                shape=(plan.size,) * 3,
            )


def make_sets(plan: Plan, out: Path) -> None:
    """Write both training sets; they share their validation cubes."""
    validation = [
        replace(cube, name=f"validation-{cube.name}", split="val")
        for cube in read_manifest(out / "validation")
    ]
    if not (out / "survey.csv").exists():
        neuroglow.survey(out / "pool", out=out / "survey.csv", workers=2)
    if not (out / "selection.csv").exists():
        neuroglow.select(
            out / "survey.csv",
            out=out / "selection.csv",
            rule="dhpr",
            n=plan.chosen,
            val_fraction=0.0,
        )
    chosen = {cube.name for cube in read_manifest(out / "selection.csv")}
    cubes = [replace(cube, split="train") for cube in read_manifest(out / "pool")]
    few = [cube for cube in cubes if cube.name in chosen]
    for name, training in zip(SETS, (few, cubes), strict=True):
        write_manifest([*training, *validation], out / f"{name}.csv")


def train(plan: Plan, out: Path, name: str, seed: int) -> Path:
    """Train one network, unless it is trained; give the folder of its best model."""
    run = out / f"{name}-seed-{seed}"
    if not (run / "report.html").exists():
        neuroglow.train(
            out / f"{name}.csv",
            out=run,
            mode="resume" if (run / "run.json").exists() else "new",
            steps=plan.steps,
            patch=plan.patch,
            seed=seed,
            checkpoint_every=plan.steps // 2,
        )
        shutil.rmtree(run / "cache", ignore_errors=True)
    return run / "checkpoints/best"


def score(model: Path, cubes: Sequence[Cube]) -> list[dict[str, Any]]:
    """Score a model on held-out cubes: average precision, and F1 within 2 voxels."""
    threshold = neuroglow.load_model(model).settings.threshold
    rows = []
    for cube in cubes:
        assert cube.label is not None
        image, label = (neuroglow.open_volume(path) for path in (cube.image, cube.label))
        truth = label.read(Box.of(label.shape))
        probability = neuroglow.predict(cube.image, model=model, dtype="float32")
        counted = truth != IGNORE
        lit = metrics.detection(probability > threshold, truth == NEURITE, ignore=~counted)
        rows.append(
            {
                "cube": cube.name,
                "region": cube.other["region"],
                "ap": metrics.average_precision(probability[counted], truth[counted] == NEURITE),
                "f1": lit.f1,
                "recall": lit.recall,
            }
        )
        assert image.shape == label.shape
    return rows


def table(scores: dict[str, list[dict[str, Any]]]) -> str:
    """Give mean and spread over seeds in Markdown, one row for each set and region."""
    lines = ["| training set | region | AP | F1 | recall |", "|---|---|---|---|---|"]
    regions = sorted({row["region"] for rows in scores.values() for row in rows})
    for name in SETS:
        runs = [rows for run, rows in scores.items() if run.startswith(name)]
        for region in ("all", *regions):
            cells = []
            for figure in ("ap", "f1", "recall"):
                means = [
                    np.nanmean([r[figure] for r in rows if region in ("all", r["region"])])
                    for rows in runs
                ]
                cells.append(f"{np.mean(means):.3f} ± {np.std(means):.3f}")
            lines.append(f"| {name} | {region} | {' | '.join(cells)} |")
    return "\n".join(lines)


def publish(plan: Plan, out: Path, models: Path, scores: dict[str, list[dict[str, Any]]]) -> None:
    """Publish the models of the first seed with the package, in half precision, with a card."""
    for name in SETS:
        model = neuroglow.load_model(out / f"{name}-seed-{plan.seeds[0]}/checkpoints/best")
        ap = [float(np.nanmean([r["ap"] for r in scores[f"{name}-seed-{s}"]])) for s in plan.seeds]
        cubes = plan.chosen if name == SETS[0] else plan.cubes
        description = (
            f"trained on {cubes} phantom cubes"
            + (" that DB-Enhance's rule selects of 1,500" if name == SETS[0] else "")
            + "; for comparing training sets, not for real brains: use light-microscopy there."
        )
        settings = model.settings.model_copy(
            update={
                "name": name,
                "description": description,
                "licence": "BSD-3-Clause",
                "training": model.settings.training | {"recipe": "recipes/dhpr.py"},
                "scores": {f"held_out_ap_seed_{s}": a for s, a in zip(plan.seeds, ap, strict=True)},
                "seam_error": seam_errors(out / f"{name}-seams.json"),
            }
        )
        card = "\n".join(
            [
                f"# {name}",
                "",
                f"GlowNet {description}",
                "",
                f"- {plan.steps} steps of 4 patches of {plan.patch}^3, seed {plan.seeds[0]}",
                f"- threshold {settings.threshold:g}, halo {settings.halo}",
                *(
                    f"- seam error at halo {s.halo}, {s.where}: "
                    f"mean {s.mean:.6f}, worst {s.worst:.4f}"
                    for s in settings.seam_error
                ),
                "- voxel size: trained in voxels of the phantoms, 1 um",
                f"- average precision on {plan.held_out} held-out phantoms, seeds {plan.seeds}: "
                + ", ".join(f"{a:.3f}" for a in ap),
                "- all data synthetic; licence BSD-3-Clause",
                "",
            ]
        )
        save_model(
            models / name, model.network, settings, dtype=torch.float16, card=card, replace=True
        )


def seam_errors(file: Path) -> tuple[SeamError, ...]:
    """Read what benchmarks/seams.py measured, if it was run."""
    if not file.exists():
        return ()
    return tuple(SeamError(**row) for row in json.loads(file.read_text()))


def main() -> None:
    """Read the command line; make, train, score, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--publish", type=Path)
    asked = parser.parse_args()
    plan = Plan()
    asked.out.mkdir(parents=True, exist_ok=True)
    make_pools(plan, asked.out)
    make_sets(plan, asked.out)
    held_out = read_manifest(asked.out / "held-out")
    file = asked.out / "scores.json"
    scores = json.loads(file.read_text()) if file.exists() else {}
    for seed in plan.seeds:
        for name in SETS:
            run = f"{name}-seed-{seed}"
            model = train(plan, asked.out, name, seed)
            if run not in scores:
                scores[run] = score(model, held_out)
                file.write_text(json.dumps(scores, indent=1))
            print(run, round(float(np.nanmean([r["ap"] for r in scores[run]])), 4), flush=True)
    print(table(scores))
    if asked.publish:
        publish(plan, asked.out, asked.publish, scores)


if __name__ == "__main__":
    main()

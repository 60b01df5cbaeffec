"""Make `light-microscopy` from nothing: all stages in order, each as often as it must.

    python recipe.py --volumes ../shared/data --runs runs            # go on where it stopped
    python recipe.py --volumes ../shared/data --runs runs --list     # say what is left, do nothing
    python recipe.py --volumes ../shared/data --runs try --rehearse  # does each stage run?

A stage is done when the file that it makes exists; a stage that was stopped starts again from its
newest state where it keeps one (tissue.py), or from its beginning. The folds
(`--folds`) are the trainings that score the recipe: each leaves some of the scored sources and, but
for fold d, a labelled plane out.
(The teacher saw no scored source, but all three planes: these folds score sources, not planes.)
A rehearsal takes the corners of the volumes, two steps and a few patches a stage. Its model is of
no use.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import continuity
import first
import planes
import refine
import tifffile
import tissue
import zeros

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Stage:
    """A script of this folder, its arguments, and the file by which one knows that it is done.

    Paths are relative to the folder of the runs; `{data}` stands for the volumes.
    """

    makes: str
    script: str
    arguments: str

    def command(self, volumes: Path, runs: Path) -> list[str]:
        """Give the command line."""
        words = [
            str(volumes) if word == "{data}" else str(runs / word[1:]) if word[0] == ":" else word
            for word in self.arguments.split()
        ]
        return [sys.executable, str(HERE / self.script), *words]


def state(run: str, plan: Any) -> str:
    """Name the last state of a run."""
    return f"{run}/state-{first.sized(plan).steps:05d}.pt"


def refined(stage: str, start: str, pool: str = "") -> Stage:
    """Describe a stage of refine.py."""
    patches = f"--pool {pool}" if pool else "--volumes {data}"
    arguments = f"{stage} {patches} --out :{stage} --start {start}"
    return Stage(state(stage, refine.STAGES[stage]), "refine.py", arguments)


def teacher() -> Iterator[Stage]:
    """Describe the stages up to the model from which the last ones go on."""
    last = {stage: f":{state(stage, plan)}" for stage, plan in refine.STAGES.items()}
    start = state("first", first.Recipe())
    yield Stage(start, "first.py", "--volumes {data} --out :first")
    yield refined("second", f":{start}")
    yield refined("third", last["second"])
    yield refined("fourth", f"{last['second']} {last['third']}", ":third")
    yield refined("fifth", last["fourth"], ":third")
    yield refined("sixth", last["fifth"], ":third")
    six = f"{last['sixth']} {last['sixth']} {last['second']}"
    yield Stage("six/model.json", "publish.py", f"{six} --out :six")
    long = "--volumes {data} --start :six --out :continuity"
    seven = state("continuity", continuity.Plan(start=Path()))
    yield Stage("continuity/pool.done", "continuity.py", f"pool {long}")
    yield Stage(seven, "continuity.py", f"fit {long}")
    yield Stage("seven/model.json", "publish.py", f":{seven} --out :seven")
    side = "--start :seven --pool :continuity"
    black, labelled = state("zeros", zeros.Zeros()), state("planes", planes.Mixed())
    yield Stage(black, "zeros.py", f"{side} --out :zeros")
    yield Stage(labelled, "planes.py", f"{side} --volumes {{data}} --out :planes")
    mean = f":{black} :{black} :{labelled}"
    yield Stage("teacher/model.json", "publish.py", f"{mean} --out :teacher")


def patches() -> Iterator[Stage]:
    """Describe the patches of the last stage."""
    pool = "pool --volumes {data} --teacher :teacher --out :tissue --processes 2"
    yield Stage("tissue/pool.done", "tissue.py", pool)
    yield Stage("reminders/pool.done", "reminders.py", "--out :reminders --processes 2")
    resized = "--tissue :tissue --out :patches --processes 2"
    yield Stage("patches/pool.done", "resized.py", resized)


def last_stages(fold: str) -> Iterator[Stage]:
    """Describe the last trainings, whole or without a fold, and the model of their mean."""
    name = f"fold-{fold}" if fold else "main"
    without = f" --without {fold}" if fold else ""
    fit = "fit --volumes {data} --start :teacher --pool :patches --reminders :reminders"
    states = {seed: state(f"{name}-{seed}", tissue.Plan()) for seed in tissue.SEEDS}
    for seed, made in states.items():
        out = f"--out :{name}-{seed}{without} --seed {seed}"
        yield Stage(made, "tissue.py", f"{fit} {out}")
    mean = " ".join(f":{made}" for made in states.values())
    calibrate = f"{mean} --pool :tissue --out :model-{name}{without}"
    yield Stage(f"model-{name}/model.json", "calibrate.py", calibrate)


def corners(volumes: Path, out: Path) -> None:
    """Keep a corner of each volume, for a rehearsal; those that are there stay."""
    names = [*tissue.SOURCES, "trailmap/labelled_volume.tif", "trailmap/labelled_label.tif"]
    for name in (name for name in names if not (out / name).exists()):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(out / name, tifffile.imread(volumes / name)[:96, :112, :112])


def main() -> None:
    """Read the command line; run the stages that are left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", action="store_true", help="the trainings that score, too")
    parser.add_argument("--list", action="store_true", help="say what is left, and do nothing")
    parser.add_argument("--rehearse", action="store_true", help="two steps a stage, on corners")
    asked = parser.parse_args()
    if asked.rehearse:
        os.environ[first.REHEARSAL] = "yes"
        if not asked.list:
            corners(asked.volumes, asked.runs / "corners")
        asked.volumes = asked.runs / "corners"
    folds = tissue.FOLDS if asked.folds else ()
    last = (stage for fold in ("", *folds) for stage in last_stages(fold))
    stages = [*teacher(), *patches(), *last]
    left = [stage for stage in stages if not (asked.runs / stage.makes).exists()]
    for number, stage in enumerate(left, 1):
        command = stage.command(asked.volumes.resolve(), asked.runs.resolve())
        print(f"{time.strftime('%H:%M')} {number}/{len(left)} {' '.join(command[1:])}", flush=True)
        if not asked.list:
            subprocess.run(command, cwd=HERE, check=True)


if __name__ == "__main__":
    main()

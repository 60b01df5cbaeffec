"""Make `light-microscopy` from nothing: all stages in order, each as often as it must.

    python recipe.py --volumes ../shared/data --runs runs            # go on where it stopped
    python recipe.py --volumes ../shared/data --runs runs --list     # say what is left, do nothing

A stage is done when the file that it makes exists; a stage that was stopped starts again from its
newest state where it keeps one (tissue.py), or from its beginning. The folds
(`--folds`) are the trainings that score the recipe: each leaves some of the scored sources and, but
for fold d, a labelled plane out.
(The teacher saw no scored source, but all three planes: these folds score sources, not planes.)
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tissue

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


def refined(stage: str, start: str, steps: int, pool: str = "") -> Stage:
    """Describe a stage of refine.py."""
    patches = f"--pool {pool}" if pool else "--volumes {data}"
    arguments = f"{stage} {patches} --out :{stage} --start {start}"
    return Stage(f"{stage}/state-{steps:05d}.pt", "refine.py", arguments)


def last_stages(fold: str) -> list[Stage]:
    """Describe the last trainings, whole or without a fold, and the model of their mean."""
    name = f"fold-{fold}" if fold else "main"
    without = f" --without {fold}" if fold else ""
    fit = "fit --volumes {data} --start :teacher --pool :patches --reminders :reminders"
    runs = {seed: f"{name}-{seed}" for seed in tissue.SEEDS}
    states = {seed: f"{run}/state-{tissue.Plan.steps:05d}.pt" for seed, run in runs.items()}
    mean = " ".join(f":{state}" for state in states.values())
    calibrate = f"{mean} --teacher :teacher --pool :tissue --out :model-{name}{without}"
    return [
        *(
            Stage(states[seed], "tissue.py", f"{fit} --out :{run}{without} --seed {seed}")
            for seed, run in runs.items()
        ),
        Stage(f"model-{name}/model.json", "calibrate.py", calibrate),
    ]


SIX = ":sixth/state-01800.pt :sixth/state-01800.pt :second/state-02400.pt"
ZEROS = ":zeros/state-00640.pt"
SIDE = "--start :seven --pool :continuity"
STAGES = [
    Stage("first/state-03600.pt", "first.py", "--volumes {data} --out :first"),
    refined("second", ":first/state-03600.pt", 2400),
    refined("third", ":second/state-02400.pt", 2400),
    refined("fourth", ":second/state-02400.pt :third/state-02400.pt", 3000, ":third"),
    refined("fifth", ":fourth/state-03000.pt", 2800, ":third"),
    refined("sixth", ":fifth/state-02800.pt", 1800, ":third"),
    Stage("six/model.json", "publish.py", f"{SIX} --out :six"),
    Stage(
        "continuity/pool.done",
        "continuity.py",
        "pool --volumes {data} --start :six --out :continuity",
    ),
    Stage(
        "continuity/state-05200.pt",
        "continuity.py",
        "fit --volumes {data} --start :six --out :continuity",
    ),
    Stage("seven/model.json", "publish.py", ":continuity/state-05200.pt --out :seven"),
    Stage("zeros/state-00640.pt", "zeros.py", f"{SIDE} --out :zeros"),
    Stage("planes/state-00400.pt", "planes.py", f"{SIDE} --volumes {{data}} --out :planes"),
    Stage(
        "teacher/model.json",
        "publish.py",
        f"{ZEROS} {ZEROS} :planes/state-00400.pt --out :teacher",
    ),
    Stage(
        "tissue/pool.done",
        "tissue.py",
        "pool --volumes {data} --teacher :teacher --out :tissue --processes 2",
    ),
    Stage("reminders/pool.done", "reminders.py", "--out :reminders --processes 2"),
    Stage("patches/pool.done", "resized.py", "--tissue :tissue --out :patches --processes 2"),
]


def main() -> None:
    """Read the command line; run the stages that are left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", action="store_true", help="the trainings that score, too")
    parser.add_argument("--list", action="store_true", help="say what is left, and do nothing")
    asked = parser.parse_args()
    folds = tissue.FOLDS if asked.folds else ()
    stages = [*STAGES, *(stage for fold in ("", *folds) for stage in last_stages(fold))]
    left = [stage for stage in stages if not (asked.runs / stage.makes).exists()]
    for number, stage in enumerate(left, 1):
        command = stage.command(asked.volumes.resolve(), asked.runs.resolve())
        print(f"{time.strftime('%H:%M')} {number}/{len(left)} {' '.join(command[1:])}", flush=True)
        if not asked.list:
            subprocess.run(command, cwd=HERE, check=True)


if __name__ == "__main__":
    main()

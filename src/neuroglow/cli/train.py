"""`neuroglow train`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroglow.cli import options
from neuroglow.errors import SettingsError
from neuroglow.watching import watched

if TYPE_CHECKING:
    from neuroglow.train import TrainReport
    from neuroglow.train.adapt import AdaptReport

Manifest = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="A CSV of cubes, or a folder with image/ and label/."),
]
Run = Annotated[Path, typer.Option("-o", "--out", metavar="RUN", help="Folder of the run.")]
Recipe = Annotated[
    str | None,
    typer.Option(help="neuroglow, or db-enhance: its training as it was.  [neuroglow]"),
]
Network = Annotated[str | None, typer.Option(help="glow or voxresnet.  [glow]")]
Steps = Annotated[int | None, typer.Option(help="How many.  [2000]")]
Batch = Annotated[int | None, typer.Option(help="Patches a step (and process).  [4]")]
Patch = Annotated[int | None, typer.Option(help="Voxels an axis.  [64]")]
Seed = Annotated[int | None, typer.Option(help="Of all that is drawn.  [1]")]
Every = Annotated[int | None, typer.Option(metavar="STEPS", help="Save and validate.  [250]")]
Keep = Annotated[
    str | None, typer.Option(help="best: it and the last; all: each checkpoint.  [best]")
]
Patience = Annotated[
    int | None, typer.Option(help="Validations without gain that end it; 0: never.  [0]")
]
ValFraction = Annotated[
    float | None, typer.Option(help="Of the cubes, where none is marked val.  [0.2]")
]
LabelMap = Annotated[
    str | None, typer.Option(metavar="LEGEND", help="1=background,2=neurite,4=ignore,0=ignore")
]
SwcUnit = Annotated[str | None, typer.Option(help="Of SWC labels: um, voxel or nm.  [um]")]
From = Annotated[
    str | None, typer.Option("--from", metavar="MODEL", help="Train this model further.")
]
Freeze = Annotated[
    bool, typer.Option("--freeze-encoder", help="With --from: train the decoder alone.")
]
Board = Annotated[bool, typer.Option("--tensorboard", help="Write for TensorBoard too.")]
Adapt = Annotated[
    bool,
    typer.Option(
        "--adapt", help="MANIFEST is a volume without labels: adapt a model to it, in minutes."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN.")]
Say = Annotated[int, typer.Option(metavar="STEPS", help="Print a line so often; 0: never.")]


def train(
    manifest: Manifest,
    out: Run,
    recipe: Recipe = None,
    network: Network = None,
    steps: Steps = None,
    batch: Batch = None,
    patch: Patch = None,
    seed: Seed = None,
    checkpoint_every: Every = None,
    keep: Keep = None,
    patience: Patience = None,
    val_fraction: ValFraction = None,
    label_map: LabelMap = None,
    swc_unit: SwcUnit = None,
    channel: options.Channel = None,
    voxel_size: options.VoxelSize = None,
    from_model: From = None,
    adapt: Adapt = False,
    freeze_encoder: Freeze = False,
    device: options.Device = None,
    precision: options.Precision = None,
    tensorboard: Board = False,
    resume: Resume = False,
    config: options.Config = None,
    say_every: Say = 0,
) -> None:
    """Train a network on labelled cubes, or adapt a model to a volume without labels (--adapt).

    Leaves checkpoints/best and checkpoints/last (models for `predict --model`), log.jsonl,
    pictures/ and report.html in RUN. Further settings (sampling, augment, loss, optimiser,
    learning_rate, ...) come with --config.
    """
    given = dict(locals())  # all options, by the names of the settings
    import neuroglow

    _check_start(resume=resume, adapt=adapt)
    for name in ("manifest", "out", "adapt", "resume", "config", "say_every"):
        del given[name]
    given["freeze_encoder"] = freeze_encoder or None
    given["tensorboard"] = tensorboard or None
    given["voxel_size"] = options.numbers(voxel_size)
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {manifest}", every_steps=say_every) as tell:
        if adapt:
            _tell_adapted(neuroglow.adapt(manifest, out=out, on_progress=tell, **settings))
            return
        report = neuroglow.train(
            manifest, out=out, mode="resume" if resume else "new", on_progress=tell, **settings
        )
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes the first speaks
        _tell(report)


def _check_start(*, resume: bool, adapt: bool) -> None:
    if resume and adapt:
        raise SettingsError(
            "adapting takes minutes, and begins anew",
            found="--resume together with --adapt",
            cure="another -o, without --resume",
        )


def _tell_adapted(report: AdaptReport) -> None:
    typer.echo(f"{report.run}\n  {report.sentence}")
    typer.echo(f"  best model {report.best}" if report.best else "  no best model")
    typer.echo(f"  report {report.report}")


def _tell(report: TrainReport) -> None:
    typer.echo(f"{report.run}\n  {options.counted(report.steps, 'step')}; best model {report.best}")
    if report.scores:
        typer.echo(f"  validation {_scores(report.scores)}")
    if report.started:
        typer.echo(f"  started from {_scores(report.started)}")
    typer.echo(f"  report {report.report}\n  {report.turns}")
    _name_some(report.without_label, "without a label", "left out")
    _name_some(report.unlabelled, "without a labelled neurite", "taken as background")
    if report.unlabelled:
        typer.echo("  (leave them out of the training set where nobody has annotated yet)")


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def _name_some(cubes: Sequence[str], which: str, what: str) -> None:
    if cubes:
        names = ", ".join(cubes[:5]) + (", ..." if len(cubes) > 5 else "")
        were = "was" if len(cubes) == 1 else "were"
        typer.echo(f"  {options.counted(len(cubes), 'cube')} {which} {were} {what}: {names}")

"""`neuroglow train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from neuroglow.cli import options
from neuroglow.errors import SettingsError
from neuroglow.watching import watched

Manifest = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="A CSV of cubes, or a folder with image/ and label/."),
]
Run = Annotated[Path, typer.Option("-o", "--out", metavar="RUN", help="Folder of the run.")]
Recipe = Annotated[
    str | None,
    typer.Option(help="neuroglow, or db-enhance (its original training).  [neuroglow]"),
]
Network = Annotated[str | None, typer.Option(help="Network: glow or voxresnet.  [glow]")]
Steps = Annotated[int | None, typer.Option(help="Number of training steps.  [2000]")]
Batch = Annotated[int | None, typer.Option(help="Patches per step and process.  [4]")]
Patch = Annotated[int | None, typer.Option(help="Side of a patch, in voxels.  [64]")]
Seed = Annotated[int | None, typer.Option(help="Random seed.  [1]")]
Every = Annotated[
    int | None, typer.Option(metavar="STEPS", help="Save and validate after every N steps.  [250]")
]
Keep = Annotated[
    str | None, typer.Option(help="Checkpoints to keep: best (and the last), or all.  [best]")
]
Patience = Annotated[
    int | None, typer.Option(help="Stop after N validations without gain; 0: never.  [0]")
]
ValFraction = Annotated[
    float | None, typer.Option(help="Share of cubes held out, if none is marked val.  [0.2]")
]
LabelMap = Annotated[
    str | None,
    typer.Option(metavar="LEGEND", help="Meaning of label values: 1=background,2=neurite,4=ignore"),
]
SwcUnit = Annotated[
    str | None,
    typer.Option(help="Unit of SWC labels: um, voxel or nm.  [what their headers say, else um]"),
]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="MODEL", help="Start from this model instead of from scratch."),
]
Freeze = Annotated[
    bool, typer.Option("--freeze-encoder", help="With --from: train the decoder only.")
]
Widths = Annotated[
    str | None, typer.Option(metavar="N,N", help="Channels of each level of glow.  [the network's]")
]
Blocks = Annotated[
    str | None, typer.Option(metavar="N,N", help="Blocks of each level of glow.  [the network's]")
]
Init = Annotated[str | None, typer.Option(help="Initial weights: default, kaiming.  [default]")]
Normalisation = Annotated[
    str | None, typer.Option(help="Input: noise_units or db_enhance.  [noise_units]")
]
Radius = Annotated[
    float | None,
    typer.Option(
        "--swc-radius-um", metavar="UM", help="Draw trees with this radius instead of their own."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option("--swc-margin-vox", metavar="N", help="Ignored margin around drawn trees.  [1.5]"),
]
Sampling = Annotated[
    str | None,
    typer.Option(help="Choice of patches: foreground, hard, uniform, db_enhance.  [foreground]"),
]
Augment = Annotated[
    str | None,
    typer.Option(help="Augmentation: full, field, microscope, db_enhance, none.  [full]"),
]
TurnsOf = Annotated[
    str | None,
    typer.Option(
        "--turns", help="Quarter turns in planes: equal (voxel sizes), all, none.  [equal]"
    ),
]
Loss = Annotated[
    str | None, typer.Option(help="Loss: bce_dice, bce_dice_cldice, db_enhance.  [bce_dice]")
]
Optimiser = Annotated[str | None, typer.Option(help="Optimiser: adamw or sgd.  [adamw]")]
Rate = Annotated[float | None, typer.Option(help="Largest learning rate.  [0.002, --from 0.0002]")]
Momentum = Annotated[float | None, typer.Option(help="Momentum of sgd.  [0.9]")]
Decay = Annotated[float | None, typer.Option(help="Weight decay.  [0.001; 0.0003 with sgd]")]
Halve = Annotated[
    int | None,
    typer.Option(metavar="PATCHES", help="Of sgd: patches between decays of the rate.  [15000]"),
]
Factor = Annotated[float | None, typer.Option(help="Of sgd: factor of each decay.  [0.5]")]
Ema = Annotated[
    float | None, typer.Option(help="Share of the averaged weights kept per step.  [0.995]")
]
Clip = Annotated[str | None, typer.Option(help="Largest norm of the gradient, or none.  [1]")]
Loaders = Annotated[int | None, typer.Option(help="Threads that make patches.  [2]")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Also write logs for TensorBoard.")]
Adapt = Annotated[
    bool,
    typer.Option(
        "--adapt", help="MANIFEST is a volume without labels: adapt a model to it, in minutes."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the unfinished run in RUN.")]
Say = Annotated[int, typer.Option(metavar="STEPS", help="Print a line every N steps; 0: never.")]


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
    invert: options.Invert = False,
    voxel_size: options.VoxelSize = None,
    from_model: From = None,
    freeze_encoder: Freeze = False,
    device: options.Device = None,
    precision: options.Precision = None,
    tensorboard: Board = False,
    widths: Widths = None,
    blocks: Blocks = None,
    init: Init = None,
    normalisation: Normalisation = None,
    swc_radius_um: Radius = None,
    swc_margin_vox: Margin = None,
    sampling: Sampling = None,
    augment: Augment = None,
    turns: TurnsOf = None,
    loss: Loss = None,
    optimiser: Optimiser = None,
    learning_rate: Rate = None,
    momentum: Momentum = None,
    weight_decay: Decay = None,
    halve_every: Halve = None,
    decay_factor: Factor = None,
    ema: Ema = None,
    clip: Clip = None,
    halo: options.Halo = None,
    loaders: Loaders = None,
    adapt: Adapt = False,
    resume: Resume = False,
    config: options.Config = None,
    say_every: Say = 0,
) -> None:
    """Train a network on labelled cubes, or adapt a model to a volume without labels (--adapt).

    Leaves checkpoints/best and checkpoints/last (models for `predict --model`), log.jsonl,
    pictures/ and report.html in RUN.
    """
    given = dict(locals())  # all options, by the names of the settings
    import neuroglow

    for name in ("manifest", "out", "adapt", "resume", "config", "say_every"):
        del given[name]
    given["freeze_encoder"] = freeze_encoder or None
    given["tensorboard"] = tensorboard or None
    given["invert"] = invert or None
    for name in ("voxel_size", "widths", "blocks"):
        given[name] = options.numbers(given[name])
    settings = options.read_config(config) | {k: v for k, v in given.items() if v is not None}
    with watched(f"opening {manifest}", every_steps=say_every) as tell:
        if adapt:
            _refuse_resume(resume=resume)
            typer.echo(str(neuroglow.adapt(manifest, out=out, on_progress=tell, **settings)))
            return
        report = neuroglow.train(
            manifest, out=out, mode="resume" if resume else "new", on_progress=tell, **settings
        )
    if os.environ.get("RANK", "0") == "0":  # only the first of torchrun's processes prints
        typer.echo(str(report))


def _refuse_resume(*, resume: bool) -> None:
    if resume:
        raise SettingsError(
            "adapting takes minutes, and always starts anew",
            found="--resume together with --adapt",
            cure="another -o, without --resume",
        )

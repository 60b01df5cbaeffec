"""Train a network: training set -> a run folder with its last and its best model.

    cubes -> pool -> patches -> a step ... -> validation -> checkpoint -> ... -> report

A step depends only on (seed, step), and on what the checkpoint contains: on a CPU, a run that is
killed and resumed gives exactly the weights of an uninterrupted one.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from neuroglow.cubes.manifest import (
    Cube,
    as_inverted,
    check_files,
    command_line_wins,
    in_channel,
    read_manifest,
)
from neuroglow.cubes.splits import split_cubes
from neuroglow.errors import InputError, SettingsError, StoppedError, UsageError
from neuroglow.face import given, spelled_out
from neuroglow.interrupts import at_rest
from neuroglow.labels.labels import parse_label_map
from neuroglow.network.model_settings import ModelSettings
from neuroglow.printed import Printed, counted, first_names
from neuroglow.progress import Progress, Tell, say_nothing
from neuroglow.train.board import require_board
from neuroglow.train.pool import PooledCube, build_pool, hash_cubes
from neuroglow.train.run_folder import Mode, RunFolder
from neuroglow.train.settings import HALO, TrainSettings, Turns
from neuroglow.trees.swc_unit import SwcUnit

if TYPE_CHECKING:
    from neuroglow.train.learner import Learner
    from neuroglow.train.session import Session
    from neuroglow.train.together import Group

__all__ = ["Mode", "TrainReport", "TrainSettings", "train"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, repr=False)
class TrainReport(Printed):
    """The result of a run.

    scores: of the best model on the validation cubes; empty without any. started: the same for
    the model that a run with `from_model` starts from. unlabelled: cubes
    without a voxel labelled neurite; they were taken as background, as their labels say.
    without_label: cubes without a label, which were left out. turns: planes in which patches were
    rotated by quarter turns, and why.
    """

    run: Path
    best: Path
    last: Path
    report: Path
    steps: int
    scores: Mapping[str, float]
    started: Mapping[str, float] = field(default_factory=dict)
    unlabelled: tuple[str, ...] = ()
    without_label: tuple[str, ...] = ()
    turns: str = ""

    def lines(self) -> Iterator[str]:
        """Return the lines of the summary."""
        yield str(self.run)
        yield f"{counted(self.steps, 'step')}; best model {self.best}"
        if self.scores:
            yield f"validation {_scores(self.scores)}"
        if self.started:
            yield f"started from {_scores(self.started)}"
        yield f"report {self.report}"
        yield self.turns
        yield from _left_out(self.without_label, "without a label", "left out")
        yield from _left_out(self.unlabelled, "without a labelled neurite", "taken as background")
        if self.unlabelled:
            yield "(leave out cubes that are not annotated yet)"


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def _left_out(cubes: Sequence[str], which: str, what: str) -> Iterator[str]:
    if cubes:
        were = "was" if len(cubes) == 1 else "were"
        yield f"{counted(len(cubes), 'cube')} {which} {were} {what}: {first_names(cubes)}"


@spelled_out(TrainSettings)
def train(  # noqa: PLR0913  # every option, for editors
    manifest: str | Path,
    *,
    out: str | Path,
    recipe: Literal["neuroglow", "db-enhance"] = "neuroglow",
    network: Literal["glow", "voxresnet"] = "glow",
    widths: Sequence[int] | None = None,
    blocks: Sequence[int] | None = None,
    from_model: str | PathLike[str] | None = None,
    freeze_encoder: bool = False,
    init: Literal["default", "kaiming"] = "default",
    normalisation: Literal["noise_units", "db_enhance"] = "noise_units",
    steps: int = 2000,
    batch: int = 4,
    patch: int = 64,
    seed: int = 1,
    checkpoint_every: int = 250,
    keep: Literal["best", "all"] = "best",
    patience: int = 0,
    val_fraction: float = 0.2,
    label_map: str = "",
    swc_unit: SwcUnit | None = None,
    channel: int | None = None,
    invert: bool = False,
    swc_radius_um: float | None = None,
    swc_margin_vox: float = 1.5,
    sampling: Literal["foreground", "db_enhance", "uniform", "hard"] = "foreground",
    augment: Literal["full", "field", "microscope", "db_enhance", "none"] = "full",
    turns: Turns = "equal",
    voxel_size: Sequence[float] | None = None,
    loss: Literal["bce_dice", "db_enhance", "bce_dice_cldice"] = "bce_dice",
    optimiser: Literal["adamw", "sgd"] = "adamw",
    learning_rate: float | None = None,
    momentum: float = 0.9,
    weight_decay: float | None = None,
    halve_every: int = 15000,
    decay_factor: float = 0.5,
    ema: float = 0.995,
    clip: float | Literal["none"] | None = 1.0,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    halo: int | None = None,
    loaders: int = 2,
    tensorboard: bool = False,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    progress: bool | None = None,
) -> TrainReport:
    """Train a network on labelled cubes, from scratch or from a model; or continue a run.

    manifest: a CSV (cubes/manifest.py), or a folder with image/ and label/.
    out: the run's folder. mode: `new` refuses an existing one; `resume` continues it.
    on_progress: called with the progress. progress: show a bar; by default shown on a terminal
        and in a notebook, unless on_progress is given. The other options are those of
        TrainSettings.

    Raises UsageError for invalid requests (nothing was done), RunError if memory is
    too small or the loss is not a number, StoppedError on Ctrl-C: finished steps are kept.

    >>> train("nowhere.csv", out="run")
    Traceback (most recent call last):
    ...
    neuroglow.errors.InputError: a manifest is a CSV file, or a folder with image/ and label/
    ...
    """
    return _train(manifest, RunFolder(Path(out)), mode, on_progress, given())


def _train(
    manifest: str | Path,
    run: RunFolder,
    mode: Mode,
    on_progress: Tell | None,
    asked: Mapping[str, Any],
) -> TrainReport:
    """Begin or continue, and train to the end."""
    from neuroglow.train.session import Session
    from neuroglow.train.together import together

    with (
        _going_on(run),
        together() as group,
        run.claimed() if group.leads else nullcontext(),
    ):
        tell = on_progress if on_progress and group.leads else say_nothing
        chosen, cubes, made_of = group.lead(
            lambda: _prepare(manifest, run, mode, asked, group.size)
        )

        def tell_cubes(done: int, total: int) -> None:
            tell(Progress("reading cubes", done, total, "cubes"))

        try:
            learner, remembered = _begin(run, mode, chosen, group)
            pool = group.lead(lambda: _pool(cubes, run, learner, made_of=made_of, tell=tell_cubes))
        except UsageError:
            if group.leads and mode == "new":  # nothing was done
                run.abandon()
            raise
        if group.leads:
            _say_turns(pool, chosen)
        alone = group.size == 1  # others would wait for this process for ever
        with at_rest(waits=alone, twice=False) as heed:
            session = Session(run, group, learner, pool, tell, heed=heed)
            session.remember(remembered)
            return _report(run, learner, _run(session), pool)


def _run(session: Session) -> Mapping[str, float]:
    """Take all steps; when stopped, keep what is done. Returns the scores of the best model."""
    try:
        session.look_at_start()
        while not session.is_over:
            session.learn_until(session.next_stop)
            session.validate()
            session.keep()
        return session.finish()
    except KeyboardInterrupt:
        session.keep_unfinished()
        raise _stopped(session.run, session.kept_step) from None


@contextmanager
def _going_on(run: RunFolder) -> Iterator[None]:
    """Say how a run goes on that is stopped before its steps, or after them."""
    try:
        yield
    except KeyboardInterrupt:
        if not run.record.is_file():  # not begun
            raise
        raise _stopped(run, _kept_before(run)) from None


def _kept_before(run: RunFolder) -> int:
    """Give the last step of which a checkpoint is there."""
    from neuroglow.train.learner import read_state

    return int(read_state(run.state)["step"]) if run.state.is_file() else 0


def _stopped(run: RunFolder, step: int) -> StoppedError:
    return StoppedError(
        "training was stopped",
        found=f"{step} steps are kept" if step else "no step is kept",
        where=str(run.path),
        cure=f"the same command with --resume continues after step {step}",
    )


def _say_turns(pool: list[PooledCube], chosen: TrainSettings) -> None:
    """Report which turns are used; as a warning if an unknown voxel size excludes some."""
    guessed = chosen.augment != "none" and chosen.turns == "equal"
    unknown = guessed and any(cube.voxel_size_um is None for cube in pool)
    _log.log(logging.WARNING if unknown else logging.INFO, "%s", _turns(pool, chosen))


def _turns(pool: list[PooledCube], chosen: TrainSettings) -> str:
    from neuroglow.train.augment import tell_turns

    return tell_turns([c.voxel_size_um for c in pool if c.split == "train"], chosen)


def _report(
    run: RunFolder, learner: Learner, scores: Mapping[str, float], pool: list[PooledCube]
) -> TrainReport:
    return TrainReport(
        run.path,
        run.best,
        run.last,
        run.report,
        learner.step,
        scores,
        started=next((r["validation"] for r in run.rows() if r["step"] == 0), {}),
        turns=_turns(pool, learner.settings),
        unlabelled=tuple(cube.name for cube in pool if not cube.neurite_voxels),
        without_label=tuple(run.read().get("without_label", ())),
    )


def _prepare(
    manifest: str | Path, run: RunFolder, mode: Mode, given: Mapping[str, Any], processes: int
) -> tuple[TrainSettings, list[Cube], str]:
    """Check everything before anything is computed; write the record."""
    chosen = TrainSettings.of(given)
    parse_label_map(chosen.label_map)
    if chosen.tensorboard:
        require_board()
    cubes = read_manifest(manifest)
    check_files(cubes)
    before = run.begin(mode)
    if before:
        chosen = TrainSettings.model_validate(before["settings"])
        chosen.refuse_others(given)
        _check_processes(before["processes"], processes)
    cubes = [in_channel(cube, chosen.channel) for cube in _as_asked(cubes, chosen)]
    cubes = [as_inverted(cube, chosen.invert) for cube in cubes]
    without_label = [cube.name for cube in cubes if cube.label is None]
    cubes = split_cubes(cubes, chosen.val_fraction, chosen.seed)
    _check_patience(chosen, cubes)
    made_of = hash_cubes(cubes)
    if before and before["manifest_sha256"] != made_of:
        raise InputError(
            "a run is resumed with the training set that it began with",
            found="different content",
            where=str(manifest),
            cure=f"begin a new run with another -o, --from {run.last}",
        )
    if not before:
        given = chosen.model_dump(mode="json", include=chosen.model_fields_set)
        record = _record(manifest, run, chosen, cubes)
        record |= {"manifest_sha256": made_of, "processes": processes}
        record |= {"without_label": without_label}
        run.write_record(record, given)
    return chosen, cubes, made_of


def _as_asked(cubes: list[Cube], settings: TrainSettings) -> list[Cube]:
    """Let the command line win over the manifest's legend, unit, channel and inversion."""
    channel = "" if settings.channel is None else str(settings.channel)
    unit = settings.swc_unit or ""
    given = {"label_map": settings.label_map, "swc_unit": unit, "channel": channel}
    given["invert"] = "yes" if settings.invert else ""
    return command_line_wins(cubes, given)


def _check_patience(chosen: TrainSettings, cubes: list[Cube]) -> None:
    if chosen.patience and all(cube.split != "val" for cube in cubes):
        raise SettingsError(
            "patience counts validations without gain",
            found=f"patience {chosen.patience}, and no validation cube",
            where="--patience",
            cure="--val-fraction 0.2, or --patience 0",
        )


def _check_processes(before: int, now: int) -> None:
    if before != now:
        raise SettingsError(
            "a run is resumed by as many processes as began it",
            found=f"{now}, begun by {before}",
            cure=f"torchrun --nproc-per-node {before}" if before > 1 else "no torchrun",
        )


def _record(
    manifest: str | Path, run: RunFolder, chosen: TrainSettings, cubes: list[Cube]
) -> dict[str, Any]:
    return {
        "manifest": str(manifest),
        "settings": chosen.model_dump(mode="json"),
        "split": {s: [c.name for c in cubes if c.split == s] for s in ("train", "val")},
        "command": shlex.join(
            ["neuroglow", "train", str(manifest), "-o", "NEW_RUN", "--config", str(run.settings)]
        ),
    }


def _begin(
    run: RunFolder, mode: Mode, chosen: TrainSettings, group: Group
) -> tuple[Learner, dict[str, Any]]:
    """Make the learner: scratch, resume or transfer. Also returns the state of the run."""
    from neuroglow.network.checkpoint import load_model
    from neuroglow.train.learner import Learner, new_network, read_state

    if mode == "resume" and run.state.is_file():
        state = read_state(run.state)
        known = ModelSettings.model_validate_json(state["known"])
        network = new_network(known.network, known.arguments, chosen.seed)
        learner = Learner(network, known, chosen, group)
        learner.restore(state)
        return learner, state["extra"]
    if chosen.from_model:
        model = load_model(chosen.from_model)
        source = {"model": model.settings.name, "sha256": model.sha256}
        known = _known(run, chosen, model.settings, {"from": source})
        return Learner(model.network, known, chosen, group), {}
    scratch = ModelSettings(
        name=run.path.name,
        network=chosen.network,
        arguments=chosen.arguments,
        normalisation=chosen.input,
        halo=HALO[chosen.network],
        threshold=0.5,
    )
    network = new_network(chosen.network, chosen.arguments, chosen.seed, chosen.init)
    return Learner(network, _known(run, chosen, scratch, {}), chosen, group), {}


def _known(
    run: RunFolder, chosen: TrainSettings, like: ModelSettings, training: dict[str, Any]
) -> ModelSettings:
    """Return the settings of the models that this run will save, without their scores."""
    return ModelSettings(
        name=run.path.resolve().name,
        network=like.network,
        arguments=like.arguments,
        normalisation=like.normalisation,
        halo=like.halo if chosen.halo is None else chosen.halo,
        threshold=like.threshold,
        training={"recipe": "neuroglow train", **training},
    )


def _pool(
    cubes: list[Cube],
    run: RunFolder,
    learner: Learner,
    *,
    made_of: str,
    tell: Callable[[int, int], object],
) -> list[PooledCube]:
    """Make the pool, or take it from the cache; refuse one with nothing to learn from."""
    pool = build_pool(
        cubes,
        run.cache,
        learner.settings,
        learner.known.normalisation,
        made_of=made_of,
        tell=tell,
    )
    for split, use in (("train", "to train on"), ("val", "to validate on")):
        _check_labels([cube for cube in pool if cube.split == split], use)
    return pool


def _check_labels(cubes: list[PooledCube], use: str) -> None:
    """Refuse cubes if none has neurites, or if none has both neurites and background."""
    where = ", ".join(cube.name for cube in cubes[:5])
    if cubes and not any(cube.neurite_voxels for cube in cubes):
        raise InputError(
            f"at least one cube {use} must have a labelled neurite",
            found=f"no neurite voxel in the labels of {len(cubes)} cubes",
            where=where,
            cure="check the labels, which values --label-map calls neurite, and the split",
        )
    if cubes and not any(cube.neurite_voxels and cube.background_voxels for cube in cubes):
        raise InputError(
            f"at least one cube {use} must have labelled background as well as neurites",
            found=f"{len(cubes)} cubes in which all counted voxels are neurites, or none is",
            where=where,
            cure="--label-map 0=background,1=neurite, or label some background; "
            "with neurites only, a network that calls everything neurite is never wrong",
        )

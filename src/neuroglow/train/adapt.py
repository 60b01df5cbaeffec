"""Adapt: fine-tune a model on a volume without labels, and keep it only if it finds more.

    a sample of blocks -> some to train on, some held out -> neurites added -> a pool -> steps
    -> the judge: recall of neurites added to the blocks held out -> the best model, or none

The judge (judge.py) compares at the false rates of the original model, in the volume and in
phantoms of other tissues. Two models are judged each time: the trained weights, and the mean of
these and the original ones, which forgets less (Wortsman et al., "Robust fine-tuning of zero-shot
models", CVPR 2022).
"""

from __future__ import annotations

import copy
import itertools
import shlex
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from neuroglow.errors import InputError, SettingsError, StoppedError
from neuroglow.formats.opening import open_volume
from neuroglow.imaging.injection import Injection
from neuroglow.imaging.noise_units import NoiseUnits
from neuroglow.interrupts import at_rest
from neuroglow.progress import Progress, Tell, say_nothing
from neuroglow.recovery.places import Sample, draw_sample
from neuroglow.settings import check_settings
from neuroglow.space.geometry import Box
from neuroglow.space.volume import Array, Volume
from neuroglow.train.run_folder import RunFolder
from neuroglow.train.settings import TrainSettings

if TYPE_CHECKING:
    from torch import nn

    from neuroglow.network.checkpoint import Model
    from neuroglow.network.engine import Engine
    from neuroglow.network.model_settings import Calibration
    from neuroglow.train.judge import Judge
    from neuroglow.train.learner import Learner
    from neuroglow.train.session import Session

__all__ = ["AdaptReport", "AdaptSettings", "adapt"]

SHARES = (0.5, 1.0)
"""Shares of the trained weights in the models that are judged; the rest are the original ones."""

ADDED = Injection(count=6, snr=(1.2, 12.0))
"""Neurites added to the blocks that are trained on."""


class AdaptSettings(BaseModel):
    """How a model is adapted; flat, frozen, saved in the run.

    steps: maximum number; checkpoint_every: steps between trials on the blocks held out. patience:
    trials without gain after which it stops. blocks, held_out: number of blocks, with about `block`
    voxels per axis, for training and for trials. invert: neurites are darker than the background.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    from_model: str = "light-microscopy"
    steps: int = Field(default=200, ge=1)
    batch: int = Field(default=4, ge=1)
    patch: int = Field(default=64, ge=8)
    learning_rate: float = Field(default=7e-4, gt=0)
    checkpoint_every: int = Field(default=50, ge=1)
    patience: int = Field(default=2, ge=1)
    blocks: int = Field(default=8, ge=1)
    held_out: int = Field(default=4, ge=1)
    block: int = Field(default=64, ge=16)
    voxel_size: tuple[float, float, float] | None = None
    channel: int | None = Field(default=None, ge=0)
    time: int | None = Field(default=None, ge=0)
    invert: bool = False
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(default=1, ge=0)


@dataclass(frozen=True)
class AdaptReport:
    """The result of adapting.

    best: the adapted model, or None if none was better than the original one.
    gain: increase of the mean recall of faint neurites added to blocks held out, where neither
    in the volume nor in phantoms of other tissues more is falsely detected; gain_low, gain_high:
    its 95 % interval over neurites. cost: decrease of the average precision on phantoms. rows:
    each trial, the first with the original model.
    """

    run: Path
    best: Path | None
    report: Path
    steps: int
    gain: float
    gain_low: float
    gain_high: float
    cost: float
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)
    sentence: str = ""

    def __str__(self) -> str:
        best = f"best model {self.best}" if self.best else "no best model"
        return f"{self.run}\n  {self.sentence}\n  {best}\n  report {self.report}"


def adapt(  # noqa: PLR0913  # the options of a verb
    source: Array | str | Path,
    *,
    out: str | Path,
    from_model: str | Path = "light-microscopy",
    steps: int = 200,
    batch: int = 4,
    patch: int = 64,
    learning_rate: float = 7e-4,
    checkpoint_every: int = 50,
    patience: int = 2,
    blocks: int = 8,
    held_out: int = 4,
    block: int = 64,
    voxel_size: tuple[float, float, float] | None = None,
    channel: int | None = None,
    time: int | None = None,
    invert: bool = False,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: int = 1,
    on_progress: Tell | None = None,
) -> AdaptReport:
    """Fine-tune a model on a volume without labels, by neurites added to it.

    source: an array (zyx), or a file or folder that is one volume; out: the run's folder.
    The settings are those of AdaptSettings.

    Leaves checkpoints/last, checkpoints/best if a model is better than the original one, and
    report.html. Raises UsageError for invalid requests, RunError, StoppedError on Ctrl-C.
    """
    given = dict(locals())
    for name in ("source", "out", "on_progress"):
        del given[name]
    chosen = check_settings(AdaptSettings, given)
    run = RunFolder(Path(out))
    with run.claimed(), at_rest(twice=False) as heed:
        run.begin("new")
        tell = _heeding(on_progress or say_nothing, heed)
        try:
            work = _Work.begin(source, run, chosen, tell)
            work.to_the_end()
        except KeyboardInterrupt:
            if not run.last.exists():
                run.abandon()  # so that the same command begins again
                raise
            raise _stopped(source, run) from None
        return work.finish()


def _heeding(tell: Tell, heed: Callable[[], None]) -> Tell:
    """Tell, and heed Ctrl-C then: never within a step."""

    def told(progress: Progress) -> None:
        tell(progress)
        heed()

    return told


def _stopped(source: Array | str | Path, run: RunFolder) -> StoppedError:
    """Say what is kept, and the command that goes on from there."""
    numbers = (run.path.with_name(f"{run.path.name}-{n}") for n in itertools.count(2))
    free = next(path for path in numbers if not path.exists())
    return StoppedError(
        "adapting was stopped",
        found=f"its newest model is kept: {run.last}",
        where=str(run.path),
        cure=f"{_command(source, run, str(free))} {shlex.join(['--from', str(run.last)])}",
    )


class _Work:
    """One run of adapting."""

    def __init__(
        self, run: RunFolder, chosen: AdaptSettings, session: Session, judge: Judge
    ) -> None:
        self.run, self.chosen, self.session, self.judge = run, chosen, session, judge
        self.original = copy.deepcopy(session.learner.averaged)
        self.best = 0
        self.began = clock.monotonic()

    @classmethod
    def begin(
        cls,
        source: Array | str | Path,
        run: RunFolder,
        chosen: AdaptSettings,
        tell: Tell,
    ) -> _Work:
        """Check everything, write the record, and make the pool."""
        from neuroglow.network.checkpoint import load_model
        from neuroglow.train.judge import Judge
        from neuroglow.train.learner import Learner
        from neuroglow.train.own_volume import OwnVolume, build_own_pool
        from neuroglow.train.session import Session
        from neuroglow.train.together import together

        model = load_model(chosen.from_model)
        units = _units(source, chosen, model)
        train_on, held_out = _split(units.volume, chosen)
        settings = _train_settings(chosen)
        run.write_record(
            _record(source, run, chosen, settings), chosen.model_dump(exclude_unset=True)
        )
        with together() as group:
            learner = Learner(model.network, _known(run, model), settings, group)
            runner = learner.runner(calibration=model.settings.calibration)
            own = OwnVolume(units, runner, train_on, ADDED, chosen.seed)
            pool = build_own_pool(
                own,
                run.cache,
                lambda done, of: tell(Progress("adding neurites", done, of, "cubes")),
            )
            session = Session(run, group, learner, pool, tell, heed=lambda: None)
        sample = Sample(held_out, whole=False)
        judge = Judge(units, sample, chosen.seed + 1, model.settings, tell)
        return cls(run, chosen, session, judge)

    def to_the_end(self) -> None:
        """Try the original model; train, and try again, until nothing more is gained.

        If Ctrl-C ends it, the newest model is kept.
        """
        try:
            self._to_the_end()
        except KeyboardInterrupt:
            if self.session.learner.step:
                self._save(self.run.last, self.session.learner.averaged, {})
            raise

    def _to_the_end(self) -> None:
        self._check()
        last, waited = self.chosen.steps, 0
        while self.session.learner.step < last and waited < self.chosen.patience:
            step = self.session.learner.step
            self.session.learn_until(min(step + self.chosen.checkpoint_every, last))
            better = self._check()
            waited = 0 if better else waited + 1

    def _check(self) -> bool:
        """Judge the weights so far; return whether more is gained than ever before."""
        before = max((row["gain"] for row in self.judge.rows), default=0.0)
        shares = SHARES if self.session.learner.step else (1.0,)
        return max([self._judge(share) for share in shares]) > before

    def _judge(self, share: float) -> float:
        """Judge a mean of the original and the trained weights; keep it if it is the best."""
        candidate = _Mean.of(self.session.learner, self.original, share)
        step, validation = self.session.learner.step, self.session.scored(candidate.runner())
        if share == 1:
            self.session.note(validation)
        row, calibration = self.judge.look(candidate, validation, {"step": step, "share": share})
        self.run.append({"step": step, "adapted": row})
        told = {"calibration": calibration} if step else {}
        if step:
            self._save(self.run.last, candidate.network, row, told)
        if self.judge.is_better(row) and row["gain"] > self.judge.rows[self.best]["gain"]:
            self._save(self.run.best, candidate.network, row, told)
            self.best = len(self.judge.rows) - 1
        return float(row["gain"])

    def _save(
        self,
        folder: Path,
        network: nn.Module,
        row: Mapping[str, Any],
        told: Mapping[str, Any] | None = None,
    ) -> None:
        from neuroglow.network.checkpoint import save_model

        known = self.session.learner.known
        training = known.training | {k: row[k] for k in ("step", "share") if k in row}
        scores = {"adapted": {k: v for k, v in row.items() if isinstance(v, int | float)}}
        update = {"training": training, "scores": scores, **(told or {})}
        save_model(folder, network, known.model_copy(update=update), replace=True)

    def finish(self) -> AdaptReport:
        """Write the page; report the gain and the cost."""
        from neuroglow.train.adapt_page import adapt_page, adapt_sentence

        row, rows = self.judge.rows[self.best], tuple(self.judge.rows)
        said = adapt_sentence(rows, self.best)
        name = self.session.learner.known.name
        minutes = (clock.monotonic() - self.began) / 60
        adapt_page(name, rows, said, self.run.read() | {"minutes": minutes}).write(self.run.report)
        best = self.run.best if self.best else None
        gains = (row["gain"], row["gain_low"], row["gain_high"], row["cost"])
        step = self.session.learner.step
        return AdaptReport(self.run.path, best, self.run.report, step, *gains, rows, said)


@dataclass(frozen=True)
class _Mean:
    """A mean of the original and the trained weights, to be judged."""

    learner: Learner
    network: nn.Module

    @classmethod
    def of(cls, learner: Learner, original: nn.Module, share: float) -> _Mean:
        """Move a copy of the original network so far towards the trained one."""
        from neuroglow.train.optimise import move

        network = copy.deepcopy(original)
        move(network, learner.averaged, share)
        return cls(learner, network)

    def runner(self, calibration: Calibration | None = None) -> Engine:
        """Prepare it for prediction."""
        return self.learner.runner(self.network, calibration)


def _units(source: Array | str | Path, chosen: AdaptSettings, model: Model) -> NoiseUnits:
    normalisation = model.settings.normalisation
    if normalisation.kind != "noise_units":
        raise SettingsError(
            "a model to adapt must read noise units",
            found="a model that reads grey levels of one camera",
            where=model.settings.name,
            cure="--from light-microscopy",
        )
    volume = open_volume(
        source,
        channel=chosen.channel,
        time=chosen.time,
        voxel_size_um=chosen.voxel_size,
        invert=chosen.invert,
    )
    return NoiseUnits(volume, normalisation.cell)


def _split(volume: Volume, chosen: AdaptSettings) -> tuple[tuple[Box, ...], tuple[Box, ...]]:
    """Draw blocks, and hold some out, spread from the first to the last plane."""
    count = chosen.blocks + chosen.held_out
    block = chosen.block
    sample = draw_sample(volume, block=block, count=count, seed=chosen.seed)
    while len(sample.blocks) < 4 and block > 32:
        block = block * 3 // 4
        sample = draw_sample(volume, block=block, count=count, seed=chosen.seed)
    blocks = sample.blocks
    if len(blocks) < 2:
        raise InputError(
            "adapting needs a volume of at least two blocks: one to learn from, one to hold out",
            found=" x ".join(str(n) for n in volume.shape) + " voxels",
            where=volume.name,
            cure="a larger piece of the volume, or a smaller --block",
        )
    kept = max(1, round(len(blocks) * chosen.held_out / count))
    held = set(np.linspace(0, len(blocks) - 1, kept + 2)[1:-1].round().astype(int).tolist())
    apart = tuple(b for i, b in enumerate(blocks) if i in held)
    return tuple(b for i, b in enumerate(blocks) if i not in held), apart


def _train_settings(chosen: AdaptSettings) -> TrainSettings:
    names = ("steps", "batch", "patch", "learning_rate", "checkpoint_every", "device", "seed")
    given = {name: getattr(chosen, name) for name in (*names, "precision", "from_model")}
    return TrainSettings.of(given | {"ema": 0.98})


def _record(
    source: Array | str | Path, run: RunFolder, chosen: AdaptSettings, settings: TrainSettings
) -> dict[str, Any]:
    return {
        "adapted_to": _name_of(source),
        "settings": settings.model_dump(mode="json"),
        "adapt": chosen.model_dump(mode="json"),
        "command": _command(source, run, "NEW_RUN"),
    }


def _name_of(source: Array | str | Path) -> str:
    return "VOLUME" if not isinstance(source, str | Path) else str(source)


def _command(source: Array | str | Path, run: RunFolder, out: str) -> str:
    """Write down the command that adapts so."""
    words = ["neuroglow", "train", _name_of(source), "--adapt", "-o", out]
    return shlex.join([*words, "--config", str(run.settings)])


def _known(run: RunFolder, model: Model) -> Any:
    """Return the settings of the adapted model: those of the original, under the run's name."""
    source = {"model": model.settings.name, "sha256": model.sha256}
    training = {"recipe": "neuroglow train --adapt", "from": source}
    update: dict[str, Any] = {"name": run.path.resolve().name, "training": training}
    update |= {"seam_error": (), "afar": None}  # measured on other weights
    return model.settings.model_copy(update=update)

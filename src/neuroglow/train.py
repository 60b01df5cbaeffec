"""Train a network: training set -> a run folder with its last and its best model.

    cubes -> pool -> patches -> a step ... -> validation -> checkpoint -> ... -> report

A step follows from (seed, step) alone, and all else that it depends on is in the checkpoint:
a run that is killed and resumed gives, on a CPU, the very weights of an unbroken one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neuroglow.errors import InputError, RunError, StoppedError
from neuroglow.learn.board import Board, NoBoard, open_board
from neuroglow.learn.manifest import Cube, check_files, read_manifest
from neuroglow.learn.model_settings import ModelSettings, read_settings
from neuroglow.learn.pool import PooledCube, build_pool, hash_cubes
from neuroglow.learn.run_folder import Mode, RunFolder
from neuroglow.learn.splits import split_cubes
from neuroglow.learn.train_settings import HALO, TrainSettings

if TYPE_CHECKING:
    from neuroglow.learn.batches import Batch
    from neuroglow.learn.inference import Runner
    from neuroglow.learn.learner import Learner, NotFiniteError
    from neuroglow.learn.sampling import Hard
    from neuroglow.learn.together import Group
    from neuroglow.learn.validation import Validation

__all__ = ["Mode", "TrainProgress", "TrainReport", "TrainSettings", "train"]

HARDEST = 0.25
"""Share of an interval's patches that count as hard."""


@dataclass(frozen=True)
class TrainProgress:
    """Where a run stands. stage: `pool` (cubes), `train` (steps), `validate` (cubes)."""

    stage: str
    done: int
    total: int
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainReport:
    """What a run left. scores: of the best model on the validation cubes; empty without any."""

    run: Path
    best: Path
    last: Path
    report: Path
    steps: int
    scores: Mapping[str, float]


Tell = Callable[[TrainProgress], object]


def train(
    manifest: str | Path,
    *,
    out: str | Path,
    mode: Mode = "new",
    on_progress: Tell | None = None,
    **settings: Any,
) -> TrainReport:
    """Train a network on labelled cubes, from scratch or from a model; or go on with a run.

    manifest: a CSV (learn/manifest.py), or a folder with image/ and label/.
    out: the run's folder. mode: `new` refuses an existing one; `resume` goes on with it.
    settings: the fields of TrainSettings (`network`, `steps`, `from_model`, ...).

    Raises UsageError for what cannot be asked (nothing was done), RunError when memory is
    too small or the loss is no number, StoppedError on Ctrl-C: the last checkpoint stays.

    >>> train("nowhere.csv", out="run")
    Traceback (most recent call last):
    ...
    neuroglow.errors.InputError: a manifest is a CSV file, or a folder with image/ and label/
    ...
    """
    from neuroglow.learn.together import together

    run = RunFolder(Path(out))
    with together() as group, run.claimed() if group.leads else nullcontext():
        tell = on_progress if on_progress and group.leads else _say_nothing
        chosen, cubes, made_of = group.lead(lambda: _prepare(manifest, run, mode, settings))
        learner, remembered = _begin(run, mode, chosen, group)
        pool = group.lead(lambda: _pool(cubes, run, learner, made_of=made_of, tell=tell))
        session = _Session(run, group, learner, pool, tell)
        session.remember(remembered)
        try:
            while learner.step < chosen.steps and not session.patience_is_over:
                session.learn_until(min(learner.step + chosen.checkpoint_every, chosen.steps))
                session.validate()
                session.keep()
            return session.finish()
        except KeyboardInterrupt:
            raise StoppedError(
                "training was stopped",
                where=str(run.path),
                cure=f"the same command with --resume goes on after step {session.kept_step}",
            ) from None


def _say_nothing(_: TrainProgress) -> None: ...


def _prepare(
    manifest: str | Path, run: RunFolder, mode: Mode, given: Mapping[str, Any]
) -> tuple[TrainSettings, list[Cube], str]:
    """Check all that was asked for before anything is computed; write it down."""
    chosen = TrainSettings.of(given)
    cubes = read_manifest(manifest)
    check_files(cubes)
    before = run.begin(mode)
    if before:
        chosen = TrainSettings.model_validate(before["settings"])
        chosen.refuse_others(given)
    cubes = split_cubes(cubes, chosen.val_fraction, chosen.seed)
    made_of = hash_cubes(cubes)
    if before and before["manifest_sha256"] != made_of:
        raise InputError(
            "a run is resumed with the training set that it was begun with",
            found="another content",
            where=str(manifest),
            cure=f"begin a new run with another -o, --from {run.last}",
        )
    if not before:
        given = chosen.model_dump(mode="json", include=chosen.model_fields_set)
        run.write_record(_record(manifest, run, chosen, cubes, made_of), given)
    return chosen, cubes, made_of


def _record(
    manifest: str | Path, run: RunFolder, chosen: TrainSettings, cubes: list[Cube], made_of: str
) -> dict[str, Any]:
    return {
        "manifest": str(manifest),
        "manifest_sha256": made_of,
        "settings": chosen.model_dump(mode="json"),
        "split": {s: [c.name for c in cubes if c.split == s] for s in ("train", "val")},
        "command": f"neuroglow train {manifest} -o NEW_RUN --config {run.settings}",
    }


def _begin(
    run: RunFolder, mode: Mode, chosen: TrainSettings, group: Group
) -> tuple[Learner, dict[str, Any]]:
    """Make the learner: scratch, resume or transfer. Gives what the run remembers, too."""
    from neuroglow.learn.checkpoint import load_model
    from neuroglow.learn.learner import Learner, new_network

    if mode == "resume" and run.state.is_file():
        known = read_settings(run.last)
        network = new_network(known.network, known.arguments, chosen.seed)
        learner = Learner(network, known, chosen, group)
        return learner, learner.restore(run.state)
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
    network = new_network(chosen.network, chosen.arguments, chosen.seed)
    return Learner(network, _known(run, chosen, scratch, {}), chosen, group), {}


def _known(
    run: RunFolder, chosen: TrainSettings, like: ModelSettings, training: dict[str, Any]
) -> ModelSettings:
    """Give the settings of the models that this run will save, but for their scores."""
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
    cubes: list[Cube], run: RunFolder, learner: Learner, *, made_of: str, tell: Tell
) -> list[PooledCube]:
    """Make the pool, or take it from the cache; refuse one with nothing to learn from."""
    pool = build_pool(
        cubes,
        run.cache,
        learner.settings,
        learner.known.normalisation,
        made_of=made_of,
        tell=lambda done, total: tell(TrainProgress("pool", done, total)),
    )
    for split, use in (("train", "to train on"), ("val", "to validate on")):
        some = [cube for cube in pool if cube.split == split]
        if some and not any(cube.neurite_voxels for cube in some):
            raise InputError(
                f"some cube {use} has a labelled neurite",
                found=f"no neurite voxel in the labels of {len(some)} cubes",
                where=", ".join(cube.name for cube in some[:5]),
                cure="check the labels, what --label-map calls neurite, and the split",
            )
    return pool


class _Session:
    """One run at work: what it knows besides the learner."""

    def __init__(
        self,
        run: RunFolder,
        group: Group,
        learner: Learner,
        pool: list[PooledCube],
        tell: Tell,
    ) -> None:
        from neuroglow.learn.batches import BatchMaker
        from neuroglow.learn.sampling import Sampler

        self.run, self.group, self.learner, self.tell = run, group, learner, tell
        self.chosen = learner.settings
        self.training = [cube for cube in pool if cube.split == "train"]
        self.held_out = [cube for cube in pool if cube.split == "val"]
        sampler = Sampler(self.training, self.chosen.patch, self.chosen.sampling)
        in_noise_units = learner.known.normalisation.kind == "noise_units"
        first = group.rank * self.chosen.batch
        self.maker = BatchMaker(sampler, self.chosen, in_noise_units, first)
        self.board: Board = NoBoard()
        if self.chosen.tensorboard and group.leads:
            self.board = open_board(run.path / "tensorboard")
        self.hard: Hard = ()
        self.best, self.without_gain, self.kept_step = -1.0, 0, learner.step
        self.scores: dict[str, float] = {}
        if group.leads:
            run.forget_after(learner.step)

    def remember(self, extra: Mapping[str, Any]) -> None:
        """Take up what an earlier part of the run kept."""
        if extra:
            self.hard = tuple((c, z, y, x) for c, z, y, x in extra["hard"])
            self.best, self.without_gain = extra["best"], extra["without_gain"]

    @property
    def patience_is_over(self) -> bool:
        """Tell whether so many validations in a row brought nothing."""
        return 0 < self.chosen.patience <= self.without_gain

    def learn_until(self, last: int) -> None:
        """Take the steps up to `last`, and find the hardest patches among theirs."""
        from neuroglow.learn.learner import NotFiniteError, memory_for

        errors: list[tuple[float, tuple[int, int, int, int]]] = []
        batches = self.maker.batches(self.learner.step + 1, last, self.hard)
        voxels = (self.chosen.batch, *(self.chosen.patch,) * 3)
        before = time.perf_counter()
        while self.learner.step < last:
            with memory_for("the patches of a step", voxels):
                batch = next(batches)
            ready = time.perf_counter()
            try:
                loss, of_patches = self.learner.learn(batch)
            except NotFiniteError as error:
                raise self._no_number(error, batch) from None
            now = time.perf_counter()
            self._log(loss, seconds=now - before, waiting=ready - before)
            places = [(p.cube, *p.start) for p in batch.places]
            errors += zip(of_patches.tolist(), places, strict=True)
            before = now
        if self.chosen.sampling == "hard":
            self.hard = self._hardest(errors)

    def _hardest(self, errors: list[tuple[float, tuple[int, int, int, int]]]) -> Hard:
        everywhere = sorted((e for part in self.group.gather(errors) for e in part), reverse=True)
        return tuple(place for _, place in everywhere[: max(1, int(HARDEST * len(everywhere)))])

    def _no_number(self, error: NotFiniteError, batch: Batch) -> RunError:
        guilty = error.patches or range(len(batch.places))
        names = dict.fromkeys(self.training[batch.places[i].cube].name for i in guilty)
        return RunError(
            "the loss must be a number",
            found=f"{error.loss} at step {self.learner.step + 1}",
            where=f"cube {', '.join(names)}",
            cure="a smaller learning rate, or look at the cube; "
            f"the checkpoint after step {self.kept_step} stays",
        )

    def _log(self, loss: float, *, seconds: float, waiting: float) -> None:
        row = {
            "step": self.learner.step,
            "loss": loss,
            "learning_rate": self.learner.rate,
            "seconds": round(seconds, 4),
            "waiting": round(waiting, 4),
        }
        self._write(row)
        self.tell(TrainProgress("train", self.learner.step, self.chosen.steps, row))

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.group.leads:
            self.run.append(row)
            self.board.add_scalars_of(row)

    def validate(self) -> None:
        """Score the averaged network on the cubes held out, and draw one of them."""
        from neuroglow.learn.train_page import write_picture

        runner = self.learner.runner()
        validation, pictures = self._score(runner, {self.held_out[0].name} if self.held_out else ())
        if validation is None:
            return
        self.scores = validation.row()
        for picture in pictures.values():
            write_picture(self.run.picture(self.learner.step), picture)
        row = {"step": self.learner.step, "validation": self.scores}
        self._write(row)
        self.tell(TrainProgress("validate", len(self.held_out), len(self.held_out), row))

    def _score(
        self, runner: Runner, drawn: Collection[str]
    ) -> tuple[Validation | None, dict[str, bytes]]:
        """Score a network on the cubes held out, shared among the processes; draw some."""
        from neuroglow.learn.train_page import cube_picture
        from neuroglow.learn.validation import Validation, validate

        if not self.held_out:
            return None, {}
        pictures: dict[str, bytes] = {}
        done = 0

        def show(cube: PooledCube, probability: NDArray[np.float32]) -> None:
            nonlocal done
            done += 1
            self.tell(TrainProgress("validate", done, len(mine)))
            if cube.name in drawn:
                pictures[cube.name] = cube_picture(cube.image(), probability, cube.label())

        mine = self.held_out[self.group.rank :: self.group.size]
        scores = validate(runner, mine, self.learner.known.halo, show=show)
        parts = self.group.gather(scores)
        order = [c.name for c in self.held_out]
        everything = sorted((s for part in parts for s in part), key=lambda s: order.index(s.name))
        drawings = {k: v for part in self.group.gather(pictures) for k, v in part.items()}
        return Validation(tuple(everything)), drawings

    def keep(self) -> None:
        """Write the checkpoints: last, best where it is, and what a resume needs."""
        score = self.scores.get("average_precision", 0.0)
        better = not self.held_out or score > self.best
        self.best = max(score, self.best)
        self.without_gain = 0 if better else self.without_gain + 1
        self.group.lead(lambda: self._write_checkpoints(better=better))
        self.kept_step = self.learner.step

    def _write_checkpoints(self, *, better: bool) -> None:
        """Write what a resume needs last: it finds the models that belong to it."""
        self._save(self.run.last)
        if better:
            self._save(self.run.best)
        extra = {"hard": [list(h) for h in self.hard], "best": self.best}
        self.learner.save(self.run.state, extra | {"without_gain": self.without_gain})

    def _save(self, folder: Path) -> None:
        from neuroglow.learn.checkpoint import save_model

        save_model(folder, self.learner.averaged, self._model_settings(), replace=True)

    def _model_settings(self) -> ModelSettings:
        known = self.learner.known
        sizes = [s for cube in self.training if cube.voxel_size_um for s in cube.voxel_size_um]
        record = self.run.begin("resume")
        training = {
            "manifest_sha256": record["manifest_sha256"],
            "cubes": {split: len(names) for split, names in record["split"].items()},
            "step": self.learner.step,
            "seed": self.chosen.seed,
            "settings": record["settings"],
        }
        return known.model_copy(
            update={
                "threshold": self.scores.get("threshold", known.threshold),
                "voxel_size_um": (min(sizes), max(sizes)) if sizes else None,
                "training": known.training | training,
                "scores": {"validation": self.scores} if self.scores else {},
            }
        )

    def finish(self) -> TrainReport:
        """Score the best model once more, cube by cube, and write the page."""
        from neuroglow.learn.checkpoint import load_model
        from neuroglow.learn.inference import Runner

        best = load_model(self.run.best)
        runner = Runner.prepare(best, self.learner.device, self.learner.dtype)
        validation, pictures = self._score(runner, {cube.name for cube in self.held_out})
        if self.group.leads:
            self._write_page(best.settings, validation, pictures)
        return TrainReport(
            self.run.path,
            self.run.best,
            self.run.last,
            self.run.report,
            self.learner.step,
            validation.row() if validation else {},
        )

    def _write_page(
        self, best: ModelSettings, validation: Validation | None, pictures: Mapping[str, bytes]
    ) -> None:
        from neuroglow.learn.train_page import report_page

        shown = [
            (pictures[name], f"{which}: {name}; image, probability, label (blue: ignored)")
            for which, name in (validation.extremes() if validation else ())
        ]
        title = (
            f"{self.run.path.resolve().name}: {best.network}, best at step {best.training['step']}"
        )
        rows, record = list(self.run.rows()), self.run.begin("resume")
        report_page(title, rows, validation, shown, record).write(self.run.report)

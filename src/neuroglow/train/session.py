"""One training run at work: its steps, its validations, its checkpoints, its page."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuroglow.errors import RunError
from neuroglow.labels.labels import IGNORE, NEURITE
from neuroglow.network.checkpoint import save_model
from neuroglow.network.engine import Engine
from neuroglow.network.machine import prepare
from neuroglow.network.model_settings import ModelSettings
from neuroglow.network.stored import read_model
from neuroglow.progress import Progress, Tell
from neuroglow.train.batches import Batch, BatchMaker
from neuroglow.train.board import Board, NoBoard, open_board
from neuroglow.train.learner import Learner, LossError, Step, memory_for
from neuroglow.train.page import cube_picture, report_page, write_picture
from neuroglow.train.pool import Floats, PooledCube
from neuroglow.train.run_folder import RunFolder
from neuroglow.train.sampling import Hard, Sampler
from neuroglow.train.together import Group
from neuroglow.train.validation import Validation, predict_cube, validate

__all__ = ["Session"]

SHOWN_EVERY = 10
"""Steps between two patches that TensorBoard shows."""

HARDEST = 0.25
"""Share of an interval's patches that count as hard."""


class Session:
    """One run at work: its state besides the learner."""

    def __init__(
        self,
        run: RunFolder,
        group: Group,
        learner: Learner,
        pool: list[PooledCube],
        tell: Tell,
        *,
        heed: Callable[[], object],
    ) -> None:
        self.heed = heed
        self.run, self.group, self.learner, self.tell = run, group, learner, tell
        self.chosen = learner.settings
        self.training = [cube for cube in pool if cube.split == "train"]
        self.held_out = [cube for cube in pool if cube.split == "val"]
        sampler = Sampler(self.training, self.chosen.patch, self.chosen.sampling)
        in_noise_units = learner.known.normalisation.kind == "noise_units"
        first = group.rank * self.chosen.batch
        self.maker = BatchMaker(sampler, self.chosen, in_noise_units, first, group.size)
        self.board: Board = NoBoard()
        if self.chosen.tensorboard and group.leads:
            self.board = open_board(run.path / "tensorboard")
        self.hard: Hard = ()
        self.best, self.without_gain = -1.0, 0
        self.kept_step = self.validated = learner.step
        self.errors: list[tuple[float, tuple[int, int, int, int]]] = []
        self.scores: dict[str, float] = {}
        self.drawn = b""

    def remember(self, extra: Mapping[str, Any]) -> None:
        """Restore the state of an earlier part of the run, and drop what it logged later."""
        if extra:
            self.hard = tuple((c, z, y, x) for c, z, y, x in extra["hard"])
            self.best, self.without_gain = extra["best"], extra["without_gain"]
            self.validated = extra.get("validated", self.learner.step)
            self.errors = [(e, (c, z, y, x)) for e, (c, z, y, x) in extra.get("errors", [])]
        if self.group.leads:
            self.run.forget_after(self.learner.step, self.validated)

    @property
    def is_over(self) -> bool:
        """Return whether the last step is validated, or patience is over."""
        return self.validated >= self.chosen.steps or self.patience_is_over

    @property
    def next_stop(self) -> int:
        """The step after which comes the next validation; the same after any interruption."""
        every = self.chosen.checkpoint_every
        return min(self.chosen.steps, (self.validated // every + 1) * every)

    def look_at_start(self) -> None:
        """Score the model that this run starts from, and keep it: the first to be beaten."""
        if self.chosen.from_model and self.learner.step == 0 and self.held_out:
            self.validate()
            self.keep()

    @property
    def patience_is_over(self) -> bool:
        """Return whether the last validations brought no improvement for too long."""
        return 0 < self.chosen.patience <= self.without_gain

    def learn_until(self, last: int) -> None:
        """Take the steps up to `last`, and find the hardest patches among theirs."""
        self.tell(Progress("training", self.learner.step, self.chosen.steps, "steps"))
        batches = self.maker.batches(self.learner.step + 1, last, self.hard)
        voxels = (self.chosen.batch, *(self.chosen.patch,) * 3)
        before = time.perf_counter()
        while self.learner.step < last:
            with memory_for("the patches of a step", voxels):
                batch = next(batches)
            ready = time.perf_counter()
            try:
                step = self.learner.learn(batch)
            except LossError as error:
                raise self._no_loss(error, batch) from None
            now = time.perf_counter()
            places = [(p.cube, *p.start) for p in batch.places]
            self.errors += zip(step.errors.tolist(), places, strict=True)
            self._log(step, seconds=now - before, waiting=ready - before)
            self._show(step, batch)
            before = now
            self.heed()
        if not self.learner.is_finite():
            raise self._lost("the weights of a network must stay finite", found="NaN or infinite")
        if self.chosen.sampling == "hard":
            self.hard = self._hardest(self.errors)
        self.errors = []

    def _lost(self, rule: str, *, found: str) -> RunError:
        return RunError(
            rule,
            found=f"{found} after step {self.learner.step}",
            where=str(self.run.path),
            cure=f"a smaller learning rate in a new run; {self._what_stays()}",
        )

    def _hardest(self, errors: list[tuple[float, tuple[int, int, int, int]]]) -> Hard:
        everywhere = sorted((e for part in self.group.gather(errors) for e in part), reverse=True)
        return tuple(place for _, place in everywhere[: max(1, int(HARDEST * len(everywhere)))])

    def _no_loss(self, error: LossError, batch: Batch) -> RunError:
        guilty = error.patches or range(len(batch.places))
        names = dict.fromkeys(self.training[batch.places[i].cube].name for i in guilty)
        return RunError(
            f"the loss must be {error.must}",
            found=f"{error.loss} at step {self.learner.step + 1}",
            where=f"cube {', '.join(names)}",
            cure=f"a smaller learning rate, or look at the cube; {self._what_stays()}",
        )

    def _what_stays(self) -> str:
        step = self.kept_step
        return f"the checkpoint after step {step} remains" if step else "there is no checkpoint yet"

    def _log(self, step: Step, *, seconds: float, waiting: float) -> None:
        row = {
            "step": self.learner.step,
            "loss": step.loss,
            "dice": step.dice,
            "recall": step.recall,
            "learning_rate": self.learner.rate,
            "seconds": round(seconds, 4),
            "waiting": round(waiting, 4),
        }
        self._write(row)
        self.tell(Progress("training", self.learner.step, self.chosen.steps, "steps", row))

    def _show(self, step: Step, batch: Batch) -> None:
        """Draw the first patch of some steps for TensorBoard, as DB-Enhance shows it live."""
        if isinstance(self.board, NoBoard) or self.learner.step % SHOWN_EVERY:
            return
        label = batch.target[0, 0].numpy().astype(np.uint8) * np.uint8(NEURITE)
        label[batch.weight[0, 0].numpy() == 0] = IGNORE
        drawn = cube_picture(batch.x[0, 0].numpy(), step.first.cpu().numpy(), label, None)
        self.board.add_picture("training patch", drawn, self.learner.step)

    def _write(self, row: Mapping[str, Any]) -> None:
        if self.group.leads:
            self.run.append(row)
            self.board.add_scalars_of(row)

    def validate(self) -> None:
        """Score the averaged network on the cubes held out, and draw the first of them."""
        if not self.held_out:
            return
        self.note(self.scored(self.learner.runner()))

    def note(self, validation: Validation) -> None:
        """Log the scores of the current step, and write the picture."""
        self.scores = validation.row()
        if self.group.leads:
            write_picture(self.run.picture(self.learner.step), self.drawn)
            self.board.add_picture(self.held_out[0].name, self.drawn, self.learner.step)
        row = {"step": self.learner.step, "validation": self.scores}
        self._write(row)
        self.tell(Progress("validating", len(self.held_out), len(self.held_out), "cubes", row))

    def _in_range(self, scores: Mapping[str, float]) -> None:
        """Refuse invalid scores: a run continued with them would keep any model as its best."""
        wrong = {k: v for k, v in scores.items() if not 0 <= v <= (np.inf if k == "loss" else 1)}
        if wrong:
            found = ", ".join(f"{name} {value:g}" for name, value in wrong.items())
            raise self._lost(
                "a validation's scores must be in 0 to 1, its loss above 0", found=found
            )

    def scored(self, runner: Engine) -> Validation:
        """Score a network on the cubes held out, shared among the processes."""
        mine = self.held_out[self.group.rank :: self.group.size]
        done = 0

        def show(cube: PooledCube, probability: Floats) -> None:
            nonlocal done
            done += 1
            if not np.isfinite(probability).all():
                raise self._lost(f"the probabilities of {cube.name!r} must be numbers", found="NaN")
            self.tell(Progress("validating", done, len(mine), "cubes"))
            if cube == self.held_out[0]:
                size = cube.voxel_size_um
                self.drawn = cube_picture(cube.image(), probability, cube.label(), size)
            self.heed()

        parts = self.group.gather(validate(runner, mine, self.learner.known.halo, show=show))
        scores = {score.name: score for part in parts for score in part}
        validation = Validation(tuple(scores[cube.name] for cube in self.held_out))
        self._in_range(validation.row())
        return validation

    def keep(self) -> None:
        """Write the checkpoints: last, best if it is, and the state for a resume."""
        score = self.scores.get("average_precision", 0.0)
        better = not self.held_out or score > self.best
        self.best = max(score, self.best)
        self.without_gain = 0 if better else self.without_gain + 1
        self.validated = self.learner.step
        self.group.lead(lambda: self._write_checkpoints(better=better))
        self.kept_step = self.learner.step

    def keep_unfinished(self) -> None:
        """Write the state for a resume within an interval; not possible for several processes."""
        ahead = self.learner.step > self.kept_step
        if ahead and self.group.size == 1 and self.learner.is_finite():
            self._write_checkpoints(better=False)
            self.kept_step = self.learner.step

    def _write_checkpoints(self, *, better: bool) -> None:
        """Write the state for a resume last: it refers to the models that belong to it."""
        self._save(self.run.last)
        if better:
            self._save(self.run.best)
        if self.chosen.keep == "all" and self._is_scored:
            self._save(self.run.kept(self.learner.step))
        extra: dict[str, Any] = {"hard": [list(h) for h in self.hard], "best": self.best}
        extra |= {"without_gain": self.without_gain, "validated": self.validated}
        extra["errors"] = [(error, list(place)) for error, place in self.errors]
        self.learner.save(self.run.state, extra)

    def _save(self, folder: Path) -> None:
        save_model(folder, self.learner.averaged, self._model_settings(), replace=True)

    def _model_settings(self) -> ModelSettings:
        known = self.learner.known
        sizes = [s for cube in self.training if cube.voxel_size_um for s in cube.voxel_size_um]
        record = self.run.read()
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
                "afar": None,  # was measured on other weights
                "training": known.training | training,
                "scores": {"validation": self.scores} if self.scores and self._is_scored else {},
            }
        )

    @property
    def _is_scored(self) -> bool:
        """Return whether the current step ends an interval; not if a run was stopped within one."""
        return self.validated == self.learner.step

    def finish(self) -> dict[str, float]:
        """Score the best model once more, cube by cube, and write the page; return its scores."""
        best = read_model(self.run.best)
        runner = prepare(best, self.learner.machine, str(self.learner.device))
        validation = self.scored(runner) if self.held_out else None
        if self.group.leads:
            pictures = self._pictures(runner, validation) if validation else []
            title = f"{best.settings.name}: {best.settings.network}, "
            title += f"best at step {best.settings.training['step']}"
            rows, record = list(self.run.rows()), self.run.read()
            report_page(title, rows, validation, pictures, record).write(self.run.report)
        return validation.row() if validation else {}

    def _pictures(self, runner: Engine, validation: Validation) -> list[tuple[bytes, str]]:
        """Draw the worst and the best cube."""
        cubes = {cube.name: cube for cube in self.held_out}
        pictures = []
        for which, name in validation.extremes():
            cube = cubes[name]
            probability = predict_cube(runner, cube, self.learner.known.halo)
            png = cube_picture(cube.image(), probability, cube.label(), cube.voxel_size_um)
            pictures.append((png, f"{which.capitalize()} by average precision: {name}"))
        return pictures

"""The folder of a training run.

RUN/run.json               settings, training set, split, command
RUN/settings.yaml          the settings that were given, as --config takes them
RUN/log.jsonl              one line per step, and one a validation
RUN/checkpoints/last/      the newest model      RUN/checkpoints/best/  the best one
RUN/checkpoints/resume.pt  everything needed to resume
RUN/checkpoints/step-*/    the model of each checkpoint, if `keep` is `all`
RUN/pictures/              a picture of each validation
RUN/cache/                 the pool, made again when it is missing
RUN/report.html            the page at the end
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neuroglow.errors import InputError, OutputError
from neuroglow.files.writing import appearing, writing
from neuroglow.runs.unfinished import claim

__all__ = ["Mode", "RunFolder"]

Mode = Literal["new", "resume"]


@dataclass(frozen=True)
class RunFolder:
    """Names and writes the files of a run."""

    path: Path

    @property
    def record(self) -> Path:
        """The settings and inputs of the run."""
        return self.path / "run.json"

    @property
    def settings(self) -> Path:
        """The settings that were given."""
        return self.path / "settings.yaml"

    @property
    def log(self) -> Path:
        """One line per step."""
        return self.path / "log.jsonl"

    @property
    def last(self) -> Path:
        """The newest model."""
        return self.path / "checkpoints/last"

    @property
    def best(self) -> Path:
        """The best model."""
        return self.path / "checkpoints/best"

    def kept(self, step: int) -> Path:
        """The model after a step, if all are kept."""
        return self.path / f"checkpoints/step-{step:06d}"

    @property
    def state(self) -> Path:
        """Everything needed to resume."""
        return self.path / "checkpoints/resume.pt"

    @property
    def cache(self) -> Path:
        """The pool."""
        return self.path / "cache"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"

    def picture(self, step: int) -> Path:
        """The picture of the validation after a step."""
        return self.path / f"pictures/step-{step:06d}.png"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock this folder against other runs. Raises OutputError if one is working in it."""
        if self.path.is_file():
            raise self._taken("a file")
        with claim(self.path, self.path):
            yield

    def _taken(self, found: str) -> OutputError:
        return OutputError(
            "an existing output is not overwritten",
            found=found,
            where=str(self.path),
            cure="--resume continues a run; another -o begins a new one",
        )

    def begin(self, mode: Mode) -> dict[str, Any]:
        """Return the record of the run that is resumed; check that a new one has an empty folder.

        A run without a checkpoint is resumed from its beginning.
        Raises OutputError if a new run would overwrite another, InputError if there is
        nothing to resume.
        """
        self._tidy()
        if mode == "resume":
            return self.read()
        if any(self.path.iterdir()):
            raise self._taken(self._what_is_there())
        return {}

    def _what_is_there(self) -> str:
        if not self.record.exists():
            return "other files"
        return "a run" if self.state.exists() else "a run that was begun, without a checkpoint yet"

    def abandon(self) -> None:
        """Remove the files of a run that could not begin."""
        with writing(self.path):
            for path in (self.record, self.settings, self.log):
                path.unlink(missing_ok=True)
            for folder in (self.cache, self.path / "pictures"):
                shutil.rmtree(folder, ignore_errors=True)

    def _tidy(self) -> None:
        """Clean up after a kill within save_model; restore a model that it had moved away."""
        with writing(self.path):
            for model in (self.last, self.best):
                for scrap in sorted(model.parent.glob(f".{model.name}.*")):
                    if scrap.suffix == ".old" and not model.exists():
                        scrap.rename(model)
                    else:
                        shutil.rmtree(scrap)

    def read(self) -> dict[str, Any]:
        """Read the record. Raises InputError if no run was begun."""
        if not self.record.is_file():
            raise InputError(
                "only a run that has begun can be resumed",
                found="no run.json",
                where=str(self.path),
                cure="without --resume, a new run begins there",
            )
        record: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        return record

    def write_record(self, record: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        """Write the record, which marks the folder as a run, and the given settings."""
        import yaml

        with appearing(self.record) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        with appearing(self.settings) as partial:
            partial.write_text(yaml.safe_dump(dict(given), sort_keys=True), encoding="utf-8")

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        with writing(self.log), self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return the lines of the log, up to an incomplete one left by a kill."""
        if not self.log.is_file():
            return
        for line in self.log.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return

    def forget_after(self, step: int, validated: int) -> None:
        """Drop the log's lines of later steps and validations, which a resume repeats."""
        kept = [r for r in self.rows() if r["step"] <= (validated if "validation" in r else step)]
        kept = kept if step else []
        with appearing(self.log) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

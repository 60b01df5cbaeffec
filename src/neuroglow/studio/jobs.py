"""Jobs: commands at work, each a process of its own, which goes on without the page or the studio.

    FOLDER/.neuroglow-studio/jobs/ID/job.json        the command, its output, its starts
                                     log.txt         what it printed
                                     progress.json   how far it is; how it ended
                                     pid             its process, which holds the lock at work.lock

A job is at work while its lock is held: the system releases it when the process ends, however it
ends, so that no other process that has been given the same number is taken for it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neuroglow.files.locks import is_held
from neuroglow.files.writing import appearing
from neuroglow.progress_file import NAMES_FILE, read_progress
from neuroglow.studio.inside import Inside
from neuroglow.studio.orders import Order
from neuroglow.studio.parts import parts_of
from neuroglow.studio.refusals import RefusedError, missing
from neuroglow.studio.state import State

__all__ = ["Job", "JobState", "Jobs"]

JobState = Literal["waiting", "running", "done", "failed", "cancelled", "lost"]

AT_ONCE = 2
"""Jobs at work at a time; further ones wait."""

WAITING = 50
"""Jobs that may wait."""

TAIL = 8000
"""Bytes of a log that are shown."""

PATIENT = 2
"""How often a job is asked to stop, as by Ctrl-C, before it is killed."""

NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")


@dataclass(frozen=True)
class Job:
    """One job, as its files tell it."""

    folder: Path

    @property
    def id(self) -> str:
        """Its name: when it was ordered, and chance."""
        return self.folder.name

    @property
    def lock(self) -> Path:
        """Held by its process."""
        return self.folder / "work.lock"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "log.txt"

    @property
    def progress(self) -> Path:
        """How far it is, as it says itself."""
        return self.folder / "progress.json"

    def read(self) -> dict[str, Any]:
        """Read its description. Raises RefusedError if it is not there."""
        try:
            kept = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise missing(self.id, "no such job") from None
        return dict(kept)

    def write(self, **changed: Any) -> None:
        """Change its description."""
        kept = self.read() if (self.folder / "job.json").is_file() else {}
        with appearing(self.folder / "job.json") as partial:
            partial.write_text(json.dumps(kept | changed, indent=1), encoding="utf-8")

    def outputs(self) -> list[str]:
        """Return the paths that it writes."""
        kept = self.read()
        return list(kept.get("outputs", [kept["output"]]))

    def state(self) -> JobState:
        """Tell how it stands."""
        kept = self.read()
        if not kept["starts"] or kept["starts"] < kept["wanted"]:
            return "cancelled" if kept["stops"] else "waiting"
        ended = read_progress(self.progress).get("exit")
        if ended is None:
            return "running" if is_held(self.lock) else ("cancelled" if kept["stops"] else "lost")
        if ended == 0:
            return "done"
        return "cancelled" if ended == 130 or kept["stops"] else "failed"

    def pid(self) -> int:
        """Return the number of its process."""
        return int((self.folder / "pid").read_text(encoding="utf-8"))


@dataclass
class Jobs:
    """The jobs of a folder: ordered, begun in their turn, stopped, resumed."""

    inside: Inside
    home: State
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _beat: threading.Thread | None = None

    @property
    def folder(self) -> Path:
        """The folder of all jobs."""
        return self.home.folder / "jobs"

    def order(self, order: Order) -> Job:
        """Take an order, and begin it if it is its turn.

        Raises RefusedError if a path may not be used, if its output is there or being made, or if
        too many jobs wait.
        """
        if sys.platform == "win32":
            raise RefusedError(409, "jobs need Linux or macOS", cure="the command line")
        output = order.output(self.inside)
        whole = order.model_copy(update={"out": output})
        words, outputs = whole.words(self.inside), whole.outputs(self.inside)
        with self._lock:
            self._refuse(outputs)
            now = time.strftime("%Y%m%d-%H%M%S")
            job = Job(self.folder / f"{now}-{secrets.token_hex(4)}")
            job.folder.mkdir(parents=True)
            job.write(
                verb=words[0],
                words=words,
                output=output,
                outputs=outputs,
                order=order.model_dump(mode="json", exclude_none=True),
                resumes=order.resumes,
                ordered=time.time(),
                starts=0,
                wanted=1,
                stops=0,
            )
            self.turn()
        return job

    def _refuse(self, outputs: Sequence[str]) -> None:
        there = [output for output in outputs if self.inside.place(output).exists()]
        if there:
            raise RefusedError(
                409, "an existing output is not overwritten", where=there[0], cure="another name"
            )
        open_jobs = [(job, job.state()) for job in self.all()]
        for job in (job for job, state in open_jobs if _goes_on(state)):
            if same := set(job.outputs()) & set(outputs):
                rule = "two jobs do not write the same output"
                raise RefusedError(409, rule, found=f"job {job.id}", where=min(same))
        if sum(state == "waiting" for _, state in open_jobs) >= WAITING:
            raise RefusedError(
                429, f"at most {WAITING} jobs wait", cure="cancel one, or wait until one has ended"
            )

    def all(self) -> list[Job]:
        """List all jobs, the newest first."""
        if not self.folder.is_dir():
            return []
        names = sorted((f.name for f in self.folder.iterdir()), reverse=True)
        jobs = [Job(self.folder / name) for name in names if NAME.fullmatch(name)]
        return [job for job in jobs if (job.folder / "job.json").is_file()]

    def get(self, name: str) -> Job:
        """Return a job. Raises RefusedError if there is none of this name."""
        job = Job(self.folder / name)
        if not NAME.fullmatch(name) or not job.folder.is_dir():
            raise missing(name[:60], "no such job")
        return job

    def makes(self, output: str) -> bool:
        """Return whether a job goes on that makes this output."""
        return any(output in job.outputs() and _goes_on(job.state()) for job in self.all())

    def turn(self) -> None:
        """Begin the jobs whose turn it is, and look again while any waits."""
        with self._lock:
            self._children = [child for child in self._children if child.poll() is None]
            states = [(job, job.state()) for job in reversed(self.all())]
            free = AT_ONCE - sum(state == "running" for _, state in states)
            waiting = [job for job, state in states if state == "waiting"]
            for job in waiting[: max(0, free)]:
                self._begin(job)
            if (waiting or self._children) and (self._beat is None or not self._beat.is_alive()):
                self._beat = threading.Thread(target=self._look_again, daemon=True)
                self._beat.start()

    def _look_again(self) -> None:
        while True:
            time.sleep(1.0)
            with self._lock:
                self.turn()
                if not self._children and all(job.state() != "waiting" for job in self.all()):
                    self._beat = None
                    return

    def _begin(self, job: Job) -> None:
        """Start the process of a job; it holds the lock, which is handed over to it."""
        import fcntl

        kept = job.read()
        handle = os.open(job.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            job.progress.unlink(missing_ok=True)
            words = [*kept["words"]]
            if kept["starts"] and self._can_resume(job):
                words.insert(1, "--resume")
            job.write(starts=kept["wanted"], began=time.time())
            child = self._process(job, words, handle)
            (job.folder / "pid").write_text(str(child.pid), encoding="utf-8")
            self._children.append(child)
        except BlockingIOError:
            return  # another studio of this folder has begun it
        finally:
            os.close(handle)

    def _process(self, job: Job, words: Sequence[str], lock: int) -> subprocess.Popen[bytes]:
        """Start the command line in a session of its own.

        -P: without it, Python files in the folder would be imported, and so executed.
        """
        with job.log.open("ab") as log:
            log.write(f"$ neuroglow {shlex.join(words)}\n".encode())
            log.flush()
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "neuroglow", *words],
                cwd=self.inside.root,
                env={**os.environ, NAMES_FILE: str(job.progress), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock,),
            )

    def _can_resume(self, job: Job) -> bool:
        """Return whether the verb goes on with what its first start left."""
        kept = job.read()
        begun = self.inside.place(kept["output"]) / "run.json"
        return bool(kept["resumes"]) or (
            kept["verb"] == "train" and not kept["order"].get("adapt") and begun.is_file()
        )

    def _has_begun(self, job: Job) -> bool:
        """Return whether a job that failed left something to go on with, as no later one has."""
        outputs = set(job.outputs())
        if any(later.id > job.id and outputs & set(later.outputs()) for later in self.all()):
            return False
        return self._can_resume(job) and any(
            (place := self.inside.place(output)).with_name(place.name + ".partial").exists()
            or (place / "run.json").is_file()
            for output in job.outputs()
        )

    def cancel(self, job: Job) -> None:
        """Stop a job as Ctrl-C does; one that was asked before and goes on is killed.

        Raises RefusedError if it has ended.
        """
        with self._lock:
            state, stops = job.state(), job.read()["stops"]
            if not _goes_on(state):
                raise RefusedError(409, "only a job that goes on is stopped", found=state)
            job.write(stops=stops + 1)
            if state == "running":
                kill = signal.SIGINT if stops < PATIENT else signal.SIGKILL
                _signal(job.pid(), kill)

    def resume(self, job: Job) -> None:
        """Go on with a job that was stopped, failed or lost. Raises RefusedError otherwise."""
        with self._lock:
            state, kept = job.state(), job.read()
            if state not in ("failed", "cancelled", "lost"):
                raise RefusedError(409, "only a job that was stopped goes on", found=state)
            job.write(wanted=kept["starts"] + 1, stops=0)
            self.turn()

    def describe(self, job: Job) -> dict[str, Any]:
        """Return what a page shows of a job."""
        kept, told, state = job.read(), read_progress(job.progress), job.state()
        done, total, rate = (float(told.get(k) or 0) for k in ("done", "total", "rate"))
        share = 1.0 if state == "done" else min(1.0, done / total) if total else 0.0
        parts = parts_of(self.inside, kept, state, share)
        share = sum(part["progress"] for part in parts) / len(parts) if parts else share
        left = (total - done) / rate if state == "running" and total and rate else None
        return {
            "id": job.id,
            "verb": kept["verb"],
            "state": state,
            "work": told.get("work", ""),
            "progress": share,
            "done": done,
            "total": total or None,
            "unit": told.get("unit", ""),
            "rate": rate if state == "running" else 0.0,
            "remaining_s": left,
            "output": kept["output"],
            "parts": parts,
            "order": kept["order"],
            "command": f"neuroglow {shlex.join(kept['words'])}",
            "ordered": kept["ordered"],
            "began": kept.get("began"),
            "ended": told.get("at") if told.get("exit") is not None else None,
            "exit": told.get("exit"),
            "can_resume": state in ("cancelled", "lost")
            or (state == "failed" and self._has_begun(job)),
            "log": _tail(job.log),
        }


def _goes_on(state: JobState) -> bool:
    return state in ("waiting", "running")


def _signal(pid: int, number: int) -> None:
    """Send a signal to the processes of a job, as a terminal does."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # it ended in this moment


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""

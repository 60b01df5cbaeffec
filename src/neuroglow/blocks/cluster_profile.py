"""The profile of a cluster: a YAML file that says how its jobs are asked for, and their script."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from neuroglow.errors import OutputError, SettingsError
from neuroglow.files.writing import writing
from neuroglow.interrupts import uninterrupted
from neuroglow.settings import check_settings

__all__ = [
    "KINDS",
    "PROFILE",
    "Profile",
    "job_script",
    "read_profile",
    "require_dask",
    "start_cluster",
    "write_profile",
]

PROFILE = "neuroglow-cluster.yaml"
KINDS = {"slurm": "SLURM", "lsf": "LSF", "sge": "SGE", "pbs": "PBS", "local": "Local"}
ACCOUNTS = {"slurm": "account", "pbs": "account", "lsf": "project", "sge": "project"}

TEMPLATE = """\
# How `neuroglow predict ... --scheduler {kind}` asks for its workers. It is looked for in the
# current folder and as ~/.config/neuroglow/{profile}; or give --scheduler FILE.
# `neuroglow cluster script` shows the job that would be submitted.

scheduler: {kind}   # slurm, lsf, sge, pbs; local: processes on this machine, to try a profile;
                   # or the address of a scheduler that runs already, tcp://HOST:8786
jobs: 4            # so many jobs are kept running; one that ends is submitted again
workers: 1         # processes of one job; each works on one block at a time
cores: 8           # of one job, divided among its processes; for their networks
memory: 32GB       # of one job, divided among its processes. Give --max-memory (of one worker) two
                   # thirds of that: Dask ends a worker that uses 95 %
walltime: "{walltime}"   # of one job, in quotes
# queue: short     # partition or queue
# account: mylab   # account or project
# directives:      # more lines for the head of the job script, without their prefix
#   - {directive}
# prologue:        # commands before the worker starts
#   - module load cuda
# python: {python}   # default: that of the driver
# interface: ib0   # network between driver and workers
# scratch: /tmp    # a fast local folder for Dask's own files
# logs: logs       # a folder for what the jobs print
# wait_s: 3600     # a run ends if it has had no worker for so many seconds
# deaths: 3        # a block is tried alone after so many of its workers have died
"""
DIRECTIVES = {
    "slurm": "--gres=gpu:1",
    "lsf": "-gpu num=1",
    "sge": "-pe smp 8",
    "pbs": "-l ngpus=1",
    "local": "none",
}


class Profile(BaseModel):
    """How the jobs of a cluster are asked for; see TEMPLATE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheduler: str
    jobs: int = Field(default=1, ge=1)
    workers: int = Field(default=1, ge=1)
    cores: int = Field(default=1, ge=1)
    memory: str = "4GB"
    walltime: str | None = None
    queue: str | None = None
    account: str | None = None
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    python: str | None = None
    interface: str | None = None
    scratch: str | None = None
    logs: str | None = None
    wait_s: float = Field(default=3600, gt=0)
    deaths: int = Field(default=3, ge=0)

    @field_validator("scheduler")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in KINDS and "://" not in value:
            raise ValueError(f"none of {', '.join(KINDS)}, and no address such as tcp://HOST:8786")
        return value

    @property
    def address(self) -> str:
        """The address of a scheduler that runs already; empty where jobs are submitted."""
        return self.scheduler if "://" in self.scheduler else ""

    def options(self) -> dict[str, Any]:
        """Name all values as dask-jobqueue does."""
        named = {
            "cores": self.cores,
            "memory": self.memory,
            "processes": self.workers,
            "walltime": self.walltime,
            "queue": self.queue,
            "job_extra_directives": list(self.directives),
            "job_script_prologue": list(self.prologue),
            "python": self.python or sys.executable,
            "interface": self.interface,
            "local_directory": self.scratch,
            "log_directory": self.logs,
            "job_name": "neuroglow",
        }
        if self.account and self.scheduler in ACCOUNTS:
            named[ACCOUNTS[self.scheduler]] = self.account
        return {name: value for name, value in named.items() if value is not None}


def read_profile(scheduler: str) -> Profile:
    """Read what `--scheduler` says: an address, a kind (its profile is looked for), or a file.

    Raises SettingsError if there is no profile, or one that is wrong.
    """
    if "://" in scheduler:
        return check_settings(Profile, {"scheduler": scheduler})
    if not scheduler.endswith((".yaml", ".yml")):
        if scheduler not in KINDS:
            raise SettingsError(
                f"a scheduler is tcp://HOST:PORT, {', '.join(KINDS)}, or a profile (.yaml)",
                found=repr(scheduler),
                where="--scheduler",
            )
        path = _find_profile(scheduler)
    else:
        path = Path(scheduler)
    profile = _parsed(path)
    if scheduler in KINDS and profile.scheduler != scheduler:
        raise SettingsError(
            "the profile must be of the scheduler that was asked for",
            found=f"{scheduler}, and a profile of {profile.scheduler}",
            where=str(path),
            cure=f"--scheduler {profile.scheduler}, or another profile: --scheduler FILE.yaml",
        )
    return profile


def write_profile(path: Path, kind: str) -> None:
    """Write a profile with comments; raises OutputError if there is one."""
    if kind not in KINDS:
        raise SettingsError(
            f"profiles are of {', '.join(KINDS)}", found=repr(kind), where="--scheduler"
        )
    if path.exists():
        raise OutputError(
            "an existing profile is not overwritten", found="it exists", where=str(path)
        )
    text = TEMPLATE.format(
        kind=kind,
        profile=PROFILE,
        walltime="12:00" if kind == "lsf" else "12:00:00",
        directive=DIRECTIVES[kind],
        python=sys.executable,
    )
    with writing(path):
        path.write_text(text, encoding="utf-8")


def job_script(profile: Profile) -> str:
    """Return the script of a job, as it would be submitted; nothing is started."""
    if profile.address:
        raise SettingsError(
            "a job script is that of a kind of scheduler",
            found=f"the address {profile.address}: its workers were started by somebody else",
        )
    require_dask(profile)
    kind = KINDS[profile.scheduler]
    job = getattr(_module(profile.scheduler), f"{kind}Job")
    detected = {"lsf_units": "mb"} if kind == "LSF" else {}  # asked from LSF where it is installed
    made = job("tcp://ADDRESS-OF-THE-DRIVER", name="neuroglow", **profile.options(), **detected)
    return str(made.job_script())


@contextmanager
def start_cluster(profile: Profile) -> Iterator[Any]:
    """Submit the jobs of a profile, and keep as many running; all end with the driver."""
    import dask

    kind = KINDS[profile.scheduler]
    made = getattr(_module(profile.scheduler), f"{kind}Cluster")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": profile.deaths}),
        made(scheduler_options={"dashboard_address": ":0"}, **profile.options()) as cluster,
    ):
        cluster.adapt(minimum_jobs=profile.jobs, maximum_jobs=profile.jobs)
        yield cluster


def require_dask(profile: Profile) -> None:
    """Raise SettingsError where Dask is missing."""
    needed = ["distributed"] if profile.address else ["distributed", "dask_jobqueue"]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise SettingsError(
            "a cluster is reached through Dask",
            found=f"{' and '.join(missing)} not installed",
            where="--scheduler",
            cure="pip install 'neuroglow[cluster]'",
        )


def _module(kind: str) -> Any:
    """Import a kind of cluster; dask_jobqueue would take Ctrl-C, and end with status 0."""
    from importlib import import_module

    with uninterrupted():
        return import_module(f"dask_jobqueue.{kind}")


def _find_profile(kind: str) -> Path:
    home = Path(os.environ.get("XDG_CONFIG_HOME", "~/.config")).expanduser() / "neuroglow"
    for folder in (Path(), home):
        if (folder / PROFILE).is_file():
            return folder / PROFILE
    raise SettingsError(
        f"a run on {kind} needs a profile: what its jobs ask for",
        found=f"no {PROFILE} here, nor in {home}",
        where=f"--scheduler {kind}",
        cure=f"`neuroglow cluster init --scheduler {kind}` writes one, with comments",
    )


def _parsed(path: Path) -> Profile:
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(
            "a profile is one flat YAML file", found=str(error), where=str(path)
        ) from None
    if not isinstance(loaded, dict):
        raise SettingsError(
            "a profile is one flat YAML mapping", found=repr(loaded)[:80], where=str(path)
        )
    return check_settings(Profile, {str(key): value for key, value in loaded.items()})

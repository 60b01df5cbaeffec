"""The worker's side of a cluster: it settles in for a run once, then works on one block at a time.

A task carries the name of an errand and the address of a block. What an errand is (function and
settings) lies with the scheduler, from where each worker process fetches it once.
"""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from neuroglow.files.remarks import forget_remarks, hold_remarks
from neuroglow.progress import listen

__all__ = ["RefusedError", "greet", "run_errand", "threads_here"]

_MOMENT_S = 0.5
_alone = threading.Lock()
"""Held by the block at work: its network uses all threads of the worker."""

_greeted: dict[str, str] = {}
"""Runs for which this process has settled in -> their folders."""

_errands: dict[str, Callable[..., Any]] = {}
_now: dict[str, Any] = {"run": "", "told": 0.0}


class RefusedError(Exception):
    """This worker cannot work for a run: it has another package, model or file system."""

    def __init__(self, worker: str, why: str) -> None:
        super().__init__(worker, why)
        self.worker, self.why = worker, why

    def __str__(self) -> str:
        return f"worker {self.worker}: {self.why}"


def greet(run: str) -> str:
    """Settle in for a run, in a worker; return its address. Raises RefusedError."""
    with _alone:
        _settle(run)
    return _address()


def run_errand(run: str, errand: str, last: Any) -> Any:
    """Run an errand on its last argument, in a worker. Raises RefusedError."""
    with _alone:
        _settle(run)
        if errand not in _errands:
            _errands.clear()
            _errands[errand] = pickle.loads(_fetch(errand))
        return _errands[errand](last)


def threads_here() -> int:
    """Return how many threads this worker was given; all of them are the network's."""
    from distributed import get_worker

    return int(get_worker().state.nthreads)


def _settle(run: str) -> None:
    if run not in _greeted:
        said = _fetch(run)
        _compare(said)
        forget_remarks()
        hold_remarks()
        if not _greeted:
            listen(_tell)
        try:
            os.chdir(said["folder"])
            pickle.loads(said["begin"])()
        except Exception as error:
            raise RefusedError(_address(), str(error)) from None
        _greeted[run] = said["folder"]
    _now["run"] = run
    if _greeted[run] != _folder():  # a run from another folder was served meanwhile
        os.chdir(_greeted[run])


def _compare(said: Mapping[str, Any]) -> None:
    """Refuse to work for a driver of another version, before anything of it is read."""
    here = version("neuroglow")
    if here != said["version"]:
        why = f"it has neuroglow {here}, this run needs {said['version']}"
        raise RefusedError(_address(), why)


def _fetch(name: str) -> Any:
    from distributed import get_client

    found = get_client().get_metadata([name], default=None)
    if found is None:
        raise RefusedError(_address(), "the scheduler no longer knows this run")
    return found


def _address() -> str:
    from distributed import get_worker

    return f"{get_worker().address} on {socket.gethostname()}"


def _folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # each block asks
    except OSError:  # it has been removed
        return ""


def _tell(index: int, share: float) -> None:
    """Report a block's finished share to the driver, at most twice a second."""
    from distributed import get_worker

    if share < 1 and time.monotonic() - _now["told"] < _MOMENT_S:
        return
    _now["told"] = time.monotonic()
    get_worker().log_event(_now["run"], [index, share])

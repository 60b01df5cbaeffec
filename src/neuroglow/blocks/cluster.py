"""Workers on a cluster: those of a Dask scheduler, which runs already or is started by a profile.

    with work_at("slurm") as place:
        run_blocks(work, blocks, ledger=ledger, workers=place.workers(1, begin=begin))

Workers may join and leave meanwhile. A task carries a block's address and returns its receipt.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib.metadata import version
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import uuid4

from neuroglow.blocks.cluster_profile import Profile, read_profile, require_dask, start_cluster
from neuroglow.blocks.executors import Initializer, WatchedExecutor, Workers, local_workers
from neuroglow.blocks.on_worker import RefusedError, greet, run_errand
from neuroglow.errors import RunError, SettingsError, first_of
from neuroglow.files.remarks import remark

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as Sent

__all__ = ["HERE", "Place", "work_at"]

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_S = 20
GREET_S = 120
"""Seconds in which the workers that are there must have said that they can work."""

TOGETHER_S = 30.0
"""Seconds of work that is handed to a worker at once: Dask takes milliseconds for each task. If a
worker or the driver dies, so much is done again; Ctrl-C waits for it."""

_LOOK_S = 2.0


class Place:
    """This machine, as the place of work."""

    remote = False

    def ask(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function where the blocks run."""
        return fn(*args, **kwargs)

    def workers(
        self,
        count: int,
        *,
        begin: Initializer | None = None,
        limit_s: float | None = None,
        at_once: int = 1,
    ) -> Workers:
        """Describe the workers.

        begin: called once in each, before its first block. limit_s: seconds that a block may take.
        at_once: how many blocks a single worker works on at once, in threads.
        """
        return local_workers(count, initializer=begin, limit_s=limit_s, at_once=at_once)


HERE = Place()


@contextmanager
def work_at(scheduler: str | None) -> Iterator[Place]:
    """Work on this machine, or on a cluster: its address, kind, or profile.

    A cluster is connected to when it is first needed, and left at the end.
    Raises SettingsError for a profile that is none, or where Dask is missing.
    """
    if scheduler is None:
        yield HERE
        return
    profile = read_profile(scheduler)
    require_dask(profile)
    with ExitStack() as opened:
        yield Cluster(profile, opened)


@dataclass
class Cluster(Place):
    """A cluster as the place of work; `opened` closes what was started."""

    profile: Profile
    opened: ExitStack
    remote = True

    @cached_property
    def client(self) -> Client:
        """Connect, wait for the first worker, and see that those there can work for this run."""
        client = self.opened.enter_context(_connected(self.profile))
        self._await_workers(client)
        self._greet(client, None)
        return client

    def ask(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function on a worker: the driver may run on another kind of machine."""
        answer: T = self.client.submit(fn, *args, **kwargs, pure=False).result()
        return answer

    def workers(
        self,
        count: int,
        *,
        begin: Initializer | None = None,
        limit_s: float | None = None,
        at_once: int = 1,
    ) -> Workers:
        """Describe the workers of the cluster, after each has begun; raises SettingsError."""
        if count != 1:
            raise SettingsError(
                "the cluster says how many workers there are",
                found=f"{count} workers",
                where="--workers",
                cure="leave it out; `jobs` in the profile, or more `dask worker`",
            )
        run, seen = self._greet(self.client, begin), _Seen(self.client, self.profile)
        start = partial(self._start, run, seen)
        return Workers(seen.count(), start, lambda: seen.last, limit_s, TOGETHER_S)

    def _start(self, run: str, seen: _Seen) -> Executor:
        if self.client.status != "running":
            raise _lost(self.profile)
        self._await_workers(self.client)
        seen.count()
        return _ClusterExecutor(self.client, run, seen)

    def _await_workers(self, client: Client) -> None:
        if not client.nthreads():
            remark(f"waiting for workers of {self.profile.scheduler}")
        try:
            client.wait_for_workers(1, timeout=self.profile.wait_s)
        except TimeoutError:
            raise _no_worker(self.profile) from None

    def _greet(self, client: Client, begin: Initializer | None) -> str:
        """Tell the workers of a run; name those that cannot work for it."""
        from distributed import wait

        run = f"neuroglow-run-{uuid4().hex}"
        said = {"version": version("neuroglow"), "folder": os.getcwd()}  # noqa: PTH109
        client.set_metadata([run], said | {"begin": pickle.dumps(begin or int)})
        self.opened.callback(_forget, client, run)
        sent = {w: client.submit(greet, run, workers=[w], pure=False) for w in client.nthreads()}
        until = time.monotonic() + GREET_S
        while time.monotonic() < until and (asked := _unanswered(client, sent)):
            with client.as_current(), suppress(TimeoutError):  # one that leaves is not waited for
                wait(asked, timeout=_LOOK_S)
        refused = [str(f.exception()) for f in sent.values() if f.status == "error"]
        if refused:
            raise SettingsError(
                "every worker needs the driver's version of neuroglow, its model and its files",
                found=first_of(refused),
                where=f"--scheduler {self.profile.scheduler}",
                cure="the same environment and the same shared folders on all machines",
            )
        return run


@dataclass
class _Seen:
    """How many workers there are, as last looked."""

    client: Client
    profile: Profile
    last: int = 1
    some: float = field(default_factory=time.monotonic)
    looked: float = 0.0

    def count(self) -> int:
        """Look, at most every few seconds. Raises RunError if there was none for too long."""
        now = time.monotonic()
        if now - self.looked > _LOOK_S:
            try:
                there = len(self.client.nthreads())
            except (OSError, RuntimeError):
                raise _lost(self.profile) from None
            self.looked, self.last = now, max(1, there)
            self.some = now if there else self.some
            if now - self.some > self.profile.wait_s:
                raise _no_worker(self.profile)
        return self.last


class _ClusterExecutor(WatchedExecutor):
    """The executor of a connected client."""

    def __init__(self, client: Client, run: str, seen: _Seen) -> None:
        self._client, self._run, self._seen = client, run, seen
        self._sent: dict[Future[Any], Sent] = {}
        self._errand: tuple[str, tuple[Any, ...]] = ("", ())
        self._reports: SimpleQueue[tuple[int, float]] = SimpleQueue()
        client.subscribe_topic(run, lambda event: self._reports.put(tuple(event[1])))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send the last argument to a worker; it fetches the function and the others once."""
        future: Future[T] = Future()
        *same, last = args
        self._send(future, self._errand_of((fn, *same)), last)
        return future

    def told(self) -> Iterator[tuple[int, float]]:
        """Return the workers' reports since the last call, and look how many workers there are."""
        self._seen.count()
        with suppress(Empty):
            while True:
                yield self._reports.get_nowait()

    def abort(self) -> None:
        """Cancel what is waiting; what is running is not listened to any more."""
        sent = list(self._sent.values())
        self._sent.clear()
        with suppress(OSError, RuntimeError, TimeoutError):
            self._client.cancel(sent, force=True)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of Executor
        """Stop listening; the workers stay."""
        with suppress(OSError, ValueError, RuntimeError):
            self._client.unsubscribe_topic(self._run)

    def _errand_of(self, parts: tuple[Any, ...]) -> str:
        """Leave the function and its first arguments with the scheduler, unless they are there."""
        name, before = self._errand
        if len(parts) != len(before) or any(a is not b for a, b in zip(parts, before, strict=True)):
            name = f"neuroglow-errand-{uuid4().hex}"
            self._client.set_metadata([name], pickle.dumps(partial(parts[0], *parts[1:])))
            self._errand = name, parts
        return name

    def _send(self, future: Future[Any], errand: str, last: object) -> None:
        key = f"block-{uuid4().hex}"
        sent = self._client.submit(run_errand, self._run, errand, last, key=key, pure=False)
        self._sent[future] = sent
        sent.add_done_callback(partial(self._settle, future, errand, last))

    def _settle(self, future: Future[Any], errand: str, last: object, sent: Sent) -> None:
        """Pass a result on; send the block to another worker if one refused it."""
        if self._sent.pop(future, None) is None:  # given up
            return
        try:
            future.set_result(sent.result())
        except RefusedError as refused:
            remark(f"{refused}; it is sent away")
            address = refused.worker.partition(" ")[0]
            self._client.retire_workers([address], close_workers=True)
            self._send(future, errand, last)
        except Exception as error:
            future.set_exception(_as_broken(error))


def _as_broken(error: Exception) -> Exception:
    """Take a block whose workers died, or that is lost with the scheduler, for a dead worker's."""
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker | FutureCancelledError | OSError):
        return BrokenExecutor(str(error))
    return error


@contextmanager
def _connected(profile: Profile) -> Iterator[Client]:
    """Connect to the scheduler of a profile; raises SettingsError if it does not answer."""
    from distributed import Client

    with ExitStack() as stack:
        at = profile.address or stack.enter_context(start_cluster(profile))
        try:
            client = Client(at, timeout=CONNECT_S, set_as_default=False, name="neuroglow")
        except (OSError, TimeoutError, ValueError) as error:
            raise SettingsError(
                "a Dask scheduler must answer at this address",
                found=str(error),
                where=f"--scheduler {profile.scheduler}",
                cure="`dask scheduler` starts one, and says its address",
            ) from None
        yield stack.enter_context(client)


def _unanswered(client: Client, sent: Mapping[str, Sent]) -> list[Sent]:
    """List what was asked of workers that are still there, and have not answered."""
    there = client.nthreads()
    return [future for worker, future in sent.items() if worker in there and not future.done()]


def _forget(client: Client, run: str) -> None:
    with suppress(OSError, RuntimeError, TimeoutError):
        if client.status == "running":
            client.set_metadata([run], None)


def _no_worker(profile: Profile) -> RunError:
    return RunError(
        "a run on a cluster needs at least one worker",
        found=f"none for {profile.wait_s:.0f} s",
        where=f"--scheduler {profile.scheduler}",
        cure="`dask worker ADDRESS`, or look why no job starts; then --resume",
    )


def _lost(profile: Profile) -> RunError:
    return RunError(
        "a run on a cluster needs its scheduler",
        found="it does not answer any more",
        where=f"--scheduler {profile.scheduler}",
        cure="start it again; then --resume goes on",
    )

"""Where blocks run: in this thread, in worker processes, or wherever an executor sends them.

The interface is any `concurrent.futures.Executor`, in `Workers(count, start)`. That of a cluster is
in cluster.py. Nothing else in the package needs to know.
"""

from __future__ import annotations

import os
import signal
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from neuroglow.blocks.main_guard import refuse_unguarded_main
from neuroglow.errors import SettingsError
from neuroglow.files.remarks import hold_remarks
from neuroglow.interrupts import at_rest
from neuroglow.progress import Hear, hearing, listen

__all__ = [
    "SerialExecutor",
    "WatchedExecutor",
    "Workers",
    "local_workers",
    "make_executor",
    "running",
]

P = ParamSpec("P")
T = TypeVar("T")
Initializer = Callable[[], object]

_SHARE = struct.Struct("=qd")
"""A block's index and its finished share, as reported by workers."""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many blocks run at once, and how an executor for them is started.

    An executor whose worker died cannot be used again, so the function that starts one is
    passed around. now: how many workers there are now, if they join and leave. limit_s: how long
    a block may take (attempt.py). together_s: blocks are handed over together that take no longer.
    at_once: blocks at once in a single worker, in threads. patient: at Ctrl-C they finish, as in
    processes; else they end where they next report their share.
    """

    count: int
    start: Callable[[], Executor]
    now: Callable[[], int] | None = None
    limit_s: float | None = None
    together_s: float = 0.0
    at_once: int = 1
    patient: bool = True

    @property
    def in_flight(self) -> int:
        """Maximum number of submitted, unfinished blocks: enough to keep every worker busy."""
        count = self.now() if self.now else self.count
        return self.at_once if count == 1 and not self.now else 2 * count


def local_workers(
    count: int = 1,
    *,
    initializer: Initializer | None = None,
    limit_s: float | None = None,
    at_once: int = 1,
) -> Workers:
    """Describe workers on this machine; see make_executor. With a limit, one is a process, too.

    at_once: how many blocks one worker that is no process works on, in threads.
    """
    if count == 1 and limit_s is None and at_once > 1:
        return Workers(count, partial(_Threads, at_once), at_once=at_once, patient=False)
    start = partial(make_executor, count, initializer=initializer, apart=limit_s is not None)
    return Workers(count, start, limit_s=limit_s)


def make_executor(
    workers: int, *, initializer: Initializer | None = None, apart: bool = False
) -> Executor:
    """Start an executor: this thread for one worker, spawned processes for more, or if `apart`.

    initializer: called once in each worker before its first block, for example to limit torch's
        threads; picklable. Code that can fail belongs in the work, where its error is reported.
    Raises SettingsError if workers is less than one.
    """
    if workers < 1:
        raise SettingsError("at least one worker is needed", found=str(workers))
    if workers > 1 or apart:
        refuse_unguarded_main()
        return _Processes(workers, initializer)
    if initializer is not None:
        initializer()
    return SerialExecutor()


@contextmanager
def running(
    workers: Workers, hear: Hear | None = None
) -> Iterator[tuple[Executor, Callable[[], None]]]:
    """Start an executor and shut it down; on any exception end its processes at once.

    hear: called with the workers' reports about their blocks (progress.tell_share).
    Yields the executor, and a function to call now and then: it passes on the reports, and
    raises KeyboardInterrupt if Ctrl-C was pressed. Raised at any other moment it can leave a lock
    of the executor held, and the shutdown then waits for ever; in this thread there is no such
    lock, and it is raised in the work directly.
    """
    executor = workers.start()
    ear = hearing(executor.hear) if isinstance(executor, _Threads) else nullcontext()
    with ear, at_rest(waits=not isinstance(executor, SerialExecutor)) as raise_if_interrupted:

        def heed() -> None:
            if isinstance(executor, WatchedExecutor) and hear:
                for index, share in executor.told():
                    hear(index, share)
            raise_if_interrupted()

        try:
            yield executor, heed
        except BaseException:
            if isinstance(executor, WatchedExecutor):
                executor.abort()
            raise
        finally:
            executor.shutdown()
    raise_if_interrupted()


class SerialExecutor(Executor):
    """Run each call at once in the calling thread, where a debugger can follow it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call the function now; Ctrl-C passes through, other exceptions go to the future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class WatchedExecutor(Executor):
    """An executor of other threads or processes, which report about their blocks."""

    def told(self) -> Iterator[tuple[int, float]]:
        """Return the workers' reports since the last call: a block's index, its finished share."""
        raise NotImplementedError

    def abort(self) -> None:
        """Give up all running work at once."""
        raise NotImplementedError


class _Threads(WatchedExecutor, ThreadPoolExecutor):
    """Several blocks at once in this process: one is read or written while another is computed.

    Ctrl-C ends each of them where it next reports its share.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self._shares: deque[tuple[int, float]] = deque()
        self._ended = threading.Event()

    def hear(self, index: int, share: float) -> None:
        """Keep the report of a block, for the thread that drives; end the block if all end."""
        if self._ended.is_set():
            raise KeyboardInterrupt
        self._shares.append((index, share))

    def told(self) -> Iterator[tuple[int, float]]:
        """Return the reports of the blocks since the last call."""
        while self._shares:
            yield self._shares.popleft()

    def abort(self) -> None:
        """Let no block go on after its next report."""
        self._ended.set()


class _Processes(WatchedExecutor, ProcessPoolExecutor):
    """Spawned workers that ignore Ctrl-C and do not outlive the driver.

    Each worker watches a pipe; only the driver holds the other end. The kernel
    closes that end when the driver is killed; `abort` closes it on purpose.
    """

    def __init__(self, workers: int, initializer: Initializer | None) -> None:
        spawn = get_context("spawn")  # fork is unsafe with the threads of torch and BLAS
        self._watched, self._lifeline = spawn.Pipe(duplex=False)
        self._told, self._telling = spawn.Pipe(duplex=False)
        super().__init__(
            workers,
            spawn,
            initializer=_begin_worker,
            initargs=(self._watched, self._telling, initializer),
        )

    def told(self) -> Iterator[tuple[int, float]]:
        """Return the workers' reports about their blocks since the last call."""
        while self._told.poll():
            yield _SHARE.unpack(self._told.recv_bytes())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit with Ctrl-C blocked: a worker started here inherits that from its first moment."""
        with _interrupt_held_back():
            return super().submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of Executor
        """Shut down; the lifeline is closed once no worker is left."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if wait:
            for end in (self._watched, self._lifeline, self._told, self._telling):
                end.close()

    def abort(self) -> None:
        """End all workers at once, in the middle of their work."""
        self._lifeline.close()


@contextmanager
def _interrupt_held_back() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):  # Windows: _begin_worker's SIG_IGN must suffice
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(
    lifeline: Connection, telling: Connection, initializer: Initializer | None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_driver, args=(lifeline,), daemon=True).start()

    def tell(index: int, share: float) -> None:  # so few bytes reach a pipe in one piece
        with suppress(OSError):  # the driver has closed it
            telling.send_bytes(_SHARE.pack(index, share))

    listen(tell)
    hold_remarks()
    if initializer is not None:
        initializer()


def _exit_with_driver(lifeline: Connection) -> None:
    lifeline.poll(None)  # nothing is ever sent: this returns when the other end closes
    os._exit(1)

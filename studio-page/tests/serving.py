"""A studio that runs as a process of its own, and the command line that fills its folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = "a-token-for-tests-alone"


def neuroglow(*words: object, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neuroglow", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


@dataclass
class Server:
    """A studio of a folder, which can be killed and started again at the same address."""

    folder: Path
    token_file: Path
    port: int
    process: subprocess.Popen[str] | None = field(default=None)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start it, if it is not at work."""
        if self.process is not None and self.process.poll() is None:
            return
        words = ["studio", self.folder, "--no-browser", "--port", self.port]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neuroglow", *map(str, words), "--token-file", self.token_file],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert f"127.0.0.1:{self.port}/#token=" in line, line

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def held(
    word: str, ready: Callable[[], bool], verb: str = "predict", within: float = 300
) -> Iterator[int]:
    """Hold the job whose command has a word, as soon as what it is to leave is on the disk.

    So no test depends on how fast the machine is. The job goes on at the end, unless it was killed.
    """
    end = time.monotonic() + within
    group = None
    while group is None or not ready():
        assert time.monotonic() < end, f"{word} did not come so far"
        group = group or group_of(word, verb)
        time.sleep(0.002)
    os.killpg(group, signal.SIGSTOP)
    try:
        yield group
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)


def group_of(word: str, verb: str = "predict") -> int | None:
    """Find the process group of a job, by its verb and a word of its command."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            if verb.encode() in words and any(part.endswith(word.encode()) for part in words):
                return os.getpgid(int(place.name))
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""A real terminal for tests: a pseudo-terminal, for this process or for one of its own."""

import io
import os
import pty
import re
import sys
import termios
import threading
from contextlib import contextmanager

ENVIRONMENT = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}

SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """What was shown, and whether the terminal was left as it was found."""

    def __init__(self):
        self.shown = ""
        self.restored = True

    @property
    def words(self):
        """What was shown, without movements, colours and line breaks."""
        return " ".join(SEQUENCE.sub("", self.shown).split())

    @property
    def cursor_is_back(self):
        """Tell whether the cursor is visible at the end."""
        return self.shown.rfind("\x1b[?25h") >= self.shown.rfind("\x1b[?25l")

    def check_whole(self):
        """Fail where a traceback was shown, or the terminal is not as before."""
        assert "Traceback" not in self.shown, self.shown
        assert self.cursor_is_back, self.shown
        assert self.restored


@contextmanager
def own_terminal(monkeypatch, **environment):
    """Let this process write to a terminal; yields a Screen, complete at the end."""
    for name, value in (ENVIRONMENT | environment).items():
        monkeypatch.setenv(name, value)
    screen, (ours, theirs) = Screen(), pty.openpty()
    before = termios.tcgetattr(theirs)

    def read():
        while part := _read(ours):
            screen.shown += part

    reader = threading.Thread(target=read)
    reader.start()
    with monkeypatch.context() as patched:
        for name in ("stdout", "stderr"):
            raw = io.FileIO(os.dup(theirs), "w")
            writer = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", write_through=True)
            patched.setattr(sys, name, writer)
        yield screen
        screen.restored = termios.tcgetattr(theirs) == before
        for writer in (sys.stdout, sys.stderr):
            writer.close()
    os.close(theirs)
    reader.join()
    os.close(ours)


def at_terminal(words, folder, *, press_at=None, **environment):
    """Run a Python command in a process at a terminal: (status, Screen).

    press_at: a pattern; where it is shown first, Ctrl-C is typed.
    """
    child, ours = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ.update(ENVIRONMENT | environment)
        os.execv(sys.executable, [sys.executable, *map(str, words)])
    screen, before = Screen(), termios.tcgetattr(ours)
    while part := _read(ours):
        screen.shown += part
        if press_at and press_at.search(screen.words):
            os.write(ours, b"\x03")
            press_at = None
        screen.restored = termios.tcgetattr(ours) == before
    os.close(ours)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen


def _read(terminal):
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # whoever wrote to it has closed it
        return ""

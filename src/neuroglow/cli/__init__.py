"""The command line: each command parses, calls one function, prints."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from io import TextIOWrapper

from neuroglow.cli.stopping import as_command, heeding_ctrl_c
from neuroglow.errors import BlocksFailedError, NeuroglowError, RunError, StoppedError
from neuroglow.progress_file import ending_in_file

__all__ = ["main"]

GARBAGE = 50_000
"""New objects after which Python looks for garbage (by default 700): imports, which make none, take
a fourteenth less. Arrays are freed at once in any case."""


def main() -> None:
    """Run the command line; turn our errors into a message and an exit status."""
    gc.set_threshold(GARBAGE)
    _speak_any_encoding()
    with ending_in_file(), heeding_ctrl_c():
        try:
            from neuroglow.cli.commands import app  # all that takes time, once Ctrl-C is heeded

            app()
        except NeuroglowError as error:
            _end(error)
        except KeyboardInterrupt:
            _end(StoppedError("stopped before anything was begun"))
        except (OSError, RuntimeError) as error:
            if sys.flags.dev_mode or not _is_the_systems(error):
                raise
            _end(_refused(error))


def _end(error: NeuroglowError) -> None:
    """Say what went wrong, and the command that goes on where there is one."""
    goes_on = isinstance(error, StoppedError | BlocksFailedError) and "--resume" in error.cure
    command = f"\n  command: {as_command(sys.argv)}" if goes_on else ""
    if sys.stderr is not None:
        with suppress(OSError):  # a full disk, or a terminal that was closed
            sys.stderr.write(f"neuroglow: {error}{command}\n")
    sys.exit(error.exit_status)


def _is_the_systems(error: OSError | RuntimeError) -> bool:
    """Tell whether the system refused something: links in a circle are no OSError in pathlib."""
    return isinstance(error, OSError) or str(error).startswith("Symlink loop")


def _refused(error: OSError | RuntimeError) -> RunError:
    """Say what the system refused where nothing foresaw it, such as a name that is too long."""
    return RunError(
        "the system must allow what the work needs",
        found=str(error),
        cure="what the system names; `python -X dev -m neuroglow ...` shows where it was refused",
    )


def _speak_any_encoding() -> None:
    """Let a name that the terminal's encoding lacks be spelled out instead of ending the work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            with suppress(OSError, ValueError):  # a stream that cannot change goes on as it is
                stream.reconfigure(errors="backslashreplace")

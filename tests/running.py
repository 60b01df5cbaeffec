"""Run the command line in this process."""

import signal
import sys

from neuroglow.cli import main


def run(capsys, *arguments):
    """Run the command line in this process: (exit status, what it said)."""
    status = status_of(*arguments)
    said = capsys.readouterr()
    return status, said.out + said.err


def status_of(*arguments):
    """Run the command line in this process: its exit status."""
    before, heeded = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = ["neuroglow", *map(str, arguments)]
    try:
        main()
        return 0
    except SystemExit as stopped:
        return stopped.code or 0
    finally:
        sys.argv = before
        signal.signal(signal.SIGINT, heeded)

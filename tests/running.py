"""Run the command line in this process."""

import signal
import sys

from neuroglow.cli import main


def main_status(words):
    """Run the command line in this process; give its exit status."""
    before, heeded = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = ["neuroglow", *map(str, words)]
    try:
        main()
    except SystemExit as stopped:
        return stopped.code or 0
    finally:
        sys.argv = before
        signal.signal(signal.SIGINT, heeded)
    return 0


def run(capsys, *arguments):
    """Run the command line in this process: (exit status, what it said)."""
    status = main_status(arguments)
    said = capsys.readouterr()
    return status, said.out + said.err

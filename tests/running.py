"""Run the command line in this process."""

import sys

from neuroglow.cli import main


def run(capsys, *arguments):
    """Run the command line in this process: (exit status, what it said)."""
    before, sys.argv = sys.argv, ["neuroglow", *map(str, arguments)]
    try:
        main()
        status = 0
    except SystemExit as stopped:
        status = stopped.code or 0
    finally:
        sys.argv = before
    said = capsys.readouterr()
    return status, said.out + said.err

"""`neuroglow demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.cli.stopping import stopping
from neuroglow.watching import watched


def demo(
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder for the files of the demo.")
    ] = Path("demo"),
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed: each seed makes a different phantom.")
    ] = 1,
) -> None:
    """Make a phantom volume, find its faint neurites, and score them against the truth."""
    with stopping("the files that are finished are kept", "the same command begins again"):
        with watched(f"making {out}"):
            from neuroglow.demo import run_demo
        run_demo(out, seed=seed, say=typer.echo)

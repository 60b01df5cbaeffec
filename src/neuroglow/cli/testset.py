"""`neuroglow testset`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.cli.stopping import stopping
from neuroglow.watching import watched


def testset(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="A new folder.")],
    seed: Annotated[
        int, typer.Option(min=0, help="Random seed: each seed makes different volumes.")
    ] = 1,
    size: Annotated[
        int, typer.Option(min=16, max=256, help="Side of the volumes, in voxels.")
    ] = 96,
) -> None:
    """Make six synthetic volumes, from easy to hard, with their truth and predictions."""
    with stopping("the volumes that are finished are kept", "the same command goes on with them"):
        with watched(f"making {out}"):
            from neuroglow.testset import make_testset
        make_testset(out, seed=seed, size=size, say=typer.echo)

"""`neuroglow studio`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuroglow.errors import SettingsError

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Only what is in it is visible.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port.  [any free one]")]
Host = Annotated[
    str, typer.Option(help="Address to answer at; beyond 127.0.0.1, --token-file is needed.")
]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File with the token.  [a random token]")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Only print the address.")]


def studio(
    folder: Folder = Path(),
    port: Port = 0,
    host: Host = "127.0.0.1",
    token_file: TokenFile = None,
    no_browser: NoBrowser = False,
) -> None:
    """Look at the volumes of a folder in the browser, and work on them.

    Prints the address with its token; Ctrl-C ends the studio, not the jobs begun in it.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            "the studio needs packages of an extra",
            found=f"{error.name} is not installed",
            cure="pip install 'neuroglow[studio]'",
        ) from None
    from neuroglow.studio.serving import Place, serve

    place = Place(host, port, token_file)
    serve(folder, place, typer.echo, browser=not no_browser)

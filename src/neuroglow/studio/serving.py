"""Serving: the app on a port of this machine, until it is stopped."""

from __future__ import annotations

import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuroglow.errors import SettingsError

__all__ = ["Place", "serve"]

CONNECTIONS = 4000
"""Connections at a time, for which files may be open; more are answered 503: try again."""

KEPT_S = 20
"""Seconds for which a connection without a request is kept."""

QUEUE = 2048
"""Connections that wait to be accepted."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Place:
    """Where the studio answers. port: 0 is any free one. token_file: holds the token."""

    host: str = "127.0.0.1"
    port: int = 0
    token_file: Path | None = None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in LOOPBACK

    def token(self) -> str:
        """Return the token: from the file, or a new random one. Raises SettingsError."""
        if self.token_file is None:
            if not self.is_loopback:
                raise SettingsError(
                    "a studio that other machines reach needs a token of your own",
                    found=f"--host {self.host} without --token-file",
                    cure="--token-file FILE with 16 characters or more; "
                    "or leave --host out, and use an SSH tunnel",
                )
            return secrets.token_urlsafe(32)
        return _read_token(self.token_file)


def _read_token(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "the file of the token must be readable", found=str(error), where=str(file)
        ) from None
    if len(token) < 16 or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(
            "a token has 16 characters or more: ASCII, without spaces",
            found=f"{len(token)} characters",
            where=str(file),
            cure="python -c 'import secrets; print(secrets.token_urlsafe(32))' > FILE",
        )
    return token


def serve(folder: Path, place: Place, say: Callable[[str], object], *, browser: bool) -> None:
    """Serve the studio of a folder until it is stopped.

    say: called with what a person needs to know. browser: open the page.
    Raises InputError, SettingsError, and if the port is taken OutputError.
    """
    import uvicorn

    from neuroglow.studio.app import create_app

    token = place.token()
    names = () if place.is_loopback else _names_of_host(place.host)
    app = create_app(folder, token, names)
    with _bound(place) as listening:
        address = f"http://{_shown_host(place.host)}:{listening.getsockname()[1]}/#token={token}"
        say(f"the studio of {folder.resolve()}: {address}")
        if not place.is_loopback:
            say("warning: other machines reach this studio, and the connection is not encrypted")
        if browser:
            webbrowser.open(address)
        _allow_connections()
        uvicorn.Server(_config(app)).run(sockets=[listening])


def _config(app: Any) -> Any:
    import uvicorn

    from neuroglow.studio.patience import ImpatientProtocol

    return uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEPT_S,
        timeout_graceful_shutdown=3,
        lifespan="off",
        ws="none",
    )


def _allow_connections() -> None:
    """Raise the number of files that this process may open, as far as the system lets it."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 200 if hard == resource.RLIM_INFINITY else min(hard, CONNECTIONS + 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _bound(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((place.host, place.port))
        listening.listen(QUEUE)  # so that a browser may ask before the app is ready
    except (OSError, OverflowError) as error:
        listening.close()
        raise SettingsError(
            "the studio needs an address and a port that are free",
            found=str(error),
            where=f"{place.host}:{place.port}",
            cure="another --port; without one, any free port is taken",
        ) from None
    return listening


def _shown_host(host: str) -> str:
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    return f"[{shown}]" if ":" in shown else shown


def _names_of_host(host: str) -> set[str]:
    """Name this machine as others may call it."""
    return {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}

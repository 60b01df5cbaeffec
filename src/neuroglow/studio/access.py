"""Access: what every request must pass: token, Host, Origin, size, time; headers of answers."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from neuroglow.studio.refusals import body_of

__all__ = ["CSP", "LARGE_BODIES", "Access"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self' blob:; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may load: its own files alone."""

BODY = 1_000_000
"""Bytes of a request's body."""

LARGE_BODIES = {"/api/upload": 16_000_000_000, "/api/label": 300_000_000}
"""Bytes of the bodies of requests that carry voxels."""

SLOW_S = 30.0
"""Seconds for which a client may keep a part of its body, or leave an answer unread."""

REST_S = 0.5
"""Seconds for which each part of a body that nobody needs is awaited."""

OPEN = ("/api/", "/zarr/", "/openapi")
"""Beginnings of the paths that need the token; the page itself holds no data."""

TICKETS = "/ticket/"
"""Beginning of addresses that are good once, and hold a secret of their own."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
    "content-security-policy": CSP,
}


@dataclass(frozen=True)
class Access:
    """The outermost layer of the app. token: a secret. names: of this host, besides loopback's."""

    app: App
    token: str
    names: frozenset[str] = field(default=frozenset())

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        receiving = _Receiving(receive, LARGE_BODIES.get(scope["path"], BODY), _has_body(scope))
        sending = _Sending(send, receiving)
        refusal = self.refusal(scope)
        if refusal is not None:
            await _refuse(sending, *refusal)
            return
        with suppress(_BodyError, _GoneError):
            await self.app(scope, receiving, sending)
        if receiving.refusal is not None and not sending.begun:
            await _refuse(send, *receiving.refusal)

    def refusal(self, scope: Message) -> tuple[int, str] | None:
        """Tell why a request is refused: status and rule; None if it is not."""
        headers = _headers(scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "the studio answers under its own name only"
        if not _same_origin(headers, host):
            return 403, "the studio answers its own page only"
        if scope["path"].startswith(OPEN) and not self._has_token(headers):
            return 401, "a request needs the token of the address that `neuroglow studio` printed"
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            return 400, "the length of a body is a number"
        if int(length) > LARGE_BODIES.get(scope["path"], BODY):
            return 413, "the body of a request must not be larger than allowed"
        return None

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host is this machine: another name can be bound to its address."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name in self.names or _is_loopback(name)

    def _has_token(self, headers: dict[str, str]) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        right = secrets.compare_digest(given.encode(), self.token.encode())
        return scheme.lower() == "bearer" and right


class _BodyError(Exception):
    """A body is too long, or comes too slowly."""


class _GoneError(Exception):
    """A client does not read its answer."""


@dataclass
class _Receiving:
    """A request's body, counted and timed. announced: by the headers."""

    receive: Receive
    limit: int
    announced: bool
    seen: int = 0
    whole: bool = False
    refusal: tuple[int, str] | None = None

    async def __call__(self) -> Message:
        if self.whole:
            return await self.receive()  # the end of the connection, at any time
        try:
            message = await asyncio.wait_for(self.receive(), SLOW_S)
        except TimeoutError:
            self.refusal = (408, "the body of a request must come in time")
            raise _BodyError from None
        self.count(message)
        if self.seen > self.limit:
            self.refusal = (413, "the body of a request must not be larger than allowed")
            raise _BodyError
        return message

    def count(self, message: Message) -> None:
        """Count what came."""
        self.seen += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)

    async def drop_the_rest(self) -> bool:
        """Read what the app left of a small body; tell whether that ended it."""
        with suppress(TimeoutError):
            while self.announced and not self.whole and self.seen <= BODY:
                self.count(await asyncio.wait_for(self.receive(), REST_S))
        return self.whole or not self.announced


@dataclass
class _Sending:
    """An answer, with the headers of all answers; a client that does not read it is left."""

    send: Send
    receiving: _Receiving
    begun: bool = False

    async def __call__(self, message: Message) -> None:
        if self.receiving.refusal is not None and not self.begun:
            return  # what the app makes of a body that was refused
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = await self.headers(message["headers"])
        try:
            await asyncio.wait_for(self.send(message), SLOW_S)
        except TimeoutError:
            raise _GoneError from None

    async def headers(self, given: Headers) -> Headers:
        """Complete the headers; a connection whose request has not ended takes no other one.

        Otherwise the next request would be read as the rest of this one's body.
        """
        if _closes(given):
            return _with_headers(given)
        ended = await self.receiving.drop_the_rest()
        ends = [] if ended else [(b"connection", b"close")]
        return _with_headers([*given, *ends])


def _has_body(scope: Message) -> bool:
    """Tell whether a request announces a body."""
    headers = _headers(scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip("0") != ""


def _closes(headers: Headers) -> bool:
    """Tell whether the connection ends with an answer anyway."""
    return any(name.lower() == b"connection" for name, _ in headers)


def _with_headers(given: Headers) -> Headers:
    names = {name.lower() for name, _ in given}
    more = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    return [*given, *((k, v) for k, v in more if k not in names)]


def _headers(scope: Message) -> dict[str, str]:
    """Return the headers; one that is there twice has both values, and fits nothing."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _same_origin(headers: dict[str, str], host: str) -> bool:
    """Return whether a browser sent this from the studio's own page, or by a person's hand."""
    origin = headers.get("origin")
    site = headers.get("sec-fetch-site", "none")
    return origin in (None, f"http://{host}", f"https://{host}") and site in ("none", "same-origin")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _refuse(send: Send, status: int, rule: str) -> None:
    body = json.dumps(body_of(rule)).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    headers.append((b"content-length", str(len(body)).encode()))
    start = {"type": "http.response.start", "status": status, "headers": _with_headers(headers)}
    await send(start)
    await send({"type": "http.response.body", "body": body})

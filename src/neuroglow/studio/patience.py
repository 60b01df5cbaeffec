"""Patience: connections on which no request arrives whole are closed after a while."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["PATIENCE_S", "ImpatientProtocol"]

PATIENCE_S = 20.0
"""Seconds in which the head of a request must arrive."""

LINGER_S = 2.0
"""Seconds for which a client that still sends may read its answer, before the connection ends."""

UNREAD_S = 30.0
"""Seconds in which a client must read a part of its last answer."""


class ImpatientProtocol(H11Protocol):
    """A connection that is closed if its client begins a request, and does not end its head."""

    _until: asyncio.TimerHandle | None = None
    _ending: _Ending

    def connection_made(self, transport: Any) -> None:
        """Begin to wait."""
        self._ending = _Ending(transport, self)
        super().connection_made(self._ending)  # type: ignore[arg-type]  # it is one, in all we use
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait on while there is no request; else stop waiting."""
        if self._ending.is_closing():
            return
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._until is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._until = self.loop.call_later(PATIENCE_S, self._leave)

    def _stop_waiting(self) -> None:
        if self._until is not None:
            self._until.cancel()
            self._until = None

    def _leave(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _Ending:
    """A transport that is closed in two steps while its client sends: first only for our answers.

    A system that closes a connection with unread bytes resets it, and its client may lose the
    answer that was under way. A client that does not read its answer is left.
    """

    def __init__(self, transport: Any, protocol: ImpatientProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Tell whether nothing is sent or read any more."""
        return self._closing or bool(self._transport.is_closing())

    def close(self) -> None:
        """Close, now or when the client has had time to read its answer."""
        if self._closing:
            return
        self._closing = True
        if self._protocol.conn.their_state in (h11.SEND_BODY, h11.ERROR):
            self._transport.write_eof()
            self._transport.resume_reading()
            self._protocol.loop.call_later(LINGER_S, self._end)
        else:
            self._end()

    def _end(self) -> None:
        self._transport.close()
        self._leave(-1)

    def _leave(self, before: int) -> None:
        """Break off if nothing was read of what is still to be sent; else look again later."""
        unread = self._transport.get_write_buffer_size()
        if unread == before:
            self._transport.abort()
        elif unread:
            self._protocol.loop.call_later(UNREAD_S, self._leave, unread)

"""Tickets: addresses that are good once and for a minute, for pages that open without the token."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field

from neuroglow.studio.refusals import missing

__all__ = ["REPORT_CSP", "Tickets"]

LASTS_S = 60.0
MOST = 200

REPORT_CSP = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"
)
"""What a report may do: run its own scripts, show its own pictures; it has no origin."""


@dataclass
class Tickets:
    """Tickets that have been given."""

    _given: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def give(self, path: str) -> str:
        """Return a ticket for a path."""
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._given[ticket] = (time.monotonic() + LASTS_S, path)
            while len(self._given) > MOST:
                self._given.pop(next(iter(self._given)))
        return ticket

    def take(self, ticket: str) -> str:
        """Return the path of a ticket, which is then void. Raises RefusedError if it is already."""
        with self._lock:
            until, path = self._given.pop(ticket, (0.0, ""))
        if time.monotonic() > until:
            raise missing("ticket", "used before, or too old")
        return path

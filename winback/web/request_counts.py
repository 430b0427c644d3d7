"""How often which route was asked, and how it answered, for the metrics: routes as declared, never addresses."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from winback.web.answer_headers import route_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

Counted = tuple[str, str, int]
"""App, route, status."""


class RequestCounts:
    """What was asked of the apps of one process."""

    def __init__(self) -> None:
        self._counts: Counter[Counted] = Counter()
        self._lock = threading.Lock()

    def watch(self, app: ASGIApp, *, name: str) -> ASGIApp:
        """Return an app that counts what is asked of it under a name."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_counted(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._add(name, route_of(scope), message["status"])
                await send(message)

            await app(scope, receive, send_counted)

        return counted

    def read(self) -> dict[Counted, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(self._counts)

    def _add(self, app: str, route: str, status: int) -> None:
        with self._lock:
            self._counts[app, route, status] += 1

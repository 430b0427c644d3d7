"""How much a request may bring, and how long it may take to bring it.

A body is taken in whole before any handler runs, so no handler waits for a slow sender or meets half a body. What is
too large is read to its end and thrown away, so that the sender hears why. Must never happen: memory that grows with
what strangers send.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 1024 * 1024
MOST_SECONDS = 10.0
THROWN_AWAY_BYTES = 16 * MOST_BYTES
"""So much of a body that is too large is still read; after that the connection is cut."""

TOO_LARGE, TOO_SLOW = 413, 408


class RequestBounds:
    """Reads the body of each request within its bounds.

    Parameters
    ----------
    app : the rest; it gets the body in one piece
    refusal : makes the answer with a status
    most_bytes, most_seconds : of one body
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        refusal: Callable[[Scope, int], Response],
        most_bytes: int = MOST_BYTES,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        self.app, self.refusal = app, refusal
        self.most_bytes, self.most_seconds = most_bytes, most_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not _brings_body(scope):
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.most_seconds):
                body = await self._body(receive)
        except TimeoutError:
            await self._refuse(TOO_SLOW, scope, receive, send)
            return
        if body is None:
            await self._refuse(TOO_LARGE, scope, receive, send)
            return
        is_told = False

        async def whole() -> Message:
            nonlocal is_told
            if is_told:
                return await receive()
            is_told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, whole, send)

    async def _body(self, receive: Receive) -> bytes | None:
        """Return the body, or None when it is too large."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return b"".join(parts)  # whoever asked has gone
            part = message.get("body", b"")
            size += len(part)
            if size > self.most_bytes:
                parts.clear()
            else:
                parts.append(part)
            if not message.get("more_body", False) or size > THROWN_AWAY_BYTES:
                return b"".join(parts) if size <= self.most_bytes else None

    async def _refuse(self, status: int, scope: Scope, receive: Receive, send: Send) -> None:
        response = self.refusal(scope, status)
        response.headers["connection"] = "close"
        await response(scope, receive, send)


def _brings_body(scope: Scope) -> bool:
    """Whether a request says that a body follows; HTTP knows no other way to bring one."""
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in scope["headers"])

"""The headers of every answer, and what is said when a handler fails.

The outermost layer of an app: nothing leaves without these headers, not the page that says there is no such page and
not the one after a crash. Must never happen: an address with a token in a log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("winback.web")

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-robots-tag", b"noindex, nofollow"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""On every answer; a handler that sets one of them itself keeps its own."""


class AnswerHeaders:
    """Adds the headers, and answers for an app that raised.

    Parameters
    ----------
    app : the rest
    failure : makes the answer to a request whose handler raised
    """

    def __init__(self, app: ASGIApp, *, failure: Callable[[Scope], Response]) -> None:
        self.app, self.failure = app, failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                own = message.setdefault("headers", [])
                named = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(pair for pair in HEADERS if pair[0] not in named)]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:  # noqa: BLE001  whatever a handler raises, its visitor gets an answer
            # The path may hold a token, so the route is all that is told of it.
            _LOG.exception("%s %s failed", scope["method"], route_of(scope))
            if not is_answered:
                await self.failure(scope)(scope, receive, send_with_headers)


def route_of(scope: Scope) -> str:
    """Return the route of a request as it was declared (`/u/{token}`), never the address itself."""
    return str(getattr(scope.get("route"), "path", "an unknown route"))

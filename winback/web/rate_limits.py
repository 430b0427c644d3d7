"""How often one visitor, and one link, may ask within a minute.

In: requests. Out: 429 for those that are too many. Must never happen: a valid one-click unsubscribe that is refused,
however many come from one address (mail providers send them all from a few), or memory that grows with visitors.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

MOST_COUNTED = 50_000
"""Visitors and links counted at once; beyond that the minute is over early."""
TOO_MANY = 429
UNLIMITED = ("/healthz", "/assets/", "/hooks/")
"""What is not counted: watchers, the pages' look, and vendors, who sign what they send."""


class RateLimits:
    """Counts requests of the current minute and refuses what is too much.

    Parameters
    ----------
    app : the rest
    refusal : makes the answer with a status
    clock : the present instant
    is_exempt : whether a request must never be refused (a valid one-click)
    per_visitor, per_link : most requests a minute
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        refusal: Callable[[Scope, int], Response],
        clock: Callable[[], datetime],
        is_exempt: Callable[[Scope], bool],
        per_visitor: int,
        per_link: int,
    ) -> None:
        self.app, self.refusal, self.clock, self.is_exempt = app, refusal, clock, is_exempt
        self.per_visitor, self.per_link = per_visitor, per_link
        self._minute = 0
        self._counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and self._is_over(scope) and not self.is_exempt(scope):
            response = self.refusal(scope, TOO_MANY)
            response.headers["retry-after"] = "60"
            await response(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_over(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith(UNLIMITED):
            return False
        minute = int(self.clock().timestamp() // 60)
        if minute != self._minute or len(self._counts) > MOST_COUNTED:
            self._minute = minute
            self._counts.clear()
        visitor = (scope.get("client") or ("unknown",))[0]
        asked = ((f"visitor {visitor}", self.per_visitor), (f"link {path[:64]}", self.per_link))
        self._counts.update(name for name, _ in asked)
        return any(self._counts[name] > most for name, most in asked)

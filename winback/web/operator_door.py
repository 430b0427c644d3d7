"""The door of the operator app: who comes in, and what may act.

In: requests. Out: those that name this machine, carry a session and, where they act, a form that this very session was
shown on a page of ours. It stands before every route, so that no route can forget it. Must never happen: a page without
a log-in, an act that another site caused, or an answer to a name that somebody pointed at this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from fastapi import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse

from winback.web.operator_sessions import is_same
from winback.web.page_forms import Form

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from winback.web.operator_sessions import Session, Sessions

HERE = frozenset({"127.0.0.1", "localhost"})
"""What this machine may be called. Any other name was made to lead here by somebody else (DNS rebinding)."""
LOG_IN = "/log-in"
METRICS = "/metrics"
OPEN = (LOG_IN, "/assets/operator.css", "/assets/style.css")
FORM_KEY = "form_key"
MISDIRECTED, FORBIDDEN = 421, 403
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SESSION, _FORM = "winback.session", "winback.form"


class OperatorDoor:
    """Lets a request pass, sends it to the log-in, or refuses it.

    Parameters
    ----------
    app : the rest
    sessions : who is logged in
    refusal : makes the answer with a status
    metrics_token : lets its bearer read the metrics
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        sessions: Sessions,
        refusal: Callable[[Scope, int], Response],
        metrics_token: bytes,
    ) -> None:
        self.app, self.sessions, self.refusal, self.metrics_token = app, sessions, refusal, metrics_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = await self._refuse(Request(scope, receive))
        await (refused or self.app)(scope, receive, send)

    async def _refuse(self, request: Request) -> Response | None:
        """Return the answer to a request that may not pass; note the session and the form of one that may."""
        scope = request.scope
        if not is_here(request):
            return self.refusal(scope, MISDIRECTED)
        session = scope[_SESSION] = self.sessions.read(request.cookies.get(cookie_name(request), ""))
        if scope["method"] in _SAFE:
            return None if session or self._is_open(request) else _to_log_in(request)
        if not is_from_here(request):
            return self.refusal(scope, FORBIDDEN)
        try:
            form = scope[_FORM] = Form(await request.body())
        except HTTPException as problem:
            return self.refusal(scope, problem.status_code)
        is_ours = session is not None and self.sessions.is_form_key(session, form.one(FORM_KEY))
        return None if is_ours or request.url.path == LOG_IN else self.refusal(scope, FORBIDDEN)

    def _is_open(self, request: Request) -> bool:
        """Whether a page may be looked at without a session."""
        path = request.url.path
        return path in OPEN or (path == METRICS and self._may_measure(request))

    def _may_measure(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and is_same(token.strip(), self.metrics_token)


def session_of(request: Request) -> Session:
    """Return who is asking; behind the door somebody is.

    Raises
    ------
    HTTPException
        403 without a session.
    """
    session: Session | None = request.scope.get(_SESSION)
    if session is None:
        raise HTTPException(FORBIDDEN)
    return session


def is_logged_in(scope: Scope) -> bool:
    """Whether a request came with a session."""
    return scope.get(_SESSION) is not None


def form_of(request: Request) -> Form:
    """Return the form of a request that acts. The door has read it, so its body cannot be read again."""
    form: Form = request.scope[_FORM]
    return form


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie: one a port, because cookies know no ports."""
    return f"winback_operator_{request.url.port or 80}"


def is_here(request: Request) -> bool:
    """Whether a request names this machine, whatever the port: a tunnel has another."""
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}")
        port = host.port
    except ValueError:
        return False
    return host.hostname in HERE and port != 0 and not (host.path or host.username)


def is_from_here(request: Request) -> bool:
    """Whether a browser says that what acts stands on one of our own pages; one that says nothing is not believed."""
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    return request.headers.get("origin", "") == f"http://{request.headers.get('host', '')}"


def _to_log_in(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{LOG_IN}?next={quote(wanted, safe='')}", status_code=303)

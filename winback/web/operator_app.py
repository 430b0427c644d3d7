"""The operator app: what the people who run winback see and press. On this machine only, behind a log-in.

In: a project, its open ledger and a clock. Out: an ASGI app with the operator routes of INTERFACE. Pages are plain
forms that work without JavaScript. Whoever adds routes adds a function to :data:`ROUTERS`, and gets log-in, form keys,
headers, bounds and the pages for problems with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from winback import __version__
from winback.errors import StoreError
from winback.web import (
    experiment_pages,
    explain_pages,
    log_in_pages,
    metrics_page,
    outbox_viewer,
    overview_pages,
    page_previews,
    plan_pages,
    suppression_pages,
)
from winback.web.answer_headers import AnswerHeaders
from winback.web.operator_desk import Desk
from winback.web.operator_door import OperatorDoor
from winback.web.operator_sessions import metrics_token
from winback.web.request_bounds import RequestBounds
from winback.web.request_counts import RequestCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

    from winback.ledger.engine import Ledger
    from winback.settings import Project

ROUTERS: tuple[Callable[[Desk], APIRouter], ...] = (
    log_in_pages.make_routes,
    overview_pages.make_routes,
    explain_pages.make_routes,
    outbox_viewer.make_routes,
    plan_pages.make_routes,
    suppression_pages.make_routes,
    experiment_pages.make_routes,
    page_previews.make_routes,
    metrics_page.make_routes,
)
"""What makes the routes of each concern."""


def make_operator_app(
    project: Project,
    ledger: Ledger,
    *,
    clock: Callable[[], datetime],
    counts: RequestCounts | None = None,
    routers: Sequence[Callable[[Desk], APIRouter]] = ROUTERS,
) -> ASGIApp:
    """Return the app.

    Parameters
    ----------
    project, ledger : opened; the ledger stays open as long as the app is served
    clock : the present instant (aware)
    counts : what was asked of all apps of this process
    routers : each makes the routes of one concern for a desk

    Raises
    ------
    StoreUnavailable
        If a token of the pages can be read by others.
    """
    desk = Desk(project, ledger, clock=clock, counts=counts or RequestCounts())
    app = FastAPI(
        title="winback, operator pages",
        version=__version__,
        openapi_url=None,  # forms for people, no interface for programs
        redirect_slashes=False,
        middleware=[
            Middleware(RequestBounds, refusal=desk.problem),
            Middleware(
                OperatorDoor, sessions=desk.sessions, refusal=desk.problem, metrics_token=metrics_token(project)
            ),
        ],
    )

    @app.exception_handler(HTTPException)
    def explain(request: Request, error: HTTPException) -> Response:
        return desk.problem(request.scope, error.status_code)

    @app.exception_handler(StoreError)
    def ask_for_patience(request: Request, _error: StoreError) -> Response:
        return desk.problem(request.scope, 503)

    app.state.desk = desk
    app.include_router(_assets(desk))
    for make in routers:
        app.include_router(make(desk))
    return AnswerHeaders(app, failure=lambda scope: desk.problem(scope, 500))


def _assets(desk: Desk) -> APIRouter:
    routes = APIRouter()

    @routes.get("/assets/operator.css", summary="The look of the pages")
    def style() -> PlainTextResponse:
        return PlainTextResponse(desk.style, media_type="text/css", headers={"cache-control": "no-cache"})

    return routes

"""The public app: what the links in messages open.

In: a project, its open ledger and a clock. Out: an ASGI app with the routes of INTERFACE. Pages are plain forms that
work without JavaScript. GET, HEAD and OPTIONS never change anything. Whoever adds routes calls
:func:`make_public_app` with them, and gets headers, bounds, limits and the pages for problems with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response

from winback import __version__
from winback.core.message_links import held_prefix
from winback.errors import StoreError
from winback.web import landing_pages, opt_out_pages, preference_pages, vendor_hooks
from winback.web.answer_headers import AnswerHeaders
from winback.web.api_description import DescribedApp
from winback.web.rate_limits import RateLimits
from winback.web.request_bounds import RequestBounds
from winback.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from starlette.requests import Request
    from starlette.types import ASGIApp, Scope

    from winback.ledger.engine import Ledger
    from winback.settings import Project
    from winback.web.visit_log import VisitLog

ROUTERS: tuple[Callable[[Site], APIRouter], ...] = (
    landing_pages.make_routes,
    opt_out_pages.make_routes,
    preference_pages.make_routes,
    vendor_hooks.make_routes,
)
"""What makes the routes of each concern. They are tried in this order, and most visitors follow a short link."""


_IS_WELL = {
    "application/json": {
        "schema": {"type": "object", "properties": {"ok": {"const": True}}, "required": ["ok"]},
    },
}


class StyleSheet(Response):
    """The look of pages."""

    media_type = "text/css"


def make_public_app(
    project: Project,
    ledger: Ledger,
    *,
    clock: Callable[[], datetime],
    visit_log: VisitLog | None = None,
    routers: Sequence[Callable[[Site], APIRouter]] = ROUTERS,
) -> ASGIApp:
    """Return the app.

    Parameters
    ----------
    project, ledger : opened; the ledger stays open as long as the app is served
    clock : the present instant (aware)
    visit_log : where visits are noted, which its owner lets write; None notes none
    routers : each makes the routes of one concern for a site

    Raises
    ------
    SettingsError, PolicyError
        If what the pages are made of is not sound.
    """
    site = Site(project, ledger, clock=clock, visit_log=visit_log)
    app = DescribedApp(
        title="winback, public pages",
        version=__version__,
        docs_url=None,  # the pages that show it load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(
                RateLimits,
                refusal=site.problem,
                clock=clock,
                is_exempt=lambda scope: _is_one_click(site, scope),
                per_visitor=project.config.web.per_visitor,
                per_link=project.config.web.per_link,
            ),
            Middleware(RequestBounds, refusal=site.problem),
        ],
    )

    _answer_problems(app, site)
    app.state.site = site
    app.include_router(_service_routes(site))
    for make in routers:
        app.include_router(make(site))
    return AnswerHeaders(app, failure=lambda scope: site.problem(scope, 500))


def _answer_problems(app: DescribedApp, site: Site) -> None:
    """Give an app its pages for what is not there, and for a ledger that cannot be asked."""

    @app.exception_handler(HTTPException)
    def explain(request: Request, error: HTTPException) -> Response:
        return site.problem(request.scope, error.status_code)

    @app.exception_handler(StoreError)
    def ask_for_patience(request: Request, _error: StoreError) -> Response:
        # Machines that unsubscribe somebody come again by themselves.
        response = site.problem(request.scope, 503)
        response.headers["retry-after"] = "30"
        return response


def _is_one_click(site: Site, scope: Scope) -> bool:
    """Whether a request is an unsubscribe with a token of ours: such a one is taken however many there are."""
    path: str = scope["path"]
    if scope["method"] != "POST" or not path.startswith("/u/"):
        return False
    return held_prefix(path.removeprefix("/u/"), "unsubscribe", keys=site.keys) is not None


def _service_routes(site: Site) -> APIRouter:
    """Return the routes that no person follows."""
    routes = APIRouter()

    @routes.get("/healthz", summary="Whether the pages can be served", responses={200: {"content": _IS_WELL}})
    def healthz() -> JSONResponse:
        with site.ledger.reading() as connection:
            connection.exec_driver_sql("SELECT 1")
        return JSONResponse({"ok": True})

    @routes.get("/assets/style.css", summary="The look of the pages", response_class=StyleSheet)
    def style() -> StyleSheet:
        return StyleSheet(site.style, headers={"cache-control": "public, max-age=3600"})

    return routes

"""`/log-in` and `/log-out`: the token of the project opens a session under a name of one's own."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from winback.web.operator_desk import seen
from winback.web.operator_door import LOG_IN, cookie_name, session_of
from winback.web.operator_sessions import SESSION_HOURS, token_file

if TYPE_CHECKING:
    from winback.web.operator_desk import Desk

_WRONG = "That is not the token."
_TOO_MANY = "Too many wrong tokens. Wait a minute."


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of coming in and going."""
    routes = APIRouter(default_response_class=HTMLResponse)

    # The link in the terminal brings the token along; looking at the form still opens nothing.
    @routes.get(LOG_IN, summary="The form that opens a session")
    def ask(request: Request) -> Response:
        wanted = _inside(request.query_params.get("next", "/"))
        return _form(desk, token=request.query_params.get("token", "")[:200], name=_user(), wanted=wanted)

    @routes.post(LOG_IN, summary="Open a session")
    def open_session(request: Request) -> Response:
        form = desk.form(request)
        wanted, name = _inside(form.one("next")), form.one("name")
        cookie = desk.sessions.open(form.one("token"), name)
        if cookie is None:
            waits = desk.sessions.must_wait()
            fault = _TOO_MANY if waits else _WRONG
            return _form(desk, name=name, wanted=wanted, fault=fault, status=429 if waits else 403)
        response = seen(wanted)
        response.set_cookie(
            cookie_name(request), cookie, max_age=SESSION_HOURS * 3600, httponly=True, samesite="strict"
        )
        return response

    @routes.post("/log-out", summary="End the session")
    def end_session(request: Request) -> Response:
        desk.sessions.end(session_of(request))
        response = seen(LOG_IN)
        response.delete_cookie(cookie_name(request), httponly=True, samesite="strict")
        return response

    return routes


def _form(desk: Desk, *, wanted: str, name: str, token: str = "", fault: str = "", status: int = 200) -> Response:
    file = token_file(desk.project)
    return desk.bare_page("log_in.html", status=status, wanted=wanted, name=name, token=token, fault=fault, file=file)


def _inside(wanted: str) -> str:
    """Return a path of these pages, whatever somebody put into a link."""
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return wanted if is_path and wanted.isprintable() else "/"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return ""

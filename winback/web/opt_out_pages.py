"""`/u/{token}`: the way out of a message, for people and, by RFC 8058, for their mail providers.

GET shows one button and changes nothing, because scanners follow every link. POST acts: without log-in, cookies or
confirmation, from wherever it comes, and answers when the no is committed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, Response

from winback.core.message_links import held_prefix
from winback.core.visit_verdicts import Link
from winback.night import unsubscribe as unsubscribing
from winback.web.page_forms import FORM

if TYPE_CHECKING:
    from winback.web.site import Site


def make_routes(site: Site) -> APIRouter:
    """Return the routes of unsubscribing."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.head("/u/{token}", include_in_schema=False)
    @routes.get("/u/{token}", summary="The button that unsubscribes; changes nothing")
    def ask(request: Request, token: str) -> Response:
        message = unsubscribing.find(site.ledger, _prefix(site, token))
        if message is None:
            raise HTTPException(404)
        site.note_visit(request, message, Link.UNSUBSCRIBE)
        language = site.language(request.scope, [message.locale])
        return site.page("unsubscribe.html", language, channel=language.texts["channels"][message.channel])

    @routes.post("/u/{token}", summary="Unsubscribe (RFC 8058)", openapi_extra=FORM)
    def act(request: Request, token: str) -> Response:
        now = site.clock()
        today = site.project.business_date(now)
        message = unsubscribing.unsubscribe(site.ledger, _prefix(site, token), now=now, today=today)
        if message is None:
            raise HTTPException(404)
        language = site.language(request.scope, [message.locale])
        return site.page("unsubscribed.html", language, channel=language.texts["channels"][message.channel])

    return routes


def _prefix(site: Site, token: str) -> str:
    prefix = held_prefix(token, "unsubscribe", keys=site.keys)
    if prefix is None:
        raise HTTPException(404)
    return prefix

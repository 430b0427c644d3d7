"""`/pages`: every landing page as people would see it, in every language, before anybody has.

In: a programme, a step, a language. Out: the page itself in a frame, made from the policies, texts and colours as they
are on disk now. Nothing can be sent from it: the frame carries no form out, and there is no message behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from winback.night.landing import imagined
from winback.night.render import step_of
from winback.web.answer_headers import POLICY
from winback.web.landing_pages import looked_at
from winback.web.site import Site

if TYPE_CHECKING:
    from winback.core.policy import Step
    from winback.web.operator_desk import Desk

# The page may be framed by these pages, and its form leads nowhere.
_FRAMED = POLICY.replace("form-action 'self'", "form-action 'none'").replace("ancestors 'none'", "ancestors 'self'")
_AROUND = f"{POLICY}; frame-src 'self'"


class Shown(NamedTuple):
    """One step that leads to a landing page."""

    programme: str
    number: int
    step: Step

    @property
    def path(self) -> str:
        """Where its preview is."""
        return f"/pages/{self.programme}/{self.number}"


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of previews."""
    routes = APIRouter(default_response_class=HTMLResponse)

    def site() -> Site:
        # Made anew each time, so that a text that is being written is seen as it is.
        return Site(desk.project, desk.ledger, clock=desk.clock)

    @routes.get("/pages", summary="Every landing page")
    def pages(request: Request) -> Response:
        return desk.page(request, "landing_previews.html", shown=_all_shown(site()))

    @routes.get("/pages/{programme}/{number:int}", summary="One landing page, in one language")
    def page(request: Request, programme: str, number: int, language: str = "") -> Response:
        made = site()
        one = _shown(made, programme, number)
        speaks = made.texts.choose([language]).code
        answer = desk.page(
            request, "landing_preview.html", one=one, language=speaks, languages=sorted(made.texts.languages)
        )
        answer.headers["content-security-policy"] = _AROUND
        return answer

    @routes.get("/pages/{programme}/{number:int}/{language}", summary="What stands in the frame")
    def framed(request: Request, programme: str, number: int, language: str) -> Response:
        made = site()
        one = _shown(made, programme, number)
        if language not in made.texts.languages:
            raise HTTPException(404)
        answer = looked_at(made, request, imagined(one.step, one.programme, one.number, locale=language))
        # A frame that may do nothing has no origin of its own, so that 'self' is nobody.
        answer.headers["content-security-policy"] = _FRAMED.replace("style-src 'self'", f"style-src {request.base_url}")
        answer.headers["x-frame-options"] = "SAMEORIGIN"
        return answer

    @routes.get("/assets/style.css", summary="The look of the public pages")
    def style() -> PlainTextResponse:
        return PlainTextResponse(site().style, media_type="text/css", headers={"cache-control": "no-cache"})

    return routes


def _all_shown(site: Site) -> list[Shown]:
    return [
        Shown(name, number, step)
        for name, programme in sorted(site.programmes.items())
        for number, step in enumerate(programme.ladder.steps, start=1)
        if step.url is None
    ]


def _shown(site: Site, programme: str, number: int) -> Shown:
    step = step_of(site.programmes, programme, number)
    if step is None or step.url is not None:
        raise HTTPException(404)
    return Shown(programme, number, step)

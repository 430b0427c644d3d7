"""`/s/{code}` and `/l/{code}`: the short link of a message, and the page it opens: survey, contest, coupon.

A short link only ever opens a page or leads to an address that was stored with its message; so does the link in mails
that nobody sees, which tells programs from people. What acts is the form, and what it does is done once. A coupon is in
no page that is only looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from babel import Locale
from babel.dates import format_date
from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response

from winback.core.message_links import coded_prefix, short_code
from winback.core.visit_verdicts import Link
from winback.night import landing as landings
from winback.web.api_description import problem
from winback.web.page_forms import FORM, read_form

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from winback.night.landing import Landing
    from winback.night.page_texts import Language
    from winback.web.page_forms import Form
    from winback.web.site import Site

SCALE = ("1", "2", "3", "4", "5")
LONGEST_COMMENT = 1000
NOTHING_TO_DO, UNFINISHED = 405, 422


def make_routes(site: Site) -> APIRouter:
    """Return the routes of links and landing pages."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.head("/s/{code}", include_in_schema=False)
    @routes.get(
        "/s/{code}",
        status_code=302,
        response_class=RedirectResponse,
        summary="Where a message leads; changes nothing",
    )
    async def follow(request: Request, code: str) -> Response:
        link, found = Link.ACT, await site.look(landings.target_of, _prefix(code))
        if found is None:
            link, found = Link.UNSEEN, await site.look(partial(landings.unseen_target_of, keys=site.keys), code)
        if found is None:
            raise HTTPException(404)
        message, target = found
        site.note_visit(request, message, link)
        if target is None:
            return RedirectResponse(f"/l/{short_code(message.message_id)}", status_code=302)
        if not is_allowed(target, site.project.config.web.link_hosts):
            raise HTTPException(404)
        return RedirectResponse(target, status_code=302)

    @routes.head("/l/{code}", include_in_schema=False)
    @routes.get("/l/{code}", summary="The page of a message; changes nothing, shows no coupon")
    def show(request: Request, code: str) -> Response:
        landing = _landing(site, code)
        site.note_visit(request, landing.message, Link.LANDING)
        return _page(site, request, landing)

    @routes.post(
        "/l/{code}",
        summary="Answer, enter, or see the coupon",
        openapi_extra=FORM,
        responses={status: problem(status) for status in (NOTHING_TO_DO, UNFINISHED)},
    )
    async def act(request: Request, code: str) -> Response:
        return await run_in_threadpool(_act, site, request, code, await read_form(request))

    return routes


def is_allowed(target: str, hosts: Collection[str]) -> bool:
    """Whether anybody may be led to an address: https, on a host of the list, without anything that hides another."""
    try:
        parts = urlsplit(target)
        is_plain = parts.scheme == "https" and parts.netloc == parts.hostname and target.isascii()
    except ValueError:
        return False
    has_traps = any(letter in target for letter in "\\@") or any(ord(letter) <= ord(" ") for letter in target)
    return is_plain and not has_traps and target.startswith("https://") and parts.hostname in hosts


def _prefix(code: str) -> str:
    prefix = coded_prefix(code)
    if prefix is None:
        raise HTTPException(404)
    return prefix


def _landing(site: Site, code: str) -> Landing:
    found = landings.open_landing(site.ledger, _prefix(code), programmes=site.programmes)
    if found is None:
        raise HTTPException(404)
    return found


def _act(site: Site, request: Request, code: str, form: Form) -> Response:
    landing = _landing(site, code)
    now = site.clock()
    if landing.step.kind == "coupon":
        # A code is good to the end of its last day where the person is, not where the shop is.
        today = site.local_date(landing.place, now)
        coupon = landings.reveal_coupon(site.ledger, landing, now=now, today=today)
        language, texts = _speech(site, request, landing)
        until = format_date(coupon.expires_on, "long", locale=language.code) if coupon and coupon.expires_on else ""
        is_over = coupon is not None and coupon.expires_on is not None and coupon.expires_on < today
        has_pool = landing.step.pool is not None
        return site.page(
            "coupon_shown.html", language, texts=texts, coupon=coupon, until=until, is_over=is_over, has_pool=has_pool
        )
    read = READ.get(landing.step.kind)
    if read is None:
        raise HTTPException(NOTHING_TO_DO)
    if landing.answered is None:
        _, texts = _speech(site, request, landing)
        detail, fault = read(form, landing, texts)
        if fault:
            return _page(site, request, landing, fault=texts[fault], form=form)
        landings.answer(site.ledger, landing, detail, now=now)
    return _done(site, request, landing)


def looked_at(site: Site, request: Request, landing: Landing) -> Response:
    """Return the page of somebody who looks at it; nothing comes of it."""
    return _page(site, request, landing)


def _read_survey(form: Form, _landing: Landing, texts: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    score, reason = form.one("score"), form.one("reason")
    if score not in SCALE:
        return {}, "missing"
    detail: dict[str, Any] = {"score": int(score)}
    if reason in {str(place) for place in range(len(texts["reasons"]))}:
        detail["reason"] = int(reason)
    if comment := form.one("comment")[:LONGEST_COMMENT]:
        detail["comment"] = comment
    return detail, ""


def _read_contest(form: Form, landing: Landing, texts: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    said, country = form.one("answer"), form.one("country")
    is_whole = said in {str(place) for place in range(len(texts["answers"]))}
    if not (is_whole and form.one("age") == "yes" and form.one("agreed") == "yes" and country):
        return {}, "missing"
    if country not in landing.step.countries:
        return {}, "elsewhere"
    return {"answer": int(said), "country": country, "terms": landing.step.terms_url}, ""


READ: dict[str, Callable[[Form, Landing, Mapping[str, Any]], tuple[dict[str, Any], str]]] = {
    "survey": _read_survey,
    "contest": _read_contest,
}
"""What makes of each form an answer, or names the text that says what is missing."""


def _speech(site: Site, request: Request, landing: Landing) -> tuple[Language, Mapping[str, Any]]:
    """Return the language of a page, and the section of its texts; the step's own over that of its kind."""
    language = site.language(request.scope, [landing.locale])
    own = language.texts.get(landing.step.page or landing.step.kind, {})
    return language, {**language.texts[landing.step.kind], **own}


def _page(site: Site, request: Request, landing: Landing, *, fault: str = "", form: Form | None = None) -> Response:
    if landing.answered is not None and landing.step.kind != "coupon":
        return _done(site, request, landing)
    language, texts = _speech(site, request, landing)
    territories = Locale.parse(language.code).territories
    named = sorted((territories.get(code, code), code) for code in landing.step.countries)
    said = {name: form.one(name) if form else "" for name in ("score", "reason", "comment", "answer", "age", "agreed")}
    return site.page(
        f"{landing.step.kind}.html",
        language,
        status=UNFINISHED if fault else 200,
        texts=texts,
        fault=fault,
        said=said,
        scale=SCALE,
        countries=named,
        country=form.one("country") if form else landing.country,
        terms_url=landing.step.terms_url,
    )


def _done(site: Site, request: Request, landing: Landing) -> Response:
    language, texts = _speech(site, request, landing)
    return site.page("answered.html", language, texts=texts)

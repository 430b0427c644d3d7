"""`/p/{token}`: what a person gets, and a form that changes it: channels, topics, fewer, a pause, the language.

The pause stands before the button that stops everything. GET changes nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from babel.dates import format_date
from fastapi import APIRouter, HTTPException, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from winback.core.message_links import held_prefix
from winback.core.visit_verdicts import Link
from winback.ledger.keys import CHANNELS
from winback.night.choose import KEEP, PAUSES_DAYS, Choices, Standing, choose, standing, stop_everything
from winback.web.page_forms import FORM, read_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from winback.night.page_texts import Language
    from winback.web.page_forms import Form
    from winback.web.site import Site

STOP = "stop"
"""What the button that stops everything sends."""


def make_routes(site: Site) -> APIRouter:
    """Return the routes of the preference centre."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.head("/p/{token}", include_in_schema=False)
    @routes.get("/p/{token}", summary="What this person gets; changes nothing")
    def show(request: Request, token: str) -> Response:
        stands = _standing(site, token)
        site.note_visit(request, stands.message, Link.PREFERENCES)
        return _page(site, site.language(request.scope, [stands.locale]), stands)

    @routes.post("/p/{token}", summary="Change what this person gets", openapi_extra=FORM)
    async def change(request: Request, token: str) -> Response:
        return await run_in_threadpool(_change, site, request, token, await read_form(request))

    return routes


def _change(site: Site, request: Request, token: str, form: Form) -> Response:
    stands = _standing(site, token)
    language = site.language(request.scope, [stands.locale])
    now = site.clock()
    today = site.project.business_date(now)
    if form.one("do") == STOP:
        stop_everything(site.ledger, stands, now=now, today=today)
        return site.page("stopped.html", language)
    after = choose(site.ledger, stands, _choices(site, form, language), now=now, today=today)
    if after is None:
        raise HTTPException(404)
    # In the language that was just chosen.
    return _page(site, site.language(request.scope, [after.locale]), after, is_saved=True)


def _standing(site: Site, token: str) -> Standing:
    prefix = held_prefix(token, "preferences", keys=site.keys)
    channels = [name for name in CHANNELS if getattr(site.project.config.channels, name) is not None]
    topics = [name for name, programme in site.programmes.items() if programme.topic]
    found = None if prefix is None else standing(site.ledger, prefix, channels=channels, topics=topics)
    if found is None:
        raise HTTPException(404)
    return found


def _choices(site: Site, form: Form, language: Language) -> Choices:
    """Return what a form says; whatever is not among the possible answers is left as it is."""
    pauses = {str(days): days for days in (0, *PAUSES_DAYS)}
    chosen = form.one("language")
    return Choices(
        offered=form.every("offered"),
        chosen=form.every("chosen"),
        wants_fewer=form.one("fewer") == "yes",
        pause_days=pauses.get(form.one("pause"), KEEP),
        language=chosen if chosen in site.texts.languages else None,
        wording=wording_of(language),
    )


def wording_of(language: Language) -> str:
    """Return the name of the words a person agreed to: the language and a hash of the very text."""
    said = "\n".join(language.texts["preferences"][name] for name in ("lead", "channels_hint"))
    return f"preference page, {language.code}, {hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _page(site: Site, language: Language, stands: Standing, *, is_saved: bool = False) -> Response:
    today = site.project.business_date(site.clock())
    until = stands.preference.paused_until
    is_paused = until is not None and until > today
    return site.page(
        "preferences.html",
        language,
        stands=stands,
        topics=[(name, _title(site.programmes[name].topic, language), is_on) for name, is_on in stands.topics.items()],
        pauses=PAUSES_DAYS,
        paused_until=format_date(until, "long", locale=language.code) if until is not None and is_paused else "",
        languages=[(one.code, one.texts["common"]["language"]) for one in site.texts.languages.values()],
        is_saved=is_saved,
    )


def _title(topic: Mapping[str, str], language: Language) -> str:
    """Return what a programme is called in a language, else in English, else in whichever there is."""
    return topic.get(language.code) or topic.get("en") or next(iter(topic.values()))

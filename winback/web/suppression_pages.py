"""`/suppressions`: who is not written to, since when and why; and a form that says no for somebody.

Addresses stand in the list by the beginning of their keyed hash, and what somebody looks for is sent in a form, so that
it is in no address and no log. Nothing is lifted here: only the person can take a no back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, Response

from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.ledger import refusal_lists, standing
from winback.ledger.keys import CHANNELS
from winback.ledger.refusals import ALL, Act
from winback.night.refuse import REASONS, read_address, suppress_in
from winback.web.operator_door import session_of

if TYPE_CHECKING:
    from winback.ledger.refusal_lists import Listed
    from winback.web.operator_desk import Desk

ROWS_SHOWN = 100
LARGEST_ID = 2**62
_NEW = "Suppressed from now on; what is queued is stopped at the gate, too."
_KNOWN = "It held already."
_SENTENCES = {reason.value: reason.sentence for reason in Reason}


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of refusals."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.get("/suppressions", summary="Who is not written to")
    def suppressions(request: Request) -> Response:
        return _page(desk, request, before=_before(request))

    @routes.post("/suppressions/search", summary="Look somebody up")
    def search(request: Request) -> Response:
        who = desk.form(request).one("who")
        try:
            return _page(desk, request, who=who, found=_about(desk, who))
        except UsageError as problem:
            return _page(desk, request, who=who, fault=str(problem), status=422)

    @routes.post("/suppressions", summary="Say no for somebody")
    def suppress(request: Request) -> Response:
        form, now = desk.form(request), desk.clock()
        who, channel, reason = (form.one(name) for name in ("who", "channel", "reason"))
        if channel not in {*CHANNELS, ALL}:
            raise HTTPException(400)
        act = Act(now, desk.project.business_date(now), source="operator", actor=session_of(request).actor)
        try:
            done = suppress_in(desk.ledger, who, act, channel=channel, reason=reason)
        except UsageError as problem:
            return _page(desk, request, who=who, fault=str(problem), status=422)
        note = (
            "Suppressed from now on; what is queued is stopped at the gate, too." if done["new"] else "It held already."
        )
        return _page(desk, request, who=who, found=_about(desk, who), note=note)

    return routes


def _about(desk: Desk, who: str) -> list[Listed]:
    if not who:
        raise UsageError("Name an e-mail address, a phone number (+...) or a customer id.")
    address = read_address(who)
    with desk.ledger.reading() as connection:
        if address is None:
            return refusal_lists.about_customer(connection, who, pepper=desk.ledger.pepper)
        return refusal_lists.about_address(connection, address, pepper=desk.ledger.pepper)


def _page(
    desk: Desk,
    request: Request,
    *,
    before: int | None = None,
    who: str = "",
    found: list[Listed] | None = None,
    note: str = "",
    fault: str = "",
    status: int = 200,
) -> Response:
    with desk.ledger.reading() as connection:
        listed = refusal_lists.list_refusals(connection, before=before, limit=ROWS_SHOWN + 1)
        counts = standing.suppressions_by_reason(connection)
    return desk.page(
        request,
        "suppressions.html",
        status=status,
        counts=counts,
        listed=listed[:ROWS_SHOWN],
        next_before=listed[ROWS_SHOWN - 1].id if len(listed) > ROWS_SHOWN else None,
        is_first=before is None,
        who=who,
        found=found,
        note=note,
        fault=fault,
        sentences=_SENTENCES,
        channels=(ALL, *CHANNELS),
        reasons=[reason.value for reason in REASONS],
    )


def _before(request: Request) -> int | None:
    """Return where the page before ended, as its link says."""
    asked = request.query_params.get("before", "")
    is_number = asked.isascii() and asked.isdigit()
    return min(int(asked[:20]), LARGEST_ID) if is_number else None

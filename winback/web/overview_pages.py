"""`/`: what happened in the last nights, who stands where, what is held, and the red button."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from winback.ledger import held_steps, live_nights, safety, standing, switches, unknowns
from winback.ledger.standing import Held
from winback.web.operator_desk import seen
from winback.web.operator_door import session_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from winback.ledger.standing import NightCounts
    from winback.web.operator_desk import Desk

NIGHTS_SHOWN = 7


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of the first page."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.get("/", summary="How things stand")
    def overview(request: Request) -> Response:
        return _overview(desk, request)

    @routes.post("/stop", summary="Press the red button")
    def stop(request: Request) -> Response:
        reason = desk.form(request).one("reason") or "stopped in the operator pages"
        with desk.ledger.writing() as connection:
            switches.press(connection, at=desk.clock(), by=session_of(request).actor, reason=reason)
        return seen("/")

    @routes.post("/resume", summary="Release the red button")
    def resume(request: Request) -> Response:
        reason = desk.form(request).one("reason")
        if not reason:
            return _overview(desk, request, fault="Say why it is safe to send again.", status=422)
        with desk.ledger.writing() as connection:
            switches.release(connection, at=desk.clock(), by=session_of(request).actor, reason=reason)
        return seen("/")

    # An address is asked for by its path, so that a link to it can be kept; the form only leads there.
    @routes.post("/explain", summary="Look somebody up")
    def look_up(request: Request) -> Response:
        customer_id, day = desk.form(request).one("customer_id"), desk.form(request).one("as_of")
        if not customer_id:
            return _overview(desk, request, fault="Name a customer.", status=422)
        return seen(f"/explain/{quote(customer_id, safe='')}" + (f"?as_of={quote(day, safe='')}" if day else ""))

    return routes


def _overview(desk: Desk, request: Request, *, fault: str = "", status: int = 200) -> Response:
    now = desk.clock()
    with desk.ledger.reading() as connection:
        nights = standing.last_nights(connection, limit=NIGHTS_SHOWN)
        return desk.page(
            request,
            "overview.html",
            status=status,
            fault=fault,
            nights=nights,
            live={night.as_of: live_nights.went_live(connection, night.as_of) for night in nights},
            messages=standing.messages_by_night(connection, [night.as_of for night in nights]),
            programmes=standing.programmes(connection),
            held=_held(connection, nights),
            sent_twice=safety.count_sent_twice(connection),
            sent_after_no=safety.count_sent_after_no(connection),
            unknown=sum(unknowns.count_by_age(connection, now=now).values()),
            due=standing.count_due(connection, now=now),
        )


def _held(connection: Connection, nights: list[NightCounts]) -> list[Held]:
    """Return everything that waits for a person: feeds, steps, guards of the last night's plan."""
    found = standing.held_feeds(connection)
    found += [Held("step", step.name, why) for step, why in held_steps.held_steps(connection).items()]
    guards = nights[0].summary.get("guards", []) if nights else []
    return found + [Held("guard", guard["name"], guard["detail"]) for guard in guards if not guard["ok"]]

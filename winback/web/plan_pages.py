"""`/plans` and `/plans/{plan_hash}`: what a night would do, against the last one, and a person's agreement to it.

The agreement is to a hash. `winback apply`, `winback run` and the nightly flow work the hash out themselves and look
for an agreement to it, so a plan that has drifted since it was looked at is not covered. Must never happen: an
agreement without a name, or one that a click on a link gives.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, Response

from winback.core.slots import NIGHT_HOURS
from winback.errors import ApprovalNeeded
from winback.ledger import stored_plans
from winback.night.agree import agree_to_stored, reasons_to_ask, sends_of
from winback.night.check import load_programmes
from winback.web.operator_desk import seen
from winback.web.operator_door import session_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from winback.web.operator_desk import Desk

PLANS_SHOWN = 50
_GROUPS = (
    ("decisions", "Decision"),
    ("reasons", "Reason"),
    ("steps", "Step"),
    ("channels", "Channel"),
    ("segments", "Segment"),
)


class Line(NamedTuple):
    """One number of a plan beside that of the night before."""

    name: str
    before: float | None
    now: float
    change: float | None


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of plans."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.get("/plans", summary="The plans made last")
    @routes.get("/plans/", include_in_schema=False)
    def plans(request: Request) -> Response:
        with desk.ledger.reading() as connection:
            found = stored_plans.newest_plans(connection, limit=PLANS_SHOWN)
        listed = [(plan, applied_at, json.loads(plan.summary)) for plan, applied_at in found]
        return desk.page(request, "plans.html", plans=listed, sends_of=sends_of)

    @routes.get("/plans/{plan_hash}", summary="A plan against the last night")
    def plan(request: Request, plan_hash: str) -> Response:
        return _plan(desk, request, plan_hash)

    @routes.post("/plans/{plan_hash}/approve", summary="Agree to a plan")
    def approve(request: Request, plan_hash: str) -> Response:
        _find(desk, plan_hash)
        count = desk.form(request).one("confirm_count")
        if not (count.isascii() and count.isdigit() and len(count) < LONGEST_COUNT):
            return _plan(desk, request, plan_hash, fault="Name the number of messages you expect.", status=422)
        by, now = session_of(request).actor, desk.clock()
        try:
            agree_to_stored(desk.ledger, plan_hash, confirm_count=int(count), by=by, now=now)
        except ApprovalNeeded as problem:
            return _plan(desk, request, plan_hash, fault=str(problem), status=422)
        return seen(f"/plans/{plan_hash}")

    return routes


LONGEST_COUNT = 12


def _find(desk: Desk, plan_hash: str) -> stored_plans.Plan:
    with desk.ledger.reading() as connection:
        found = stored_plans.read_plan(connection, plan_hash)
    if found is None:
        raise HTTPException(404)
    return found


def _plan(desk: Desk, request: Request, plan_hash: str, *, fault: str = "", status: int = 200) -> Response:
    found = _find(desk, plan_hash)
    summary = json.loads(found.summary)
    programmes = load_programmes(desk.project.root)
    with desk.ledger.reading() as connection:
        before = stored_plans.last_applied(connection, before=found.as_of)
        asked = reasons_to_ask(connection, desk.project, programmes, summary, found.as_of)
        all_plans = stored_plans.newest_plans(connection, limit=PLANS_SHOWN)
    earlier = json.loads(before.summary) if before else {}
    return desk.page(
        request,
        "plan.html",
        status=status,
        fault=fault,
        plan=found,
        summary=summary,
        sends=sends_of(summary),
        before=before,
        asked=asked,
        applied_at=next((at for one, at in all_plans if one.plan_hash == plan_hash), None),
        expires_at=found.created_at + timedelta(hours=NIGHT_HOURS),
        totals=_compared({"all": _totals(summary)}, {"all": _totals(earlier)} if earlier else {}, "all"),
        groups=[(title, _compared(summary, earlier, name)) for name, title in _GROUPS],
    )


def _totals(summary: Mapping[str, Any]) -> dict[str, float]:
    names = {"contacts": "contacts in scope", "starts": "ladders started", "cost": "cost"}
    return {label: summary.get(name, 0) for name, label in names.items()}


def _compared(summary: Mapping[str, Any], earlier: Mapping[str, Any], group: str) -> list[Line]:
    """Return every number of a group, the largest first, beside what it was; None where there is no night before."""
    now, before = dict(summary.get(group, {})), dict(earlier.get(group, {}))
    names = sorted({*now, *before}, key=lambda name: (-now.get(name, 0), name))
    if not earlier:
        return [Line(name, None, now.get(name, 0), None) for name in names]
    return [
        Line(name, before.get(name, 0), now.get(name, 0), round(now.get(name, 0) - before.get(name, 0), 2))
        for name in names
    ]

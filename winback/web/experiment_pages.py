"""`/experiments`: did it help? Those drawn for the messages against those held out, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from winback.ledger import standing
from winback.web.measuring import Measuring

if TYPE_CHECKING:
    from winback.web.operator_desk import Desk

ARMS = (
    ("treated", "Drawn for the messages"),
    ("control", "Held out by the programme"),
    ("global_control", "Held out of everything"),
)


def make_routes(desk: Desk) -> APIRouter:
    """Return the route of results."""
    routes = APIRouter(default_response_class=HTMLResponse)
    measuring = Measuring(desk.project)

    @routes.get("/experiments", summary="Results against the control group")
    def experiments(request: Request) -> Response:
        today = desk.project.business_date(desk.clock())
        with desk.ledger.reading() as connection:
            nights = standing.last_nights(connection, limit=1)
        measured = None
        if nights:
            last = nights[0]
            measured = measuring.results(f"{today} {last.as_of} {last.plan_hash} {last.applied_at}", as_of=today)
        return desk.page(request, "experiments.html", nights=nights, today=today, measured=measured, arms=ARMS)

    return routes

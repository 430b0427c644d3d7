"""`/explain/{customer_id}`: why somebody was written to on a night, or was not, with every number.

The same story as `winback explain`, from the same function: the rule that decided first, then those asked before it.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from winback.core.explanation import change_of, facts_in_words
from winback.core.reasons import Reason
from winback.errors import UsageError
from winback.night.explain import tell

if TYPE_CHECKING:
    from winback.web.operator_desk import Desk

HISTORY_SHOWN = 60
_REASONS = {reason.value: reason for reason in Reason}


def make_routes(desk: Desk) -> APIRouter:
    """Return the route of explanations."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.get("/explain/{customer_id:path}", summary="Why, or why not")
    def explain(request: Request, customer_id: str) -> Response:
        asked = request.query_params.get("as_of", "")
        try:
            day = date.fromisoformat(asked) if asked else None
        except ValueError:
            return _nothing(desk, request, f"{asked!r} is no day: write it as 2026-03-10.")
        try:
            with desk.ledger.reading() as connection:
                story = tell(connection, customer_id, as_of=day)
        except UsageError as problem:
            return _nothing(desk, request, str(problem))
        *passed, decided = story["steps"] or [None]
        return desk.page(
            request,
            "explanation.html",
            story=story,
            decided=decided,
            passed=passed,
            seen=facts_in_words,
            history=story["history"][:HISTORY_SHOWN],
            sentences={name: reason.sentence for name, reason in _REASONS.items()},
            changes={name: change_of(name) for name in _REASONS},
        )

    return routes


def _nothing(desk: Desk, request: Request, why: str) -> Response:
    return desk.page(request, "operator_problem.html", status=404, title="Nothing to explain", lead=why)

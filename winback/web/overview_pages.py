"""`/`: what happened in the last nights, who stands where, and the red button."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from winback.web.operator_desk import Desk


def make_routes(desk: Desk) -> APIRouter:
    """Return the routes of the first page."""
    routes = APIRouter(default_response_class=HTMLResponse)

    @routes.get("/", summary="The first page")
    def overview(request: Request) -> Response:
        return desk.page(request, "overview.html")

    return routes

"""What an app says of itself at `/openapi.json`, made true.

In: routes with what they answer when all is well. Out: the same description with every answer there may be besides: the
page that says why not. FastAPI would promise a JSON of validation errors instead, which no route of ours gives.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from winback.web.rate_limits import UNLIMITED

TEXT = {"schema": {"type": "string"}}
_ANYWHERE = (408, 413, 500, 503)
"""A request that comes too slowly or is too large, a handler that fails, a ledger that is busy."""
_SENT = (400, 403)
"""A form that cannot be read, or one of another site; a call that is not signed."""
_UNKNOWN, _TOO_OFTEN, _INVALID = 404, 429, "422"
_METHODS = frozenset({"get", "post", "put", "delete", "patch"})


class DescribedApp(FastAPI):
    """An app whose description names every answer."""

    def openapi(self) -> dict[str, Any]:
        """Return the description; it is made once."""
        if self.openapi_schema is None:
            described = super().openapi()
            for path, operations in described["paths"].items():
                for method in _METHODS & operations.keys():
                    _complete(path, method, operations[method]["responses"])
            for named_by_those_answers in ("HTTPValidationError", "ValidationError"):
                described.get("components", {}).get("schemas", {}).pop(named_by_those_answers, None)
        return super().openapi()


def problem(status: int) -> dict[str, Any]:
    """Return the description of the page that says why there is no other."""
    return {"description": HTTPStatus(status).phrase, "content": {"text/html": TEXT}}


def _complete(path: str, method: str, answers: dict[str, Any]) -> None:
    """Add the answers that a route does not name itself, and take out the one it never gives."""
    if "application/json" in answers.get(_INVALID, {}).get("content", {}):
        del answers[_INVALID]
    statuses = [*_ANYWHERE]
    statuses += [] if path.startswith(UNLIMITED) else [_TOO_OFTEN]
    statuses += [_UNKNOWN] if "{" in path else []
    statuses += _SENT if method == "post" else []
    for status in statuses:
        answers.setdefault(str(status), problem(status))

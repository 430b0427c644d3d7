"""Reading the forms of our own pages.

In: a request whose body is whole and within its bounds. Out: texts by the name of their field. Must never happen: a
form of another site that acts in somebody's name, or a field that is stored at any length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from fastapi import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MOST_FIELDS = 100
LONGEST_FIELD = 2000
FORM = {
    "requestBody": {
        "content": {"application/x-www-form-urlencoded": {"schema": {"type": "object"}}},
        "description": "The form of the page",
    }
}
"""What OpenAPI says of a form."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Form:
    """The fields of one form, cleaned of control characters and cut to a length."""

    def __init__(self, body: bytes) -> None:
        try:
            pairs = parse_qsl(
                body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace", max_num_fields=MOST_FIELDS
            )
        except ValueError as problem:
            raise HTTPException(400) from problem
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            self._fields.setdefault(name, []).append(_CONTROL.sub("", value)[:LONGEST_FIELD].strip())

    def one(self, name: str) -> str:
        """Return a field's text, "" where it is not there."""
        return self._fields.get(name, [""])[0]

    def every(self, name: str) -> list[str]:
        """Return all texts of a field that may stand several times."""
        return self._fields.get(name, [])


async def read_form(request: Request) -> Form:
    """Return the form of a request from one of our own pages.

    Nothing is kept in cookies, so another site's form carries no rights of its visitor; what it would need is the link
    itself. Browsers that say where a form stands are believed all the same.

    Raises
    ------
    HTTPException
        403 if the browser says that the form stands on another site, 400 if it is none.
    """
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise HTTPException(403)
    origin = request.headers.get("origin", "null")
    # Pages without a referrer send "null" even to themselves.
    if origin != "null" and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403)
    return Form(await request.body())

"""What both fake vendors have in common: the request as they read it and the answer as they mean it.

In: one request, whole. Out: an answer and the acceptances behind it. The server writes the acceptances down, applies
the fault that was drawn, and only then answers; the vendors themselves know neither files nor sockets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from winback.sample.acceptance_log import Acceptance

    Refusal = Callable[[str, int], int | None]
    """Address and usual code to the code it is refused with, or None."""


@dataclass(frozen=True, kw_only=True)
class VendorRequest:
    """One request over HTTP.

    Attributes
    ----------
    method, path, query : from the first line
    headers : names in lower case
    body : whole
    number : counted from 1 among the requests that send; 0 for every other one
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    number: int = 0

    def asked(self, name: str, default: str = "") -> str:
        """Return one value of the query."""
        return parse_qs(self.query, keep_blank_values=True).get(name, [default])[-1]


@dataclass(frozen=True, kw_only=True)
class VendorAnswer:
    """What a vendor says.

    Attributes
    ----------
    accepted : messages that are taken if this answer stands
    codes : of the refusals in the body, for the record
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    accepted: tuple[Acceptance, ...] = ()
    codes: tuple[str, ...] = ()


def json_answer(
    status: int,
    document: object,
    *,
    headers: Mapping[str, str] | None = None,
    accepted: tuple[Acceptance, ...] = (),
    codes: tuple[str, ...] = (),
) -> VendorAnswer:
    """Return an answer in JSON."""
    return VendorAnswer(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=orjson.dumps(document),
        accepted=accepted,
        codes=codes,
    )

"""SendGrid's lists of people who are not to be written to: read page by page, and told of our own.

In: the name of a list and the instant from which it is wanted; addresses. Out: a page of entries, or why there is none,
in one sentence. Nothing is raised for the network: a list that cannot be read stops nobody's settlement. Must never
happen: an address in a sentence, in a log or in the address of a request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

import orjson
from email_validator import EmailNotValidError, validate_email

from winback.channels.sendgrid_mail import BASE_URL
from winback.errors import SendDeferred, SendUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winback.channels.transport import Answer, Transport

PAGE = 500
"""Entries in one answer; of addresses in one call of ours, too."""

_GLOBAL = "/v3/asm/suppressions/global"
_OK, _CREATED, _UNAUTHORIZED, _FORBIDDEN = 200, 201, 401, 403
_ENHANCED_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_LATEST_EPOCH = 1 << 33


class Listed(NamedTuple):
    """One entry: an address in the form in which addresses are compared, since when, and the mail system's code."""

    address: str
    at: datetime
    code: str


@dataclass(frozen=True, kw_only=True)
class ListPage:
    """One page of a list.

    Attributes
    ----------
    entries : those that could be read
    count : of what the page held, read or not: where the next one begins
    fault : why there is no page; empty where there is one
    is_away : nobody answered, or the key is none: no other list will do better
    """

    entries: list[Listed] = field(default_factory=list, repr=False)
    count: int = 0
    fault: str = ""
    is_away: bool = False


class SendGridLists:
    """The suppression lists of one account.

    Parameters
    ----------
    api_key : needs the scope of suppressions beside that of sending
    transport : shared by all providers
    base_url : EU accounts have another
    """

    name = "sendgrid"

    def __init__(self, *, api_key: str, transport: Transport, base_url: str = BASE_URL) -> None:
        if not api_key:
            raise ValueError("no API key")
        self._base_url, self._transport = base_url, transport
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}

    def page(self, name: str, *, since_seconds: int, offset: int) -> ListPage:
        """Return one page of a list.

        Parameters
        ----------
        name : of the list: bounces, blocks, spam_reports, invalid_emails, unsubscribes
        since_seconds : of the epoch; what was listed before is left out, 0 leaves out nothing
        offset : how many entries earlier pages held
        """
        asked = {"limit": PAGE, "offset": offset} | ({"start_time": since_seconds} if since_seconds else {})
        answer = self._call("GET", f"/v3/suppression/{name}?{urlencode(asked)}")
        if isinstance(answer, str):
            return ListPage(fault=answer, is_away=True)
        if answer.status != _OK:
            what = _refusal(answer.status, f"read its list of {name}")
            return ListPage(fault=what, is_away=answer.status == _UNAUTHORIZED)
        try:
            rows = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            rows = None
        if not isinstance(rows, list):
            return ListPage(fault=f"SendGrid's list of {name} cannot be read: the answer is no list")
        return ListPage(entries=[entry for row in rows if (entry := _entry(row)) is not None], count=len(rows))

    def tell(self, addresses: Sequence[str]) -> str:
        """Put addresses on the list of those who want no mail at all; return why not, or nothing.

        An address that is there already stays as it is.
        """
        answer = self._call("POST", _GLOBAL, orjson.dumps({"recipient_emails": list(addresses)}))
        if isinstance(answer, str):
            return answer
        return "" if answer.status == _CREATED else _refusal(answer.status, "add to its list of unsubscribes")

    def _call(self, method: str, path: str, body: bytes | None = None) -> Answer | str:
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        try:
            return self._transport.call(method, self._base_url + path, headers=headers, body=body)
        except (SendDeferred, SendUnknown) as problem:
            return f"SendGrid's lists could not be reached: {problem}"


def _refusal(status: int, what: str) -> str:
    """Say what an answer means; the vendor's words are left out, as they may repeat an address."""
    if status == _FORBIDDEN:
        return f"SendGrid does not let this key {what} (403): give the key the scope Suppressions"
    if status == _UNAUTHORIZED:
        return f"SendGrid does not accept the key (401), so nobody could {what}"
    return f"SendGrid answered {status} where winback wanted to {what}"


def _entry(row: object) -> Listed | None:
    """Return one entry, or nothing where it has no address or no time."""
    if not isinstance(row, dict):
        return None
    created, address = row.get("created"), row.get("email")
    is_time = isinstance(created, int) and not isinstance(created, bool) and 0 <= created < _LATEST_EPOCH
    if not (is_time and isinstance(address, str)):
        return None
    try:
        # The form addresses are compared in; test domains are addresses, too.
        checked = validate_email(address, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        # Nobody with such an address is written to: it never gets through the contacts feed.
        return None
    # The reason may repeat the address; the code in it does not.
    said = _ENHANCED_STATUS.search(f"{row.get('status') or ''} {row.get('reason') or ''}")
    key = (checked.ascii_email or checked.normalized).lower()
    return Listed(key, datetime.fromtimestamp(int(row["created"]), tz=UTC), said.group() if said else "")

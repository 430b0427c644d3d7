"""Twilio, asked about one text at a time: how it fared, where no callback ever said so.

In: the id Twilio gave a text. Out: a receipt as a callback would have brought it, or in one sentence why there is none.
Nothing is raised for the network. Must never happen: a number or a key in a sentence, in a log, in the address of a
request.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import orjson

from winback.channels import Receipt, ReceiptKind
from winback.channels.twilio_receipts import receipt_of_state
from winback.channels.twilio_texts import BASE_URL
from winback.errors import SendDeferred, SendUnknown

if TYPE_CHECKING:
    from winback.channels.transport import Transport

_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404
_FINAL = frozenset({ReceiptKind.DELIVERED, ReceiptKind.READ, ReceiptKind.UNDELIVERED, ReceiptKind.DROPPED})


@dataclass(frozen=True, kw_only=True)
class PolledText:
    """What Twilio said of one text.

    Attributes
    ----------
    receipt : None where it said nothing that can be used
    is_unknown : it has no such text
    fault : why, where that is not this text's affair: no other one will do better; empty otherwise
    """

    receipt: Receipt | None = None
    is_unknown: bool = False
    fault: str = ""


class TwilioPolls:
    """One account, asked about its texts.

    Parameters
    ----------
    account_sid : whose account
    username, password : an API key and its secret, or the account's sid and token
    transport : shared by all providers
    """

    name = "twilio"

    def __init__(
        self, *, account_sid: str, username: str, password: str, transport: Transport, base_url: str = BASE_URL
    ) -> None:
        if not (account_sid and username and password):
            raise ValueError("no credentials")
        self._transport = transport
        self._folder = f"{base_url}/2010-04-01/Accounts/{account_sid}/Messages"
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Accept": "application/json"}

    def ask(self, message_id: str, sid: str, *, now: datetime) -> PolledText:
        """Return how a text fares.

        Parameters
        ----------
        message_id, sid : ours and Twilio's
        now : aware; a state that may still change holds from now, one that is final from when Twilio last touched it
        """
        if not (sid.isascii() and sid.isalnum()):
            return PolledText(is_unknown=True)
        try:
            answer = self._transport.call("GET", f"{self._folder}/{sid}.json", headers=self._headers)
        except (SendDeferred, SendUnknown) as problem:
            return PolledText(fault=f"Twilio could not be asked about texts: {problem}")
        if answer.status == _NOT_FOUND:
            return PolledText(is_unknown=True)
        if answer.status == _UNAUTHORIZED:
            return PolledText(fault="Twilio does not accept the credentials (401), so nobody could ask about texts")
        if answer.status != _OK:
            return PolledText(fault=f"Twilio answered {answer.status} when it was asked about a text")
        return PolledText(receipt=_receipt(answer.body, message_id=message_id, sid=sid, now=now))


def _receipt(body: bytes, *, message_id: str, sid: str, now: datetime) -> Receipt | None:
    """Return what a text's own page says."""
    try:
        text: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(text, dict) or text.get("sid") != sid:
        return None
    said = {name: str(text.get(name) or "") for name in ("status", "error_code", "to")}
    facts = {"message_id": message_id, "sid": sid, "to": said["to"]}
    receipt = receipt_of_state(said["status"], said["error_code"], at=now, **facts)
    if receipt is None or receipt.kind not in _FINAL:
        return receipt
    ended_at = min(_instant(text.get("date_updated")) or now, now)
    return receipt_of_state(said["status"], said["error_code"], at=ended_at, **facts)


def _instant(given: object) -> datetime | None:
    """Return an instant as Twilio writes it, in UTC."""
    try:
        at = parsedate_to_datetime(str(given))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)

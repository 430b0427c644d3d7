"""SendGrid: e-mail by ``v3/mail/send``, one person a personalization; its events and their signature.

In: prepared mails. Out: one result a mail. Only 202 with an id is a yes; a batch refused as a whole is halved down to
the bad row, as nothing of it was accepted. The vendor's package says where a mail goes and with which headers, our
transport makes the calls: the package's own follows redirects with the key, knows no time-out, and writes every body
into a text for its log. Must never happen: a second call for a mail that may have gone out.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
import sendgrid
from sendgrid.helpers.eventwebhook import EventWebhook

from winback.channels import Consequence, Followed, Outcome, Prepared, Receipt, ReceiptKind, Receipts, SendResult
from winback.channels.mail_batches import LARGEST_REQUEST_BYTES, MOST_PEOPLE, mail_requests
from winback.channels.request_bodies import is_message_id, mail_body
from winback.channels.vendor_codes import code_table, retry_after_seconds, vendor_id, without_persons
from winback.errors import SendDeferred, SendRefused, SendUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from urllib.request import OpenerDirector, Request

    from winback.channels import OutgoingMessage
    from winback.channels.transport import Transport

BASE_URL = "https://api.sendgrid.com"
PEOPLE_A_REQUEST = 200
"""A lost answer makes that many messages unknown."""

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"

# Halving finds a handful of bad rows; when everything is refused, the account is not to be hammered.
_MOST_CALLS_A_BATCH = 40
_BYTES_A_CHARACTER = 12
_LATEST_EPOCH = 1 << 33
_FOLLOWING = (ReceiptKind.OPENED, ReceiptKind.CLICKED)


class _MailCall(list[Prepared]):
    """What one call carries, with the body that was composed when it was cut out of a claim."""

    body: dict[str, Any]


class _NotMade(Exception):
    """What the vendor's package would ask for."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.request = request


class SendGridMail:
    """The provider ``sendgrid``.

    Parameters
    ----------
    api_key : never empty: the package would send ``Bearer None``
    transport : shared by all providers
    base_url : EU accounts have another
    max_batch : people in one request, at most 1,000
    """

    name = "sendgrid"
    channels = frozenset({"email"})

    def __init__(
        self, *, api_key: str, transport: Transport, base_url: str = BASE_URL, max_batch: int = PEOPLE_A_REQUEST
    ) -> None:
        if not api_key:
            raise ValueError("no API key")
        # At DEBUG they print the key and every address.
        for logger in ("python_http_client", "python_http_client.client", "sendgrid"):
            logging.getLogger(logger).setLevel(logging.WARNING)
        self.max_batch = min(max(max_batch, 1), MOST_PEOPLE)
        self._transport = transport
        # It holds the key, and does not show it: a list of headers would, wherever objects are printed.
        self._request = _request(api_key, base_url)

    def prepare(self, message: OutgoingMessage) -> Prepared:
        """Return the body for one mail.

        Raises
        ------
        SendRefused
            If a local check says that it cannot be sent.
        """
        if not is_message_id(message.message_id):
            raise SendRefused("the message's id is not 32 hexadecimal digits")
        body, rendered = mail_body(message), message.rendered
        may_be_large = _BYTES_A_CHARACTER * (len(rendered.html) + len(rendered.text)) > LARGEST_REQUEST_BYTES
        if may_be_large and len(json.dumps(body)) > LARGEST_REQUEST_BYTES:
            raise SendRefused("the mail is larger than the 30 MB a request may have")
        return Prepared(message=message, request=body)

    def calls(self, batch: Sequence[Prepared]) -> list[list[Prepared]]:
        """Return the batch split into single requests."""
        split: list[list[Prepared]] = []
        for request in mail_requests(batch, most_people=self.max_batch):
            call = _MailCall(request.people)
            call.body = request.body
            split.append(call)
        return split

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        """Make one call for what ``calls`` cut out; more only for mails that were provably refused together."""
        found: dict[str, SendResult] = {}
        waiting: list[list[Prepared]] = [batch] if isinstance(batch, _MailCall) else self.calls(batch)
        calls_left = _MOST_CALLS_A_BATCH
        while waiting:
            call = waiting.pop()
            result = self._post(call, now=now)
            calls_left -= 1
            is_whole = result.outcome is Outcome.REFUSED and len(call) > 1
            if is_whole and calls_left > 0:
                middle = len(call) // 2
                waiting += [*self.calls(call[middle:]), *self.calls(call[:middle])]
                continue
            if is_whole:
                # Nobody knows which of these is bad. None was accepted: the next claim goes on searching.
                result = replace(result, outcome=Outcome.DEFERRED)
            same = {name: value for name, value in vars(result).items() if name != "message_id"}
            found |= {each.message.message_id: SendResult(message_id=each.message.message_id, **same) for each in call}
        return [found[each.message.message_id] for each in batch]

    def _post(self, call: list[Prepared], *, now: datetime) -> SendResult:
        """Make one call; the result's id is still empty."""
        body = call.body if isinstance(call, _MailCall) else call[0].request
        try:
            headers = dict(self._request.header_items())
            answer = self._transport.call("POST", self._request.full_url, headers=headers, body=orjson.dumps(body))
        except SendDeferred as problem:
            return _result(Outcome.DEFERRED, error=str(problem), consequence=Consequence.TRANSIENT)
        except SendUnknown as problem:
            return _result(Outcome.UNKNOWN, error=str(problem))
        meaning = code_table("sendgrid").of_status(answer.status)
        outcome, provider_id = meaning.outcome, None
        if outcome is Outcome.ACCEPTED:
            provider_id = vendor_id(answer.headers.get("X-Message-Id"))
            # A yes without its id may be a proxy's.
            outcome = outcome if provider_id else Outcome.UNKNOWN
        return _result(
            outcome,
            provider_id=provider_id,
            status=answer.status,
            error=None if provider_id else _said(answer.status, answer.body, call),
            retry_after_seconds=retry_after_seconds(answer.headers, now=now) if outcome is Outcome.DEFERRED else None,
            consequence=meaning.consequence,
        )


def _request(api_key: str, base_url: str) -> Request:
    """Return the request of the vendor's package, without a body: where mails are posted to, and with which headers.

    Asked once: made by the package, each call cost 2.5 CPU ms more.
    """

    def note(_opener: OpenerDirector, request: Request, timeout: float | None = None) -> NoReturn:
        del timeout
        raise _NotMade(request)

    leaf = sendgrid.SendGridAPIClient(api_key=api_key, host=base_url).client.mail.send
    leaf._make_request = note  # noqa: SLF001  the one seam the package leaves for a transport
    try:
        leaf.post()
    except _NotMade as asked:
        asked.request.add_header("Content-type", "application/json")
        return asked.request
    raise RuntimeError("the vendor's package asked for nothing")


def _result(outcome: Outcome, **facts: Any) -> SendResult:  # noqa: ANN401  the fields of SendResult
    return SendResult(message_id="", outcome=outcome, **facts)


def _said(status: int, body: bytes, call: list[Prepared]) -> str:
    """Return the vendor's words, without the people they are about."""
    messages = []
    try:
        errors = orjson.loads(body).get("errors", [])
        messages = [str(error["message"]) for error in errors if isinstance(error, dict) and error.get("message")]
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        messages = []
    words = "; ".join(messages) or "no reason that could be read"
    known = [word for each in call for word in (each.message.address, each.message.name)] if len(call) == 1 else []
    return f"SendGrid answered {status}: {without_persons(words, *known)}"


def signature_holds(body: bytes, *, signature: str | None, timestamp: str | None, public_key: str) -> bool:
    """Return whether SendGrid signed exactly these bytes; whatever cannot be checked does not hold.

    Parameters
    ----------
    body : as it came: parsed and written again it has another signature
    signature, timestamp : of the headers
    public_key : base64, as SendGrid shows it (``SENDGRID_WEBHOOK_PUBLIC_KEY``)
    """
    try:
        return bool(EventWebhook(public_key).verify_signature(body.decode("utf-8"), signature, timestamp))
    except Exception:  # noqa: BLE001  the package raises whatever its parts raise on garbage
        return False


def receipts_of(body: bytes) -> Receipts:
    """Return what a batch of events tells; what cannot be read is counted."""
    receipts = Receipts()
    try:
        events = orjson.loads(body)
    except orjson.JSONDecodeError:
        events = None
    if not isinstance(events, list):
        receipts.garbage = 1
        return receipts
    for event in events:
        receipt = _receipt(event) if isinstance(event, dict) else None
        if receipt is None:
            receipts.garbage += 1
        else:
            receipts.append(receipt)
    return receipts


def _receipt(event: dict[str, Any]) -> Receipt | None:
    message_id, at = event.get("message_id"), event.get("timestamp")
    reason = _text(event.get("reason")) or _text(event.get("response"))
    meaning = code_table("sendgrid").of_event(_text(event.get("event")), type_=_text(event.get("type")), reason=reason)
    is_time = isinstance(at, int) and not isinstance(at, bool) and 0 < at < _LATEST_EPOCH
    if meaning is None or not is_time or not isinstance(message_id, str) or not is_message_id(message_id):
        return None
    return Receipt(
        message_id=message_id,
        provider="sendgrid",
        # The id of one person begins with the id of the request.
        provider_id=vendor_id(_text(event.get("sg_message_id")).partition(".")[0]),
        kind=meaning.kind,
        occurred_at=datetime.fromtimestamp(float(str(at)), tz=UTC),
        code=vendor_id(event.get("status")),
        detail=without_persons(reason, _text(event.get("email"))) or None,
        is_machine=event.get("sg_machine_open") is True,
        followed=_followed(event) if meaning.kind in _FOLLOWING else None,
        consequence=meaning.consequence,
        channel="email",
    )


def _followed(event: dict[str, Any]) -> Followed:
    return Followed(agent=_text(event.get("useragent")), address=_text(event.get("ip")), url=_text(event.get("url")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

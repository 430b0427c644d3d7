"""Twilio: SMS and WhatsApp by ``Messages``, its status callbacks and answers of people, and their signature.

In: prepared texts. Out: one result a text. Only 201 with a sid is a yes. The vendor's package builds the form, our
transport makes the call: the package's own knows no time-out and hides the headers of a refusal. Our id travels in the
status callback's address, so that a callback proves acceptance even where the answer was lost. Must never happen: a
text that may still be tried in somebody's quiet hours.
"""

from __future__ import annotations

import base64
import logging
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import orjson
from twilio.base.exceptions import TwilioException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from winback.channels import Consequence, Outcome, Prepared, SendResult
from winback.channels.request_bodies import content_variables, text_body
from winback.channels.vendor_codes import code_table, retry_after_seconds, vendor_id, without_persons
from winback.errors import SendDeferred, SendRefused, SendUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from winback.channels import Doubt, OutgoingMessage
    from winback.channels.transport import Answer, Transport
    from winback.channels.vendor_codes import Meaning
    from winback.configuration import WhatsAppContent

BASE_URL = "https://api.twilio.com"
SIGNATURE_HEADER = "X-Twilio-Signature"
LONGEST_VALIDITY_SECONDS = 36_000
LISTED_MESSAGES = 50

# What the package raises on a listing that is none.
_UNREADABLE = (TwilioException, ValueError, TypeError, LookupError, AttributeError)
_OK, _CREATED, _CLIENT_ERRORS = 200, 201, range(400, 500)
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9a-f:]+\]")
# What the package calls the fields of the form.
_KEYWORDS = {
    "To": "to",
    "From": "from_",
    "MessagingServiceSid": "messaging_service_sid",
    "Body": "body",
    "ContentSid": "content_sid",
    "ContentVariables": "content_variables",
    "StatusCallback": "status_callback",
    "ValidityPeriod": "validity_period",
}


class _NotCreated(Exception):
    """Twilio answered something else than what was asked for; the package would drop the headers."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"Twilio answered {answer.status}")


class _Wire(HttpClient):  # type: ignore[misc]  # the package ships no types
    """The vendor's package over our transport."""

    def __init__(self, transport: Transport, base_url: str) -> None:
        super().__init__(logging.getLogger("twilio.http_client"), is_async=False)
        self._transport, self._base_url = transport, base_url.rstrip("/")

    def request(
        self,
        method: str,
        uri: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_: object,
    ) -> Response:
        """Make one call; whatever is not the answer hoped for is raised with all of it."""
        url = self._base_url + uri.removeprefix(BASE_URL)
        url += f"?{urlencode(params, doseq=True)}" if params else ""
        sent = dict(headers or {})
        if auth:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        body = urlencode(data, doseq=True).encode() if data else None
        answer = self._transport.call(method, url, headers=sent, body=body)
        if answer.status != (_CREATED if method == "POST" else _OK):
            raise _NotCreated(answer)
        return Response(answer.status, answer.body.decode("utf-8"), dict(answer.headers))


class TwilioTexts:
    """The provider ``twilio``.

    Parameters
    ----------
    account_sid : whose account
    username, password : an API key and its secret, or the account's sid and token
    transport : shared by all providers
    messaging_service_sid : picks the sender of texts, or empty
    contents : of WhatsApp, by the name of our template's file
    """

    name = "twilio"
    channels = frozenset({"sms", "whatsapp"})
    max_batch = 1

    def __init__(
        self,
        *,
        account_sid: str,
        username: str,
        password: str,
        transport: Transport,
        base_url: str = BASE_URL,
        messaging_service_sid: str = "",
        contents: Mapping[str, WhatsAppContent] | None = None,
    ) -> None:
        if not (account_sid and username and password):
            raise ValueError("no credentials")
        # It logs addresses of requests, and a listing by number carries the number.
        logging.getLogger("twilio").setLevel(logging.WARNING)
        self._service, self._contents = messaging_service_sid, dict(contents or {})
        # The package reads the process's environment where it is given none.
        nothing = {"": ""}
        client = Client(username, password, account_sid, http_client=_Wire(transport, base_url), environment=nothing)
        self._messages = client.api.v2010.accounts(account_sid).messages

    def prepare(self, message: OutgoingMessage) -> Prepared:
        """Return the form of one text.

        Raises
        ------
        SendRefused
            If a local check says that it cannot be sent.
        """
        form = text_body(message)
        host = urlsplit(message.status_callback).hostname or ""
        if message.status_callback and not _HOST.fullmatch(host):
            raise SendRefused(
                f"the status callback's host {host!r} is none the vendor takes: mend business.public_base_url"
            )
        is_whatsapp = message.rendered.channel == "whatsapp"
        if self._service and not (is_whatsapp and message.sender):
            form.pop("From", None)
            form["MessagingServiceSid"] = self._service
        if not form.keys() & {"From", "MessagingServiceSid"}:
            what = "the text has no sender: set channels.whatsapp.from, or TWILIO_MESSAGING_SERVICE_SID"
            raise SendRefused(what)
        content = self._contents.get(message.rendered.file.rpartition("/")[2]) if is_whatsapp else None
        if content is not None:
            del form["Body"]
            form["ContentSid"] = content.sid
            form["ContentVariables"] = content_variables(message, content.variables)
        return Prepared(message=message, request=form)

    def calls(self, batch: Sequence[Prepared]) -> list[list[Prepared]]:
        """Return each text as a call of its own."""
        return [[each] for each in batch]

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        """Make one call for each text."""
        return [self._create(each, now=now) for each in batch]

    def _create(self, prepared: Prepared, *, now: datetime) -> SendResult:
        message = prepared.message
        seconds = validity_seconds(message.expires_at, now=now)
        if seconds < 1:
            what = "the recipient's quiet hours have begun: nothing was sent"
            return _result(message, Outcome.DEFERRED, error=what, consequence=Consequence.EXPIRED)
        form = {**prepared.request, "ValidityPeriod": seconds}
        try:
            return _created(message, self._messages.create(**{_KEYWORDS[name]: form[name] for name in form}))
        except SendDeferred as problem:
            return _result(message, Outcome.DEFERRED, error=str(problem), consequence=Consequence.TRANSIENT)
        except SendUnknown as problem:
            return _result(message, Outcome.UNKNOWN, error=str(problem))
        except _NotCreated as problem:
            return _refusal(message, problem.answer, now=now)
        except Exception as problem:  # noqa: BLE001  it was created; whatever the package cannot read of that is no answer
            what = f"Twilio answered 201 with what cannot be read ({type(problem).__name__})"
            return _result(message, Outcome.UNKNOWN, status=_CREATED, error=what)

    def evidence(self, doubts: Sequence[Doubt]) -> list[SendResult]:
        """Return *accepted* for each unknown text that Twilio lists; of the others nothing is known."""
        found = []
        for doubt in doubts:
            # A listing that fails is no evidence of anything; the next settle asks again.
            with suppress(SendDeferred, SendUnknown, _NotCreated, *_UNREADABLE):
                sid = self._listed(doubt)
                if sid:
                    accepted = SendResult(message_id=doubt.message_id, outcome=Outcome.ACCEPTED, provider_id=sid)
                    found.append(accepted)
        return found

    def _listed(self, doubt: Doubt) -> str | None:
        prefix = "whatsapp:" if doubt.channel == "whatsapp" else ""
        # Not by the date of sending: it is empty while a message is queued.
        earliest = doubt.claimed_at - timedelta(minutes=1)
        for listed in self._messages.page(to=prefix + doubt.address, page_size=LISTED_MESSAGES):
            created, body = listed.date_created, listed.body or ""
            if created is not None and (created if created.tzinfo else created.replace(tzinfo=UTC)) < earliest:
                continue
            if any(mark in body for mark in doubt.marks):
                return vendor_id(listed.sid)
        return None


def validity_seconds(expires_at: datetime | None, *, now: datetime) -> int:
    """Return how long a text may wait at the vendor's: never into quiet hours; below 1 it may not be sent."""
    if expires_at is None:
        return LONGEST_VALIDITY_SECONDS
    return min(LONGEST_VALIDITY_SECONDS, int((expires_at - now).total_seconds()))


def _result(message: OutgoingMessage, outcome: Outcome, **facts: Any) -> SendResult:  # noqa: ANN401  the fields of SendResult
    return SendResult(message_id=message.message_id, outcome=outcome, **facts)


def _created(message: OutgoingMessage, created: Any) -> SendResult:  # noqa: ANN401  the package ships no types
    if sid := vendor_id(created.sid):
        return _result(message, Outcome.ACCEPTED, provider_id=sid, status=_CREATED)
    return _result(message, Outcome.UNKNOWN, status=_CREATED, error="Twilio answered 201 without a sid")


def _refusal(message: OutgoingMessage, answer: Answer, *, now: datetime) -> SendResult:
    """Return what an answer other than 201 means: its code says more than its status."""
    code, words = _code_and_words(answer.body)
    meaning = _meaning(answer.status, code)
    is_deferred = meaning.outcome is Outcome.DEFERRED
    return _result(
        message,
        meaning.outcome,
        status=answer.status,
        code=None if code is None else str(code),
        error=f"Twilio answered {answer.status}: {without_persons(words, message.address, message.name)}",
        retry_after_seconds=retry_after_seconds(answer.headers, now=now) if is_deferred else None,
        consequence=meaning.consequence,
    )


def _meaning(status: int, code: int | None) -> Meaning:
    table = code_table("twilio")
    of_code = table.of_code(code) if code is not None and status in _CLIENT_ERRORS else None
    return of_code or table.of_status(status)


def _code_and_words(body: bytes) -> tuple[int | None, str]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict):
        return None, "no reason that could be read"
    code = said.get("code")
    is_code = isinstance(code, int) and not isinstance(code, bool)
    return code if is_code else None, str(said.get("message", ""))


class _Form(dict[str, list[str]]):
    """A form that may hold a field twice, as the package's validator reads one."""

    def getlist(self, name: str) -> list[str]:
        """Return every value of a field."""
        return self[name]


def signature_holds(body: bytes, *, url: str, signature: str | None, auth_token: str) -> bool:
    """Return whether Twilio signed this request; whatever cannot be checked does not hold.

    Parameters
    ----------
    body : as it came, form-encoded or JSON
    url : as Twilio called it: the configured public address, path and query
    signature : of the header
    auth_token : the account's, even where an API key sends
    """
    try:
        text = body.decode("utf-8")
        if "bodySHA256" in parse_qs(urlsplit(url).query):
            return bool(auth_token) and bool(RequestValidator(auth_token).validate(url, text, signature))
        form = _Form()
        for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
            form.setdefault(name, []).append(value)
        return bool(auth_token) and bool(RequestValidator(auth_token).validate(url, form, signature))
    except Exception:  # noqa: BLE001  the package raises whatever its parts raise on garbage
        return False

"""A Twilio that texts nobody: Messages are created, checked, listed and fetched.

In: requests. Out: answers in Twilio's shapes, an acceptance a text, and a resource whose state the callbacks move. Must
never happen: a text that is listed although it was never written to the acceptance log.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from winback.channels.made_up_reports import TEXT_ID
from winback.core.sms import LONGEST_BODY, measure
from winback.sample.acceptance_log import Acceptance, content_hash
from winback.sample.vendor_shapes import VendorAnswer, VendorRequest, json_answer

if TYPE_CHECKING:
    from winback.sample.vendor_shapes import Refusal

NAME = "twilio"
API_VERSION = "2010-04-01"
LONGEST_VALIDITY_SECONDS = 36_000
MOST_MEDIA = 10
BAD_RECIPIENT = 21211
HELP = "https://example.invalid/errors/"
RANKS = {"queued": 1, "sending": 2, "sent": 3, "delivered": 4, "undelivered": 4, "failed": 4, "read": 5}
_NUMBER = re.compile(r"(whatsapp:)?\+[1-9][0-9]{6,14}")
_SENDER = re.compile(r"(whatsapp:)?\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
_SERVICE = re.compile(r"MG[0-9a-f]{32}")
_TEMPLATE = re.compile(r"HX[0-9a-f]{32}")
_WHOLE = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"[A-Za-z0-9.-]+")
_USUAL_PAGE = 50
_LARGEST_PAGE = 1000


class TextFault(Exception):
    """Why a text is refused: Twilio's code and what it means."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class FakeTextVendor:
    """Twilio's side of the conversation.

    Parameters
    ----------
    account : SID of the only account
    passwords : user name (account or API key) to password
    refuses : which numbers are refused
    """

    def __init__(self, account: str, passwords: dict[str, str], refuses: Refusal) -> None:
        self.account = account
        self.passwords = passwords
        self.refuses = refuses
        self.resources: dict[str, dict[str, Any]] = {}
        self._by_number: dict[str, list[str]] = {}

    @property
    def send_path(self) -> str:
        """Where texts are created and listed."""
        return f"/{API_VERSION}/Accounts/{self.account}/Messages.json"

    def answer(self, request: VendorRequest) -> VendorAnswer:
        """Return the answer to one request."""
        if not self._is_let_in(request.headers.get("authorization", "")):
            return self.error(401)
        if request.path == self.send_path:
            if request.method == "GET":
                return self._listing(request)
            return self._create(request) if request.method == "POST" else self.error(405)
        sid = request.path.removeprefix(self.send_path.removesuffix(".json") + "/").removesuffix(".json")
        if request.method == "GET" and sid in self.resources:
            return json_answer(200, self.resources[sid])
        return self.error(404)

    def error(self, status: int, *, retry_after_seconds: int = -1) -> VendorAnswer:
        """Return an error that is not about the content of a request."""
        known = {
            401: (20003, "authentication failed"),
            404: (20404, "the resource was not found"),
            405: (20004, "the method is not allowed"),
            429: (20429, "too many requests"),
        }
        code, message = known.get(status, (20500, "an internal error occurred"))
        headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds >= 0 else {}
        return _refusal(status, code, message, headers)

    def keep(self, resource: dict[str, Any]) -> None:
        """List a text from now on; it has been written down."""
        self.resources[resource["sid"]] = resource
        self._by_number.setdefault(resource["to"], []).append(resource["sid"])

    def advance(self, sid: str, state: str, code: str) -> None:
        """Move a listed text to a later state; an earlier one changes nothing."""
        resource = self.resources[sid]
        if RANKS.get(state, 0) > RANKS.get(resource["status"], 0):
            resource["status"] = state
            resource["date_updated"] = format_datetime(datetime.now(tz=UTC))
            resource["date_sent"] = resource["date_sent"] or resource["date_updated"]
            resource["error_code"] = int(code) if code else resource["error_code"]

    def _is_let_in(self, header: str) -> bool:
        kind, _, token = header.partition(" ")
        try:
            user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
        except ValueError:
            return False
        return kind.lower() == "basic" and password != "" and self.passwords.get(user) == password

    def _create(self, request: VendorRequest) -> VendorAnswer:
        try:
            form = parse_qs(request.body.decode(), keep_blank_values=True)
            text = {name: values[-1] for name, values in form.items()}
            check_text(text, media=len(form.get("MediaUrl", ())))
        except UnicodeDecodeError:
            return _refusal(400, 20001, "the body is no form in UTF-8")
        except TextFault as fault:
            return _refusal(400, fault.code, fault.message)
        code = self.refuses(text["To"].removeprefix("whatsapp:"), BAD_RECIPIENT)
        if code:
            return _refusal(400, code, "the number cannot be written to")
        resource = text_resource(text, self.account, request.number)
        acceptance = Acceptance(
            vendor=NAME,
            message_id=message_id_of(text.get("StatusCallback", "")),
            recipient=text["To"],
            content_sha256=_content_of(text),
            provider_id=resource["sid"],
            callback=text.get("StatusCallback", ""),
            # The listing moves on; what was written down stays as it was.
            resource=dict(resource),
        )
        return json_answer(201, resource, accepted=(acceptance,))

    def _listing(self, request: VendorRequest) -> VendorAnswer:
        """Return one page of texts, newest first."""
        number = request.asked("To")
        sids = self._by_number.get(number, []) if number else list(self.resources)
        found = [self.resources[sid] for sid in reversed(sids)]
        if sender := request.asked("From"):
            found = [each for each in found if each["from"] == sender]
        try:
            page = int(request.asked("Page", "0"))
            size = min(_LARGEST_PAGE, int(request.asked("PageSize", str(_USUAL_PAGE))))
        except ValueError:
            return _refusal(400, 20001, "Page and PageSize are whole numbers")
        here = f"{self.send_path}?To={number.replace('+', '%2B')}&PageSize={size}&Page="
        first = page * size
        return json_answer(
            200,
            {
                "messages": found[first : first + size],
                "start": first,
                "end": max(first, min(first + size, len(found)) - 1),
                "page": page,
                "page_size": size,
                "uri": f"{here}{page}",
                "first_page_uri": f"{here}0",
                "next_page_uri": f"{here}{page + 1}" if first + size < len(found) else None,
                "previous_page_uri": f"{here}{page - 1}" if page else None,
            },
        )


def check_text(text: dict[str, str], *, media: int = 0) -> None:
    """Refuse a form that Twilio would, or should, refuse.

    Parameters
    ----------
    text : the fields, each once
    media : how many files come with it

    Raises
    ------
    TextFault
        For the first thing that is wrong.
    """
    service, sender = text.get("MessagingServiceSid", ""), text.get("From", "")
    body, template = text.get("Body", ""), text.get("ContentSid", "")
    _require(text.get("To", "") != "", 21604, "To is missing")
    _require(_NUMBER.fullmatch(text["To"]), BAD_RECIPIENT, "To is no number in E.164")
    _require(sender or service, 21603, "From is missing, and so is a messaging service")
    _require(not sender or _SENDER.fullmatch(sender), 21212, "From is no number and no name")
    _require(not service or _SERVICE.fullmatch(service), 21701, "there is no such messaging service")
    _require(body.strip() or template or media, 21619, "there is no body, no template and no media")
    _require(len(body) <= LONGEST_BODY, 21617, f"the body is longer than {LONGEST_BODY} characters")
    _require(media <= MOST_MEDIA, 21623, f"at most {MOST_MEDIA} media files")
    _require(not template or _TEMPLATE.fullmatch(template), 21655, "there is no such template")
    _require(_is_object(text.get("ContentVariables", "{}")), 21656, "ContentVariables are no JSON object of strings")
    callback = text.get("StatusCallback", "http://example.invalid")
    _require(_is_address(callback), 21609, "StatusCallback is no valid address")
    validity = text.get("ValidityPeriod", "1")
    is_period = _WHOLE.fullmatch(validity) and 1 <= int(validity) <= LONGEST_VALIDITY_SECONDS
    _require(is_period, 21624, f"ValidityPeriod is a whole number from 1 to {LONGEST_VALIDITY_SECONDS}")
    is_scheduled = "SendAt" in text or "ScheduleType" in text
    _require(not is_scheduled or service, 35118, "only a messaging service sends later")
    _require(not is_scheduled or text.get("ScheduleType") == "fixed", 35111, "ScheduleType is fixed, or absent")
    is_shortened = text.get("ShortenUrls", "false").lower() == "true"
    _require(not is_shortened or service, 20001, "only a messaging service shortens links")


def text_resource(text: dict[str, str], account: str, number: int) -> dict[str, Any]:
    """Return a text as Twilio shows it the moment it was taken."""
    service = text.get("MessagingServiceSid")
    sid = TEXT_ID + hashlib.blake2b(f"{number}:{time.time_ns()}:{text['To']}".encode(), digest_size=10).hexdigest()
    created = format_datetime(datetime.now(tz=UTC))
    body = text.get("Body", "")
    usual = "accepted" if service else "queued"
    uri = f"/{API_VERSION}/Accounts/{account}/Messages/{sid}"
    return {
        "account_sid": account,
        "api_version": API_VERSION,
        "body": body,
        "date_created": created,
        "date_sent": None,
        "date_updated": created,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": text.get("From"),
        "messaging_service_sid": service,
        "num_media": "0",
        # A service picks the sender later, and with it the encoding.
        "num_segments": "0" if service else str(measure(body).segments),
        "price": None,
        "price_unit": "USD",
        "sid": sid,
        "status": "scheduled" if "SendAt" in text else usual,
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": text["To"],
        "uri": f"{uri}.json",
    }


def message_id_of(callback: str) -> str:
    """Return our message id as the callback's address carries it."""
    return parse_qs(urlsplit(callback).query).get("message_id", [""])[-1]


def _content_of(text: dict[str, str]) -> str:
    if text.get("ContentSid"):
        return content_hash(text["ContentSid"], text.get("ContentVariables", ""))
    return content_hash(text.get("Body", ""))


def _is_address(given: str) -> bool:
    try:
        parts = urlsplit(given)
        is_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return is_port and parts.scheme in {"http", "https"} and _HOST.fullmatch(parts.hostname or "") is not None


def _is_object(given: str) -> bool:
    try:
        variables = json.loads(given)
    except (ValueError, RecursionError):
        return False
    return isinstance(variables, dict) and all(isinstance(each, str) for each in variables.values())


def _require(holds: object, code: int, message: str) -> None:
    if not holds:
        raise TextFault(code, message)


def _refusal(status: int, code: int, message: str, headers: dict[str, str] | None = None) -> VendorAnswer:
    document = {"code": code, "message": message, "more_info": f"{HELP}{code}", "status": status}
    return json_answer(status, document, headers=headers, codes=(str(code),))

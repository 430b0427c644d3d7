"""A SendGrid that sends nothing: mail/send, suppression lists, and what each person would have read.

In: requests. Out: answers in SendGrid's shapes, and an acceptance a person. Nothing is kept but the suppression lists.
Must never happen: a request of which some people are taken and others are not.
"""

from __future__ import annotations

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from winback.channels.made_up_reports import MAIL_ID
from winback.sample.acceptance_log import Acceptance, content_hash
from winback.sample.mail_request_rules import MailFault, check_mail, switched_on
from winback.sample.vendor_shapes import VendorAnswer, VendorRequest, json_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from winback.sample.vendor_shapes import Refusal

NAME = "sendgrid"
SEND_PATH = "/v3/mail/send"
GLOBAL_PATH = "/v3/asm/suppressions/global"
LISTS = ("bounces", "blocks", "spam_reports", "invalid_emails", "unsubscribes")
LARGEST_BODY_BYTES = 30 * 1024 * 1024
SCOPES = ("mail.send", "suppression")
"""What a key may be allowed; it is allowed both unless the desk is told otherwise."""
HELP = "https://example.invalid/help"
BAD_RECIPIENT = 400
_USUAL_PAGE = 500


class FakeMailVendor:
    """SendGrid's side of the conversation.

    Parameters
    ----------
    api_key : the only one that is let in
    refuses : which recipients spoil the request they are in
    """

    def __init__(self, api_key: str, refuses: Refusal) -> None:
        self.api_key = api_key
        self.refuses = refuses
        self.lists: dict[str, list[dict[str, Any]]] = {name: [] for name in LISTS}
        self.scopes = frozenset(SCOPES)

    def answer(self, request: VendorRequest) -> VendorAnswer:
        """Return the answer to one request."""
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            return self.error(401)
        if request.path == SEND_PATH:
            return self._send(request) if "mail.send" in self.scopes else self.error(403)
        if "suppression" not in self.scopes:
            return self.error(403)
        if request.path.startswith("/v3/asm/suppressions"):
            return self._global_suppressions(request)
        name = request.path.removeprefix("/v3/suppression/")
        if name in self.lists and request.method == "GET":
            return self._listing(request, self.lists[name])
        return self.error(404)

    def error(self, status: int, *, retry_after_seconds: int = -1) -> VendorAnswer:
        """Return an error that is not about the content of a request."""
        words = {
            401: "the provided authorization grant is invalid",
            403: "access forbidden",
            404: "not found",
            405: "method not allowed",
            413: "the request is too large",
            429: "too many requests",
        }
        headers = {"Retry-After": str(retry_after_seconds)} if retry_after_seconds >= 0 else {}
        return _refusal(status, words.get(status, "an error occurred on the server"), None, headers)

    def set_list(self, name: str, rows: Sequence[object]) -> None:
        """Replace a suppression list.

        Parameters
        ----------
        name : one of LISTS
        rows : addresses, or rows as SendGrid shows them

        Raises
        ------
        KeyError
            If no list has this name.
        """
        if name not in self.lists:
            raise KeyError(name)
        usual = {"created": int(time.time()), "reason": "550 made up"}
        self.lists[name] = [usual | (row if isinstance(row, dict) else {"email": str(row)}) for row in rows]

    def _send(self, request: VendorRequest) -> VendorAnswer:
        if request.method != "POST" or len(request.body) > LARGEST_BODY_BYTES:
            return self.error(413 if request.method == "POST" else 405)
        try:
            mail = orjson.loads(request.body)
            check_mail(mail, now_seconds=time.time())
        except orjson.JSONDecodeError:
            return _refusal(400, "the body is not JSON", None)
        except MailFault as fault:
            return _refusal(400, fault.message, fault.field or None)
        for place, person in enumerate(mail["personalizations"]):
            for number, mailbox in enumerate(person["to"]):
                if self.refuses(mailbox["email"], BAD_RECIPIENT):
                    field = f"personalizations.{place}.to.{number}.email"
                    return _refusal(400, "no valid e-mail address", field)
        if "sandbox_mode" in switched_on(mail):
            return VendorAnswer(status=200)
        identity = request_identity(request)
        accepted = tuple(acceptances(mail, identity))
        return VendorAnswer(status=202, headers={"X-Message-Id": identity}, accepted=accepted)

    def _global_suppressions(self, request: VendorRequest) -> VendorAnswer:
        """Answer about the list of people who want nothing at all."""
        unsubscribes = self.lists["unsubscribes"]
        here = GLOBAL_PATH
        if request.path == "/v3/asm/suppressions" and request.method == "GET":
            rows = [{**row, "group_id": -1, "group_name": "Global"} for row in unsubscribes]
            return json_answer(200, rows)
        if request.path == here and request.method == "POST":
            try:
                added = [str(address) for address in orjson.loads(request.body)["recipient_emails"]]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                return _refusal(400, "recipient_emails are missing", "recipient_emails")
            known = {row["email"] for row in unsubscribes}
            rows = [{"email": address, "created": int(time.time())} for address in added if address not in known]
            unsubscribes.extend(rows)
            return json_answer(201, {"recipient_emails": added})
        address = unquote(request.path.removeprefix(f"{here}/"))
        found = [row for row in unsubscribes if row["email"] == address]
        if request.path.startswith(f"{here}/") and request.method == "GET":
            return json_answer(200, {"recipient_email": address} if found else {})
        if request.path.startswith(f"{here}/") and request.method == "DELETE":
            unsubscribes[:] = [row for row in unsubscribes if row["email"] != address]
            return VendorAnswer(status=204)
        return self.error(405 if request.path == here else 404)

    def _listing(self, request: VendorRequest, rows: list[dict[str, Any]]) -> VendorAnswer:
        """Return one page of a suppression list."""
        try:
            first, most = int(request.asked("offset", "0")), int(request.asked("limit", str(_USUAL_PAGE)))
            since, until = int(request.asked("start_time", "0")), int(request.asked("end_time", str(2**40)))
        except ValueError:
            return _refusal(400, "limit, offset, start_time and end_time are whole numbers", None)
        within = [row for row in rows if since <= row["created"] <= until]
        return json_answer(200, within[first : first + most])


def acceptances(mail: dict[str, Any], identity: str) -> list[Acceptance]:
    """Return one acceptance a recipient of a body that was checked.

    Parameters
    ----------
    mail : the body
    identity : the vendor's id of the request; each recipient's id begins with it
    """
    texts = [str(part["value"]) for part in mail.get("content") or ()]
    templates = mail.get("template_id", "")
    shared_id = mail.get("custom_args", {}).get("message_id", "")
    pieces: dict[tuple[str, ...], list[list[str]]] = {}
    found = []
    for place, person in enumerate(mail["personalizations"]):
        words: dict[str, str] = person.get("substitutions", {})
        subject = str(person.get("subject", mail.get("subject", "")))
        parts = texts
        if words:
            tags = tuple(words)
            if tags not in pieces:
                pieces[tags] = [split_at(tags, text) for text in texts]
            parts = [filled(each, words) for each in pieces[tags]]
            subject = filled(split_at(tags, subject), words)
        if templates:
            data = orjson.dumps(person.get("dynamic_template_data", {}), option=orjson.OPT_SORT_KEYS).decode()
            parts = [*parts, str(templates), data]
        digest = content_hash(subject, *parts)
        message_id = person.get("custom_args", {}).get("message_id", shared_id)
        everybody = [mailbox for key in ("to", "cc", "bcc") for mailbox in person.get(key) or ()]
        for number, mailbox in enumerate(everybody):
            acceptance = Acceptance(
                vendor=NAME,
                message_id=message_id,
                recipient=mailbox["email"],
                content_sha256=digest,
                provider_id=f"{identity}.recvd-{place}-{number}",
            )
            found.append(acceptance)
    return found


def split_at(tags: tuple[str, ...], text: str) -> list[str]:
    """Return a text cut at its tags: every second piece is a tag; the longest tag wins where several begin."""
    if not any(tag in text for tag in tags if tag):
        return [text]
    longest_first = sorted((tag for tag in tags if tag), key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


def filled(pieces: list[str], words: dict[str, str]) -> str:
    """Return a text that was cut, with its tags replaced."""
    if len(pieces) == 1:
        return pieces[0]
    whole = list(pieces)
    whole[1::2] = [words[tag] for tag in pieces[1::2]]
    return "".join(whole)


def request_identity(request: VendorRequest) -> str:
    """Return the vendor's id of a request: 22 characters that say nothing but that no real vendor gave it."""
    return MAIL_ID + hashlib.blake2b(f"{request.number}:{time.time_ns()}".encode(), digest_size=7).hexdigest()


def _refusal(status: int, message: str, field: str | None, headers: dict[str, str] | None = None) -> VendorAnswer:
    errors = [{"message": message, "field": field, "help": HELP if field else None}]
    return json_answer(status, {"errors": errors}, headers=headers, codes=(field or message,))

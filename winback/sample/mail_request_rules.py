"""What SendGrid's mail/send lets through, as the fake sees it: documented limits, and what the documents leave open.

In: the JSON of a request. Out: :class:`MailFault`, or nothing. The first fault refuses the whole request. Stricter
than the vendor where the vendor says nothing (unknown keys, line breaks in headers), so that an adapter that leans on
the vendor's leniency fails here.
"""

from __future__ import annotations

import re
from typing import Any

MOST_PERSONALIZATIONS = 1000
MOST_RECIPIENTS = 1000
MOST_CATEGORIES = 10
LONGEST_CATEGORY = 255
LONGEST_BLOCK_BYTES = 10_000
LATEST_SEND_SECONDS = 72 * 3600

_TOP_WORDS = (
    "personalizations from reply_to reply_to_list subject content attachments template_id headers categories "
    "custom_args send_at batch_id asm ip_pool_name mail_settings tracking_settings"
)
_PERSON_WORDS = "to cc bcc from subject headers substitutions dynamic_template_data custom_args send_at"
_HEADER_WORDS = (
    "x-sg-id x-sg-eid received dkim-signature content-type content-transfer-encoding to from subject reply-to cc bcc"
)
_TOP_KEYS = frozenset(_TOP_WORDS.split())
_PERSON_KEYS = frozenset(_PERSON_WORDS.split())
_RESERVED_HEADERS = frozenset(_HEADER_WORDS.split())
_MAILBOX = re.compile(r"[^\s@<>,;]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_LINE_BREAK = re.compile(r"[\r\n\0]")


class MailFault(Exception):
    """Why a request is refused, and which field is to blame."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def check_mail(body: object, *, now_seconds: float) -> None:
    """Refuse a body that SendGrid would, or should, refuse.

    Parameters
    ----------
    body : the parsed JSON
    now_seconds : Unix time, for ``send_at``

    Raises
    ------
    MailFault
        For the first thing that is wrong.
    """
    mail = _object(body, "")
    _known(mail, _TOP_KEYS, "")
    is_template = isinstance(mail.get("template_id"), str) and mail["template_id"] != ""
    people = _array(mail.get("personalizations"), "there must be at least one personalization", "personalizations")
    _require(
        len(people) <= MOST_PERSONALIZATIONS,
        f"at most {MOST_PERSONALIZATIONS} personalizations in one request",
        "personalizations",
    )
    _sender(mail.get("from"), "from")
    for key in ("reply_to", *(() if "reply_to_list" not in mail else ("reply_to_list",))):
        for place, person in enumerate(_listed(mail.get(key))):
            _mailbox(person, f"{key}.{place}.email")
    _content(mail, is_template=is_template)
    _shared(mail, now_seconds)
    shared_bytes = _strings(mail.get("custom_args", {}), "custom_args")
    total = 0
    for place, person in enumerate(people):
        total += _personalization(
            person, f"personalizations.{place}", mail=mail, now_seconds=now_seconds, shared_bytes=shared_bytes
        )
    _require(total <= MOST_RECIPIENTS, f"at most {MOST_RECIPIENTS} recipients in one request", "personalizations")


def switched_on(mail: dict[str, Any]) -> set[str]:
    """Return the names of the mail settings that are enabled.

    Raises
    ------
    MailFault
        If the settings are no object of objects.
    """
    settings = _object(mail.get("mail_settings", {}), "mail_settings")
    return {name for name, value in settings.items() if _object(value, f"mail_settings.{name}").get("enable")}


def _personalization(given: object, place: str, *, mail: dict[str, Any], now_seconds: float, shared_bytes: int) -> int:
    """Check one personalization and return how many recipients it has."""
    person = _object(given, place)
    _known(person, _PERSON_KEYS, place)
    _array(person.get("to"), "a personalization needs a recipient", f"{place}.to")
    seen: set[str] = set()
    recipients = 0
    for key in ("to", "cc", "bcc"):
        for number, mailbox in enumerate(_listed(person.get(key))):
            field = f"{place}.{key}.{number}.email"
            address = _mailbox(mailbox, field).lower()
            _require(address not in seen, "an address stands twice in one personalization", field)
            seen.add(address)
            recipients += 1
    if "from" in person:
        _sender(person["from"], f"{place}.from")
    subject = person.get("subject", mail.get("subject"))
    if subject is not None or "template_id" not in mail:
        _one_line(_text(subject, "the subject is missing", f"{place}.subject"), f"{place}.subject")
    _headers(person.get("headers", {}), f"{place}.headers")
    bytes_here = _strings(person.get("custom_args", {}), f"{place}.custom_args")
    _require(bytes_here + shared_bytes <= LONGEST_BLOCK_BYTES, "custom_args are too large", f"{place}.custom_args")
    if "substitutions" in person:
        is_dynamic = str(mail.get("template_id", "")).startswith("d-")
        _require(not is_dynamic, "substitutions do not go with a dynamic template", f"{place}.substitutions")
        size = _strings(person["substitutions"], f"{place}.substitutions")
        _require(size <= LONGEST_BLOCK_BYTES, "substitutions are too large", f"{place}.substitutions")
    _send_at(person.get("send_at"), f"{place}.send_at", now_seconds)
    return recipients


def _content(mail: dict[str, Any], *, is_template: bool) -> None:
    """Check that there is something to read."""
    if mail.get("content") is None and is_template:
        return
    content = _array(mail.get("content"), "content is missing, and so is a template", "content")
    types = []
    for place, part in enumerate(content):
        piece = _object(part, f"content.{place}")
        _known(piece, frozenset({"type", "value"}), f"content.{place}")
        kind = _text(piece.get("type"), "the type is missing", f"content.{place}.type")
        _one_line(kind, f"content.{place}.type")
        _text(piece.get("value"), "the value is empty", f"content.{place}.value")
        types.append(kind)
    order = [kind for kind in ("text/plain", "text/html") if kind in types]
    _require(types[: len(order)] == order, "text/plain comes first, then text/html", "content")


def _shared(mail: dict[str, Any], now_seconds: float) -> None:
    """Check what holds for everybody in the request."""
    _headers(mail.get("headers", {}), "headers")
    _send_at(mail.get("send_at"), "send_at", now_seconds)
    categories = mail.get("categories", [])
    is_list = isinstance(categories, list) and all(isinstance(each, str) for each in categories)
    _require(is_list, "categories are strings", "categories")
    _require(len(categories) <= MOST_CATEGORIES, f"at most {MOST_CATEGORIES} categories", "categories")
    _require(len(set(categories)) == len(categories), "a category stands twice", "categories")
    _require(all(len(each) <= LONGEST_CATEGORY for each in categories), "a category is too long", "categories")
    bypasses = [name for name in switched_on(mail) if name.startswith("bypass_")]
    is_mixed = "bypass_list_management" in bypasses and len(bypasses) > 1
    _require(not is_mixed, "bypass_list_management does not go with another bypass", "mail_settings")


def _sender(given: object, field: str) -> None:
    address = _mailbox(given, f"{field}.email")
    _require(address.isascii(), "the sender's address is ASCII", f"{field}.email")


def _mailbox(given: object, field: str) -> str:
    """Return the address of a mailbox."""
    person = _object(given, field)
    _known(person, frozenset({"email", "name"}), field)
    address, name = person.get("email"), person.get("name", "")
    _require(isinstance(address, str) and _MAILBOX.fullmatch(address), "no valid e-mail address", field)
    _require(isinstance(name, str), "a name is a string", field)
    _require(not _LINE_BREAK.search(name), "a name holds a line break", field)
    is_recipient = not field.startswith(("from", "reply_to"))
    _require(not is_recipient or not {";", ","} & set(name), "a name holds a comma or a semicolon", field)
    return str(address)


def _headers(given: object, field: str) -> None:
    _strings(given, field)
    for name, value in _object(given, field).items():
        is_name = _HEADER_NAME.fullmatch(name) is not None
        _require(is_name and name.lower() not in _RESERVED_HEADERS, f"the header {name!r} cannot be set", field)
        _one_line(value, field)


def _strings(given: object, field: str) -> int:
    """Return how many bytes an object of strings holds."""
    size = 0
    for name, value in _object(given, field).items():
        _require(isinstance(value, str), f"the value of {name!r} is not a string", field)
        size += len(name.encode()) + len(value.encode())
    return size


def _send_at(given: object, field: str, now_seconds: float) -> None:
    if given is None:
        return
    if not isinstance(given, int) or isinstance(given, bool):
        raise MailFault("send_at is a whole number of seconds", field)
    _require(given <= now_seconds + LATEST_SEND_SECONDS, "send_at is over 72 hours ahead", field)


def _one_line(value: str, field: str) -> None:
    _require(not _LINE_BREAK.search(value), "a header holds a line break", field)


def _known(given: dict[str, Any], known: frozenset[str], field: str) -> None:
    if not given.keys() <= known:
        unknown = min(given.keys() - known)
        raise MailFault(f"{unknown!r} is not a field", f"{field}.{unknown}".lstrip("."))


def _object(given: object, field: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise MailFault("an object is expected", field)
    return given


def _array(given: object, missing: str, field: str) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise MailFault(missing, field)
    return given


def _text(given: object, missing: str, field: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise MailFault(missing, field)
    return given


def _listed(given: object) -> list[Any]:
    if given is None:
        return []
    return given if isinstance(given, list) else [given]


def _require(holds: object, message: str, field: str) -> None:
    if not holds:
        raise MailFault(message, field)

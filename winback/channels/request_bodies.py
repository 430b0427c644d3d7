"""The bodies of vendor requests, and every check the vendors leave to the sender.

In: an :class:`~winback.channels.OutgoingMessage`. Out: the plain dictionary that would be posted: SendGrid's
``v3/mail/send`` for e-mail, Twilio's ``Messages`` form for SMS and WhatsApp. Must never happen: two people in one
personalization, or anything about a person in a field the vendor keeps as non-personal.
"""

from __future__ import annotations

import json
import re
from email.utils import parseaddr
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from winback.core.forms import Letter
from winback.core.mail_safety import header_fault, is_unicode
from winback.core.sms import LONGEST_BODY
from winback.core.templates import clean
from winback.errors import SendRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from winback.channels import OutgoingMessage
    from winback.configuration import ContentValue

LONGEST_ADDRESS = 254

_MESSAGE_ID = re.compile(r"[0-9a-f]{32}")
_MAILBOX = re.compile(r"[!-?A-~]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_TEXT_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
# WhatsApp refuses these in a variable.
_NOT_IN_CONTENT = re.compile(r"[\n\r\t]| {5}")
_UNWELCOME_IN_NAMES = str.maketrans(";,", "  ")


def mail_body(message: OutgoingMessage) -> dict[str, Any]:
    """Return the body of a mail/send request for one person.

    Raises
    ------
    SendRefused
        If an address, a name or a header cannot be sent as it is.
    """
    rendered = message.rendered
    sender = _sender_of(message.sender)
    _require(_is_mailbox(message.address), "the recipient's address is no e-mail address")
    for label, value in (("name", message.name), ("subject", rendered.subject)):
        _require_header(label, value)
    _require(rendered.subject.strip() != "", "the subject is empty")
    _require(rendered.text.strip() != "" and rendered.html.strip() != "", "the mail has no content")
    for words in (rendered.subject, message.name, rendered.text, rendered.html):
        whole = words.is_unicode() if isinstance(words, Letter) else is_unicode(words)
        _require(whole, "the mail holds half a character, which no encoding can carry")
    unsubscribe = rendered.links["unsubscribe"]
    mailto = f"mailto:{sender['email']}?subject=unsubscribe%20{unsubscribe.rsplit('/', 1)[-1]}"
    return {
        "personalizations": [
            {
                "to": [_person(message.address, message.name)],
                "subject": rendered.subject,
                "headers": {
                    "List-Unsubscribe": f"<{unsubscribe}>, <{mailto}>",
                    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                },
                "custom_args": {"message_id": message.message_id},
            }
        ],
        "from": sender,
        "content": [
            {"type": "text/plain", "value": rendered.text},
            {"type": "text/html", "value": rendered.html},
        ],
        # Our own links and unsubscribe pages are used; a vendor's would lead to another host.
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
    }


def text_body(message: OutgoingMessage) -> dict[str, Any]:
    """Return the form fields of a Messages request for one person.

    Raises
    ------
    SendRefused
        If the number, the sender or the body cannot be sent as it is.
    """
    is_whatsapp = message.rendered.channel == "whatsapp"
    prefix = "whatsapp:" if is_whatsapp else ""
    body = message.rendered.text
    _require(_NUMBER.fullmatch(message.address) is not None, "the recipient's number is not in the form +33612345678")
    _require(body.strip() != "", "the text is empty")
    _require(len(body) <= LONGEST_BODY, f"the text has {len(body)} characters; at most {LONGEST_BODY} can be sent")
    _require("\0" not in body, "the text holds a NUL character")
    _require(is_unicode(body), "the text holds half a character, which no encoding can carry")
    form: dict[str, Any] = {"To": f"{prefix}{message.address}", "Body": body}
    if message.sender:
        known = _TEXT_SENDER.fullmatch(message.sender) is not None
        _require(known, f"the sender {message.sender!r} is no number and no name of up to 11 letters")
        form["From"] = f"{prefix}{message.sender}"
    else:
        _require(is_whatsapp, "the text has no sender: set channels.sms.from")
    if message.status_callback:
        form["StatusCallback"] = message.status_callback
    return form


def is_number(value: str) -> bool:
    """Return whether a text is a telephone number as it is written to, and as it is kept."""
    return _NUMBER.fullmatch(value) is not None


def is_message_id(value: str) -> bool:
    """Return whether a text is one of our opaque ids: nothing else may be told to a vendor, or believed of one."""
    return _MESSAGE_ID.fullmatch(value) is not None


def content_variables(message: OutgoingMessage, variables: Mapping[str, ContentValue]) -> str:
    """Return the values of a WhatsApp template the vendor holds, as the JSON it asks for.

    Parameters
    ----------
    message : gives the values
    variables : number of the variable -> what stands there

    Raises
    ------
    SendRefused
        If a value is empty or cannot stand in such a template.
    """
    links = message.rendered.links
    known: dict[ContentValue, str] = {
        "name": clean(message.name),
        "text": message.rendered.text,
        "act": links["act"],
        "unsubscribe": links["unsubscribe"],
        "preferences": links["preferences"],
    }
    values = {number: known[meaning].strip() for number, meaning in variables.items()}
    for number, value in values.items():
        _require(value != "", f"the content's variable {number} ({variables[number]}) is empty for this person")
        is_plain = not _NOT_IN_CONTENT.search(value)
        _require(is_plain, f"the content's variable {number} holds a line break or a long gap")
    return json.dumps(values, ensure_ascii=False)


@lru_cache(maxsize=64)
def _sender_of(sender: str) -> dict[str, str]:
    """Return who mails are from; the same few are asked for all night, and nobody changes what is returned."""
    name, address = parseaddr(sender)
    _require(_is_mailbox(address), f"the sender {sender!r} is no address: mend channels.email.from")
    _require_header("sender's name", name)
    return _person(address, name)


def _is_mailbox(address: str) -> bool:
    return len(address) <= LONGEST_ADDRESS and _MAILBOX.fullmatch(address) is not None


def _person(address: str, name: str) -> dict[str, str]:
    """Return a mailbox with its name; semicolons and commas would be read as separators."""
    shown = " ".join(clean(name).translate(_UNWELCOME_IN_NAMES).split())
    return {"email": address, "name": shown} if shown else {"email": address}


def _require_header(label: str, value: str) -> None:
    fault = header_fault(label, value)
    _require(fault is None, fault or "")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise SendRefused(message)

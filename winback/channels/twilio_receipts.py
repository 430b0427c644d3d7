"""What Twilio tells later: how a text fared.

In: the form of a request to a webhook, its signature checked. Out: receipts; what cannot be read is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from winback.channels import Receipt, Receipts
from winback.channels.request_bodies import is_message_id
from winback.channels.vendor_codes import code_table, vendor_id

if TYPE_CHECKING:
    from datetime import datetime

_LONGEST_CODE = 6


def receipts_of(body: bytes, *, message_id: str, received_at: datetime) -> Receipts:
    """Return what a status callback tells.

    Parameters
    ----------
    body : form-encoded, as it came
    message_id : of the callback's own address
    received_at : aware: the callback has no time of its own
    """
    form = form_of(body)
    receipt = receipt_of_state(
        form.get("MessageStatus") or form.get("SmsStatus") or "",
        form.get("ErrorCode") or "",
        message_id=message_id,
        sid=form.get("MessageSid") or form.get("SmsSid"),
        to=form.get("To") or "",
        at=received_at,
    )
    return _nothing() if receipt is None else Receipts([receipt])


def receipt_of_state(
    status: str, code: str, *, message_id: str, sid: str | None, to: str, at: datetime
) -> Receipt | None:
    """Return what a state of a text says, told by a callback or asked for; None where it says nothing.

    Parameters
    ----------
    status, code : Twilio's; the code is empty where nothing went wrong
    message_id, sid : ours and Twilio's
    to : whom it went to, as Twilio writes it
    at : aware; since when, as far as that is known
    """
    meaning = code_table("twilio").of_event(status)
    if meaning is None or not is_message_id(message_id):
        return None
    is_code = code.isascii() and code.isdigit() and len(code) <= _LONGEST_CODE and int(code) > 0
    of_code = code_table("twilio").of_code(int(code)) if is_code else None
    return Receipt(
        message_id=message_id,
        provider="twilio",
        provider_id=vendor_id(sid),
        kind=meaning.kind,
        occurred_at=at,
        code=code if is_code else None,
        detail=status,
        consequence=of_code.consequence if of_code else meaning.consequence,
        channel=channel_and_address(to)[0],
    )


def form_of(body: bytes) -> dict[str, str]:
    """Return the fields of a form, none of one that cannot be read."""
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=200))
    except (UnicodeDecodeError, ValueError):
        return {}


def channel_and_address(number: str) -> tuple[str, str]:
    """Return our name of the channel and the bare number of what Twilio writes for both."""
    is_whatsapp = number.startswith("whatsapp:")
    return ("whatsapp" if is_whatsapp else "sms"), number.removeprefix("whatsapp:").strip()


def _nothing() -> Receipts:
    unreadable = Receipts()
    unreadable.garbage = 1
    return unreadable

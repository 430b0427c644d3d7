"""What SendGrid and Twilio would call to say, made up and signed with keys of our own: the vendors' doubles share it.

In: a message and what is to be told of it. Out: the fields a vendor would send, and the signature of a form. Ids that
doubles give to messages are known by their beginning. Must never happen: a made-up id that could be a real vendor's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAIL_ID = "made-up-"
"""What the id of a mail begins with at the double of SendGrid; real ones are 22 letters without such words."""
TEXT_ID = "SM" + "0" * 12
"""What the id of a text begins with at the double of Twilio; of real ones one in 2^48 does."""
BEGINNINGS = {"sendgrid": MAIL_ID, "twilio": TEXT_ID}
LOCAL = "outbox"
VARIABLE = "WINBACK_SIMULATED_VENDORS"
"""Holds the secret that makes the keys of made-up reports."""


def stayed_here(provider: str | None, provider_id: str | None) -> bool:
    """Return whether a message that was handed over is in the local outbox, or with a double of a vendor."""
    if not provider_id:
        return False
    beginning = BEGINNINGS.get(provider or "")
    return provider == LOCAL or (beginning is not None and provider_id.startswith(beginning))


def auth_token(secret: str) -> str:
    """Return the made-up auth token of Twilio that a secret makes."""
    return hashlib.sha256(f"token:{secret}".encode()).hexdigest()[:32]


def mail_event(
    event: Mapping[str, Any], *, message_id: str, provider_id: str, recipient: str, at_seconds: int, identity: str
) -> dict[str, Any]:
    """Return one event as SendGrid sends it.

    Parameters
    ----------
    event : its name and what it alone has
    message_id, provider_id : ours and SendGrid's
    at_seconds : Unix time
    identity : of the event itself
    """
    return {
        "email": recipient,
        "timestamp": at_seconds,
        "smtp-id": f"<{provider_id}@example.invalid>",
        "sg_event_id": identity,
        "sg_message_id": provider_id,
        "message_id": message_id,
        **event,
    }


def text_state(state: str, code: str, *, account: str, sid: str, sender: str, recipient: str) -> dict[str, str]:
    """Return the form of a status callback as Twilio sends it.

    Parameters
    ----------
    state, code : Twilio's; the code is empty where nothing went wrong
    account, sid : ids of the account and of the text
    sender, recipient : as Twilio writes them, with ``whatsapp:`` where it is one
    """
    form = {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "From": sender,
        "MessageSid": sid,
        "MessageStatus": state,
        "SmsSid": sid,
        "SmsStatus": state,
        "To": recipient,
    }
    return {**form, "ErrorCode": code} if code else form


def text_signature(token: str, address: str, fields: Mapping[str, str]) -> str:
    """Return the X-Twilio-Signature of a form posted to an address."""
    signed = address + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), signed.encode(), hashlib.sha1).digest()).decode()

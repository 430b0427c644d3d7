"""What people send to our numbers, as Twilio hands it on, and what it is to answer them.

In: the form of a request to the inbound webhook, its signature checked. Out: a :class:`SentText`; and TwiML. Must never
happen: a number or somebody's words in a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from winback.channels.request_bodies import is_number
from winback.channels.twilio_receipts import channel_and_address, form_of

MEDIA_TYPE = "application/xml"
OPT_OUT_TYPES = ("STOP", "START", "HELP")


@dataclass(frozen=True, kw_only=True)
class SentText:
    """One text somebody sent.

    Attributes
    ----------
    channel : sms or whatsapp
    number : of the sender, E.164
    words : what it says
    opt_out : one of :data:`OPT_OUT_TYPES` where Twilio has understood, and answered, the text itself; else ""
    """

    channel: str
    number: str = field(repr=False)
    words: str = field(repr=False)
    opt_out: str = ""


def sent_text(body: bytes) -> SentText | None:
    """Return what a request brings; None where nobody who could be answered has sent it.

    Parameters
    ----------
    body : form-encoded, as it came
    """
    form = form_of(body)
    channel, number = channel_and_address(form.get("From") or "")
    if not is_number(number):
        return None
    told = (form.get("OptOutType") or "").strip().upper()
    return SentText(
        channel=channel,
        number=number,
        words=form.get("Body") or "",
        opt_out=told if told in OPT_OUT_TYPES else "",
    )


def twiml(reply: str = "") -> str:
    """Return what makes Twilio answer with a text, or with none."""
    said = f"<Message>{escape(reply)}</Message>" if reply else ""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{said}</Response>'

"""A vendor's reports, made by a person who rehearses: signed with made-up keys, called into our own public hooks.

In: a project and what is to be told of a message. Out: the very request a vendor would make. The keys come from one
secret that whoever starts the pages puts into the environment of a rehearsal. It is safe for these reasons: nothing is
signed unless nothing the project sends can leave the machine; a real vendor's keys are never replaced, and with them
nothing is signed either; the call goes to this machine alone; and without the secret there are no keys at all. Must
never happen: a made-up report about a message that a provider may have delivered.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import orjson

from winback.channels.made_up_reports import TEXT_ID, VARIABLE, auth_token, mail_event, text_signature, text_state
from winback.channels.provider_settings import is_loopback
from winback.channels.signing_key import SigningKey
from winback.channels.twilio_texts import SIGNATURE_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from winback.settings import Project

MAIL_KEY, TEXT_KEY = "SENDGRID_WEBHOOK_PUBLIC_KEY", "TWILIO_AUTH_TOKEN"
_BASE_URLS = {"sendgrid": "SENDGRID_BASE_URL", "twilio": "TWILIO_BASE_URL"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MACHINE = "Mozilla/5.0 (made up by hand)"

MAIL_EVENTS: Mapping[str, Mapping[str, Any]] = {
    "delivered": {"event": "delivered", "response": "250 OK"},
    "open": {"event": "open", "sg_machine_open": False, "useragent": _MACHINE},
    "machine_open": {"event": "open", "sg_machine_open": True, "useragent": _MACHINE},
    "click": {"event": "click", "useragent": _MACHINE},
    "bounce": {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user"},
    "complaint": {"event": "spamreport"},
    "unsubscribe": {"event": "unsubscribe"},
}
"""What can be told of a mail, as SendGrid's events."""

TEXT_STATES: Mapping[str, tuple[str, str]] = {
    "delivered": ("delivered", ""),
    "read": ("read", ""),
    "unreachable": ("undelivered", "30003"),
    "bounce": ("undelivered", "30005"),
}
"""What can be told of a text, as Twilio's states and codes."""
STOP = "stop"
"""A text that the person sends: the word STOP."""


class Told(NamedTuple):
    """The message that is told about; addresses as people write them."""

    message_id: str
    provider_id: str
    channel: str
    sender: str
    recipient: str
    link: str


class VendorCall(NamedTuple):
    """The request a vendor would make."""

    url: str
    headers: dict[str, str]
    body: bytes


class SimulatedVendor:
    """Makes a project's reports.

    Parameters
    ----------
    secret : makes the keys
    base_url : of the public pages
    """

    def __init__(self, secret: str, base_url: str) -> None:
        self._key, self._token, self._base_url = SigningKey(secret), auth_token(secret), base_url.rstrip("/")
        self.keys = {MAIL_KEY: self._key.public_key, TEXT_KEY: self._token}

    def report(self, event: str, told: Told, *, now: datetime) -> VendorCall:
        """Return the request that tells of an event.

        Parameters
        ----------
        event : one of :func:`events_of` the message's channel
        now : aware

        Raises
        ------
        KeyError
            If there is no such event on this channel.
        """
        if told.channel == "email":
            return self._mail(event, told, now=now)
        return self._answer(told) if event == STOP else self._state(event, told)

    def _mail(self, event: str, told: Told, *, now: datetime) -> VendorCall:
        fields = {**MAIL_EVENTS[event], **({"url": told.link} if event == "click" else {})}
        seconds = int(now.timestamp())
        made = mail_event(
            fields,
            message_id=told.message_id,
            provider_id=told.provider_id,
            recipient=told.recipient,
            at_seconds=seconds,
            identity=secrets.token_hex(16),
        )
        body = orjson.dumps([made])
        headers = {"Content-Type": "application/json", **self._key.headers(body, str(seconds))}
        return VendorCall(f"{self._base_url}/hooks/sendgrid", headers, body)

    def _state(self, event: str, told: Told) -> VendorCall:
        state, code = TEXT_STATES[event]
        sender, recipient = _as_twilio(told)
        account = f"AC{self._token}"
        form = text_state(state, code, account=account, sid=told.provider_id, sender=sender, recipient=recipient)
        return self._posted(f"{self._base_url}/hooks/twilio/status?message_id={told.message_id}", form)

    def _answer(self, told: Told) -> VendorCall:
        sender, recipient = _as_twilio(told)
        sid = TEXT_ID + secrets.token_hex(10)  # each text is another
        form = {"MessageSid": sid, "AccountSid": f"AC{self._token}", "From": recipient, "To": sender, "Body": "STOP"}
        return self._posted(f"{self._base_url}/hooks/twilio/inbound", form)

    def _posted(self, url: str, form: Mapping[str, str]) -> VendorCall:
        headers = {**_FORM, SIGNATURE_HEADER: text_signature(self._token, url, form)}
        return VendorCall(url, headers, urlencode(form).encode())


def events_of(channel: str) -> tuple[str, ...]:
    """Return what can be told of a message on a channel."""
    if channel == "email":
        return tuple(MAIL_EVENTS)
    is_told = [event for event in TEXT_STATES if event != "read" or channel == "whatsapp"]
    return (*is_told, STOP)


def stays_here(project: Project) -> bool:
    """Return whether nothing the project sends can leave this machine: a rehearsal, or doubles of the vendors."""
    if not project.config.live:
        return True
    channels = project.config.channels
    set_up = (channels.email, channels.sms, channels.whatsapp)
    return all(_is_here(project, one.provider) for one in set_up if one is not None)


def with_made_up_keys(project: Project) -> Project:
    """Return a project whose hooks believe made-up reports, if it is one to rehearse with; a real key stays."""
    if _why_not(project):
        return project
    keys = _vendor_of(project).keys
    real = {name: value for name, value in project.environment.items() if value.strip()}
    return replace(project, environment={**project.environment, **keys, **real})


def simulated_vendor(project: Project, channel: str) -> SimulatedVendor | str:
    """Return who can report about a channel's messages, or a sentence that says why nobody can.

    Parameters
    ----------
    project : as :func:`with_made_up_keys` returned it
    """
    if fault := _why_not(project):
        return fault
    vendor = _vendor_of(project)
    name = MAIL_KEY if channel == "email" else TEXT_KEY
    if project.environment.get(name, "").strip() != vendor.keys[name]:
        return f"{name} is somebody else's key, so made-up reports would not be believed: start the pages without it."
    return vendor


def _why_not(project: Project) -> str:
    """Return why no key may be made for a project, or "" where it may."""
    if not stays_here(project):
        return "This project sends for real: only its providers say what became of its messages."
    if not project.environment.get(VARIABLE, "").strip():
        what = f"`./do up` makes them; before `winback serve`, put a long random text into {VARIABLE}."
        return f"Made-up reports need made-up keys. {what}"
    base_url = project.config.business.public_base_url
    if not is_loopback(urlsplit(base_url).hostname or ""):
        what = "they stay on this machine: start the pages with PUBLIC_BASE_URL=http://127.0.0.1:8400."
        return f"Made-up reports would go to {base_url}, and {what}"
    return ""


def _vendor_of(project: Project) -> SimulatedVendor:
    return SimulatedVendor(project.environment[VARIABLE].strip(), project.config.business.public_base_url)


def _is_here(project: Project, provider: str) -> bool:
    base_url = project.environment.get(_BASE_URLS.get(provider, ""), "")
    return provider == "outbox" or is_loopback(urlsplit(base_url).hostname or "")


def _as_twilio(told: Told) -> tuple[str, str]:
    prefix = "whatsapp:" if told.channel == "whatsapp" else ""
    return f"{prefix}{told.sender}", f"{prefix}{told.recipient}"

"""Telling other tools: one signed POST for each event and listener, in the form of Standard Webhooks.

In: what winback.yaml and the environment say of listeners; an event as JSON. Out: why it was not taken, or nothing.
Addresses come from the operator's environment and from nowhere else; no redirect is followed. Must never happen: an
address or a secret in a fault, a call that leaves this machine without ``live: true`` or over a bare connection.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from winback.channels.provider_settings import is_loopback
from winback.errors import Fault, SendDeferred, SendUnknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from winback.channels.transport import Transport
    from winback.configuration import Listener
    from winback.settings import Project

GONE = 410
FAULT_OF_GONE = f"HTTP {GONE}"
_PREFIX = "whsec_"
_SECRET_BYTES = range(24, 65)
_OK = range(200, 300)


@dataclass(frozen=True, kw_only=True)
class Hook:
    """One listener: where it is, and the secrets that sign for it, the newest first."""

    name: str
    url: str = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)


def listeners_of(project: Project) -> dict[str, tuple[str, ...]]:
    """Return who listens to which kind of event: kind -> names.

    Before ``live: true`` only what listens on this machine does: nothing is kept for the others, or a rehearsal would
    be told to them later.
    """
    found: dict[str, tuple[str, ...]] = {}
    for one in project.config.hooks.outgoing:
        if is_told(project, one):
            for kind in one.events:
                found[kind] = (*found.get(kind, ()), one.name)
    return found


def is_told(project: Project, listener: Listener) -> bool:
    """Return whether a listener may be told anything: everybody once the project is live, before that this machine."""
    if project.config.live:
        return True
    try:
        return is_loopback(urlsplit(project.environment.get(listener.url_env, "").strip()).hostname or "")
    except ValueError:
        return False


def open_hooks(project: Project) -> tuple[list[Hook], list[Fault]]:
    """Return the listeners that can be told, and what is wrong with the settings of the others."""
    hooks, faults = [], []
    for one in project.config.hooks.outgoing:
        if not is_told(project, one):
            continue
        url = project.environment.get(one.url_env, "").strip()
        secrets = _secrets(project.environment.get(one.secret_env, ""))
        wrong = _url_fault(url)
        if wrong:
            faults.append(Fault("the environment", 0, one.url_env, wrong))
        if not secrets:
            what = "holds no secret of the form whsec_…: base64 of 24 to 64 random bytes"
            faults.append(Fault("the environment", 0, one.secret_env, what))
        if secrets and not wrong:
            hooks.append(Hook(name=one.name, url=url, secrets=secrets))
    return hooks, faults


def post(hook: Hook, transport: Transport, *, event_id: str, body: bytes, at: datetime) -> str:
    """Tell a listener of one event; return why it was not taken, or nothing.

    Parameters
    ----------
    event_id : the same each time this event is told
    body : JSON
    at : the instant of this attempt (aware)
    """
    timestamp = str(int(at.timestamp()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "winback",
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": sign(hook.secrets, event_id, timestamp, body),
    }
    try:
        answer = transport.call("POST", hook.url, headers=headers, body=body)
    except (SendDeferred, SendUnknown) as problem:
        return str(problem)
    return "" if answer.status in _OK else f"HTTP {answer.status}"


def sign(secrets: Sequence[bytes], event_id: str, timestamp: str, body: bytes) -> str:
    """Return the signatures of an event, one for each secret, so that the receiver may change to a new one in peace."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _secrets(text: str) -> tuple[bytes, ...]:
    """Return the secrets of a variable, with commas or spaces between; none if one of them is no secret."""
    found = []
    for one in re.split(r"[\s,]+", text.strip()):
        encoded = one.removeprefix(_PREFIX)
        try:
            secret = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        except (ValueError, binascii.Error):
            return ()
        if len(secret) not in _SECRET_BYTES:
            return ()
        found.append(secret)
    return tuple(found)


def _url_fault(url: str) -> str:
    """Return what is wrong with the address of a listener, or nothing; the address is never repeated."""
    if not url:
        return "is not set: winback.yaml names it under hooks.outgoing"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no address of the form https://host/path"
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not host or parts.scheme not in {"http", "https"} or not is_plain:
        return "is no address of the form https://host/path"
    if parts.username or parts.password or parts.fragment:
        return "may hold no user and no fragment"
    if parts.scheme == "http" and not is_loopback(host):
        return "has to be https: what happens to customers may not cross a network in the open"
    return ""

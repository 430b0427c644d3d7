"""What Segment's webhook tells as it happens: what customers did, and who wants no more messages.

In: a raw body and the header it is signed in. Out: events under the behaviours they were declared to be, and the
customers who refuse. Nothing in it can allow anything. Must never happen: a part of a body that is believed though no
signature covers it: Segment signs only the first event of a batch of its own, so a batch of it is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "WINBACK_SEGMENT_SECRET"
"""What holds the shared secret."""
SIGNATURE_HEADER = "X-Signature"
LONGEST_FIELD = 300
"""Characters of a field that are kept: more than the rules of the border allow, so that they refuse what is longer."""
_AMOUNTS = ("revenue", "total", "value")
_TIMES = ("timestamp", "originalTimestamp", "receivedAt")
_YES = frozenset({"true", "1", "yes"})


class Tracked(NamedTuple):
    """Something a customer did, as it was said."""

    event_id: str
    customer_id: str
    behaviour: str
    occurred_at: str
    amount: str


@dataclass
class Told:
    """What a body tells: events, customers who refuse, parts that are not about anything we keep, parts unreadable."""

    events: list[Tracked] = field(default_factory=list)
    refusing: list[str] = field(default_factory=list)
    skipped: int = 0
    garbage: int = 0

    @property
    def size(self) -> int:
        """How many parts the body has."""
        return len(self.events) + len(self.refusing) + self.skipped + self.garbage


def signature_holds(body: bytes, *, signature: str | None, secret: str) -> bool:
    """Return whether somebody who knows the shared secret signed these very bytes (HMAC-SHA1, in hexadecimal)."""
    expected = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    return bool(secret) and hmac.compare_digest(expected.encode(), (signature or "").strip().lower().encode())


def told_by(body: bytes, *, behaviours: Mapping[str, str]) -> Told:
    """Return what a body tells: one call of Segment, a list of them, or a ``batch`` of them.

    Parameters
    ----------
    behaviours : name of an event -> the behaviour it is
    """
    told = Told()
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        said = None
    if isinstance(said, dict):
        said = said.get("batch", [said])
    if not isinstance(said, list):
        told.garbage = 1
        return told
    for one in said:
        _take(one, told, behaviours)
    return told


def _take(one: object, told: Told, behaviours: Mapping[str, str]) -> None:
    """Sort one call in."""
    if not isinstance(one, dict) or not isinstance(one.get("type"), str):
        told.garbage += 1
        return
    # Whoever has no user id yet is nobody we could know.
    customer_id = _text(one.get("userId"))
    behaviour = behaviours.get(_text(one.get("event"))) if one["type"] == "track" else None
    if "\0" in customer_id:
        told.garbage += 1
    elif customer_id and behaviour:
        _add(_tracked(one, customer_id, behaviour), told)
    elif customer_id and one["type"] == "identify" and _refuses(one.get("traits")):
        told.refusing.append(customer_id)
    else:
        told.skipped += 1


def _add(event: Tracked, told: Told) -> None:
    if any("\0" in part for part in event):
        told.garbage += 1
    else:
        told.events.append(event)


def _tracked(one: dict[str, Any], customer_id: str, behaviour: str) -> Tracked:
    given = one.get("properties")
    properties = given if isinstance(given, dict) else {}
    amount = next((_text(properties[name]) for name in _AMOUNTS if properties.get(name) is not None), "")
    occurred_at = next((_text(one[name]) for name in _TIMES if one.get(name)), "")
    said = (customer_id, behaviour, occurred_at, amount)
    # Without an id of its own an event is known by what it says.
    event_id = _text(one.get("messageId")) or hashlib.sha256("\x1f".join(said).encode()).hexdigest()
    return Tracked(event_id, *said)


def _refuses(traits: object) -> bool:
    """Whether traits say that somebody wants no more messages; what they say else allows nothing."""
    return isinstance(traits, dict) and _text(traits.get("unsubscribed")).lower() in _YES


def _text(value: object) -> str:
    """Return a field as text: what is neither text nor number is none."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)[:LONGEST_FIELD] if isinstance(value, str | int | float) else ""

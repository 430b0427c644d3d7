"""Where messages go: one file a vendor, all of this shape.

``prepare`` is pure and makes every check a machine can make before a call; ``send`` makes exactly one call, retries
nothing and never raises for the network: each message gets an :class:`Outcome`. Must never happen: a message that may
have been accepted and is called anything but *unknown*.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from winback.core.rendering import Rendered


class Outcome(StrEnum):
    """What is known after one call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    DEFERRED = "deferred"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class OutgoingMessage:
    """One rendered message and whom it goes to.

    Attributes
    ----------
    message_id : opaque; the only thing a vendor gets to know about the person beside the address
    address : e-mail address, or number in E.164
    name : of the person, or empty
    sender : as winback.yaml gives it; empty where the channel needs none
    status_callback : where a text provider reports to, or empty
    programme, step, kind, as_of, customer_id : for the pages of the local outbox, never for a vendor
    """

    message_id: str
    rendered: Rendered
    address: str
    name: str
    sender: str
    status_callback: str = ""
    programme: str
    step: int
    kind: str
    as_of: date
    customer_id: str


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A message and the exact body of the request that carries it."""

    message: OutgoingMessage
    request: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SendResult:
    """What became of one message in one call."""

    message_id: str
    outcome: Outcome
    provider_id: str | None = None
    status: int | None = None
    code: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None


class Channel(Protocol):
    """What every provider offers.

    Attributes
    ----------
    name : as winback.yaml calls it
    channels : which channels it carries
    max_batch : most messages in one call
    """

    name: str
    channels: frozenset[str]
    max_batch: int

    def prepare(self, message: OutgoingMessage) -> Prepared:
        """Return the request for one message, or raise SendRefused when a local check says no."""
        ...

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        """Make one call and return one result a message, in order."""
        ...

"""Where messages go: one file a vendor, all of this shape.

``prepare`` is pure and makes every check a machine can make before a call; ``calls`` says how a claim splits into
single calls; ``send`` makes one of them, never posts again what may have been accepted, and never raises for the
network: each message gets an :class:`Outcome`. Must never happen: a message that may have been accepted and is called
anything but *unknown*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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


class Consequence(StrEnum):
    """What an answer or a receipt asks for, beside the state of its message."""

    WITHDRAW = "withdraw"  # consent on this channel is gone
    SUPPRESS = "suppress"  # this address is dead
    SOFT = "soft"  # count it
    TRANSIENT = "transient"  # a later attempt may pass
    EXPIRED = "expired"  # its time ran out
    CONTENT = "content"  # this message or its template is at fault
    CONFIGURATION = "configuration"  # the account or the settings are at fault: stop the channel


class ReceiptKind(StrEnum):
    """What a provider tells after it has accepted a message."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    BOUNCED = "bounced"
    UNDELIVERED = "undelivered"
    DROPPED = "dropped"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    STOPPED = "stopped"
    STARTED = "started"


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
    expires_at : aware; the recipient's quiet hours begin then, so no provider may still try; None where there are none
    programme, step, kind, as_of, customer_id : for the pages of the local outbox, never for a vendor
    """

    message_id: str
    rendered: Rendered
    address: str
    name: str
    sender: str
    status_callback: str = ""
    expires_at: datetime | None = None
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
    """What became of one message in one call; ``error`` names neither the person nor a key."""

    message_id: str
    outcome: Outcome
    provider_id: str | None = None
    status: int | None = None
    code: str | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    consequence: Consequence | None = None


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What a provider tells of whoever loaded a mail's pictures or followed one of its links; all as it came."""

    agent: str = field(repr=False)
    address: str = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One thing a provider told after it had answered.

    Attributes
    ----------
    message_id : ours; empty where the provider names a person only (an answer to a text)
    occurred_at : aware
    code, detail : the vendor's own; neither holds an address
    is_machine : opened or clicked by a program: no sign of life
    followed : of an open or a click: who did it
    channel, address : whom an answer came from; empty where ``message_id`` says it
    """

    message_id: str
    provider: str
    provider_id: str | None
    kind: ReceiptKind
    occurred_at: datetime
    code: str | None = None
    detail: str | None = None
    is_machine: bool = False
    followed: Followed | None = None
    consequence: Consequence | None = None
    channel: str = ""
    address: str = field(default="", repr=False)


class Receipts(list[Receipt]):
    """What one request to a webhook held; ``garbage`` counts the parts that could not be read."""

    garbage: int = 0


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """An unknown message that evidence is looked for.

    Attributes
    ----------
    address : number in E.164
    claimed_at : aware; nothing older can be this message
    marks : texts that stand in this message and in no other (its short link)
    """

    message_id: str
    channel: str
    address: str = field(repr=False)
    claimed_at: datetime
    marks: tuple[str, ...]


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

    def calls(self, batch: Sequence[Prepared]) -> list[list[Prepared]]:
        """Return the batch split into what single calls carry; each is given to ``send`` as it is."""
        ...

    def send(self, batch: Sequence[Prepared], *, now: datetime) -> list[SendResult]:
        """Make one call and return one result a message, in order."""
        ...

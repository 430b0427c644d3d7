"""What receipts mean for the person: complaints, withdrawals and dead addresses become suppressions at once.

In: receipts with their messages. Out: suppressions through :mod:`winback.ledger.refusals`, in the same transaction, so
that a provider's call is never acknowledged without effect. Must never happen: a no that depends on the order in which
events arrive, or a START that gives back more than STOP took.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from winback.core.reasons import Reason
from winback.ledger import refusals
from winback.ledger.keys import ERASED
from winback.ledger.message_tables import messages, receipts
from winback.ledger.refusals import Act, Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from sqlalchemy import Connection, Row

    from winback.ledger.receipts import Receipt

SOFT_FAILURES = 3
SOFT_SPAN = timedelta(days=30)
SOFT_MEMORY = timedelta(days=365)
"""Soft failures of three messages make an address dead when they lie 30 days or more, but no year, apart."""

_REASONS_OF_KINDS = {
    "complained": Reason.COMPLAINED,
    "unsubscribed": Reason.OPTED_OUT,
    "stopped": Reason.OPTED_OUT,
}
_REASONS = {"withdraw": Reason.OPTED_OUT, "suppress": Reason.INVALID_ADDRESS}
_SOFT = "soft"


def is_consequential(receipt: Receipt) -> bool:
    """Whether a receipt can suppress or lift anything."""
    return receipt.kind in {*_REASONS_OF_KINDS, "started"} or receipt.consequence in {*_REASONS, _SOFT}


def reason_of(kind: str, consequence: str | None) -> Reason | None:
    """Return what a receipt, or an entry of a vendor's list, says against writing again; the kind says more."""
    return _REASONS_OF_KINDS.get(kind) or _REASONS.get(consequence or "")


def take(
    connection: Connection, told: Iterable[tuple[Receipt, Any]], *, now: datetime, today: date, pepper: bytes
) -> tuple[int, int]:
    """Make new receipts effective; return how many suppressions were made and how many lifted.

    Parameters
    ----------
    told : each receipt with the row of its message
    now, today : the instant, and its business day; no act of a person lies in the future
    """
    suppressed = lifted = 0
    by_word: dict[tuple[str, str], str] = {}
    for receipt, message in told:
        act = _act(receipt.occurred_at, receipt, now=now, today=today)
        reason = _reason(connection, receipt, message)
        if reason is not None:
            suppressed += _suppress(connection, message, act, reason=reason, pepper=pepper)
        if receipt.kind in {"stopped", "started"} and message.address_hmac:
            by_word[(message.channel, message.address_hmac)] = receipt.provider
    for (channel, key), provider in by_word.items():
        started_at = _newest_start(connection, key)
        if started_at is None:
            continue
        act = Act(min(started_at, now), today, refusals.STOP_WORD, f"webhook:{provider}")
        target = Target(channel, address_key=key)
        lifted += refusals.lift(connection, target, act, pepper=pepper, source=refusals.STOP_WORD)
    return suppressed, lifted


def _act(at: datetime, receipt: Receipt, *, now: datetime, today: date) -> Act:
    actor = f"webhook:{receipt.provider}"
    return Act(min(at, now), today, refusals.STOP_WORD if receipt.kind == "stopped" else actor, actor)


def _reason(connection: Connection, receipt: Receipt, message: Row[Any]) -> Reason | None:
    """Return what a receipt says against writing again; soft failures say it together."""
    reason = reason_of(receipt.kind, receipt.consequence)
    if reason is None and receipt.consequence == _SOFT and message.address_hmac:
        return Reason.INVALID_ADDRESS if _is_dead(_soft_failures(connection, message.address_hmac)) else None
    return reason


def _suppress(connection: Connection, message: Row[Any], act: Act, *, reason: Reason, pepper: bytes) -> int:
    """Suppress the address a message went to and, but for dead addresses, the customer it was for."""
    is_about_person = reason is not Reason.INVALID_ADDRESS and not message.customer_id.startswith(ERASED)
    customer_id = message.customer_id if is_about_person else None
    if not (customer_id or message.address_hmac):
        return 0
    target = Target(message.channel, customer_id=customer_id, address_key=message.address_hmac)
    return refusals.suppress(connection, target, act, pepper=pepper, reason=reason)


def _soft_failures(connection: Connection, address_hmac: str) -> list[datetime]:
    """Return when messages to an address first failed softly, one instant a message, in order."""
    first = func.min(receipts.c.occurred_at, type_=receipts.c.occurred_at.type)
    query = select(first).join_from(receipts, messages, messages.c.message_id == receipts.c.message_id)
    query = query.where(messages.c.address_hmac == address_hmac, receipts.c.consequence == _SOFT)
    return sorted(connection.scalars(query.group_by(receipts.c.message_id)))


def _is_dead(failures: Sequence[datetime]) -> bool:
    """Whether three failures lie far enough apart; more failures never make an address live again."""
    spans = (last - first for place, first in enumerate(failures) for last in failures[place + SOFT_FAILURES - 1 :])
    return any(SOFT_SPAN <= span <= SOFT_MEMORY for span in spans)


def _newest_start(connection: Connection, address_hmac: str) -> datetime | None:
    """Return when the owner of an address last asked to be written to again; a START may come before its STOP."""
    newest = func.max(receipts.c.occurred_at, type_=receipts.c.occurred_at.type)
    query = select(newest).join_from(receipts, messages, messages.c.message_id == receipts.c.message_id)
    query = query.where(messages.c.address_hmac == address_hmac, receipts.c.kind == "started")
    found: datetime | None = connection.scalar(query)
    return found

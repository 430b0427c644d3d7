"""Take in what a vendor calls to say: stored and worked in by one transaction, whose end is what may be acknowledged.

In: a call whose signature holds, and what could be read of it. Out: what it brought, or that it was known. Imports
neither pandas nor Prefect. Must never happen: a call that is acknowledged and lost, or one that counts twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback.ledger import receipts, webhook_calls

if TYPE_CHECKING:
    from datetime import date, datetime

    from winback import channels
    from winback.ledger.engine import Ledger
    from winback.ledger.webhook_calls import Call


def hear(
    ledger: Ledger, call: Call, told: channels.Receipts, *, now: datetime, today: date
) -> receipts.Recorded | None:
    """Store a call and work in what it tells; None if it was known.

    Parameters
    ----------
    told : read of the call's body
    now, today : the instant, and its business day
    """
    with ledger.writing() as connection:
        if not webhook_calls.store(connection, call, receipts=len(told), unreadable=told.garbage, now=now):
            return None
        kept = [as_kept(one) for one in told]
        recorded = receipts.record_receipts(connection, kept, now=now, today=today, pepper=ledger.pepper)
        webhook_calls.empty_if_erased(connection, call, {one.message_id for one in kept})
        return recorded


def as_kept(receipt: channels.Receipt) -> receipts.Receipt:
    """Return a vendor's receipt as the ledger keeps it."""
    return receipts.Receipt(
        message_id=receipt.message_id,
        provider=receipt.provider,
        kind=receipt.kind.value,
        occurred_at=receipt.occurred_at,
        provider_id=receipt.provider_id,
        code=receipt.code or "",
        detail=receipt.detail or "",
        is_machine=receipt.is_machine,
        consequence=receipt.consequence.value if receipt.consequence else None,
    )

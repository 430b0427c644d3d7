"""Take in what a vendor calls to say: stored and worked in by one transaction, whose end is what may be acknowledged.

In: a call whose signature holds, and what could be read of it. Out: what it brought, or that it was known. Imports
neither pandas nor Prefect. Must never happen: a call that is acknowledged and lost, or one that counts twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from winback import channels
from winback.core.message_links import short_code
from winback.core.visit_verdicts import Link
from winback.ledger import receipts, visits, webhook_calls
from winback.ledger.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime

    from winback.ledger.engine import Ledger
    from winback.ledger.webhook_calls import Call


_OWN_LINKS = {"l": Link.LANDING, "u": Link.UNSUBSCRIBE, "p": Link.PREFERENCES}


def hear(
    ledger: Ledger, call: Call, told: channels.Receipts, *, now: datetime, today: date, base_url: str
) -> receipts.Recorded | None:
    """Store a call and work in what it tells; None if it was known.

    Parameters
    ----------
    told : read of the call's body
    now, today : the instant, and its business day
    base_url : where our own links lead
    """
    with ledger.writing() as connection:
        if not webhook_calls.store(connection, call, receipts=len(told), unreadable=told.garbage, now=now):
            return None
        kept = [as_kept(one) for one in told]
        recorded = receipts.record_receipts(connection, kept, now=now, today=today, pepper=ledger.pepper)
        visits.store(connection, _visits(told, now=now, base_url=base_url))
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


def _visits(told: channels.Receipts, *, now: datetime, base_url: str) -> Iterator[Visit]:
    """Yield what receipts tell of visits: address and agent cut, and of what was clicked only its kind."""
    for one in told:
        who = one.followed
        if who is None:
            continue
        is_open = one.kind is channels.ReceiptKind.OPENED
        network, agent = visits.network_of(who.address), visits.short_agent(who.agent)
        link = Link.PICTURE.value if is_open else _link(who.url, one.message_id, base_url=base_url)
        yield Visit(
            visit_id=visits.told_id(one.message_id, one.provider, link, one.occurred_at, network, agent),
            message_id=one.message_id,
            link=link,
            source=one.provider,
            seen_at=min(one.occurred_at, now),
            network=network,
            agent=agent,
            is_open=is_open,
            is_told=one.is_machine,
        )


def _link(url: str, message_id: str, *, base_url: str) -> str:
    """Return which link of a message an address is; of one that is not ours a digest."""
    place, _, code = url.removeprefix(f"{base_url.rstrip('/')}/").partition("/")
    code = code.partition("?")[0]
    if place == "s":
        return (Link.ACT if code == short_code(message_id) else Link.UNSEEN).value
    return _OWN_LINKS[place].value if place in _OWN_LINKS else f"other-{visits.told_id(url)[:8]}"

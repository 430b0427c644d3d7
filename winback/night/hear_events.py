"""Take in what Segment tells of customers: at once a sign of life for what is queued, in the next night an event.

In: a call whose signature holds, and what could be read of it. Out: how much of it was new, or that the call was known.
Imports neither pandas nor Prefect. Must never happen: a call that is acknowledged and lost, or anything in it that
allows a message.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select

from winback.core.reasons import Reason
from winback.ledger import diary, heard_events, refusals, signs_of_life, webhook_calls, who_refused
from winback.ledger.heard_events import Heard
from winback.ledger.listed import among
from winback.ledger.people_tables import contacts
from winback.ledger.refusals import Act, Target
from winback.ledger.signs_of_life import Sign

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import date

    from sqlalchemy import Connection

    from winback.channels.segment_calls import Told, Tracked
    from winback.ledger.engine import Ledger
    from winback.ledger.webhook_calls import Call

AHEAD = timedelta(minutes=5)
"""So far ahead a sender's clock may be; what lies further in the future is no sign of anything."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_KNOWN = select(contacts.c.customer_id).where(among(contacts.c.customer_id))


def hear_events(
    ledger: Ledger, call: Call, told: Told, *, source: str | None, now: datetime, today: date
) -> int | None:
    """Store that a call came and what it tells; return how many events were new, None if the call was known.

    Parameters
    ----------
    told : read of the call's body
    source : of winback.yaml, which the next sync reads; None where Segment's events are not declared
    now, today : the instant, and its business day
    """
    with ledger.writing() as connection:
        counts = {"receipts": told.size - told.garbage, "unreadable": told.garbage}
        if not webhook_calls.store(connection, call, **counts, now=now, keeps_body=False):
            return None
        diary.lock(connection)  # whoever forgets one of these meanwhile comes before all that follows, or after it
        ids = sorted({one.customer_id for one in told.events} | set(told.refusing))
        erased = who_refused.erased_among(connection, ids, pepper=ledger.pepper)
        events = [one for one in told.events if one.customer_id not in erased]
        new = heard_events.keep(connection, [Heard(source, *one) for one in events], now=now) if source else 0
        signs_of_life.note_signs(connection, _signs(events, _known(connection, ids), now=now))
        act = Act(now, today, source=f"webhook:{call.vendor}", actor=f"webhook:{call.vendor}")
        for customer_id in sorted(set(told.refusing) - erased):
            _refuse(connection, customer_id, act, pepper=ledger.pepper)
        return new


def _known(connection: Connection, customer_ids: Collection[str]) -> set[str]:
    return set(connection.scalars(_KNOWN, {"these": customer_ids}))


def _signs(events: Iterable[Tracked], known: Collection[str], *, now: datetime) -> list[Sign]:
    """Return the newest act of each kind of the contacts among them.

    Of everybody, not only of those with a message on its way: one may be planned just now by a night that has read the
    feeds already.
    """
    newest: dict[tuple[str, str], datetime] = {}
    for one in events:
        at = _instant(one.occurred_at)
        if at is not None and one.customer_id in known and EARLIEST <= at <= now + AHEAD:
            key = (one.customer_id, one.behaviour)
            newest[key] = max(at, newest.get(key, at))
    return [Sign(customer_id, behaviour, at, now) for (customer_id, behaviour), at in sorted(newest.items())]


def _instant(text: str) -> datetime | None:
    """Return the instant a text names; None for one that cannot be read, or has no offset."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _refuse(connection: Connection, customer_id: str, act: Act, *, pepper: bytes) -> None:
    """Stop all marketing to a customer; said again it changes nothing."""
    target = Target(customer_id=customer_id)
    if not who_refused.is_opted_out(connection, target, pepper=pepper):
        refusals.suppress(connection, target, act, pepper=pepper, reason=Reason.OPTED_OUT)

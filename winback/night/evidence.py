"""Look for evidence that an unknown message was taken after all: at the local outbox, in a provider's listing.

In: unknown messages. Out: those that are proven, accepted. Must never happen: a message that is taken for unsent
because a listing does not show it: listings lag, and only a person may send again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, select

from winback.channels import Doubt
from winback.channels.registry import open_channels
from winback.core.message_links import short_code
from winback.ledger import queue
from winback.ledger.gate_facts import ADDRESS_COLUMNS
from winback.ledger.message_tables import attempts, messages
from winback.ledger.people_tables import contacts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.channels import SendResult
    from winback.ledger.engine import Ledger
    from winback.settings import Project

LISTED_AFTER = timedelta(minutes=15)
"""Before that a provider's listing proves nothing, and is not asked."""


class _Unknown(NamedTuple):
    """An unknown message, and where it went; no address where the contact is gone."""

    message_id: str
    channel: str
    attempt_no: int
    owner: str
    started_at: datetime
    address: str | None


def accept_proven(ledger: Ledger, listed: Callable[[list[str]], Sequence[SendResult]], *, now: datetime) -> int:
    """Ask about every unknown message by its id; return how many were taken.

    Parameters
    ----------
    listed : returns a result for each id it knows, e.g. :meth:`LocalOutbox.reconcile`
    """
    with ledger.reading() as connection:
        left = _unknown(connection)
    if not left:
        return 0
    return _accept(ledger, left, listed([one.message_id for one in left]), provider="outbox", now=now)


def seek_evidence(project: Project, ledger: Ledger, *, now: datetime) -> int:
    """Ask the providers that list what they took about unknown messages; return how many were taken.

    Raises
    ------
    SettingsError
        If ``live: true`` asks for a provider whose settings are missing.
    """
    if not project.config.live:
        return 0
    with ledger.reading() as connection:
        left = [one for one in _unknown(connection) if one.address and one.started_at <= now - LISTED_AFTER]
    if not left:
        return 0
    found = 0
    for name, channel in open_channels(project).items():
        ask = getattr(channel, "evidence", None)
        mine = [one for one in left if one.channel == name]
        if ask is None or not mine:
            continue
        doubts = [
            Doubt(
                message_id=one.message_id,
                channel=name,
                address=one.address or "",
                claimed_at=one.started_at,
                marks=(short_code(one.message_id),),
            )
            for one in mine
        ]
        found += _accept(ledger, mine, ask(doubts), provider=channel.name, now=now)
    return found


def _unknown(connection: Connection) -> list[_Unknown]:
    last = and_(attempts.c.message_id == messages.c.message_id, attempts.c.attempt_no == messages.c.attempts)
    known = messages.join(attempts, last).outerjoin(contacts, contacts.c.customer_id == messages.c.customer_id)
    names = [messages.c[name] for name in ("message_id", "channel", "attempts", "owner")]
    query = select(*names, attempts.c.started_at, *(contacts.c[name] for name in ("email", "phone")))
    query = query.select_from(known).where(messages.c.state == queue.MessageState.UNKNOWN)
    return [
        _Unknown(
            message_id=row.message_id,
            channel=row.channel,
            attempt_no=row.attempts,
            owner=row.owner,
            started_at=row.started_at,
            address=getattr(row, ADDRESS_COLUMNS[row.channel]),
        )
        for row in connection.execute(query.order_by(messages.c.message_id))
    ]


def _accept(
    ledger: Ledger, left: Sequence[_Unknown], proven: Sequence[SendResult], *, provider: str, now: datetime
) -> int:
    by_id = {one.message_id: one for one in left}
    accepted = queue.Outcome.ACCEPTED
    with ledger.writing() as connection:
        for found in proven:
            one = by_id[found.message_id]
            result = queue.Result(one.message_id, one.attempt_no, accepted, provider, found.provider_id)
            queue.record_results(connection, [result], owner=one.owner, now=now)
    return len(proven)

"""The two numbers that have to be 0: who was written to twice, and who was written to after a no.

In: the outbox and the refusals as they are stored. Out: counts. They are asked of the tables that say what was posted,
not of the code that keeps the promise: attempts that a provider took, against each other and against refusals.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from winback.core.reasons import Reason
from winback.ledger.listed import among
from winback.ledger.message_tables import attempts, messages
from winback.ledger.people_tables import suppressions
from winback.ledger.refusals import ALL

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Row

CROSSING = timedelta(minutes=1)
"""A no and a claim note their instants before they wait for the database: so close to each other they crossed."""

REPORTED_WITHIN = timedelta(days=1)
"""A vendor's report is dated by when the person said no, which is before we could know; vendors repeat for a day."""

_TAKEN = "accepted"
_NOES = (Reason.OPTED_OUT.value, Reason.COMPLAINED.value)
DATED_BY_US = ("cli", "operator", "one_click", "preference_page")
"""Sources of refusals that are dated by when we wrote them down."""


def count_sent_twice(connection: Connection) -> int:
    """Return how many messages a provider took more than once."""
    twice = select(attempts.c.message_id).where(attempts.c.outcome == _TAKEN).group_by(attempts.c.message_id)
    found = twice.having(func.count() > 1).subquery()
    return int(connection.scalar(select(func.count()).select_from(found)) or 0)


def count_sent_after_no(connection: Connection) -> int:
    """Return how many messages a provider took although a no to them was in force when they were claimed.

    Counts from a minute after the no; from a day after, where it was a vendor that reported it.
    """
    by_customer = (suppressions.c.kind == "customer") & (suppressions.c.key == messages.c.customer_id)
    by_address = (suppressions.c.kind == "address") & (suppressions.c.key == messages.c.address_hmac)
    return len(_after_no(connection, by_customer) | _after_no(connection, by_address))


def _after_no(connection: Connection, is_about: ColumnElement[bool]) -> set[str]:
    # Messages and refusals first: attempts are looked up only for those few that were taken after a no.
    same = and_(is_about, suppressions.c.channel.in_([ALL, messages.c.channel]))
    meant = select(messages.c.message_id, suppressions.c.created_at, suppressions.c.lifted_at, suppressions.c.source)
    crossed = (
        meant.select_from(suppressions)
        .join(messages, same)
        .where(
            suppressions.c.reason.in_(_NOES),
            suppressions.c.programme.in_(["", messages.c.programme]),
            or_(messages.c.accepted_at.is_(None), messages.c.accepted_at > suppressions.c.created_at),
        )
    )
    noes: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(crossed):
        noes[row.message_id].append(row)
    columns = attempts.c.message_id, attempts.c.started_at
    taken = select(*columns).where(among(attempts.c.message_id), attempts.c.outcome == _TAKEN)
    posted = connection.execute(taken, {"these": list(noes)}) if noes else ()
    return {one.message_id for one in posted if any(_is_late(one.started_at, no) for no in noes[one.message_id])}


def _is_late(posted_at: datetime, no: Row[Any]) -> bool:
    """Whether a message was posted while a no was in force, and not only crossed it."""
    least = CROSSING if no.source in DATED_BY_US else REPORTED_WITHIN
    return posted_at - no.created_at >= least and (no.lifted_at is None or no.lifted_at > posted_at)

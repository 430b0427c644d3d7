"""Texts that may mean stop, for a person to read: meanwhile nobody who has that number is written to, on any channel.

In: a text with a stop word among others. Out: who waits, and what the person who read it decided. Must never happen: a
doubtful text that nobody sees, or one whose words stay longer than they are needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import bindparam, func, or_, select, union

from winback.core.reasons import Reason
from winback.ledger import diary
from winback.ledger.inbound_tables import reviews
from winback.ledger.listed import among
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import contacts
from winback.ledger.queue import MessageState
from winback.ledger.refusals import let_claims_end

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

STOP, KEEP, FORGOTTEN = "stop", "keep", "forgotten"
_OPEN = reviews.c.settled_at.is_(None)
_OF_SOME = select(reviews.c.customer_id, reviews.c.number_hmac).where(
    _OPEN, or_(among(reviews.c.customer_id), among(reviews.c.number_hmac, "numbers"))
)
_WITHIN = contacts.c.bucket >= bindparam("low"), contacts.c.bucket < bindparam("high")
# One branch a column, so that each is a seek.
_OF_BUCKETS = union(
    *(
        select(contacts.c.customer_id).join_from(reviews, contacts, one == other).where(_OPEN, *_WITHIN)
        for one, other in (
            (reviews.c.customer_id, contacts.c.customer_id),
            (reviews.c.number_hmac, contacts.c.sms_hmac),
        )
    )
)


class Review(NamedTuple):
    """A text that waits to be read."""

    id: int
    channel: str
    address_hmac: str
    number_hmac: str
    customer_id: str
    received_at: datetime
    said: str | None


_COLUMNS = [reviews.c[name] for name in Review._fields]


def open_review(connection: Connection, review: Review, *, customer_ids: Collection[str]) -> None:
    """Keep a text to be read; from here on everybody who has the number waits.

    Parameters
    ----------
    review : its number is given by the database
    customer_ids : everybody who has the number
    """
    let_claims_end(connection, [review.customer_id, *customer_ids, review.address_hmac])
    values = {name: value for name, value in review._asdict().items() if name != "id"}
    connection.execute(reviews.insert().values(values))


def open_reviews(connection: Connection) -> list[Review]:
    """Return what waits to be read, the oldest first."""
    return [Review(*row) for row in connection.execute(select(*_COLUMNS).where(_OPEN).order_by(reviews.c.id))]


def count_open(connection: Connection) -> int:
    """Return how many texts wait to be read."""
    return int(connection.scalar(select(func.count()).select_from(reviews).where(_OPEN)) or 0)


def find_open(connection: Connection, number: int) -> Review | None:
    """Return one text that waits, held until the transaction ends; None where there is none of that number."""
    diary.lock(connection)  # before any row, always: two transactions must not wait for each other
    query = select(*_COLUMNS).where(_OPEN, reviews.c.id == number).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else Review(*row)


def settle_review(connection: Connection, review: Review, outcome: str, *, by: str, now: datetime) -> None:
    """Let go of a text that a person has read; what waited for it alone may go at once.

    Parameters
    ----------
    outcome : :data:`STOP` (whoever calls this also says no for them) or :data:`KEEP`
    by : who read it
    """
    mine = reviews.update().where(reviews.c.id == review.id)
    connection.execute(mine.values(settled_at=now, settled_by=by, outcome=outcome, said=None))
    theirs = select(contacts.c.customer_id).where(contacts.c.sms_hmac == review.number_hmac)
    waiting = messages.c.state == MessageState.PLANNED, messages.c.reason == Reason.UNDER_REVIEW.value
    who = or_(messages.c.customer_id == review.customer_id, messages.c.customer_id.in_(theirs))
    connection.execute(messages.update().where(*waiting, who).values(not_before_at=now, reason=None))
    after = {"outcome": outcome, "channel": review.channel, "received_at": review.received_at}
    diary.record(connection, at=now, actor=by, action="review", subject=review.address_hmac, after=after)


def reviewed_among(
    connection: Connection, customer_ids: Collection[str], known: Mapping[str, Mapping[str, Any]]
) -> frozenset[str]:
    """Return which of some customers wait, by their id or by a number they have.

    Parameters
    ----------
    known : their contacts, those that there are
    """
    numbers = {name: contact["sms_hmac"] for name, contact in known.items() if contact["sms_hmac"]}
    found = connection.execute(_OF_SOME, {"these": customer_ids, "numbers": list(numbers.values())}).all()
    waiting = {value for row in found for value in row}
    return frozenset(one for one in customer_ids if one in waiting or numbers.get(one) in waiting)


def reviewed_within(connection: Connection, *, low: int, high: int) -> set[str]:
    """Return the customers of the buckets ``[low, high)`` who wait."""
    return set(connection.scalars(_OF_BUCKETS, {"low": low, "high": high}))


def forget_said(connection: Connection, customer_id: str, pseudonym: str) -> int:
    """Empty what somebody wrote and let go of their name; return how many texts that were. Nobody need read them."""
    number = select(contacts.c.sms_hmac).where(contacts.c.customer_id == customer_id).scalar_subquery()
    connection.execute(reviews.update().where(reviews.c.number_hmac == number).values(said=None))
    mine = reviews.update().where(reviews.c.customer_id == customer_id)
    ended = {"settled_at": func.coalesce(reviews.c.settled_at, reviews.c.received_at)}
    outcome = {"outcome": func.coalesce(reviews.c.outcome, FORGOTTEN)}
    return int(connection.execute(mine.values(customer_id=pseudonym, said=None, **ended, **outcome)).rowcount)

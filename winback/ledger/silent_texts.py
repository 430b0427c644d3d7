"""Accepted messages of which nobody has told how they fared: whom to ask about, the oldest first.

In: the ledger and the present instant. Out: ids. A message is asked about when it should have been heard of, and again
whenever nothing was heard for longer than any provider may still be trying.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, exists, or_, select

from winback.ledger.message_tables import messages, receipts
from winback.ledger.queue import MessageState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

SILENT_AFTER = timedelta(hours=1)
OVER_AFTER = timedelta(hours=12)
"""The longest validity of a text is ten hours."""

FORGOTTEN_AFTER = timedelta(days=7)


class Silent(NamedTuple):
    """A message, and what its provider calls it."""

    message_id: str
    provider_id: str


def silent_texts(connection: Connection, *, provider: str, now: datetime, limit: int) -> list[Silent]:
    """Return accepted messages of a provider that should have been heard of by now, the oldest first.

    Parameters
    ----------
    provider : whose messages
    limit : at most so many
    """
    heard = exists().where(receipts.c.message_id == messages.c.message_id)
    heard_of_late = heard.where(receipts.c.received_at > now - OVER_AFTER)
    never = and_(messages.c.accepted_at <= now - SILENT_AFTER, ~heard)
    not_of_late = and_(messages.c.accepted_at <= now - OVER_AFTER, ~heard_of_late)
    query = select(messages.c.message_id, messages.c.provider_id).where(
        messages.c.state == MessageState.ACCEPTED,
        messages.c.provider == provider,
        messages.c.provider_id.is_not(None),
        messages.c.accepted_at > now - FORGOTTEN_AFTER,
        or_(never, not_of_late),
    )
    return [Silent(*row) for row in connection.execute(query.order_by(messages.c.accepted_at).limit(limit))]

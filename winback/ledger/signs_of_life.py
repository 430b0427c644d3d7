"""What customers did since their messages were planned, so that nobody is asked back who has just come.

Kept only for customers with a message on its way: whatever takes in activity notes it here, the gate asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from winback.ledger.connections import new_insert
from winback.ledger.listed import among
from winback.ledger.message_tables import messages
from winback.ledger.people_tables import signs_of_life

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from sqlalchemy import Connection

_BLOCK = 1000
_OF_SOME = select(signs_of_life).where(among(signs_of_life.c.customer_id))


class Sign(NamedTuple):
    """The newest act of one kind: when it happened, and when we heard of it (both aware)."""

    customer_id: str
    behaviour: str
    newest_at: datetime
    seen_at: datetime


def awaited(connection: Connection) -> set[str]:
    """Return the customers with a message that may still go."""
    query = select(messages.c.customer_id).where(messages.c.state == "planned").distinct()
    return set(connection.scalars(query))


def note_signs(connection: Connection, signs: Iterable[Sign]) -> int:
    """Remember the newest act of each customer and kind; return how many were noted. An older one changes nothing."""
    rows = [sign._asdict() for sign in signs]
    for start in range(0, len(rows), _BLOCK):
        statement = new_insert(connection, signs_of_life).values(rows[start : start + _BLOCK])
        newer = {name: statement.excluded[name] for name in ("newest_at", "seen_at")}
        statement = statement.on_conflict_do_update(
            index_elements=["customer_id", "behaviour"],
            set_=newer,
            where=statement.excluded.newest_at > signs_of_life.c.newest_at,
        )
        connection.execute(statement)
    return len(rows)


def read_signs(connection: Connection, customer_ids: Collection[str]) -> dict[str, list[Sign]]:
    """Return what is known of some customers."""
    found: dict[str, list[Sign]] = {}
    for row in connection.execute(_OF_SOME, {"these": customer_ids}).all():
        found.setdefault(row.customer_id, []).append(Sign(*row))
    return found

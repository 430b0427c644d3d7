"""What people chose in the preference centre, beside yes and no: fewer messages, a pause, a language.

Yes and no are consents and refusals. Everything here is asked by the plan and again by the gate. Must never happen: a
wish that is acknowledged and not honoured.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from winback.ledger.connections import new_insert
from winback.ledger.listed import among
from winback.ledger.people_tables import consents, contacts
from winback.ledger.public_tables import preferences

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import date, datetime

    from sqlalchemy import Connection

FEWER_DAYS = 30
"""Who asked for fewer messages gets at most one in so many days."""
LASTING_BASES = ("express", "double_opt_in", "pewc")
"""Consents that need no new one: they were given in words, and do not run out."""
PURPOSE = "marketing"


class Preference(NamedTuple):
    """One person's wishes; ``paused_until`` is the first day on which a message may go again."""

    wants_fewer: bool = False
    paused_until: date | None = None
    language: str | None = None


_COLUMNS = [preferences.c[name] for name in ("customer_id", *Preference._fields)]
_OF_SOME = select(*_COLUMNS).where(among(preferences.c.customer_id))


def read_preferences(connection: Connection, customer_ids: Collection[str]) -> dict[str, Preference]:
    """Return the wishes of those of some customers who have any."""
    rows = connection.execute(_OF_SOME, {"these": customer_ids}).all()
    return {row[0]: Preference(*row[1:]) for row in rows}


def preferences_within(connection: Connection, *, low: int, high: int) -> dict[str, Preference]:
    """Return the wishes of the customers of the buckets ``[low, high)``."""
    query = select(*_COLUMNS).join_from(preferences, contacts, contacts.c.customer_id == preferences.c.customer_id)
    within = contacts.c.bucket >= low, contacts.c.bucket < high
    return {row[0]: Preference(*row[1:]) for row in connection.execute(query.where(*within))}


def save_preference(connection: Connection, customer_id: str, wished: Preference, *, now: datetime) -> None:
    """Remember a person's wishes in place of those before."""
    values = {**wished._asdict(), "updated_at": now}
    statement = new_insert(connection, preferences).values(customer_id=customer_id, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["customer_id"], set_=values))


def read_person(connection: Connection, customer_id: str) -> dict[str, Any] | None:
    """Return a contact, or None."""
    row = connection.execute(select(contacts).where(contacts.c.customer_id == customer_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def newest_consents(connection: Connection, customer_id: str) -> dict[str, tuple[str, str | None]]:
    """Return the newest word, status and basis, of a person on each channel; of two at one instant the withdrawal."""
    columns = consents.c.channel, consents.c.status, consents.c.basis
    query = select(*columns).where(consents.c.customer_id == customer_id, consents.c.purpose == PURPOSE)
    # The last one of each channel stays in the dictionary; "granted" sorts before "withdrawn".
    rows = connection.execute(query.order_by(consents.c.recorded_at, consents.c.status))
    return {row.channel: (row.status, row.basis) for row in rows}


def grant(connection: Connection, contact: dict[str, Any], channel: str, *, wording: str, now: datetime) -> None:
    """Record that a person said yes to a channel, in which words, on the preference page.

    Parameters
    ----------
    contact : the person's row
    wording : names the very text that was agreed to
    """
    values = {
        "customer_id": contact["customer_id"],
        "channel": channel,
        "purpose": PURPOSE,
        "recorded_at": now,
        "status": "granted",
        "basis": "express",
        "source": "preference_page",
        "wording": wording,
        "bucket": contact["bucket"],
    }
    connection.execute(new_insert(connection, consents).values(values).on_conflict_do_nothing())

"""Single contacts, and how many there are: what questions about one person need, without pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from winback.ledger import keys
from winback.ledger.people_tables import contacts

if TYPE_CHECKING:
    from sqlalchemy import Connection


def count_contacts(connection: Connection) -> dict[str, int]:
    """Return how many contacts there are: present, removed, with a usable address by channel."""
    here = contacts.c.removed_on.is_(None)
    usable = {channel: and_(here, contacts.c[f"{channel}_hmac"].is_not(None)) for channel in keys.CHANNELS}
    wanted = {"present": here, "removed": ~here, **usable}
    query = select(*(func.count().filter(condition).label(name) for name, condition in wanted.items()))
    return dict(connection.execute(query.select_from(contacts)).mappings().one())


def read_contact(connection: Connection, customer_id: str) -> dict[str, Any] | None:
    """Return one contact's row, present or removed, or None."""
    row = connection.execute(select(contacts).where(contacts.c.customer_id == customer_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def some_customer_ids(connection: Connection, *, limit: int = 1000) -> list[str]:
    """Return the first customer ids, to suggest one for a misspelt one."""
    return list(connection.scalars(select(contacts.c.customer_id).order_by(contacts.c.customer_id).limit(limit)))


def customers_at(connection: Connection, address: str, *, pepper: bytes) -> list[str]:
    """Return the customers who have this (normalised) address."""
    # A number is the same on WhatsApp, where it has no index of its own: with it all contacts would be walked through.
    hashes = [contacts.c[f"{one}_hmac"] == keys.address_key(pepper, one, address) for one in ("email", "sms")]
    return list(connection.scalars(select(contacts.c.customer_id).where(or_(*hashes)).order_by(contacts.c.customer_id)))

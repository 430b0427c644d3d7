"""Refusals as a list that people read: page by page, and everything that holds about one person or address.

In: the table of refusals. Out: rows. Addresses are in it by keyed hash only. Imports no pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, or_, select

from winback.ledger import contact_rows, keys
from winback.ledger.people_tables import suppressions

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection, Select

_KEYS = {"email": "email_hmac", "sms": "sms_hmac", "whatsapp": "whatsapp_hmac"}


class Listed(NamedTuple):
    """One refusal that holds; ``key`` is a customer's id, or the keyed hash of an address or of an erased id."""

    id: int
    channel: str
    kind: str
    key: str
    reason: str
    programme: str
    effective_on: date
    created_at: datetime
    source: str


def list_refusals(connection: Connection, *, before: int | None, limit: int) -> list[Listed]:
    """Return refusals that hold, the newest first.

    Parameters
    ----------
    before : only those with a smaller id: where the page before ended
    """
    query = _holding() if before is None else _holding().where(suppressions.c.id < before)
    return [Listed(*row) for row in connection.execute(query.limit(limit))]


def about_customer(connection: Connection, customer_id: str, *, pepper: bytes) -> list[Listed]:
    """Return what holds about a customer: by id, by address, by having been erased."""
    contact = contact_rows.read_contact(connection, customer_id) or {}
    wanted = {("customer", customer_id), ("erased", keys.customer_key(pepper, customer_id))}
    return _about(connection, wanted | {("address", contact[name]) for name in _KEYS.values() if contact.get(name)})


def about_address(connection: Connection, address: str, *, pepper: bytes) -> list[Listed]:
    """Return what holds about a (normalised) address, and about the customers who have it."""
    channels = ("email",) if "@" in address else ("sms", "whatsapp")
    wanted = {("address", keys.address_key(pepper, channel, address)) for channel in channels}
    customers = contact_rows.customers_at(connection, address, pepper=pepper)
    return _about(connection, wanted | {("customer", one) for one in customers})


def _about(connection: Connection, wanted: set[tuple[str, str]]) -> list[Listed]:
    is_wanted = or_(*(and_(suppressions.c.kind == kind, suppressions.c.key == key) for kind, key in sorted(wanted)))
    return [Listed(*row) for row in connection.execute(_holding().where(is_wanted))]


def _holding() -> Select[tuple[int, str, str, str, str, str, date, datetime, str]]:
    columns = [suppressions.c[name] for name in Listed._fields]
    return select(*columns).where(suppressions.c.lifted_at.is_(None)).order_by(suppressions.c.id.desc())

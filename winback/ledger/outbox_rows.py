"""The messages as the operator pages list them, and everything that is known of one.

In: what to look for. Out: rows, newest first, and counts. No name and no address stands in them. Imports no pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import and_, func, select

from winback.ledger.message_tables import attempts, messages, receipts
from winback.ledger.people_tables import contacts
from winback.ledger.public_tables import engagements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date, datetime

    from sqlalchemy import ColumnElement, Connection


class Wanted(NamedTuple):
    """What to list; None is anything."""

    state: str | None = None
    channel: str | None = None
    programme: str | None = None
    as_of: date | None = None


class Listed(NamedTuple):
    """One message of a list."""

    message_id: str
    customer_id: str
    programme: str
    step: int
    channel: str
    as_of: date
    state: str
    reason: str | None
    provider: str | None
    planned_at: datetime


class Happened(NamedTuple):
    """One thing that happened to a message, and who says so."""

    at: datetime
    what: str
    said_by: str
    detail: str = ""


class Letter(NamedTuple):
    """One message: its row, the contact's row (None once the person is gone), and what happened, in order."""

    row: dict[str, Any]
    contact: dict[str, Any] | None
    history: list[Happened]


_LISTED = [messages.c[name] for name in Listed._fields]


def list_page(connection: Connection, wanted: Wanted, *, limit: int, skip: int = 0) -> list[Listed]:
    """Return messages, those of the newest night first."""
    order = messages.c.as_of.desc(), messages.c.planned_at.desc(), messages.c.message_id
    query = select(*_LISTED).where(*_conditions(wanted)).order_by(*order).limit(limit).offset(skip)
    return [Listed(*row) for row in connection.execute(query)]


def count_states(connection: Connection, wanted: Wanted) -> dict[str, int]:
    """Return how many messages there are by state, whatever state is wanted."""
    conditions = _conditions(wanted._replace(state=None))
    query = select(messages.c.state, func.count().label("count_")).where(*conditions).group_by(messages.c.state)
    return {row.state: row.count_ for row in connection.execute(query.order_by(messages.c.state))}


def programme_names(connection: Connection) -> list[str]:
    """Return the programmes that ever planned a message."""
    return list(connection.scalars(select(messages.c.programme).distinct().order_by(messages.c.programme)))


def count_left(connection: Connection, *, made_up: Mapping[str, str]) -> dict[str, int]:
    """Return how many messages were handed to providers outside this machine, by provider.

    Parameters
    ----------
    made_up : what the ids of a provider's double begin with, by provider
    """
    left = [messages.c.provider_id.is_not(None), messages.c.provider != "outbox"]
    for provider, beginning in made_up.items():
        of_double = messages.c.provider == provider, messages.c.provider_id.startswith(beginning, autoescape=True)
        left.append(~and_(*of_double))
    query = select(messages.c.provider, func.count().label("count_")).where(*left).group_by(messages.c.provider)
    return {row.provider: row.count_ for row in connection.execute(query.order_by(messages.c.provider))}


def read_letter(connection: Connection, message_id: str) -> Letter | None:
    """Return everything that is known of a message, or None if there is none."""
    row = connection.execute(select(messages).where(messages.c.message_id == message_id)).mappings().one_or_none()
    if row is None:
        return None
    whose = contacts.c.customer_id == row["customer_id"]
    contact = connection.execute(select(contacts).where(whose, contacts.c.removed_on.is_(None))).mappings().first()
    happened = [Happened(row["planned_at"], "planned", "plan", f"{row['template']}, step {row['step']}")]
    happened += _attempts(connection, message_id) + _receipts(connection, message_id) + _acts(connection, message_id)
    ordered = sorted(happened, key=lambda one: one.at)
    return Letter(dict(row), dict(contact) if contact else None, ordered)


def _attempts(connection: Connection, message_id: str) -> list[Happened]:
    query = select(attempts).where(attempts.c.message_id == message_id).order_by(attempts.c.attempt_no)
    found: list[Happened] = []
    for row in connection.execute(query):
        found.append(Happened(row.started_at, f"attempt {row.attempt_no}", row.owner))
        if row.finished_at is not None:
            ended = f"attempt {row.attempt_no}: {row.outcome}"
            found.append(Happened(row.finished_at, ended, row.owner, row.error or row.provider_id or ""))
    return found


def _receipts(connection: Connection, message_id: str) -> list[Happened]:
    query = select(receipts).where(receipts.c.message_id == message_id).order_by(receipts.c.occurred_at)
    return [
        Happened(
            row.occurred_at,
            f"{row.kind}, by a machine" if row.is_machine else row.kind,
            row.provider,
            ", ".join(part for part in (row.code, row.detail, row.consequence) if part),
        )
        for row in connection.execute(query)
    ]


def _acts(connection: Connection, message_id: str) -> list[Happened]:
    query = select(engagements.c.kind, engagements.c.occurred_at).where(engagements.c.message_id == message_id)
    return [Happened(row.occurred_at, row.kind, "public pages") for row in connection.execute(query)]


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    return [messages.c[name] == value for name, value in wanted._asdict().items() if value is not None]

"""What people did on the public pages: one row a message and kind of act, the first one stays.

A qualified act shows that a person is there: it brings the customer back at the next plan
(:func:`newest_answers`) and stops what is queued already at its claim (:mod:`winback.ledger.signs_of_life`). Must never
happen: an act that counts twice, or a look at a page that counts at all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from winback.ledger import signs_of_life
from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.people_tables import contacts
from winback.ledger.public_tables import engagements
from winback.ledger.signs_of_life import Sign

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from winback.ledger.links import Addressed

ANSWER = "answer"
"""The behaviour a qualified act counts as; it brings back whatever a policy names as returns."""


class Engagement(NamedTuple):
    """One act; ``detail`` is JSON."""

    message_id: str
    kind: str
    customer_id: str
    occurred_at: datetime
    is_qualified: bool
    detail: str


_COLUMNS = [engagements.c[name] for name in Engagement._fields]


def record(
    connection: Connection,
    message: Addressed,
    kind: str,
    *,
    detail: Mapping[str, object],
    now: datetime,
    at: datetime | None = None,
) -> Engagement:
    """Store a person's act, once, and return the one that is stored: of two the first.

    Parameters
    ----------
    message : in which the link stood
    kind : survey, contest, coupon, preferences, click
    detail : small and JSON-able
    now, at : when we hear of it, and when it happened; without ``at`` just now
    """
    said = json.dumps(detail, sort_keys=True, ensure_ascii=False)
    at = now if at is None else at
    act = Engagement(message.message_id, kind, message.customer_id, occurred_at=at, is_qualified=True, detail=said)
    statement = new_insert(connection, engagements).values(act._asdict()).on_conflict_do_nothing()
    if insert_counted(connection, statement) and not message.is_erased:
        signs_of_life.note_signs(connection, [Sign(message.customer_id, ANSWER, at, now)])
    stored = read(connection, message.message_id, kind)
    return stored if stored is not None else act


def read(connection: Connection, message_id: str, kind: str) -> Engagement | None:
    """Return the act of one kind that answered a message, or None."""
    where = engagements.c.message_id == message_id, engagements.c.kind == kind
    row = connection.execute(select(*_COLUMNS).where(*where)).one_or_none()
    return None if row is None else Engagement(*row)


def newest_answers(connection: Connection, *, until: datetime, low: int, high: int) -> dict[str, datetime]:
    """Return when each customer of the buckets ``[low, high)`` last acted, before an instant."""
    newest = func.max(engagements.c.occurred_at, type_=engagements.c.occurred_at.type)
    within = contacts.c.bucket >= low, contacts.c.bucket < high
    query = select(engagements.c.customer_id, newest).join_from(
        engagements, contacts, contacts.c.customer_id == engagements.c.customer_id
    )
    query = query.where(*within, engagements.c.is_qualified, engagements.c.occurred_at < until)
    return {row[0]: row[1] for row in connection.execute(query.group_by(engagements.c.customer_id))}

"""What customers did, told by a webhook as it happens: kept until the nightly sync reads it as one more feed of events.

In: events as they were said. Out: each once, by the teller's id of it and by what it says. Nothing is judged here: the
rules of the border do that when the feed is read. Must never happen: an event that is acknowledged and not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import func, select

from winback.ledger.connections import insert_counted, new_insert
from winback.ledger.inbound_tables import heard_events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

_BLOCK = 500


class Heard(NamedTuple):
    """One event as it was said: texts, "" where nothing was."""

    source: str
    event_id: str
    customer_id: str
    behaviour: str
    occurred_at: str
    amount: str


def keep(connection: Connection, events: Sequence[Heard], *, now: datetime) -> int:
    """Store events; return how many were not known, by their id or by what they say."""
    rows: list[dict[str, Any]] = [{**one._asdict(), "heard_at": now} for one in events]
    blocks = (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))
    return sum(
        insert_counted(connection, new_insert(connection, heard_events).values(block).on_conflict_do_nothing())
        for block in blocks
    )


def count(connection: Connection, source: str) -> int:
    """Return how many events of a source are kept."""
    query = select(func.count()).select_from(heard_events).where(heard_events.c.source == source)
    return int(connection.scalar(query) or 0)


def read(connection: Connection, source: str, *, since: datetime | None) -> Iterator[tuple[datetime, Heard]]:
    """Yield the events of a source with the instant they were heard, in that order; since an instant, or all."""
    columns = [heard_events.c[name] for name in ("heard_at", *Heard._fields)]
    query = select(*columns).where(heard_events.c.source == source)
    if since is not None:
        query = query.where(heard_events.c.heard_at >= since)
    for heard_at, *said in connection.execute(query.order_by(heard_events.c.heard_at, heard_events.c.event_id)):
        yield heard_at, Heard(*said)


def drop(connection: Connection, *, before: datetime) -> int:
    """Delete what was heard before an instant; return how many that were."""
    return int(connection.execute(heard_events.delete().where(heard_events.c.heard_at < before)).rowcount)

"""When the ledger was last settled, so that a settlement that no longer happens is noticed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from winback.ledger.connections import new_insert
from winback.ledger.control_tables import meta

if TYPE_CHECKING:
    from sqlalchemy import Connection

_KEY = "settled_at"


def note_settled(connection: Connection, *, now: datetime) -> None:
    """Note that the ledger was settled; a night of the past that is lived through later takes nothing back."""
    value = now.astimezone(UTC).isoformat(timespec="microseconds")
    statement = new_insert(connection, meta).values(key=_KEY, value=value)
    newer = meta.c.value < statement.excluded.value
    connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}, where=newer))


def settled_at(connection: Connection) -> datetime | None:
    """Return when the ledger was last settled, or None."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _KEY))
    return None if found is None else datetime.fromisoformat(found)

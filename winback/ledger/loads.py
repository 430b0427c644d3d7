"""What was read from the sources, night by night: counts, and what a person let through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from winback.ledger import diary
from winback.ledger.connections import new_insert
from winback.ledger.night_tables import loads, overrides

if TYPE_CHECKING:
    from datetime import date, datetime

    from sqlalchemy import Connection, Select

MEDIAN_LOADS = 14


class Load(NamedTuple):
    """One source on one night. ``watermark`` is JSON; ``held`` says why its programmes must wait, or is None."""

    source: str
    as_of: date
    loaded_at: datetime
    read: int
    new: int
    quarantined: int
    duplicates: int = 0
    conflicts: int = 0
    max_occurred_at: datetime | None = None
    held: str | None = None
    detail: str | None = None
    watermark: str | None = None


class Override(NamedTuple):
    """A person's word that a held source is right as it is."""

    source: str
    as_of: date
    kind: str
    by: str
    at: datetime
    reason: str


def record_load(connection: Connection, load: Load) -> None:
    """Store what a source gave; a second load of the same night replaces the first."""
    statement = new_insert(connection, loads).values(load._asdict())
    values = {name: statement.excluded[name] for name in Load._fields if name not in {"source", "as_of"}}
    connection.execute(statement.on_conflict_do_update(index_elements=["source", "as_of"], set_=values))


def loads_before(connection: Connection, source: str, *, before: date, limit: int = MEDIAN_LOADS) -> list[Load]:
    """Return the last loads of a source before a night, the newest first: what the volume guard compares with."""
    query = _loads().where(loads.c.source == source, loads.c.as_of < before)
    return [Load(*row) for row in connection.execute(query.order_by(loads.c.as_of.desc()).limit(limit))]


def loads_on(connection: Connection, as_of: date) -> list[Load]:
    """Return the loads of one night, by source."""
    return [Load(*row) for row in connection.execute(_loads().where(loads.c.as_of == as_of).order_by(loads.c.source))]


def newest_watermark(connection: Connection, source: str, *, before: date | None = None) -> str | None:
    """Return how far a source was read (JSON), at most up to the nights before ``before``."""
    query = select(loads.c.watermark).where(loads.c.source == source, loads.c.watermark.is_not(None))
    if before is not None:
        query = query.where(loads.c.as_of < before)
    return connection.scalar(query.order_by(loads.c.as_of.desc()).limit(1))


def allow(connection: Connection, override: Override) -> bool:
    """Let a held source through for one night, in somebody's name; return False when that was done before.

    There is one line a source and night; a further kind is added to it (``empty,stale``).
    """
    known = overrides_on(connection, override.as_of).get(override.source)
    if known is None:
        connection.execute(new_insert(connection, overrides).values(override._asdict()))
    elif override.kind in known.kind.split(","):
        return False
    else:
        line = overrides.c.source == override.source, overrides.c.as_of == override.as_of
        connection.execute(overrides.update().where(*line).values(kind=f"{known.kind},{override.kind}"))
    after = {"as_of": override.as_of, "kind": override.kind, "reason": override.reason}
    diary.record(connection, at=override.at, actor=override.by, action="override", subject=override.source, after=after)
    return True


def overrides_on(connection: Connection, as_of: date) -> dict[str, Override]:
    """Return what people let through on a night, by source."""
    columns = [overrides.c[name] for name in Override._fields]
    query = select(*columns).where(overrides.c.as_of == as_of).order_by(overrides.c.source)
    return {row.source: Override(*row) for row in connection.execute(query)}


def _loads() -> Select[Any]:
    return select(*(loads.c[name] for name in Load._fields))

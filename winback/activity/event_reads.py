"""Questions about events that the nightly profiles do not answer.

In: one generation. Out: small frames and plain values. Nothing here writes, and every answer is as of a business day.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression

from winback.activity.columnar import EVENT_SCHEMA, as_frame, connection, relation
from winback.activity.folding import events_between, shards_of_run, within_run
from winback.core.buckets import buckets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    import duckdb
    import pandas as pd

    from winback.activity.manifest import EventPart, Manifest

HISTORY_COLUMNS = ("source", "behaviour", "occurred_at", "occurred_on", "amount", "event_id")
HISTORY_SCHEMA = pa.schema([EVENT_SCHEMA.field(name) for name in HISTORY_COLUMNS])


def _parts_of_run(manifest: Manifest, run: tuple[int, int]) -> list[EventPart]:
    shards = set(shards_of_run(manifest, run))
    return [part for part in manifest.parts if part.shard in shards]


def _only(rows: duckdb.DuckDBPyRelation, behaviours: Sequence[str] | None) -> duckdb.DuckDBPyRelation:
    """Return the rows of some behaviours; None stands for all of them."""
    if behaviours is None:
        return rows
    if not behaviours:
        return rows.limit(0)
    return rows.filter(ColumnExpression("behaviour").isin(*map(ConstantExpression, behaviours)))


def event_days(
    root: Path,
    manifest: Manifest,
    as_of: date,
    *,
    since: date | None,
    behaviours: Sequence[str] | None,
    run: tuple[int, int],
) -> pd.DataFrame:
    """Return distinct (customer_id, behaviour, occurred_on) with since < occurred_on <= as_of."""
    with connection(root) as engine:
        rows = events_between(engine, root, _parts_of_run(manifest, run), after=since, until=as_of)
        days = _only(within_run(rows, run), behaviours)
        days = days.select("bucket, customer_id, behaviour, occurred_on").distinct()
        table = days.order("bucket, customer_id, behaviour, occurred_on").to_arrow_table()
    return as_frame(table.drop_columns(["bucket"]))


def activity_since(
    root: Path, manifest: Manifest, since: date, as_of: date, *, behaviours: Sequence[str], run: tuple[int, int]
) -> pd.DataFrame:
    """Return the first and newest active day of each customer in since < day <= as_of."""
    with connection(root) as engine:
        rows = events_between(engine, root, _parts_of_run(manifest, run), after=since, until=as_of)
        days = _only(within_run(rows, run), behaviours).aggregate(
            "bucket, customer_id, min(occurred_on) AS first_on, max(occurred_on) AS last_on", "bucket, customer_id"
        )
        table = days.order("bucket, customer_id").to_arrow_table()
    return as_frame(table.drop_columns(["bucket"]))


def customer_history(root: Path, manifest: Manifest, customer_id: str, as_of: date, *, limit: int) -> pd.DataFrame:
    """Return the newest events of one customer, newest first."""
    bucket = int(buckets([customer_id])[0])
    run = (bucket, bucket + 1)
    with connection(root) as engine:
        rows = events_between(engine, root, _parts_of_run(manifest, run), after=None, until=as_of)
        rows = within_run(rows, run).filter(ColumnExpression("customer_id") == ConstantExpression(customer_id))
        newest = rows.order("occurred_at DESC, source, behaviour, event_id, amount").limit(limit)
        table = newest.select(*map(ColumnExpression, HISTORY_COLUMNS)).to_arrow_table()
    return as_frame(table.cast(HISTORY_SCHEMA))


def max_occurred_at(root: Path, manifest: Manifest, source: str, as_of: date) -> datetime | None:
    """Return the instant of a source's newest event up to a business day."""
    parts = [part for part in manifest.parts if part.source == source]
    with connection(root) as engine:
        rows = events_between(engine, root, parts, after=None, until=as_of)
        found = rows.aggregate("epoch_us(max(occurred_at))").fetchone()
    if not found or found[0] is None:
        return None
    seconds, microseconds = divmod(int(found[0]), 1_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=microseconds)


def behaviours(root: Path, manifest: Manifest) -> list[str]:
    """Return the behaviours that were ever seen, sorted."""
    with connection(root) as engine:
        rows = relation(engine, root, manifest.parts, EVENT_SCHEMA).select("behaviour").distinct()
        return sorted(name for (name,) in rows.fetchall())


def history_days(root: Path, manifest: Manifest, as_of: date) -> dict[str, int]:
    """Return for each behaviour the days between its first event and ``as_of``."""
    with connection(root) as engine:
        rows = events_between(engine, root, list(manifest.parts), after=None, until=as_of)
        firsts = rows.aggregate("behaviour, min(occurred_on)", "behaviour").order("behaviour").fetchall()
    return {name: (as_of - first_on).days for name, first_on in firsts}

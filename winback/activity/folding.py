"""The profiles of one stored shard as they stood on a day.

In: the files of one generation and a business day. Out: the profiles of a run of buckets. A profile is either folded
forward (the stored one plus the events since) or rebuilt (from its events, with nothing before): both run the same
query and give the same bytes. Must never happen: an event after ``as_of`` in a profile.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from duckdb import ColumnExpression, ConstantExpression

from winback.activity.columnar import (
    CUSTOMER_SCHEMA,
    EVENT_SCHEMA,
    PROFILE_SCHEMA,
    connection,
    read_files,
    relation,
)
from winback.core.buckets import bounds
from winback.settings import data_directory

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from winback.activity.manifest import EventPart, Manifest

ORDER = "bucket, customer_id, behaviour"
ROWS_AT_ONCE = 1_000_000
PROFILES_A_STALE_CUSTOMER = 10
QUERY_COLUMNS = ("bucket", "customer_id", "behaviour", "occurred_on")


def events_between(
    engine: duckdb.DuckDBPyConnection, root: Path, parts: list[EventPart], *, after: date | None, until: date
) -> duckdb.DuckDBPyRelation:
    """Return the events of some parts with after < occurred_on <= until; parts outside are not even opened."""
    wanted = [part for part in parts if part.first_on <= until and (after is None or part.last_on > after)]
    day = ColumnExpression("occurred_on")
    events = relation(engine, root, wanted, EVENT_SCHEMA).filter(day <= ConstantExpression(until))
    return events if after is None else events.filter(day > ConstantExpression(after))


def shard_parts(manifest: Manifest, shard: int) -> list[EventPart]:
    """Return the parts that hold the events of one stored shard."""
    return [part for part in manifest.parts if part.shard == shard]


class Batch(NamedTuple):
    """Stored shards that are computed together; ``is_settled``: their stored profiles are the answer already."""

    shards: tuple[int, ...]
    is_settled: bool


def batches(manifest: Manifest, dirty: pa.Table, as_of: date, *, run: tuple[int, int]) -> list[Batch]:
    """Return the stored shards that hold a run of buckets, in order, grouped so that small ones share a query.

    One query over eight small shards costs 0.4 CPU s where eight queries cost 0.65; a batch of at most
    ``ROWS_AT_ONCE`` rows keeps the engine below its memory.
    """
    found: list[Batch] = []
    rows = 0
    for shard in shards_of_run(manifest, run):
        stale = rows_of_shard(dirty, manifest, shard).num_rows
        is_settled = not stale and _is_folded(manifest, shard, as_of)
        shard_rows = 0 if is_settled else _rows_to_hold(manifest, shard, as_of, stale=stale)
        rows += shard_rows
        if found and found[-1].is_settled == is_settled and rows <= ROWS_AT_ONCE:
            found[-1] = Batch((*found[-1].shards, shard), is_settled)
        else:
            found.append(Batch((shard,), is_settled))
            rows = shard_rows
    return found


def _is_folded(manifest: Manifest, shard: int, as_of: date) -> bool:
    """Return whether nothing happened between the last fold and ``as_of``."""
    folded = manifest.folded_through
    if folded is None or as_of < folded:
        return False
    parts = shard_parts(manifest, shard)
    return as_of == folded or not any(part.last_on > folded and part.first_on <= as_of for part in parts)


def _rows_to_hold(manifest: Manifest, shard: int, as_of: date, *, stale: int) -> int:
    """Return about how many rows the profiles of a shard are computed from, ``stale`` customers from all their events.

    The history of the others is passed over without being held. A stale customer counts as ten of the shard's mean
    profiles, so that customers of many behaviours and events are no surprise.
    """
    folded = manifest.folded_through
    parts = [part for part in shard_parts(manifest, shard) if part.first_on <= as_of]
    profile = manifest.profile(shard)
    events = sum(part.rows for part in parts)
    if folded is None or as_of < folded or profile is None:
        return events
    pending = sum(_pending_rows(part, folded) for part in parts)
    return pending + profile.rows + min(events, PROFILES_A_STALE_CUSTOMER * stale * events // profile.rows)


def _pending_rows(part: EventPart, folded: date) -> int:
    """Return about how many events of a part come after a day, as if there were equally many every day."""
    pending_days = (part.last_on - max(folded, part.first_on - timedelta(days=1))).days
    return part.rows * max(0, pending_days) // ((part.last_on - part.first_on).days + 1)


@cache
def fold_query() -> str:
    """Return :func:`winback.activity.feature_query.fold_profiles` as DuckDB's SQL."""
    return (data_directory() / "queries" / "fold_profiles.sql").read_text(encoding="utf-8")


def compute_profiles(
    root: Path, manifest: Manifest, dirty: pa.Table, shards: tuple[int, ...], *, as_of: date, run: tuple[int, int]
) -> pa.Table:
    """Return the profiles of some stored shards as of a day, without writing anything.

    Parameters
    ----------
    root : the store's directory
    manifest : the generation to read
    dirty : CUSTOMER_SCHEMA: customers whose stored profile must not be used
    shards : stored shards
    as_of : business day; may lie before or after the day the profiles were folded through
    run : half-open run of buckets to keep

    Returns
    -------
    PROFILE_SCHEMA, sorted by bucket, customer_id, behaviour
    """
    parts = [part for shard in shards for part in shard_parts(manifest, shard)]
    folded = manifest.folded_through
    if folded is not None and as_of < folded:
        folded = None
    with connection(root) as engine:
        events = events_between(engine, root, parts, after=folded, until=as_of)
        stored = [manifest.profile(shard) for shard in shards] if folded is not None else []
        prior = relation(engine, root, [profile for profile in stored if profile], PROFILE_SCHEMA)
        if folded is not None and dirty.num_rows:
            stale = engine.from_arrow(dirty).set_alias("stale")
            history = events_between(engine, root, parts, after=None, until=as_of)
            events = _joined(events, stale, "anti").union(_joined(history, stale, "semi"))
            prior = prior.join(stale, "customer_id", how="anti")
        within_run(events, run).select(*map(ColumnExpression, QUERY_COLUMNS)).create_view("events")
        within_run(prior, run).create_view("prior")
        profiles = engine.sql(fold_query()).order(ORDER).to_arrow_table()
    # The engine adds whole numbers up in 128 bits; they are 64-bit numbers by contract.
    return profiles.cast(PROFILE_SCHEMA)


def shards_of_run(manifest: Manifest, run: tuple[int, int]) -> list[int]:
    """Return the stored shards that hold a part of a run of buckets, in the order of the buckets."""
    held = [(shard, bounds(shard, manifest.shards)) for shard in range(manifest.shards)]
    return [shard for shard, (low, high) in held if low < run[1] and run[0] < high]


def dirty_customers(root: Path, manifest: Manifest) -> pa.Table:
    """Return the customers (CUSTOMER_SCHEMA) whose profiles have to be rebuilt."""
    return read_files(root, [manifest.dirty] if manifest.dirty else [], CUSTOMER_SCHEMA)


def rows_of_shard(rows: pa.Table, manifest: Manifest, shard: int) -> pa.Table:
    """Return those of some rows, sorted by bucket, whose bucket belongs to a stored shard."""
    return rows_of_run(rows, bounds(shard, manifest.shards))


def rows_of_run(rows: pa.Table, run: tuple[int, int]) -> pa.Table:
    """Return those of some rows, sorted by bucket, whose bucket lies in a half-open run (a view, nothing is copied)."""
    first, end = np.searchsorted(rows["bucket"].to_numpy(), run)
    return rows.slice(first, end - first)


def _joined(
    events: duckdb.DuckDBPyRelation, stale: duckdb.DuckDBPyRelation, how: Literal["semi", "anti"]
) -> duckdb.DuckDBPyRelation:
    return events.select(*map(ColumnExpression, QUERY_COLUMNS)).join(stale, "customer_id", how=how)


def within_run(rows: duckdb.DuckDBPyRelation, run: tuple[int, int]) -> duckdb.DuckDBPyRelation:
    """Return the rows whose bucket lies in the half-open run."""
    bucket = ColumnExpression("bucket")
    return rows.filter((bucket >= ConstantExpression(run[0])) & (bucket < ConstantExpression(run[1])))

"""The feature query is one expression: it compiles for several engines and runs on ibis' own DuckDB."""

from __future__ import annotations

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from activity_world import Event, at, expected_profiles, on, purchase

from winback.activity.columnar import MONTHS, PROFILE_SCHEMA, as_frame
from winback.activity.feature_query import EVENTS, PROFILES, fold_profiles, fold_profiles_sql
from winback.activity.folding import fold_query
from winback.core.buckets import buckets
from winback.core.rhythm import LOG_UNIT, MONTH_COLUMNS

ORDER = ["bucket", "customer_id", "behaviour"]
LONGEST_GAP_DAYS = 40_000


def events_table(events):
    customers = [event.customer_id for event in events]
    days = {
        "bucket": pa.array(buckets(customers), pa.int16()),
        "customer_id": pa.array(customers, pa.string()),
        "behaviour": pa.array([event.behaviour for event in events], pa.string()),
        "occurred_on": pa.array([event.at.date() for event in events], pa.date32()),
    }
    return pa.table(days)


def run(engine, events, prior):
    expression = fold_profiles(ibis.memtable(events, schema=EVENTS), ibis.memtable(prior, schema=PROFILES))
    return engine.to_pyarrow(expression.order_by(ORDER)).cast(PROFILE_SCHEMA)


@pytest.fixture
def engine():
    connected = ibis.duckdb.connect()
    yield connected
    connected.disconnect()


def test_the_stored_query_is_fresh():
    refresh = "python -m winback.activity.feature_query data/queries/fold_profiles.sql"
    assert fold_query() == fold_profiles_sql() + "\n", f"stale: run `{refresh}`"


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "databricks", "snowflake", "bigquery"])
def test_it_compiles_for_other_engines(dialect):
    sql = fold_profiles_sql(dialect)
    assert sql.lstrip().upper().startswith(("SELECT", "WITH"))
    assert sql.upper().count(" OUTER JOIN ") == 2
    assert "LAG(" in sql.upper()


def test_it_runs_on_ibis_own_connection_folded_or_rebuilt(engine):
    events = [purchase("ann", day) for day in (0, 0, 3, 40, 41)]
    events += [Event("ann", "visit", at(40)), purchase("bob", 2), purchase("bob", 40), Event("cid", "visit", at(41))]
    nothing = PROFILE_SCHEMA.empty_table()
    rebuilt = run(engine, events_table(events), nothing)
    pd.testing.assert_frame_equal(as_frame(rebuilt.drop_columns(["bucket"])), expected_profiles(events, on(99)))

    sooner = run(engine, events_table([event for event in events if event.at < at(20)]), nothing)
    later = run(engine, events_table([event for event in events if event.at >= at(20)]), sooner)
    assert later.equals(rebuilt)
    assert run(engine, events_table([]), rebuilt).equals(rebuilt)


def test_the_engines_logarithm_is_numpys_to_the_fixed_point_unit(engine):
    """The model divides by LOG_UNIT what the engine has summed: every gap up to a century, one by one."""
    gaps = np.arange(1, LONGEST_GAP_DAYS + 1)
    start = np.datetime64("1990-01-01", "D")
    names = np.array([f"customer-{gap:06d}" for gap in gaps])
    days = np.concatenate([np.full(len(gaps), start), start + gaps])
    table = pa.table(
        {
            "bucket": pa.array(np.zeros(2 * len(gaps)), pa.int16()),
            "customer_id": np.concatenate([names, names]).tolist(),
            "behaviour": pa.array(["visit"]).take(pa.array(np.zeros(2 * len(gaps), dtype=np.int64))),
            "occurred_on": pa.array(days),
        }
    )
    profiles = run(engine, table, PROFILE_SCHEMA.empty_table())
    logs = np.log(gaps.astype(np.float64))
    for name, terms in {"log_gap_sum": logs, "log_gap_square_sum": logs * logs}.items():
        difference = profiles[name].to_numpy() - np.rint(terms * LOG_UNIT).astype(np.int64)
        assert np.abs(difference).max() <= 1
        assert np.count_nonzero(difference) < 10


def test_the_columns_are_the_models():
    assert MONTHS == MONTH_COLUMNS

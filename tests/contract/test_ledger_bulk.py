"""Frames in and out: the same values on both databases, and nothing twice."""

from __future__ import annotations

import sqlite3
from datetime import UTC, date, datetime

import ledger_rows as rows
import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Date, Double, Integer, MetaData, SmallInteger, Table, func, select
from sqlalchemy.exc import DBAPIError

from winback.errors import StoreUnavailable
from winback.ledger import bulk
from winback.ledger.columns import Instant, String
from winback.ledger.control_tables import meta
from winback.ledger.night_tables import decisions, nights, quarantine

INSTANTS = pd.to_datetime(["2026-03-29T00:59:59.999999Z", None, "1996-02-29T23:00:00Z"], utc=True, format="ISO8601")


def _nights(*, days: list[str], hashes: list[str], applied: object = None) -> pd.DataFrame:
    frame = pd.DataFrame({"as_of": pd.to_datetime(days), "plan_hash": hashes, "run_id": "r", "summary": None})
    return frame.assign(
        started_at=rows.instants([rows.NOW] * len(days)), applied_at=applied if applied is not None else pd.NaT
    )


@pytest.fixture
def three_nights() -> pd.DataFrame:
    days = ["2026-03-29", "2026-03-30", "1996-02-29"]
    return _nights(days=days, hashes=['é, "quoted"\nline', "", "naïve; \\N \\ \t"], applied=INSTANTS)


def test_a_frame_comes_back_as_it_went_in(ledger, three_nights):
    with ledger.writing() as connection:
        assert bulk.insert_new(connection, nights, three_nights) == 3
    with ledger.reading() as connection:
        found = bulk.read_frame(connection, select(nights).order_by(nights.c.plan_hash))
    expected = three_nights.sort_values("plan_hash", ignore_index=True)[list(found.columns)]
    expected = expected.astype({name: found[name].dtype for name in found.columns})
    pd.testing.assert_frame_equal(found, expected)
    assert found.dtypes.astype("str").to_dict() == {
        "as_of": "datetime64[us]",
        "plan_hash": "str",
        "run_id": "str",
        "started_at": "datetime64[us, UTC]",
        "applied_at": "datetime64[us, UTC]",
        "summary": "str",
    }


def test_text_that_looks_like_nothing_stays_text(ledger):
    """Empty text, the word NULL, COPY's own escapes: none of them is a missing value."""
    texts = ["", " ", "NULL", "null", "\\N", "NaN", "None", '"', '""', "a,b", "a\r\nb", "\\.", "'", "😀", "ﬁ", "0"]
    frame = pd.DataFrame({"key": [f"{place:02d}" for place in range(len(texts))], "value": texts})
    with ledger.writing() as connection:
        bulk.insert_new(connection, meta, frame)
        query = select(meta.c.value).where(meta.c.key != "pepper").order_by(meta.c.key)
        assert connection.scalars(query).all() == texts
        assert bulk.read_frame(connection, query)["value"].tolist() == texts


def test_the_character_postgresql_cannot_store_becomes_the_same_on_both(ledger):
    with ledger.writing() as connection:
        bulk.insert_new(connection, meta, pd.DataFrame({"key": ["k"], "value": ["a\0b"]}))
        assert connection.scalar(select(meta.c.value).where(meta.c.key == "k")) == "a\ufffdb"


def test_numbers_keep_their_value_and_missing_ones_stay_missing(ledger):
    values = [0.1, float("nan"), 1e-300, 12345678.123456789, float("inf")]
    frame = rows.decisions(*"abcde", return_probability=values, step=pd.array([1, None, 3, None, 9], dtype="Int64"))
    frame["bucket"] = [0, 1, 2, 3, 1023]
    with ledger.writing() as connection:
        bulk.insert_new(connection, decisions, frame)
        columns = [decisions.c[name] for name in ("return_probability", "step", "bucket", "threshold_days")]
        found = bulk.read_frame(connection, select(*columns).order_by(decisions.c.customer_id))
        nulls = connection.scalar(select(func.count()).where(decisions.c.return_probability.is_(None)))
    assert nulls == 1
    assert found["return_probability"].fillna(-1).tolist() == [0.1, -1, 1e-300, 12345678.123456789, float("inf")]
    assert found["step"].tolist() == [1, pd.NA, 3, pd.NA, 9]
    assert found["bucket"].tolist() == [0, 1, 2, 3, 1023]
    assert found.dtypes.astype("str").to_dict() == {
        "return_probability": "float64",
        "step": "Int64",
        "bucket": "int64",
        "threshold_days": "float64",
    }


def test_a_number_that_does_not_fit_into_its_column_is_refused_on_both(ledger):
    frame = rows.decisions("a").assign(bucket=[40_000])
    with pytest.raises(ValueError, match="40000 not in range"), ledger.writing() as connection:
        bulk.insert_new(connection, decisions, frame)


_TEXTS = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_HELD = Table(
    "held",
    MetaData(),
    Column("place", BigInteger, nullable=False),
    Column("words", String),
    Column("day", Date),
    Column("moment", Instant),
    Column("number", Integer),
    Column("small", SmallInteger, nullable=False),
    Column("share", Double),
    prefixes=["TEMPORARY"],
)


@given(
    st.lists(
        st.tuples(
            st.none() | _TEXTS,
            st.none() | st.dates(),
            st.none() | st.datetimes(timezones=st.just(UTC)),
            st.none() | st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**15), 2**15 - 1),
            st.none() | st.floats(allow_nan=False),
        ),
        min_size=1,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_of_any_type_comes_back_and_a_missing_one_stays_missing(ledger, values):
    """Read by SQLAlchemy, not by what wrote it."""
    words, days, moments, numbers, small, shares = map(list, zip(*values, strict=True))
    frame = pd.DataFrame({"place": range(len(values)), "words": pd.array(words, dtype="str"), "small": small}).assign(
        day=pd.array(days, dtype="object"),
        moment=pd.array(moments, dtype="object"),
        number=pd.array(numbers, dtype="Int64"),
        share=pd.array(shares, dtype="float64"),
    )
    with ledger.writing() as connection:
        _HELD.create(connection)
        assert bulk.insert_new(connection, _HELD, frame) == len(values)
        found = connection.execute(select(_HELD).order_by(_HELD.c.place)).all()
        _HELD.drop(connection)
    assert [tuple(row)[1:] for row in found] == values


def test_a_long_answer_is_one_whole_though_its_first_values_are_all_missing(ledger):
    """Rows are fetched a thousand at a time; what stands in a column may show in a later thousand only."""
    count = 2_500
    days = pd.date_range("2001-01-01", periods=count, unit="us")
    applied = pd.Series(pd.NaT, index=range(count), dtype="datetime64[us, UTC]")
    applied.iloc[-1] = INSTANTS[0]
    frame = _nights(days=days, hashes=[f"{place:05d}" for place in range(count)], applied=applied)
    frame["summary"] = [None] * (count - 1) + ["é"]
    with ledger.writing() as connection:
        bulk.insert_new(connection, nights, frame)
        found = bulk.read_frame(connection, select(nights).order_by(nights.c.plan_hash))
    assert found["as_of"].tolist() == days.tolist()
    assert found["applied_at"].dropna().to_dict() == {count - 1: INSTANTS[0]}
    assert found["summary"].dropna().to_dict() == {count - 1: "é"}


def test_an_empty_answer_has_the_same_types_as_a_full_one(ledger, three_nights):
    with ledger.writing() as connection:
        bulk.insert_new(connection, nights, three_nights)
        full = bulk.read_frame(connection, select(nights))
        empty = bulk.read_frame(connection, select(nights).where(nights.c.run_id == "none"))
    assert len(empty) == 0
    assert empty.dtypes.to_dict() == full.dtypes.to_dict()


def test_a_column_of_nothing_but_missing_values_has_its_type_too(ledger):
    with ledger.writing() as connection:
        bulk.insert_new(connection, nights, _nights(days=["2026-01-01"], hashes=["p"]))
        found = bulk.read_frame(connection, select(nights.c.applied_at, nights.c.summary))
    assert found.dtypes.astype("str").tolist() == ["datetime64[us, UTC]", "str"]
    assert found.isna().all(axis=None)


def test_rows_that_are_there_are_counted_out_and_left_alone(ledger):
    with ledger.writing() as connection:
        assert bulk.insert_new(connection, nights, _nights(days=["2026-01-01"], hashes=["first"])) == 1
        again = _nights(days=["2026-01-01", "2026-01-02", "2026-01-02"], hashes=["second", "third", "fourth"])
        assert bulk.insert_new(connection, nights, again) == 1
        kept = connection.scalars(select(nights.c.plan_hash).order_by(nights.c.as_of)).all()
    assert kept == ["first", "third"]


def test_more_rows_than_one_block(ledger):
    count = 25_001
    keys = [f"{number:06d}" for number in range(count)]
    frame = pd.DataFrame({"key": keys, "value": keys})
    with ledger.writing() as connection:
        before = connection.scalar(select(func.count()).select_from(meta))
        assert bulk.insert_new(connection, meta, frame) == count
        assert bulk.insert_new(connection, meta, frame) == 0
        assert bulk.insert_new(connection, meta, frame.assign(key="x" + frame["key"]).iloc[:10]) == 10
        assert connection.scalar(select(func.count()).select_from(meta)) == before + count + 10


def test_one_row_that_is_there_among_many_changes_nothing_for_the_others(ledger):
    many = pd.DataFrame({"key": [f"k{number:05d}" for number in range(12_000)], "value": "new"})
    old = many.iloc[[11_990]].assign(value="old")
    with ledger.writing() as connection:
        assert bulk.insert_new(connection, meta, old) == 1
        assert bulk.insert_new(connection, meta, many) == 11_999
        query = select(func.count()).where(meta.c.key.startswith("k"), meta.c.value == "new")
        assert connection.scalar(query) == 11_999
        assert connection.scalar(select(meta.c.value).where(meta.c.key == "k11990")) == "old"


def test_a_row_that_breaks_another_rule_is_a_fault_and_nothing_of_it_stays(ledger):
    frame = pd.DataFrame({"key": ["k1", "k2"], "value": ["there", None]})
    with pytest.raises((DBAPIError, sqlite3.Error, psycopg.Error)), ledger.writing() as connection:
        bulk.insert_new(connection, meta, frame)
    with ledger.reading() as connection:
        assert connection.scalar(select(func.count()).where(meta.c.key.startswith("k"))) == 0


def test_nothing_in_nothing_out(ledger):
    empty = _nights(days=[], hashes=[])
    with ledger.writing() as connection:
        assert bulk.insert_new(connection, nights, empty) == 0
        assert bulk.upsert(connection, nights, empty, update=["run_id"]) == 0
        assert bulk.update_rows(connection, nights, empty, key=["as_of"]) == 0


def test_upsert_sets_only_what_it_is_told(ledger):
    with ledger.writing() as connection:
        bulk.insert_new(connection, nights, _nights(days=["2026-01-01"], hashes=["old"]))
        frame = _nights(days=["2026-01-01", "2026-01-02"], hashes=["new", "new"]).assign(run_id="other")
        assert bulk.upsert(connection, nights, frame, update=["plan_hash"]) == 2
        query = select(nights.c.plan_hash, nights.c.run_id).order_by(nights.c.as_of)
        assert [tuple(row) for row in connection.execute(query)] == [("new", "r"), ("new", "other")]


def test_update_rows_changes_the_named_rows_where_it_may(ledger):
    days = ["2026-01-01", "2026-01-02", "2026-01-03"]
    with ledger.writing() as connection:
        bulk.insert_new(connection, nights, _nights(days=days, hashes=["a", "b", "c"]))
        change = pd.DataFrame({"as_of": pd.to_datetime([*days[:2], "2030-01-01"]), "summary": ["one", "two", "three"]})
        guard = "nights.plan_hash <> 'b'"
        assert bulk.update_rows(connection, nights, change, key=["as_of"], only_where=guard) == 1
        found = connection.scalars(select(nights.c.summary).order_by(nights.c.as_of)).all()
    assert found == ["one", None, None]


def test_dates_take_any_resolution_and_whole_days_only_matter(ledger):
    for unit in ("s", "ms", "us", "ns"):
        frame = _nights(days=["2026-01-01"], hashes=[unit])
        frame["as_of"] = frame["as_of"].astype(f"datetime64[{unit}]")
        with ledger.writing() as connection:
            bulk.insert_new(connection, nights, frame)
            assert connection.scalar(select(nights.c.as_of)) == date(2026, 1, 1)


def test_instants_of_another_zone_are_stored_as_utc(ledger):
    frame = _nights(days=["2026-01-01"], hashes=["p"])
    frame["started_at"] = pd.to_datetime(["2026-07-01T02:30:00"]).tz_localize("Europe/Paris")
    with ledger.writing() as connection:
        bulk.insert_new(connection, nights, frame)
        assert connection.scalar(select(nights.c.started_at)) == datetime(2026, 7, 1, 0, 30, tzinfo=UTC)


def test_naive_instants_are_refused(ledger):
    frame = _nights(days=["2026-01-01"], hashes=["p"]).assign(started_at=pd.Timestamp("2026-01-01"))
    with ledger.writing() as connection, pytest.raises(ValueError, match="aware"):
        bulk.insert_new(connection, nights, frame)


def test_an_unknown_column_is_refused_by_name(ledger):
    frame = _nights(days=["2026-01-01"], hashes=["p"]).rename(columns={"plan_hash": "plan_hush"})
    with ledger.writing() as connection, pytest.raises(ValueError, match="nights has no column plan_hush"):
        bulk.insert_new(connection, nights, frame)


def test_a_database_that_fails_under_a_frame_is_unusable_as_under_anything_else(ledger):
    """The driver writes frames by itself: its errors come unwrapped, and a stranger would read a traceback."""
    frame = pd.DataFrame({"key": [f"{place:06d}" for place in range(20_000)], "value": "v"})

    def write() -> None:
        with ledger.writing() as connection:
            if ledger.is_sqlite:
                pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
            else:
                mine = connection.scalar(select(func.pg_backend_pid()))
                with ledger.writing() as other:
                    other.execute(select(func.pg_terminate_backend(mine)))
            bulk.insert_new(connection, meta, frame)

    with pytest.raises(StoreUnavailable, match=r"cannot be used: .*(full|lost|terminat)"):
        write()
    ledger.engine.dispose()
    with ledger.reading() as connection:
        assert connection.scalar(select(func.count()).where(meta.c.value == "v")) == 0


def test_text_sorts_by_code_point_on_both(ledger):
    names = ["a", "B", "é", "Z", "_", "10", "9", "ä", "b"]
    with ledger.writing() as connection:
        bulk.insert_new(connection, meta, pd.DataFrame({"key": names, "value": ""}))
        query = select(meta.c.key).where(meta.c.key != "pepper").order_by(meta.c.key)
        assert connection.scalars(query).all() == sorted(names)


def test_a_name_that_is_a_word_of_sql_is_no_trouble(ledger):
    frame = pd.DataFrame({"source": ["s"], "digest": ["d"], "as_of": pd.Timestamp("2026-01-01"), "row_number": [7]})
    frame = frame.assign(column="email", rule="email_invalid", masked_value="j***")
    with ledger.writing() as connection:
        assert bulk.insert_new(connection, quarantine, frame) == 1
        assert bulk.read_frame(connection, select(quarantine))["column"].tolist() == ["email"]
